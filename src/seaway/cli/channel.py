"""`seaway channel ...`: create and manage channels, directly in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, bytes_of, options, show, show_rows
from seaway.clock import format_time

if TYPE_CHECKING:
    from seaway.channels.channels import Channel
    from seaway.publishing.logos import NewLogo

app = typer.Typer(help="Create and manage channels.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="CHANNEL")]
_Description = Annotated[str | None, typer.Option(help="Description of the channel.")]
_Logo = Annotated[
    str | None, typer.Option(metavar="FILE|URL", help="Logo: an image file, or the URL of a GitHub avatar.")
]


@app.command()
def add(
    context: typer.Context,
    name: _Name,
    owner: Annotated[str, typer.Option(help="User who will own the channel.")],
    description: _Description = None,
    logo: _Logo = None,
    public: Annotated[bool, typer.Option("--public/--private", help="Visibility: everyone, or members only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a channel. It is private unless --public is given."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels
    from seaway.users import users

    with options(context).open_site() as seaway:
        logos = seaway.request_parts.logos
        png = logos.draw(OPERATOR, _logo_source(logo)) if logo else b""
        with seaway.site.database.write_site() as tx:
            channels.add(
                tx, seaway.site.clock.now_ms(), OPERATOR, name, users.get(tx, owner),
                description=description or "", is_public=public,
            )  # fmt: skip
        if png:
            logos.store(OPERATOR, name, png)
        with seaway.site.database.read() as tx:
            made = channels.get(tx, name)
        address = f"{seaway.settings.site_url}/{name}"
    show(_described(made), as_json, f"{'Public' if public else 'Private'} channel at {address}, owned by {owner}.")


@app.command("list")
def list_channels(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = channels.visible_to(tx, OPERATOR)
    show_rows(
        [_described(channel) for channel in found],
        as_json,
        nothing="There are no channels yet. Create one: seaway channel add NAME --owner USER",
    )


@app.command("show")
def show_channel(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Show a channel with its members and size."""
    from seaway.channels import channels, members, quotas
    from seaway.packages import catalog

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        channel = channels.get(tx, name)
        usage = quotas.of_channel(tx, channel.id)
        value = {
            **_described(channel),
            "files": catalog.count_files(tx, channel.id),
            "size": usage.used,
            "quota": usage.quota,
            "members": [
                {"user": member.user, "role": member.role.value} for member in members.all_members(tx, channel.id)
            ],
        }
    lines = [f"{key}: {_plain_text(entry)}" for key, entry in value.items()]
    show(value, as_json, "\n".join(lines))


@app.command("set")
def set_channel(
    context: typer.Context,
    name: _Name,
    quota: Annotated[str | None, typer.Option(help="Storage quota in bytes, or none.")] = None,
    description: _Description = None,
    logo: _Logo = None,
    no_logo: Annotated[bool, typer.Option("--no-logo", help="Remove the logo.")] = False,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Visibility.")] = None,
    refuse_lookalikes: Annotated[
        bool | None,
        typer.Option("--refuse-lookalikes/--allow-lookalikes", help="Refuse names that look like another package's."),
    ] = None,
    never_overwrite: Annotated[
        bool,
        typer.Option(
            "--never-overwrite", help="Never replace the contents of a published file. This cannot be undone."
        ),
    ] = False,
    allow_v3: Annotated[
        bool | None,
        typer.Option(
            "--allow-v3/--refuse-v3", help="Allow packages that need repodata v3, which older clients do not see."
        ),
    ] = None,
    v3_message: Annotated[
        str | None, typer.Option(help="Message about these packages for users of older clients; empty for none.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Channel with priority over this one; empty for none.")
    ] = None,
    overrides: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL", help="Fallback channel for packages that this one does not have; empty for none."
        ),
    ] = None,
    only_publishers: Annotated[
        bool | None,
        typer.Option("--only-publishers/--any-uploader", help="Accept uploads from trusted publishers only."),
    ] = None,
    attestations: Annotated[
        str | None, typer.Option(help="Attestations of uploaded files: off, optional or required.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a channel. Options that are not given stay unchanged."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels, logos, quotas
    from seaway.channels.channels import Attestations
    from seaway.indexing import relations

    if attestations not in (None, *(mode.value for mode in Attestations)):
        raise typer.BadParameter("--attestations must be off, optional or required")
    attestations_mode = None if attestations is None else Attestations(attestations)
    if logo and no_logo:
        raise typer.BadParameter("--logo and --no-logo cannot be combined")
    quota_bytes = None if quota is None else bytes_of(quota)  # checked before anything is changed
    with options(context).open_site() as seaway:
        if logo:
            seaway.request_parts.logos.put(OPERATOR, name, _logo_source(logo))
        if base is not None or overrides is not None:
            relations.change(seaway.site, OPERATOR, name, base=base, overrides=overrides)
        with seaway.site.database.write_site() as tx:
            if quota is not None:
                quotas.set_of_channel(tx, seaway.site.clock.now_ms(), OPERATOR, name, quota_bytes)
            if no_logo:
                logos.remove(tx, seaway.site.clock.now_ms(), OPERATOR, name)
            changed = channels.change(
                tx, seaway.site.clock.now_ms(), OPERATOR, name,
                description=description, is_public=public, refuses_lookalikes=refuse_lookalikes,
                only_publishers=only_publishers, attestations=attestations_mode,
                allows_overwrite=False if never_overwrite else None, allows_v3=allow_v3,
            )  # fmt: skip
            if v3_message is not None:
                relations.set_v3_message(
                    tx, seaway.site.clock.now_ms(), OPERATOR, name, v3_message,
                    whole_document_limit=seaway.site.whole_document_limit,
                )  # fmt: skip
                changed = channels.get(tx, name)
    show(
        _described(changed),
        as_json,
        f"{name} is {'public' if changed.is_public else 'private'}; its settings are saved.",
    )


@app.command()
def transfer(
    context: typer.Context,
    name: _Name,
    new_owner: Annotated[str, typer.Argument(metavar="USER")],
    as_json: JsonOption = False,
) -> None:
    """Transfer a channel to another user at once. The previous owner becomes a contributor."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels, transfers

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        transfers.transfer_now(tx, seaway.site.clock.now_ms(), OPERATOR, name, new_owner)
        changed = channels.get(tx, name)
    show(_described(changed), as_json, f"{name} is now owned by {changed.owner}.")


@app.command()
def remove(
    context: typer.Context,
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a channel with all its packages. This cannot be undone."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels

    if not yes and typer.prompt(f"Type the name of the channel to delete {name} and all its packages") != name:
        raise typer.BadParameter("the name does not match; nothing was deleted")
    with options(context).open_site() as seaway:

        def act() -> Channel:
            with seaway.site.database.write_site() as tx:
                return channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, name)

        removed = seaway.site.reserve.retry_with_reserve(act)
    show(_described(removed), as_json, f"{name} was deleted; the next sweep deletes its bytes.")


def _described(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "owner": channel.owner,
        "public": channel.is_public,
        "description": channel.description,
        "logo": channel.logo_path,
        "refuses_lookalikes": channel.refuses_lookalikes,
        "allows_overwrite": channel.allows_overwrite,
        "allows_v3": channel.allows_v3,
        "v3_message": channel.v3_message,
        "base": channel.base,
        "overrides": channel.overrides,
        "only_publishers": channel.only_publishers,
        "attestations": channel.attestations.value,
        "packages": channel.package_count,
        "created_at": format_time(channel.created_at_ms),
    }


def _logo_source(logo: str) -> NewLogo:
    """Return the logo that --logo names."""
    from seaway.publishing.logos import MOST_BYTES, NewLogo

    if "://" in logo:
        return NewLogo(url=logo)
    try:
        with Path(logo).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{logo} cannot be read: {error.strerror}") from None
    if not content:
        raise typer.BadParameter(f"{logo} is empty")
    return NewLogo(content)


def _plain_text(entry: Any) -> str:
    if isinstance(entry, list):
        return ", ".join(f"{member['user']} ({member['role']})" for member in entry)
    return "yes" if entry is True else "no" if entry is False else str(entry)
