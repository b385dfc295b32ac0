"""
Storage quotas in bytes: of a channel, and of all channels of a user together. Admins set them; `user_quota` is the
default for users.

1. The usage of a channel is `subdirs.size`, which changes in the transaction that changes a file, and the pieces of
   unfinished uploads: nothing is summed over files, so the check costs the same in every channel.
2. An upload is checked in its own transaction, which has locked the channel: if there is room for only one of two,
   one is accepted. (On PostgreSQL, two uploads into different channels of one user can both be accepted if they are
   recorded at the same moment. The third is refused.)
3. Lowering a quota deletes nothing; it stops uploads.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Label,
    String,
    bindparam,
    case,
    func,
    literal_column,
    select,
    update,
)

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels as all_channels
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import channels, members, resumable_pieces, resumable_uploads, subdirs
from seaway.database.tables import users as user_rows
from seaway.errors import Malformed, TooLarge
from seaway.users import users

MAX_QUOTA = 2**53  # JSON numbers are exact up to here; no store is larger


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """Quota and usage of a channel, and of all channels of its owner together; a quota of None is unlimited."""

    quota: int | None = None
    used: int = 0
    owner_quota: int | None = None
    owner_used: int = 0

    def require(self, size: int, channel: str, *, replaced: int = 0) -> None:
        """Raise `TooLarge` unless `size` bytes fit after `replaced` bytes are removed."""
        for quota, used, what in (
            (self.quota, self.used, f"The channel {channel} holds"),
            (self.owner_quota, self.owner_used, f"The channels of the owner of {channel} hold"),
        ):
            if quota is not None and used + size - replaced > quota:
                raise TooLarge(
                    f"{what} {used:,} of {quota:,} bytes, and {size:,} more do not fit.",
                    "Delete files that are no longer needed, or ask a site admin for a larger quota.",
                )

    def after(self, size: int) -> "StorageRoom":
        """Return the room after `size` bytes are added, or removed if it is negative."""
        return replace(self, used=self.used + size, owner_used=self.owner_used + size)


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """A quota and how much of it is used."""

    quota: int | None
    used: int
    is_default: bool = False  # the quota is the default of the site


# A literal instead of a parameter: if a parameter decides whether a partial index (of owners) applies, SQLite plans the
# statement again at each execution, which takes ten times as long as the statement itself.
_OWNER = literal_column(f"'{Role.OWNER.value}'", String)
_owner_of = members.alias("owner_of")
_owned_by = members.alias("owned_by")
_IS_OWNER = (_owner_of.c.channel_id == channels.c.id, _owner_of.c.role == _OWNER)
_OWNER_QUOTA = (
    select(user_rows.c.quota_bytes)
    .join(_owner_of, _owner_of.c.user_id == user_rows.c.id)
    .where(*_IS_OWNER)
    .correlate(channels)
    .scalar_subquery()
)
# Sums of bytes of files and of pieces of unfinished uploads, each with the column of its channel id.
_SUMS = (
    (select(func.coalesce(func.sum(subdirs.c.size), 0)), subdirs.c.channel_id),
    (
        select(func.coalesce(func.sum(resumable_pieces.c.size), 0)).join(
            resumable_uploads, resumable_uploads.c.id == resumable_pieces.c.upload_id
        ),
        resumable_uploads.c.channel_id,
    ),
)


def _used() -> ColumnElement[int]:
    """Return the usage of the channel, for a query over `channels`."""
    files, pieces = (
        total.where(channel_id == channels.c.id).correlate(channels).scalar_subquery() for total, channel_id in _SUMS
    )
    return files + pieces


def _used_by_owner() -> ColumnElement[int]:
    """Return the usage of all channels of the channel's owner, for a query over `channels`."""
    files, pieces = (
        total.join(_owned_by, _owned_by.c.channel_id == channel_id)
        .join(_owner_of, _owner_of.c.user_id == _owned_by.c.user_id)
        .where(*_IS_OWNER, _owned_by.c.role == _OWNER)
        .correlate(channels)
        .scalar_subquery()
        for total, channel_id in _SUMS
    )
    return files + pieces


def _used_by_user() -> ColumnElement[int]:
    """Return the usage of the channels that the user owns, for a query over `users`."""
    files, pieces = (
        total.join(members, members.c.channel_id == channel_id)
        .where(members.c.user_id == user_rows.c.id, members.c.role == _OWNER)
        .correlate(user_rows)
        .scalar_subquery()
        for total, channel_id in _SUMS
    )
    return files + pieces


_USED = _used()
_OWNER_LIMIT = func.coalesce(_OWNER_QUOTA, bindparam("user_quota", type_=BigInteger))

# Columns of the room, for a query over `channels` with the parameter `user_quota`. Sums are computed only if there is a
# quota.
ROOM: tuple[Column[int] | Label[int] | ColumnElement[int], ...] = (
    channels.c.quota_bytes,
    case((channels.c.quota_bytes.is_not(None), _USED), else_=0).label("used"),
    _OWNER_LIMIT.label("owner_quota"),
    case((_OWNER_LIMIT.is_not(None), _used_by_owner()), else_=0).label("owner_used"),
)
_ROOM_OF_CHANNEL = select(*ROOM).where(channels.c.id == bindparam("channel_id"))


def room_from_row(row: AnyRow) -> StorageRoom:
    """Return the room from a row with the columns of `ROOM`."""
    return StorageRoom(row.quota_bytes, int(row.used), row.owner_quota, int(row.owner_used))


def room_of_channel(tx: Tx, channel_id: int, user_quota: int | None) -> StorageRoom:
    """Return the quota and usage of a channel and of its owner."""
    return room_from_row(tx.execute(_ROOM_OF_CHANNEL, {"channel_id": channel_id, "user_quota": user_quota}).one())


def of_channel(tx: Tx, channel_id: int) -> QuotaUsage:
    """Return the quota and usage of a channel, without a permission check."""
    quota, used = tx.execute(select(channels.c.quota_bytes, _USED).where(channels.c.id == channel_id)).one()
    return QuotaUsage(quota, int(used))


def of_user(tx: Tx, user_id: int, user_quota: int | None) -> QuotaUsage:
    """Return a user's quota, which is `user_quota` if no other was set, and the usage of the channels they own."""
    return of_users(tx, [user_id], user_quota)[user_id]


def is_exceeded() -> ColumnElement[bool]:
    """Return the condition that a channel has a quota and uses more, for a query over `channels`."""
    return channels.c.quota_bytes.is_not(None) & (channels.c.quota_bytes < _USED)


def of_channels(tx: Tx, channel_ids: Collection[int]) -> dict[int, QuotaUsage]:
    """Return the quotas and usage of several channels by id, in one statement."""
    rows = tx.execute(
        select(channels.c.id, channels.c.quota_bytes, _USED.label("used")).where(channels.c.id.in_(channel_ids))
    )
    return {row.id: QuotaUsage(row.quota_bytes, int(row.used)) for row in rows}


def of_users(tx: Tx, user_ids: Collection[int], user_quota: int | None) -> dict[int, QuotaUsage]:
    """Return the quotas and usage of several users by id, in one statement."""
    columns = user_rows.c.id, user_rows.c.quota_bytes, _used_by_user().label("used")
    rows = tx.execute(select(*columns).where(user_rows.c.id.in_(user_ids)))
    return {
        row.id: QuotaUsage(
            user_quota if row.quota_bytes is None else row.quota_bytes, int(row.used), row.quota_bytes is None
        )
        for row in rows
    }


def set_of_channel(tx: Tx, now_ms: int, by: Caller, channel: str, quota: int | None) -> None:
    """Set the quota of a channel; None for no limit."""
    require_site(by, SiteAction.CHANGE_SITE)
    _check(quota)
    found = all_channels.get(tx, channel)
    tx.execute(update(channels).where(channels.c.id == found.id).values(quota_bytes=quota))
    audit.write(tx, now_ms, by.actor, Event.QUOTA_CHANGED, channel=channel, quota=_audit_value(quota))


def set_of_user(tx: Tx, now_ms: int, by: Caller, user: str, quota: int | None) -> None:
    """Set the quota of all channels of a user together; None for the default of the site."""
    require_site(by, SiteAction.CHANGE_SITE)
    _check(quota)
    found = users.get(tx, user)
    tx.execute(update(user_rows).where(user_rows.c.id == found.id).values(quota_bytes=quota))
    audit.write(tx, now_ms, by.actor, Event.QUOTA_CHANGED, target=user, quota=_audit_value(quota))


def _check(quota: int | None) -> None:
    if quota is not None and not 0 <= quota <= MAX_QUOTA:
        raise Malformed("A quota is a number of bytes from 0 to 2^53.", "Choose another number, or none.")


def _audit_value(quota: int | None) -> str | int:
    return "none" if quota is None else quota
