"""`seaway member ...`: members of a channel, directly in the database."""

from __future__ import annotations

from typing import Annotated

import typer

from seaway.cli.context import JsonOption, options, show
from seaway.clock import format_time

app = typer.Typer(help="Add users to channels and remove them.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_User = Annotated[str, typer.Argument(metavar="USER")]


@app.command()
def add(
    context: typer.Context,
    channel: _Channel,
    user: _User,
    role: Annotated[str, typer.Option(help="viewer or contributor.")] = "contributor",
    as_json: JsonOption = False,
) -> None:
    """Add a user to a channel at once, or change their role."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import members
    from seaway.channels.roles import Role

    if role not in (Role.VIEWER.value, Role.CONTRIBUTOR.value):
        raise typer.BadParameter("--role must be viewer or contributor")
    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        member = members.put(tx, seaway.site.clock.now_ms(), OPERATOR, channel, user, Role(role))
    value = {"channel": channel, "user": user, "role": member.role.value, "added_at": format_time(member.added_at_ms)}
    show(value, as_json, f"{user} is a {role} of {channel}.")


@app.command()
def remove(context: typer.Context, channel: _Channel, user: _User, as_json: JsonOption = False) -> None:
    """Remove a user from a channel. Files they uploaded stay."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import members

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        members.remove(tx, seaway.site.clock.now_ms(), OPERATOR, channel, user)
    show({"channel": channel, "user": user, "role": None}, as_json, f"{user} is no longer a member of {channel}.")
