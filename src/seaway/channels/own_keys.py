"""
The keys of whoever asks: made, listed, revoked, deleted by the person whose they are.

1. A key is made by a person who has just proved to be there, with a verified account. No key makes another (npm and
   PyPI learned why: a leaked key would outlive its revocation).
2. It is for channels that the person may read; what it gives there is asked anew at each request.
3. It ends, after a year at most, unless the operator allows keys that do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, update

from seaway.accounts import keys, users
from seaway.accounts.keys import Key
from seaway.accounts.permissions import SiteAction, require_site, require_verified
from seaway.accounts.principal import Mode, Principal
from seaway.accounts.users import User
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.channels.telling import Telling, tell
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.tables import keys as keys_table
from seaway.errors import Malformed
from seaway.mail import letters

DEFAULT_DAYS = 90
LONGEST_DAYS = 365
_WARNED_DAYS = (14, 3, 1)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What the operator allows."""

    may_last_for_ever: bool = False


def add(
    tx: Tx,
    now_ms: int,
    by: Principal,
    name: str,
    *,
    mode: Mode,
    channel_names: Sequence[str] | None,
    patterns: Sequence[str] = (),
    days: int | None = DEFAULT_DAYS,
    rules: KeyRules,
) -> tuple[Key, str]:
    """Make a key and return it with its secret, this once; `days` of None: it does not expire."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    user = users.get(tx, by.name)
    _check_days(days, rules)
    channel_ids = None if channel_names is None else [_readable(tx, by, channel) for channel in channel_names]
    expires_at_ms = None if days is None else now_ms + days * DAY_MS
    return keys.add(
        tx, now_ms, by, user, name,
        mode=mode, channel_ids=channel_ids, expires_at_ms=expires_at_ms, patterns=patterns,
    )  # fmt: skip


def listed(tx: Tx, by: Principal) -> list[Key]:
    """Every key of whoever asks, revoked ones too, by name."""
    require_site(by, SiteAction.READ_ACCOUNT)
    return keys.all_keys(tx, by.user_id or 0)


def revoke(tx: Tx, now_ms: int, by: Principal, name: str) -> Key:
    """End a key on its next request; it stays in the list. No proof is asked for, since there may be haste."""
    return keys.revoke(tx, now_ms, by, _self(tx, by), name)


def revoke_all(tx: Tx, now_ms: int, by: Principal) -> int:
    """End every key of whoever asks; how many were good until now."""
    return keys.revoke_all(tx, now_ms, by, _self(tx, by))


def remove(tx: Tx, now_ms: int, by: Principal, name: str) -> None:
    """Take a key out of the list, which revokes it too; its name is free again."""
    keys.remove(tx, now_ms, by, _self(tx, by), name)


def warn_of_ends(tx: Tx, now_ms: int, *, telling: Telling | None) -> int:
    """Tell the owners of keys that end in 14, 3 and 1 days, once each; how many were told."""
    told = 0
    for days in sorted(_WARNED_DAYS):  # the nearest first: who was told of one day need not hear of fourteen
        ending = tx.execute(
            update(keys_table)
            .where(
                keys_table.c.revoked_at.is_(None),
                keys_table.c.expires_at > now_ms,
                keys_table.c.expires_at <= now_ms + days * DAY_MS,
                or_(keys_table.c.warned_days.is_(None), keys_table.c.warned_days > days),
                keys_table.c.created_at <= keys_table.c.expires_at - days * DAY_MS,  # not one made for fewer days
            )
            .values(warned_days=days)
            .returning(keys_table.c.user_id, keys_table.c.name)
        ).all()
        for user_id, name in ending:
            when = "within a day" if days == 1 else f"within {days} days"
            tell(tx, now_ms, telling, user_id, letters.key_ends, cause=None, name=name, days=when)
        told += len(ending)
    return told


def _self(tx: Tx, by: Principal) -> User:
    require_site(by, SiteAction.CHANGE_ACCOUNT)
    return users.get(tx, by.name)


def _readable(tx: Tx, by: Principal, channel: str) -> int:
    return channels.require(tx, by, Action.READ, channel).channel_id


def _check_days(days: int | None, rules: KeyRules) -> None:
    if days is None and not rules.may_last_for_ever:
        raise Malformed("A key ends at some time.", f"Give it 1 to {LONGEST_DAYS} days.")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise Malformed(f"A key lasts 1 to {LONGEST_DAYS} days.", "Make another when it ends.")
