"""
Quotas: how many bytes a channel may hold, and all channels of a user together. Admins set them.

1. What a channel holds is `subdirs.size`, which changes in the transaction that changes a file: nothing is summed over
   files, so the question costs the same in every channel.
2. An upload is refused by what its own transaction sees, with the channel to itself: of two that fit only one by one,
   one comes in. (Two into different channels of one user may both, on PostgreSQL, if they are recorded at the same
   moment. The third does not.)
3. Nothing that is there goes away: a quota that is lowered stops uploads.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import Column, ColumnElement, Label, case, func, select, update

from seaway import audit
from seaway.accounts import users
from seaway.accounts.principal import Principal
from seaway.audit import Event
from seaway.channels import channels as all_channels
from seaway.channels import permissions
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import channels, members, subdirs
from seaway.database.tables import users as user_rows
from seaway.errors import Malformed, TooLarge

MAX_QUOTA = 2**53  # what JSON carries exactly, and more than any store holds


@dataclass(frozen=True, slots=True)
class Room:
    """What a channel may hold and holds, by itself and with the others of its owner; a quota of None has no end."""

    quota: int | None = None
    used: int = 0
    owner_quota: int | None = None
    owner_used: int = 0

    def require(self, size: int, channel: str) -> None:
        """Return if so many bytes more may come in."""
        for quota, used, what in (
            (self.quota, self.used, f"The channel {channel} holds"),
            (self.owner_quota, self.owner_used, f"The channels of the owner of {channel} hold"),
        ):
            if quota is not None and used + size > quota:
                raise TooLarge(
                    f"{what} {used:,} of {quota:,} bytes, and {size:,} more do not fit.",
                    "Delete what is not needed, or ask an admin of this site for a larger quota.",
                )

    def after(self, size: int) -> "Room":
        """The room when so many bytes more have come in."""
        return replace(self, used=self.used + size, owner_used=self.owner_used + size)


@dataclass(frozen=True, slots=True)
class Usage:
    """A quota and how much of it is taken."""

    quota: int | None
    used: int


_owner_of = members.alias("owner_of")
_owned_by = members.alias("owned_by")
_IS_OWNER = (_owner_of.c.channel_id == channels.c.id, _owner_of.c.role == Role.OWNER.value)
_OWNER_QUOTA = (
    select(user_rows.c.quota_bytes)
    .join(_owner_of, _owner_of.c.user_id == user_rows.c.id)
    .where(*_IS_OWNER)
    .correlate(channels)
    .scalar_subquery()
)
_SUM = select(func.coalesce(func.sum(subdirs.c.size), 0))
_USED = _SUM.where(subdirs.c.channel_id == channels.c.id).correlate(channels).scalar_subquery()
_OWNER_USED = (
    _SUM.join(_owned_by, _owned_by.c.channel_id == subdirs.c.channel_id)
    .join(_owner_of, _owner_of.c.user_id == _owned_by.c.user_id)
    .where(*_IS_OWNER, _owned_by.c.role == Role.OWNER.value)
    .correlate(channels)
    .scalar_subquery()
)

# For a query over `channels`: with them it tells the room too. Sums are made only where there is a quota.
ROOM: tuple[Column[int] | Label[int] | ColumnElement[int], ...] = (
    channels.c.quota_bytes,
    case((channels.c.quota_bytes.is_not(None), _USED), else_=0).label("used"),
    _OWNER_QUOTA.label("owner_quota"),
    case((_OWNER_QUOTA.is_not(None), _OWNER_USED), else_=0).label("owner_used"),
)


def of_channel(tx: Tx, channel_id: int) -> Usage:
    """The quota of a channel and what it holds, for who knows that they may see it."""
    quota, used = tx.execute(select(channels.c.quota_bytes, _USED).where(channels.c.id == channel_id)).one()
    return Usage(quota, int(used))


def of_user(tx: Tx, user_id: int) -> Usage:
    """The quota of a user and what the channels that they own hold."""
    used = (
        select(func.coalesce(func.sum(subdirs.c.size), 0))
        .join(members, members.c.channel_id == subdirs.c.channel_id)
        .where(members.c.user_id == user_id, members.c.role == Role.OWNER.value)
    )
    quota = tx.execute(select(user_rows.c.quota_bytes).where(user_rows.c.id == user_id)).scalar()
    return Usage(quota, int(tx.execute(used).scalar_one()))


def of_channels(tx: Tx, channel_ids: Collection[int]) -> dict[int, Usage]:
    """The same for several channels, in one statement."""
    rows = tx.execute(
        select(channels.c.id, channels.c.quota_bytes, _USED.label("used")).where(channels.c.id.in_(channel_ids))
    )
    return {row.id: Usage(row.quota_bytes, int(row.used)) for row in rows}


def of_users(tx: Tx, user_ids: Collection[int]) -> dict[int, Usage]:
    """The same for several users, in one statement."""
    used = (
        _SUM.join(members, members.c.channel_id == subdirs.c.channel_id)
        .where(members.c.user_id == user_rows.c.id, members.c.role == Role.OWNER.value)
        .correlate(user_rows)
        .scalar_subquery()
    )
    rows = tx.execute(
        select(user_rows.c.id, user_rows.c.quota_bytes, used.label("used")).where(user_rows.c.id.in_(user_ids))
    )
    return {row.id: Usage(row.quota_bytes, int(row.used)) for row in rows}


def set_of_channel(tx: Tx, now_ms: int, by: Principal, channel: str, quota: int | None) -> None:
    """Say how many bytes a channel may hold; None: as many as there is room for."""
    permissions.require_admin(by, now_ms)
    _check(quota)
    found = all_channels.get(tx, channel)
    tx.execute(update(channels).where(channels.c.id == found.id).values(quota_bytes=quota))
    audit.write(tx, now_ms, by.actor, Event.QUOTA_CHANGED, channel=channel, quota=_said(quota))


def set_of_user(tx: Tx, now_ms: int, by: Principal, user: str, quota: int | None) -> None:
    """Say how many bytes all channels of a user together may hold; None: as many as there is room for."""
    permissions.require_admin(by, now_ms)
    _check(quota)
    found = users.get(tx, user)
    tx.execute(update(user_rows).where(user_rows.c.id == found.id).values(quota_bytes=quota))
    audit.write(tx, now_ms, by.actor, Event.QUOTA_CHANGED, target=user, quota=_said(quota))


def _check(quota: int | None) -> None:
    if quota is not None and not 0 <= quota <= MAX_QUOTA:
        raise Malformed("A quota is a number of bytes.", "Give 0 or more, or none.")


def _said(quota: int | None) -> str | int:
    return "none" if quota is None else quota
