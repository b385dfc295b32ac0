"""`seaway member ...`: members of a channel, directly in the database."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from seaway.cli.context import JsonOption, options, show

app = typer.Typer(help="Add users to channels and remove them.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_User = Annotated[str, typer.Argument(metavar="USER")]


@app.command()
def add(
    context: typer.Context,
    channel: _Channel,
    user: _User,
    role: Annotated[Literal["viewer", "contributor"], typer.Option(help="Role in the channel.")] = "contributor",
    as_json: JsonOption = False,
) -> None:
    """Add a user to a channel at once, or change their role."""
    from seaway.api.v1 import members

    with options(context).open_call() as call:
        member = members.put_member(call, channel, user, members.RoleUpdate(role=role))
    show(member, as_json, f"{user} is a {role} of {channel}.")


@app.command()
def remove(context: typer.Context, channel: _Channel, user: _User, as_json: JsonOption = False) -> None:
    """Remove a user from a channel. Files they uploaded stay."""
    from seaway.api.v1 import members

    with options(context).open_call() as call:
        members.remove_member(call, channel, user)
    show(None, as_json, f"{user} is no longer a member of {channel}.")
