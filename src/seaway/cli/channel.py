"""`seaway channel ...`: create and manage channels, directly in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seaway.cli.context import JsonOption, bytes_of, given, options, show, show_rows

if TYPE_CHECKING:
    from seaway.channels.channel import Channel
    from seaway.database.engine import Tx
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
        png = logos.encode(OPERATOR, _logo_source(logo)) if logo else b""
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
    show(made.described(), as_json, f"{'Public' if public else 'Private'} channel at {address}, owned by {owner}.")


@app.command("list")
def list_channels(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = channels.visible_to(tx, OPERATOR)
    show_rows(
        [channel.described() for channel in found],
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
            **channel.described(),
            "files": catalog.count_files(tx, channel.id),
            "size": usage.used,
            "quota": usage.quota,
            "members": [
                {"user": member.user, "role": member.role.value} for member in members.all_members(tx, channel.id)
            ],
        }
    show(value, as_json)


@app.command("set")
def set_channel(
    context: typer.Context,
    name: _Name,
    quota: Annotated[str | None, typer.Option(help="Storage quota in bytes, or none.")] = None,
    logo: _Logo = None,
    no_logo: Annotated[bool, typer.Option("--no-logo", help="Remove the logo.")] = False,
    base: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Channel with priority over this one; empty for none.")
    ] = None,
    overrides: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL", help="Fallback channel for packages that this one does not have; empty for none."
        ),
    ] = None,
    description: _Description = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Visibility.")] = None,
    refuses_lookalikes: Annotated[
        bool | None,
        typer.Option("--refuse-lookalikes/--allow-lookalikes", help="Refuse names that look like another package's."),
    ] = None,
    allows_overwrite: Annotated[
        bool | None,
        typer.Option(
            "--allow-overwrite/--never-overwrite",
            help="Never replace the contents of a published file. This cannot be undone.",
        ),
    ] = None,
    allows_v3: Annotated[
        bool | None,
        typer.Option(
            "--allow-v3/--refuse-v3", help="Allow packages that need repodata v3, which older clients do not see."
        ),
    ] = None,
    v3_message: Annotated[
        str | None, typer.Option(help="Message about these packages for users of older clients; empty for none.")
    ] = None,
    only_publishers: Annotated[
        bool | None,
        typer.Option("--only-publishers/--any-uploader", help="Accept uploads from trusted publishers only."),
    ] = None,
    attestations: Annotated[
        Literal["off", "optional", "required"] | None, typer.Option(help="Attestations of uploaded files.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a channel, completely or not at all. Options that are not given stay unchanged."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels, logos, quotas
    from seaway.channels.channel import ChannelSettings
    from seaway.indexing import relations

    if logo and no_logo:
        raise typer.BadParameter("--logo and --no-logo cannot be combined")
    quota_bytes = None if quota is None else bytes_of(quota)  # checked before anything is changed
    settings = given(ChannelSettings, context)
    related = {"base": base, "overrides": overrides}
    with options(context).open_site() as seaway:

        def lock(tx: Tx) -> None:
            relations.lock(seaway.site.database, tx, name, related)

        def change(tx: Tx) -> None:
            now_ms = seaway.site.clock.now_ms()
            if quota is not None:
                quotas.set_of_channel(tx, now_ms, OPERATOR, name, quota_bytes)
            if no_logo:
                logos.remove(tx, now_ms, OPERATOR, name)
            relations.set_relations(tx, seaway.site, OPERATOR, name, related)
            relations.change_settings(tx, seaway.site, OPERATOR, name, settings)

        if logo:
            seaway.request_parts.logos.put(OPERATOR, name, _logo_source(logo), also=change, lock=lock)
        else:
            with seaway.site.database.write_site() as tx:
                change(tx)
        with seaway.site.database.read() as tx:
            changed = channels.get(tx, name)
    show(
        changed.described(),
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
    """Transfer a channel to another user at once. The previous owner becomes a contributor. Both get an email."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import channels, transfers

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        outbox = seaway.request_parts.accounts.outbox
        transfers.transfer_now(tx, seaway.site.clock.now_ms(), OPERATOR, name, new_owner, outbox=outbox)
        changed = channels.get(tx, name)
    show(changed.described(), as_json, f"{name} is now owned by {changed.owner}.")


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
    show(removed.described(), as_json, f"{name} was deleted; the next sweep deletes its bytes.")


def _logo_source(logo: str) -> NewLogo:
    """Return the logo that --logo names."""
    from seaway.publishing.logos import MAX_LOGO_BYTES, NewLogo

    if "://" in logo:
        return NewLogo(url=logo)
    try:
        with Path(logo).open("rb") as file:
            content = file.read(MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{logo} cannot be read: {error.strerror}") from None
    if not content:
        raise typer.BadParameter(f"{logo} is empty")
    return NewLogo(content)
