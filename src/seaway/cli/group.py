"""`seaway group ...`: named sets of users that can be members of channels, directly in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.clock import format_time

if TYPE_CHECKING:
    from seaway.channels.groups import Group

app = typer.Typer(help="Create groups of users, and give them roles in channels.", no_args_is_help=True)

_Group = Annotated[str, typer.Argument(metavar="GROUP")]
_User = Annotated[str, typer.Argument(metavar="USER")]

_NO_ROLE = "none"


@app.command()
def add(
    context: typer.Context,
    group: _Group,
    manager: Annotated[str, typer.Option(help="User who manages the group.")],
    description: Annotated[str, typer.Option(help="Description of the group.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Create a group with its first manager. The manager is also a member."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        made = groups.add(tx, now_ms, OPERATOR, group, users.get(tx, manager), description=description)
    show(_described(made), as_json, f"The group {group} was created; {manager} manages it.")


@app.command("list")
def list_groups(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every group."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = groups.all_groups(tx, OPERATOR)
    show_rows(
        [_described(group) for group in found],
        as_json,
        nothing="There are no groups yet. Create one: seaway group add NAME --manager USER",
    )


@app.command("show")
def show_group(context: typer.Context, group: _Group, as_json: JsonOption = False) -> None:
    """Show the members of a group, and its roles in channels."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found, users_in_it = groups.get(tx, OPERATOR, group)
        roles = groups.roles_of(tx, found.id)
    value = {
        **_described(found),
        "members": [{"user": member.user, "manager": member.is_manager} for member in users_in_it],
        "channels": [{"channel": channel, "role": role.value} for channel, role in roles],
    }
    entries = {
        **value,
        "members": ", ".join(
            f"{member.user} (manager)" if member.is_manager else member.user for member in users_in_it
        ),
        "channels": ", ".join(f"{channel} ({role.value})" for channel, role in roles),
    }
    show(value, as_json, "\n".join(f"{key}: {entry}" for key, entry in entries.items()))


@app.command()
def remove(context: typer.Context, group: _Group, as_json: JsonOption = False) -> None:
    """Delete a group. Its members lose the access it granted."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        removed = groups.remove(tx, seaway.site.clock.now_ms(), OPERATOR, group)
    show(_described(removed), as_json, f"The group {group} was deleted.")


@app.command("add-member")
def add_member(
    context: typer.Context,
    group: _Group,
    user: _User,
    manager: Annotated[bool, typer.Option("--manager", help="Make the user a manager of the group.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a user to a group, or change whether they manage it."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        groups.put_member(
            tx, seaway.site.clock.now_ms(), OPERATOR, group, user,
            is_manager=manager, outbox=seaway.request_parts.accounts.outbox,
        )  # fmt: skip
    value = {"group": group, "user": user, "manager": manager}
    show(value, as_json, f"{user} {'manages' if manager else 'is in'} the group {group}.")


@app.command("remove-member")
def remove_member(context: typer.Context, group: _Group, user: _User, as_json: JsonOption = False) -> None:
    """Remove a user from a group."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import groups

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        groups.remove_member(tx, seaway.site.clock.now_ms(), OPERATOR, group, user)
    show({"group": group, "user": user, "manager": None}, as_json, f"{user} is no longer in the group {group}.")


@app.command()
def role(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    group: _Group,
    wanted: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, contributor, or none to remove the group.")],
    as_json: JsonOption = False,
) -> None:
    """Set or remove the role of a group in a channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import members
    from seaway.channels.roles import Role

    if wanted not in (Role.VIEWER.value, Role.CONTRIBUTOR.value, _NO_ROLE):
        raise typer.BadParameter("ROLE must be viewer, contributor or none")
    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        if wanted == _NO_ROLE:
            members.remove_group(tx, now_ms, OPERATOR, channel, group)
        else:
            members.put_group(tx, now_ms, OPERATOR, channel, group, Role(wanted))
    value = {"channel": channel, "group": group, "role": None if wanted == _NO_ROLE else wanted}
    state = f"no longer has a role in {channel}" if wanted == _NO_ROLE else f"is a {wanted} of {channel}"
    show(value, as_json, f"The group {group} {state}.")


def _described(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "description": group.description,
        "users": group.user_count,
        "created_at": format_time(group.created_at_ms),
    }
