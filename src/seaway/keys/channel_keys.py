"""
The API keys with access to a channel, for the user they belong to.

1. No user can see the keys of another user, not even the channel owner or a site admin: users can be made members
   without their consent, so membership must not reveal a user's keys, or when they are used.
2. The owner needs no list: a key never grants more than its user's role, so removing or demoting the member takes
   effect on the next request of all their keys.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from seaway.callers.caller import Caller, Mode
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.database.tables import key_channels, keys
from seaway.keys.api_keys import patterns_of


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """A valid key with access to a channel."""

    name: str
    mode: Mode
    for_all_channels: bool
    patterns: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None


def of_caller(tx: Tx, now_ms: int, by: Caller, channel: str) -> list[ChannelKey]:
    """Return the caller's keys with access to the channel, by name."""
    require_site(by, SiteAction.READ_ACCOUNT)
    channel_id = channels.require(tx, by, Action.SEE_MEMBERS, channel).channel_id
    is_for_it = select(key_channels.c.key_id).where(
        key_channels.c.key_id == keys.c.id, key_channels.c.channel_id == channel_id
    )
    query = (
        select(
            keys.c.name, keys.c.mode, keys.c.all_channels, keys.c.patterns, keys.c.created_at, keys.c.expires_at,
            keys.c.used_at,
        )
        .where(
            keys.c.user_id == by.user_id,
            keys.c.revoked_at.is_(None),
            or_(keys.c.expires_at.is_(None), keys.c.expires_at > now_ms),
            or_(keys.c.all_channels, is_for_it.exists()),
        )
        .order_by(keys.c.name)
    )  # fmt: skip
    return [_key(row) for row in tx.execute(query)]


def _key(row: Any) -> ChannelKey:
    return ChannelKey(
        name=row.name,
        mode=Mode[row.mode],
        for_all_channels=row.all_channels,
        patterns=patterns_of(row.patterns),
        created_at_ms=row.created_at,
        expires_at_ms=row.expires_at,
        used_at_ms=row.used_at,
    )
