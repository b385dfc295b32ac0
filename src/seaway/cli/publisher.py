"""`seaway publisher ...`: workflows trusted to publish to a channel, directly in the database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.clock import format_time

if TYPE_CHECKING:
    from seaway.trusted_publishing.issuer_kinds.issuer_kind import GateValue
    from seaway.trusted_publishing.publishers import Draft, Publisher

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
    list[str] | None, typer.Option(help="Only this package, or a prefix that ends in *; can be repeated.")
]
_Ref = Annotated[list[str] | None, typer.Option(help="Only this branch or tag, such as refs/tags/v*; can be repeated.")]
_Hosted = Annotated[
    bool | None, typer.Option("--hosted-runner/--any-runner", help="GitHub: only on GitHub-hosted runners.")
]
_Reusable = Annotated[
    str | None, typer.Option(help="GitHub: a reusable workflow of another repository that can run the job.")
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
    package: _Package = None,
    ref: _Ref = None,
    hosted_runner: _Hosted = None,
    reusable_workflow: _Reusable = None,
    protected_ref: _Protected = None,
    exchanges: _Exchanges = None,
    as_json: JsonOption = False,
) -> None:
    """Trust a workflow to publish to a channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publisher_changes
    from seaway.trusted_publishing.publishers import Draft

    given = {
        "owner": owner, "repository": repository, "namespace": namespace, "project": project, "workflow": workflow,
        "environment": environment, "email": email, "sub": sub, **_pairs(claim),
    }  # fmt: skip
    draft = _changed(
        Draft(matched={}), given, pin, mode, package,
        _gates(ref, hosted_runner, reusable_workflow, protected_ref), exchanges, None,
    )  # fmt: skip
    with options(context).open_site() as seaway:
        made = publisher_changes.add(seaway.request_parts.exchanging, OPERATOR, channel, issuer, draft)
    show(_described(made), as_json, f"{made.name} is trusted to publish to {channel}, as publisher {made.id}.")


@app.command("list")
def list_publishers(context: typer.Context, channel: _Channel, as_json: JsonOption = False) -> None:
    """List the publishers of a channel."""
    from seaway.channels import channels
    from seaway.trusted_publishing import publishers

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = publishers.in_channel(tx, channels.get(tx, channel).id)
    rows = [_described(entry) for entry in found] if as_json else [_short(entry) for entry in found]
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
    package: _Package = None,
    ref: _Ref = None,
    hosted_runner: _Hosted = None,
    reusable_workflow: _Reusable = None,
    protected_ref: _Protected = None,
    exchanges: _Exchanges = None,
    enable: _Enabled = None,
    as_json: JsonOption = False,
) -> None:
    """Change a publisher. Options that are not given stay unchanged. A different workflow starts without pinned ids."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publisher_changes

    given = {
        "owner": owner, "repository": repository, "namespace": namespace, "project": project, "workflow": workflow,
        "environment": environment, "email": email, "sub": sub, **_pairs(claim),
    }  # fmt: skip
    gates = _gates(ref, hosted_runner, reusable_workflow, protected_ref)
    with options(context).open_site() as seaway:
        changed = publisher_changes.change(
            seaway.request_parts.exchanging, OPERATOR, channel, publisher,
            lambda before: _changed(before, given, pin, mode, package, gates, exchanges, enable),
        )  # fmt: skip
    state = "" if changed.is_enabled else ", and is disabled"
    show(_described(changed), as_json, f"Publisher {publisher} of {channel} is {changed.name}{state}.")


@app.command()
def remove(context: typer.Context, channel: _Channel, publisher: _Id, as_json: JsonOption = False) -> None:
    """Remove a publisher. Its tokens stop working at once."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import publishers

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        removed = publishers.remove(
            tx, seaway.site.clock.now_ms(), OPERATOR, seaway.request_parts.accounts.outbox, channel, publisher
        )
    show(_described(removed), as_json, f"{removed.name} is no longer trusted by {channel}.")


def _changed(
    draft: Draft,
    given: dict[str, str | None],
    pins: list[str] | None,
    mode: str | None,
    packages: list[str] | None,
    gates: dict[str, GateValue],
    exchanges: int | None,
    enabled: bool | None,
) -> Draft:
    from seaway.callers.caller import Mode

    if mode is not None and mode not in Mode.__members__:
        raise typer.BadParameter(f"--mode must be one of {', '.join(Mode.__members__)}")
    return replace(
        draft,
        matched={**draft.matched, **{name: value for name, value in given.items() if value is not None}},
        gates={**(draft.gates or {}), **gates},
        pins=draft.pins if pins is None else _pairs(pins),
        mode=draft.mode if mode is None else Mode[mode],
        patterns=draft.patterns if packages is None else packages,
        exchanges=draft.exchanges if exchanges is None else exchanges,
        is_enabled=draft.is_enabled if enabled is None else enabled,
    )


def _gates(
    refs: list[str] | None, hosted_runner: bool | None, reusable_workflow: str | None, protected_ref: bool | None
) -> dict[str, GateValue]:
    given: dict[str, GateValue | None] = {
        "allowed_refs": refs,
        "require_hosted_runner": hosted_runner,
        "allowed_reusable_workflow": reusable_workflow,
        "require_protected_ref": protected_ref,
    }
    return {name: value for name, value in given.items() if value is not None}


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given or ()]
    if any(not equals for _, equals, _ in pairs):
        raise typer.BadParameter("use NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _described(publisher: Publisher) -> dict[str, Any]:
    return {
        "id": publisher.id,
        "channel": publisher.channel,
        "name": publisher.name,
        "kind": publisher.kind,
        "issuer": publisher.issuer,
        "fields": dict(publisher.criteria.matched),
        "pinned": dict(publisher.criteria.pins),
        "conditions": dict(publisher.criteria.gates),
        "mode": publisher.mode.name,
        "packages": list(publisher.patterns),
        "exchanges": publisher.exchanges,
        "enabled": publisher.is_enabled,
        "created_by": publisher.created_by,
        "created_at": format_time(publisher.created_at_ms),
        "used_at": format_time(publisher.used_at_ms),
    }


def _short(publisher: Publisher) -> dict[str, Any]:
    names = ("id", "kind", "name", "mode", "enabled", "used_at")
    return {name: value for name, value in _described(publisher).items() if name in names}
