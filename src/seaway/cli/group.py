"""`seaway group ...`: named sets of users that can be members of channels, directly in the database."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from seaway.cli.context import JsonOption, options, show, show_rows

app = typer.Typer(help="Create groups of users, and give them roles in channels.", no_args_is_help=True)

_Group = Annotated[str, typer.Argument(metavar="GROUP")]
_User = Annotated[str, typer.Argument(metavar="USER")]


@app.command()
def add(
    context: typer.Context,
    group: _Group,
    manager: Annotated[str, typer.Option(help="User who manages the group.")],
    description: Annotated[str, typer.Option(help="Description of the group.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Create a group with its first manager. The manager is also a member."""
    from seaway.api.v1.groups import group_of
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.database.write_site() as tx:
        now_ms = seaway.clock.now_ms()
        made = groups.add(tx, now_ms, OPERATOR, group, users.get(tx, manager), description=description)
    show(group_of(made), as_json, f"The group {group} was created; {manager} manages it.")


@app.command("list")
def list_groups(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every group."""
    from seaway.api.v1.groups import group_of
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.database.read() as tx:
        found = groups.all_groups(tx, OPERATOR)
    show_rows(
        [group_of(group) for group in found],
        as_json,
        nothing="There are no groups yet. Create one: seaway group add NAME --manager USER",
    )


@app.command("show")
def show_group(context: typer.Context, group: _Group, as_json: JsonOption = False) -> None:
    """Show the members of a group, and its roles in channels."""
    from seaway.api.v1 import groups

    with options(context).open_call() as call:
        show(groups.get_group(call, group), as_json)


@app.command()
def remove(context: typer.Context, group: _Group, as_json: JsonOption = False) -> None:
    """Delete a group. Its members lose the access it granted."""
    from seaway.api.v1 import groups

    with options(context).open_call() as call:
        groups.delete_group(call, group)
    show(None, as_json, f"The group {group} was deleted.")


@app.command("add-member")
def add_member(
    context: typer.Context,
    group: _Group,
    user: _User,
    manager: Annotated[bool, typer.Option("--manager", help="Make the user a manager of the group.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a user to a group, or change whether they manage it."""
    from seaway.api.v1 import groups

    with options(context).open_call() as call:
        member = groups.put_group_member(call, group, user, groups.GroupMemberUpdate(manager=manager))
    show(member, as_json, f"{user} {'manages' if manager else 'is in'} the group {group}.")


@app.command("remove-member")
def remove_member(context: typer.Context, group: _Group, user: _User, as_json: JsonOption = False) -> None:
    """Remove a user from a group."""
    from seaway.api.v1 import groups

    with options(context).open_call() as call:
        groups.remove_group_member(call, group, user)
    show(None, as_json, f"{user} is no longer in the group {group}.")


@app.command()
def role(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    group: _Group,
    wanted: Annotated[
        Literal["viewer", "contributor", "none"],
        typer.Argument(metavar="ROLE", help="Role, or none to remove the group."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Set or remove the role of a group in a channel."""
    from seaway.api.v1 import members

    with options(context).open_call() as call:
        if wanted == "none":
            members.remove_member_group(call, channel, group)
            show(None, as_json, f"The group {group} no longer has a role in {channel}.")
        else:
            member = members.put_member_group(call, channel, group, members.RoleUpdate(role=wanted))
            show(member, as_json, f"The group {group} is a {wanted} of {channel}.")
