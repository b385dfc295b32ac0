"""
Members of a channel and their roles: users and groups.

1. Exactly one member is the owner, a user and never a group: owners are only ever exchanged (`exchange_owner`).
2. A user with a direct role and roles through groups has the strongest of them (`channels.access_of`).
3. When a membership ends, the files that the user uploaded stay.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, delete, exists, func, insert, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.notify import caused_by, notify_user
from seaway.channels.permissions import Access
from seaway.channels.roles import Action, Role
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import (
    channel_groups,
    group_members,
    groups,
    members,
    publishers,
    token_publishers,
    transfers,
)
from seaway.database.tables import users as user_rows
from seaway.errors import Conflict, Malformed, NotFound
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.users import users


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a channel."""

    user: str
    role: Role
    added_at_ms: int
    user_id: int


@dataclass(frozen=True, slots=True)
class MemberGroup:
    """A group in a channel."""

    group: str
    role: Role
    added_at_ms: int
    user_count: int | None  # None for callers who are not allowed to see its users


def all_members(tx: Tx, channel_id: int) -> list[Member]:
    """Return every user who is a direct member, by name."""
    rows = tx.execute(
        select(
            user_rows.c.name.label("user"), members.c.role, members.c.added_at.label("added_at_ms"),
            user_rows.c.id.label("user_id"),
        )
        .join(user_rows, user_rows.c.id == members.c.user_id)
        .where(members.c.channel_id == channel_id)
        .order_by(user_rows.c.name)
    )  # fmt: skip
    return [from_row(Member, row) for row in rows]


def all_groups(tx: Tx, by: Caller, channel_id: int) -> list[MemberGroup]:
    """Return every group that is a member, by name; its size only for callers who are allowed to see its members."""
    size = select(func.count()).where(group_members.c.group_id == groups.c.id).scalar_subquery()
    count = size if by.is_operator or by.is_admin else case((_is_in(by.user_id), size))
    rows = tx.execute(
        select(
            groups.c.name.label("group"), channel_groups.c.role, channel_groups.c.added_at.label("added_at_ms"),
            count.label("user_count"),
        )
        .join(groups, groups.c.id == channel_groups.c.group_id)
        .where(channel_groups.c.channel_id == channel_id)
        .order_by(groups.c.name)
    )  # fmt: skip
    return [from_row(MemberGroup, row) for row in rows]


def list_all(tx: Tx, by: Caller, channel: str) -> tuple[list[Member], list[MemberGroup]]:
    """Return the users and groups of a channel, if the caller is allowed to see them."""
    access = channels.require(tx, by, Action.SEE_MEMBERS, channel)
    return all_members(tx, access.channel_id), all_groups(tx, by, access.channel_id)


def owner_id(tx: Tx, channel_id: int) -> int | None:
    """Return the id of the owner of a channel; None only in a damaged database."""
    is_owner = (members.c.channel_id == channel_id, members.c.role == Role.OWNER.value)
    return tx.execute(select(members.c.user_id).where(*is_owner)).scalar()


def put(tx: Tx, now_ms: int, by: Caller, channel: str, user: str, role: Role, *, outbox: Outbox | None) -> Member:
    """Make a user a member at once and notify them, or change their role; ownership changes only by transfer."""
    access = channels.require(tx, by, Action.ADMIT, channel)
    user_id = users.get(tx, user).id
    known = role_of(tx, access.channel_id, user_id)
    if Role.OWNER in (role, known):
        raise Conflict(f"{channel} has exactly one owner.", "Transfer the channel to change its owner.")
    store_role(tx, now_ms, access.channel_id, user_id, role)
    event = Event.MEMBER_ADDED if known is None else Event.MEMBER_CHANGED
    audit.write(tx, now_ms, by.actor, event, channel=channel, target=user, role=role.value)
    if known is None:
        cause = caused_by(by, "member_added", channel)
        notify_user(
            tx, now_ms, outbox, user_id, messages.member_added,
            cause=cause, channel=channel, role=role.value, by=by.name,
        )  # fmt: skip
    return Member(user, role, now_ms, user_id)


def remove(tx: Tx, now_ms: int, by: Caller, channel: str, user: str) -> None:
    """Remove a user from a channel."""
    access = channels.require(tx, by, Action.ADMIT, channel)
    _delete_member(tx, access.channel_id, channel, user, users.get(tx, user).id)
    audit.write(tx, now_ms, by.actor, Event.MEMBER_REMOVED, channel=channel, target=user)


def leave(tx: Tx, now_ms: int, by: Caller, channel: str) -> None:
    """Remove the caller from a channel."""
    access = require_can_leave(tx, by, channel)
    _delete_member(tx, access.channel_id, channel, by.name, by.user_id or 0)
    audit.write(tx, now_ms, by.actor, Event.MEMBER_REMOVED, channel=channel, target=by.name)


def require_can_leave(tx: Tx, by: Caller, channel: str) -> Access:
    """Return the caller's access to a channel that the caller can leave; raise the refusal otherwise."""
    access = channels.require(tx, by, Action.READ, channel)
    if access.role is Role.OWNER:
        raise _cannot_remove_owner(channel, by.name)
    return permissions.require(by, Action.LEAVE, access, channel_name=channel)


def put_group(tx: Tx, now_ms: int, by: Caller, channel: str, group: str, role: Role) -> MemberGroup:
    """
    Make a group a member, so that every user in it has the role, or change its role.

    Adding a group requires a member of it or a site admin, so that other users cannot add it to their channels.
    """
    access = channels.require(tx, by, Action.ADMIT, channel)
    group_id = _group_id(tx, group)
    if role is Role.OWNER:
        raise Malformed("A group cannot own a channel.", "Choose the role viewer or contributor.")
    changed = tx.execute(
        update(channel_groups).where(*_of_group(access.channel_id, group_id)).values(role=role.value)
    ).rowcount
    if not changed:
        is_in = tx.execute(select(groups.c.id).where(groups.c.id == group_id, _is_in(by.user_id))).first() is not None
        permissions.require_group(by, name=group, is_member=is_in, is_manager=False, change=False)
        tx.execute(
            insert(channel_groups).values(
                channel_id=access.channel_id, group_id=group_id, role=role.value, added_at=now_ms
            )
        )
    event = Event.MEMBER_CHANGED if changed else Event.MEMBER_ADDED
    audit.write(tx, now_ms, by.actor, event, channel=channel, target=group, role=role.value, group=True)
    return next(entry for entry in all_groups(tx, by, access.channel_id) if entry.group == group)


def remove_group(tx: Tx, now_ms: int, by: Caller, channel: str, group: str) -> None:
    """Remove a group from a channel; its users keep their direct role and their roles through other groups."""
    access = channels.require(tx, by, Action.ADMIT, channel)
    removed = tx.execute(delete(channel_groups).where(*_of_group(access.channel_id, _group_id(tx, group))))
    if not removed.rowcount:
        raise NotFound(f"The group {group} is not a member of {channel}.", "Check the list of members.")
    audit.write(tx, now_ms, by.actor, Event.MEMBER_REMOVED, channel=channel, target=group, group=True)


def store_role(tx: Tx, now_ms: int, channel_id: int, user_id: int, role: Role) -> None:
    """Store the role of a user, without a permission check: the calling function has made it."""
    if role_of(tx, channel_id, user_id) is None:
        tx.execute(insert(members).values(channel_id=channel_id, user_id=user_id, role=role.value, added_at=now_ms))
    else:
        tx.execute(
            update(members)
            .where(members.c.channel_id == channel_id, members.c.user_id == user_id)
            .values(role=role.value)
        )


def exchange_owner(tx: Tx, now_ms: int, channel_id: int, new_owner_id: int) -> None:
    """
    Make a user the owner, and the previous owner a contributor, without a permission check.

    This ends pending transfers of the channel, and its publish tokens: the new owner has not trusted the workflows yet.
    """
    publisher_ids = select(publishers.c.id).where(publishers.c.channel_id == channel_id)
    tx.execute(delete(token_publishers).where(token_publishers.c.publisher_id.in_(publisher_ids)))
    tx.execute(delete(transfers).where(transfers.c.channel_id == channel_id))
    tx.execute(
        update(members)
        .where(members.c.channel_id == channel_id, members.c.role == Role.OWNER.value)
        .values(role=Role.CONTRIBUTOR.value)
    )
    store_role(tx, now_ms, channel_id, new_owner_id, Role.OWNER)


def _delete_member(tx: Tx, channel_id: int, channel: str, user: str, user_id: int) -> None:
    role = role_of(tx, channel_id, user_id)
    if role is None:
        raise NotFound(f"{user} is not a member of {channel}.", "Check the list of members and groups.")
    if role is Role.OWNER:
        raise _cannot_remove_owner(channel, user)
    tx.execute(delete(members).where(members.c.channel_id == channel_id, members.c.user_id == user_id))
    tx.execute(delete(transfers).where(transfers.c.channel_id == channel_id, transfers.c.to_user_id == user_id))


def _cannot_remove_owner(channel: str, user: str) -> Conflict:
    return Conflict(
        f"{user} owns {channel}, and a channel always has an owner.", "Transfer it to another member first."
    )


def role_of(tx: Tx, channel_id: int, user_id: int) -> Role | None:
    """Return the direct role of a user in a channel, or None."""
    role = tx.execute(
        select(members.c.role).where(members.c.channel_id == channel_id, members.c.user_id == user_id)
    ).scalar()
    return None if role is None else Role(role)


def has_group(tx: Tx, name: str) -> bool:
    """Return whether there is a group with this name; names of groups are not secret."""
    return tx.execute(select(groups.c.id).where(groups.c.name == name)).scalar() is not None


def _group_id(tx: Tx, name: str) -> int:
    group_id = tx.execute(select(groups.c.id).where(groups.c.name == name)).scalar()
    if group_id is None:
        raise NotFound(f"There is no group named {name[:60]!a}.", "Check the spelling.", field="group")
    return int(group_id)


def _is_in(user_id: int | None) -> ColumnElement[bool]:
    """Return the condition that a user is in the group of the row."""
    return exists().where(group_members.c.group_id == groups.c.id, group_members.c.user_id == user_id)


def _of_group(channel_id: int, group_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return channel_groups.c.channel_id == channel_id, channel_groups.c.group_id == group_id
