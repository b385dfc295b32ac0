"""
Groups: named sets of users that can be members of channels with a role.

1. A group has at least one manager, who can change it; its creator is the first. It is left without one only if the
   account of its last manager is deleted; then site admins can change it.
2. The members of a group and their number are shown only to its members and to site admins: not to owners of channels
   with this group (`members.all_groups`), nor in their audit logs. Its name is not secret, like those of users.
3. The role of a group in channels is read from the database at each request: a user who leaves the group loses the
   role on the next request.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import permissions
from seaway.channels.notify import caused_by, notify_user
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import group_members, groups
from seaway.database.tables import users as user_rows
from seaway.errors import Conflict, Malformed, NameTaken, NotFound, check_all
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.users import users
from seaway.users.users import User

MAX_DESCRIPTION = 400


@dataclass(frozen=True, slots=True)
class Group:
    """A group as lists show it."""

    id: int
    name: str
    description: str
    created_at_ms: int
    user_count: int


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A user in a group."""

    user: str
    is_manager: bool
    added_at_ms: int


def add(tx: Tx, now_ms: int, by: Caller, name: str, manager: User, *, description: str = "") -> Group:
    """Create a group managed by `manager`: the caller, or any user if the caller is an admin or the operator."""
    require_site(by, SiteAction.ADD_GROUP)
    if by.user_id != manager.id:
        require_site(by, SiteAction.ADMINISTER)
    check_all(lambda: _require_free_name(tx, name), lambda: _check_description(description))
    group_id = tx.execute(
        insert(groups).values(name=name, description=description, created_at=now_ms).returning(groups.c.id)
    ).scalar_one()
    tx.execute(insert(group_members).values(group_id=group_id, user_id=manager.id, is_manager=True, added_at=now_ms))
    audit.write(tx, now_ms, by.actor, Event.GROUP_ADDED, target=name, manager=manager.name)
    return _get(tx, name)


def _require_free_name(tx: Tx, name: str) -> None:
    if not users.is_possible_name(name):
        raise NameTaken(
            f"{name[:60]!a} is not a valid group name.",
            "Use at most 39 lowercase letters, digits and hyphens, with no hyphen at either end. Names of "
            "Seaway's pages are reserved.",
            field="name",
        )
    if tx.execute(select(groups.c.id).where(groups.c.name == name)).scalar() is not None:
        raise NameTaken(f"A group named {name!r} already exists.", "Choose another name.", field="name")


def get(tx: Tx, by: Caller, name: str) -> tuple[Group, list[GroupMember]]:
    """Return a group and its members, if the caller is allowed to see them."""
    group = _permitted(tx, by, name, change=False)
    return group, _members_of(tx, group.id)


def all_groups(tx: Tx, by: Caller) -> list[Group]:
    """Return every group by name; for site admins."""
    require_site(by, SiteAction.ADMINISTER)
    return [from_row(Group, row) for row in tx.execute(_listing().order_by(groups.c.name))]


def of_user(tx: Tx, user_id: int) -> list[tuple[Group, bool]]:
    """Return the groups of a user by name, each with whether the user manages it."""
    rows = tx.execute(
        _listing()
        .add_columns(group_members.c.is_manager)
        .join(group_members, group_members.c.group_id == groups.c.id)
        .where(group_members.c.user_id == user_id)
        .order_by(groups.c.name)
    )
    return [(from_row(Group, row), row.is_manager) for row in rows]


def starting_with(tx: Tx, by: Caller, prefix: str, limit: int) -> list[str]:
    """Return names of groups that the caller can add to channels: their own ones, or all for site admins."""
    query = select(groups.c.name).where(groups.c.name.startswith(prefix, autoescape=True))
    if not by.is_admin:
        own = select(group_members.c.group_id).where(group_members.c.user_id == by.user_id)
        query = query.where(groups.c.id.in_(own))
    return list(tx.execute(query.order_by(groups.c.name).limit(limit)).scalars())


def describe(tx: Tx, now_ms: int, by: Caller, name: str, description: str) -> Group:
    """Change the description of a group. Its name cannot change: channels and users know the group by it."""
    group = require_manager(tx, by, name)
    _check_description(description)
    tx.execute(update(groups).where(groups.c.id == group.id).values(description=description))
    audit.write(tx, now_ms, by.actor, Event.GROUP_CHANGED, target=name)
    return _get(tx, name)


def remove(tx: Tx, now_ms: int, by: Caller, name: str) -> Group:
    """Delete a group; its members lose the access it granted."""
    group = require_manager(tx, by, name)
    tx.execute(delete(groups).where(groups.c.id == group.id))
    audit.write(tx, now_ms, by.actor, Event.GROUP_REMOVED, target=name, users=group.user_count)
    return group


def put_member(
    tx: Tx,
    now_ms: int,
    by: Caller,
    name: str,
    user: str,
    *,
    is_manager: bool = False,
    outbox: Outbox | None,
) -> GroupMember:
    """Add a user to a group, or change whether they manage it."""
    group = require_manager(tx, by, name)
    user_id = users.get(tx, user).id
    was_manager = _is_manager(tx, group.id, user_id)
    if was_manager and not is_manager:
        _keep_a_manager(tx, group, user)
    if was_manager is None:
        tx.execute(
            insert(group_members).values(group_id=group.id, user_id=user_id, is_manager=is_manager, added_at=now_ms)
        )
    else:
        tx.execute(
            update(group_members)
            .where(group_members.c.group_id == group.id, group_members.c.user_id == user_id)
            .values(is_manager=is_manager)
        )
    event = Event.GROUP_MEMBER_ADDED if was_manager is None else Event.GROUP_MEMBER_CHANGED
    audit.write(tx, now_ms, by.actor, event, target=f"{name}/{user}", manager=is_manager)
    if was_manager is None:
        cause = caused_by(by, "group_joined", name)
        notify_user(tx, now_ms, outbox, user_id, messages.group_joined, cause=cause, group=name, by=by.name)
    return next(member for member in _members_of(tx, group.id) if member.user == user)


def remove_member(tx: Tx, now_ms: int, by: Caller, name: str, user: str) -> None:
    """Remove a user from a group."""
    group = require_manager(tx, by, name)
    _delete_member(tx, now_ms, by, group, user, users.get(tx, user).id)


def leave(tx: Tx, now_ms: int, by: Caller, name: str) -> None:
    """Remove the caller from a group."""
    _delete_member(tx, now_ms, by, require_can_leave(tx, by, name), by.name, by.user_id or 0)


def require_manager(tx: Tx, by: Caller, name: str) -> Group:
    """Return a group that the caller can change; raise the refusal otherwise."""
    return _permitted(tx, by, name, change=True)


def require_can_leave(tx: Tx, by: Caller, name: str) -> Group:
    """Return a group that the caller can leave; raise the refusal otherwise."""
    require_site(by, SiteAction.LEAVE_GROUP)
    return _permitted(tx, by, name, change=False)


def _delete_member(tx: Tx, now_ms: int, by: Caller, group: Group, user: str, user_id: int) -> None:
    is_manager = _is_manager(tx, group.id, user_id)
    if is_manager is None:
        raise NotFound(f"{user} is not in the group {group.name}.", "Check the list of its members.")
    if is_manager:
        _keep_a_manager(tx, group, user)
    tx.execute(delete(group_members).where(group_members.c.group_id == group.id, group_members.c.user_id == user_id))
    audit.write(tx, now_ms, by.actor, Event.GROUP_MEMBER_REMOVED, target=f"{group.name}/{user}")


def _keep_a_manager(tx: Tx, group: Group, user: str) -> None:
    # Two managers who step down at the same moment would leave none, so the rows are locked until the first is done.
    managers = tx.execute(
        select(group_members.c.user_id)
        .where(group_members.c.group_id == group.id, group_members.c.is_manager)
        .with_for_update()
    ).all()
    if len(managers) == 1:
        raise Conflict(
            f"{user} is the only manager of the group {group.name}.",
            "Make another user a manager, or delete the group.",
        )


def _permitted(tx: Tx, by: Caller, name: str, *, change: bool) -> Group:
    if by.is_anonymous:
        permissions.require_group(by, name=name, is_member=False, is_manager=False, change=change)
    group = _get(tx, name)
    is_manager = _is_manager(tx, group.id, by.user_id or 0)
    permissions.require_group(
        by, name=name, is_member=is_manager is not None, is_manager=is_manager is True, change=change
    )
    return group


def _get(tx: Tx, name: str) -> Group:
    row = tx.execute(_listing().where(groups.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"There is no group named {name[:60]!a}.", "Check the spelling.", field="group")
    return from_row(Group, row)


def _listing() -> Select[Any]:
    count = select(func.count()).where(group_members.c.group_id == groups.c.id).correlate(groups).scalar_subquery()
    return select(
        groups.c.id, groups.c.name, groups.c.description, groups.c.created_at.label("created_at_ms"),
        count.label("user_count"),
    )  # fmt: skip


def _members_of(tx: Tx, group_id: int) -> list[GroupMember]:
    rows = tx.execute(
        select(
            user_rows.c.name.label("user"), group_members.c.is_manager, group_members.c.added_at.label("added_at_ms")
        )
        .join(user_rows, user_rows.c.id == group_members.c.user_id)
        .where(group_members.c.group_id == group_id)
        .order_by(user_rows.c.name)
    )
    return [from_row(GroupMember, row) for row in rows]


def _is_manager(tx: Tx, group_id: int, user_id: int) -> bool | None:
    """Return whether a user manages the group; None if they are not in it."""
    return tx.execute(
        select(group_members.c.is_manager).where(
            group_members.c.group_id == group_id, group_members.c.user_id == user_id
        )
    ).scalar()


def _check_description(description: str) -> None:
    if len(description) > MAX_DESCRIPTION or not description.isprintable():
        raise Malformed(
            f"The description of a group is one line of at most {MAX_DESCRIPTION} characters.",
            "Shorten it.",
            field="description",
        )
