"""
Which keys of its members open a channel: everybody sees their own, who manages it those of all.

1. Of a key one sees what matters to the channel: its name and user, what it may, and when it was last used anywhere.
   Not from where, nor which other channels it is for: that is its user's own affair. The secret nobody sees.
2. Nobody ends another's key here, since it may be for other channels too. A member who is removed has no key for the
   channel from the next request on, and one whose role is changed has keys that give no more than that.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_, select, union

from seaway.accounts.keys import patterns_of
from seaway.accounts.principal import Mode, Principal
from seaway.channels import channels
from seaway.channels.roles import Action, Role, strongest
from seaway.database.engine import Tx
from seaway.database.tables import channel_groups, group_members, key_channels, keys, members, users

MOST = 500  # keys of a channel that are shown


@dataclass(frozen=True, slots=True)
class ReachingKey:
    """A good key that opens a channel; `role` is None of a site admin who is no member of it."""

    name: str
    user: str
    role: Role | None
    mode: Mode
    for_all_channels: bool
    patterns: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None


def of_all(tx: Tx, now_ms: int, by: Principal, channel: str) -> list[ReachingKey]:
    """The keys of all members, by user and name, for the person who manages the channel."""
    return _found(tx, now_ms, channels.require(tx, by, Action.SEE_KEYS, channel).channel_id, None)


def of_oneself(tx: Tx, now_ms: int, by: Principal, channel: str) -> list[ReachingKey]:
    """The keys of the member who asks."""
    return _found(tx, now_ms, channels.require(tx, by, Action.SEE_MEMBERS, channel).channel_id, by.user_id)


def _found(tx: Tx, now_ms: int, channel_id: int, user_id: int | None) -> list[ReachingKey]:
    by_group = (
        select(func.min(channel_groups.c.role))  # «contributor» comes before «viewer», as in `channels.access_of`
        .join(group_members, group_members.c.group_id == channel_groups.c.group_id)
        .where(channel_groups.c.channel_id == channel_id, group_members.c.user_id == users.c.id)
        .scalar_subquery()
    )
    through_groups = (
        select(group_members.c.user_id)
        .join(channel_groups, channel_groups.c.group_id == group_members.c.group_id)
        .where(channel_groups.c.channel_id == channel_id)
    )
    belonging = union(select(members.c.user_id).where(members.c.channel_id == channel_id), through_groups)
    is_for_it = select(key_channels.c.key_id).where(
        key_channels.c.key_id == keys.c.id, key_channels.c.channel_id == channel_id
    )
    query = (
        select(
            keys.c.name, users.c.name.label("user"), members.c.role, by_group.label("by_group"), keys.c.mode,
            keys.c.all_channels, keys.c.patterns, keys.c.created_at, keys.c.expires_at, keys.c.used_at,
        )
        .join(users, users.c.id == keys.c.user_id)
        .outerjoin(members, and_(members.c.channel_id == channel_id, members.c.user_id == users.c.id))
        .where(
            # Who asks for their own may see the channel: as a member, or as a site admin whose keys open every one.
            users.c.id.in_(belonging) if user_id is None else users.c.id == user_id,
            users.c.disabled_at.is_(None),
            keys.c.revoked_at.is_(None),
            or_(keys.c.expires_at.is_(None), keys.c.expires_at > now_ms),
            or_(keys.c.all_channels, is_for_it.exists()),
        )
        .order_by(case((members.c.role == Role.OWNER.value, 0), else_=1), users.c.name, keys.c.name)
        .limit(MOST)
    )  # fmt: skip
    return [_key(row) for row in tx.execute(query)]


def _key(row: Any) -> ReachingKey:
    return ReachingKey(
        name=row.name,
        user=row.user,
        role=strongest(row.role, row.by_group),
        mode=Mode[row.mode],
        for_all_channels=row.all_channels,
        patterns=patterns_of(row.patterns),
        created_at_ms=row.created_at,
        expires_at_ms=row.expires_at,
        used_at_ms=row.used_at,
    )
