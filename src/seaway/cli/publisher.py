"""`seaway publisher ...`: workflows trusted to publish to a channel, directly in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, given, options, options_among, show, show_rows

if TYPE_CHECKING:
    from seaway.trusted_publishing.publisher import Publisher, PublisherSettings

app = typer.Typer(help="Trust workflows to publish to channels.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_Id = Annotated[int, typer.Argument(metavar="PUBLISHER", help="Id, as `publisher list` shows it.")]
_Owner = Annotated[str | None, typer.Option(help="GitHub: the user or organization.")]
_Repository = Annotated[str | None, typer.Option(help="GitHub: the repository.")]
_Namespace = Annotated[str | None, typer.Option(help="GitLab: the user, or the full path of the group.")]
_Project = Annotated[str | None, typer.Option(help="GitLab: the project.")]
_Workflow = Annotated[str | None, typer.Option(help="File name of the workflow or pipeline.")]
_Environment = Annotated[str | None, typer.Option(help="The environment that the job must run in.")]
_Email = Annotated[str | None, typer.Option(help="Google Cloud: the service account.")]
_Sub = Annotated[str | None, typer.Option(help="Google Cloud: the unique id of the account.")]
_Claim = Annotated[list[str] | None, typer.Option(help="Other issuers: NAME=VALUE; can be repeated.")]
_Pin = Annotated[
    list[str] | None, typer.Option(help="An id to pin, if it is already known: owner_id=123; can be repeated.")
]
_Mode = Annotated[str | None, typer.Option(help="READ, READ_WRITE (the default) or READ_WRITE_DELETE.")]
_Package = Annotated[
    list[str] | None, typer.Option("--package", help="Only this package, or a prefix that ends in *; can be repeated.")
]
_Ref = Annotated[
    list[str] | None, typer.Option("--ref", help="Only this branch or tag, such as refs/tags/v*; can be repeated.")
]
_Hosted = Annotated[
    bool | None, typer.Option("--hosted-runner/--any-runner", help="GitHub: only on GitHub-hosted runners.")
]
_Reusable = Annotated[
    str | None,
    typer.Option("--reusable-workflow", help="GitHub: a reusable workflow of another repository that can run the job."),
]
_Protected = Annotated[
    bool | None, typer.Option("--protected-ref/--any-ref", help="GitLab: only from protected branches and tags.")
]
_Exchanges = Annotated[int | None, typer.Option(help="GitLab: how often the token of one job can be exchanged.")]
_Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Enable or disable the publisher.")]


@app.command()
def add(
    context: typer.Context,
    channel: _Channel,
    issuer: Annotated[str, typer.Argument(metavar="ISSUER", help="github, gitlab, google, or a registered one.")],
    owner: _Owner = None,
    repository: _Repository = None,
    namespace: _Namespace = None,
    project: _Project = None,
    workflow: _Workflow = None,
    environment: _Environment = None,
    email: _Email = None,
    sub: _Sub = None,
    claim: _Claim = None,
    pin: _Pin = None,
    mode: _Mode = None,
    packages: _Package = None,
    allowed_refs: _Ref = None,
    require_hosted_runner: _Hosted = None,
    allowed_reusable_workflow: _Reusable = None,
    require_protected_ref: _Protected = None,
    exchanges: _Exchanges = None,
    as_json: JsonOption = False,
) -> None:
    """Trust a workflow to publish to a channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publisher_changes

    with options(context).open_site() as seaway:
        made = publisher_changes.add(seaway.request_parts.exchanging, OPERATOR, channel, issuer, _settings(context))
    show(made.described(), as_json, f"{made.name} is trusted to publish to {channel}, as publisher {made.id}.")


@app.command("list")
def list_publishers(context: typer.Context, channel: _Channel, as_json: JsonOption = False) -> None:
    """List the publishers of a channel."""
    from seaway.channels import channels
    from seaway.trusted_publishing import publishers

    with options(context).open_site() as seaway, seaway.database.read() as tx:
        found = publishers.in_channel(tx, channels.get(tx, channel).id)
    rows = [entry.described() for entry in found] if as_json else [_short(entry) for entry in found]
    show_rows(
        rows, as_json, nothing=f"{channel} has no publishers yet. Add one: seaway publisher add {channel} github ..."
    )


@app.command("set")
def set_publisher(
    context: typer.Context,
    channel: _Channel,
    publisher: _Id,
    owner: _Owner = None,
    repository: _Repository = None,
    namespace: _Namespace = None,
    project: _Project = None,
    workflow: _Workflow = None,
    environment: _Environment = None,
    email: _Email = None,
    sub: _Sub = None,
    claim: _Claim = None,
    pin: _Pin = None,
    mode: _Mode = None,
    packages: _Package = None,
    allowed_refs: _Ref = None,
    require_hosted_runner: _Hosted = None,
    allowed_reusable_workflow: _Reusable = None,
    require_protected_ref: _Protected = None,
    exchanges: _Exchanges = None,
    enabled: _Enabled = None,
    as_json: JsonOption = False,
) -> None:
    """Change a publisher. Options that are not given stay unchanged. A different workflow starts without pinned ids."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publisher_changes

    with options(context).open_site() as seaway:
        changed = publisher_changes.change(
            seaway.request_parts.exchanging, OPERATOR, channel, publisher, _settings(context)
        )
    state = "" if changed.enabled else ", and is disabled"
    show(changed.described(), as_json, f"Publisher {publisher} of {channel} is {changed.name}{state}.")


@app.command()
def remove(context: typer.Context, channel: _Channel, publisher: _Id, as_json: JsonOption = False) -> None:
    """Remove a publisher. Its tokens stop working at once."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publishers

    with options(context).open_site() as seaway, seaway.database.write_site() as tx:
        removed = publishers.remove(
            tx, seaway.clock.now_ms(), OPERATOR, seaway.request_parts.exchanging.notifier, channel, publisher
        )
    show(removed.described(), as_json, f"{removed.name} is no longer trusted by {channel}.")


def _settings(context: typer.Context) -> PublisherSettings:
    """Return the settings in the options, which have the names of the settings, their fields and their conditions."""
    from seaway.trusted_publishing.issuer_kinds.registry import KINDS
    from seaway.trusted_publishing.publisher import PublisherSettings

    fields = options_among(context, {field.name for kind in KINDS.values() for field in kind.fields})
    conditions = options_among(context, {gate.name for kind in KINDS.values() for gate in kind.gates})
    pins = _pairs(context.params["pin"])
    return given(
        PublisherSettings, context,
        fields={**fields, **_pairs(context.params["claim"])}, conditions=conditions, pinned=pins or None,
    )  # fmt: skip


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given or ()]
    if any(not equals for _, equals, _ in pairs):
        raise typer.BadParameter("use NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _short(publisher: Publisher) -> dict[str, Any]:
    described = publisher.described()
    return {name: described[name] for name in ("id", "kind", "name", "mode", "enabled", "used_at")}
