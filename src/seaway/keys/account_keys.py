"""
The caller's API keys: create, list, revoke and delete them.

1. Creating a key requires a fresh sign-in and a verified account. A key cannot create another key, as npm and PyPI
   learned: a leaked key would outlive its revocation.
2. A key is for channels that its user can read; its permissions there are checked at each request.
3. It expires within a year, unless the operator allows keys that do not expire.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import or_, update

from seaway.callers.caller import Caller, Mode
from seaway.callers.site_permissions import SiteAction, require_site, require_verified
from seaway.channels import channels
from seaway.channels.notify import notify_user
from seaway.channels.roles import Action
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.tables import keys as keys_table
from seaway.errors import Malformed, NotFound, check_all
from seaway.keys import api_keys
from seaway.keys.api_keys import Key
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.users import users
from seaway.users.users import User

DEFAULT_DAYS = 90
MAX_DAYS = 365
_WARNED_DAYS = (14, 3, 1)


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Rules of the site for API keys."""

    allow_unlimited: bool = False


def add(
    tx: Tx,
    now_ms: int,
    by: Caller,
    name: str,
    *,
    mode: Mode,
    channel_names: Sequence[str] | None,
    patterns: Sequence[str] = (),
    days: int | None = DEFAULT_DAYS,
    rules: KeyPolicy,
) -> tuple[Key, str]:
    """Create a key and return it with its secret, which is not stored; with `days` of None it does not expire."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    user = users.get(tx, by.name)
    check_new(tx, by, name, channel_names=channel_names, patterns=patterns, days=days, rules=rules)
    channel_ids = None if channel_names is None else [_readable(tx, by, channel) for channel in channel_names]
    expires_at_ms = None if days is None else now_ms + days * DAY_MS
    return api_keys.add(
        tx, now_ms, by, user, name,
        mode=mode, channel_ids=channel_ids, expires_at_ms=expires_at_ms, patterns=patterns,
    )  # fmt: skip


def check_new(
    tx: Tx,
    by: Caller,
    name: str,
    *,
    channel_names: Sequence[str] | None,
    patterns: Sequence[str],
    days: int | None,
    rules: KeyPolicy,
) -> None:
    """Require that the caller can create this key; raise one error for all fields that are refused."""
    check_all(
        partial(api_keys.require_free_name, tx, _self(tx, by), name),
        partial(_check_channels, tx, by, channel_names),
        partial(api_keys.check_patterns, patterns),
        partial(_check_days, days, rules),
    )


def list_all(tx: Tx, by: Caller) -> list[Key]:
    """Return all keys of the caller by name, including revoked ones."""
    require_site(by, SiteAction.READ_ACCOUNT)
    return api_keys.all_keys(tx, by.user_id or 0)


def get(tx: Tx, by: Caller, name: str) -> Key:
    """Return one key of the caller."""
    require_site(by, SiteAction.READ_ACCOUNT)
    return api_keys.get(tx, users.get(tx, by.name), name)


def revoke(tx: Tx, now_ms: int, by: Caller, name: str) -> Key:
    """Revoke a key as of its next request; it stays in the list. No fresh sign-in is needed: it may be urgent."""
    return api_keys.revoke(tx, now_ms, by, _self(tx, by), name)


def revoke_all(tx: Tx, now_ms: int, by: Caller) -> int:
    """Revoke all keys of the caller; return how many were valid until now."""
    return api_keys.revoke_all(tx, now_ms, by, _self(tx, by))


def remove(tx: Tx, now_ms: int, by: Caller, name: str) -> None:
    """Delete a key, which also revokes it; its name can be used again."""
    api_keys.remove(tx, now_ms, by, _self(tx, by), name)


def warn_of_expiry(tx: Tx, now_ms: int, *, outbox: Outbox | None) -> int:
    """Notify the owners of keys that expire in 14, 3 and 1 days, once each; return the number of notifications."""
    warned = 0
    for days in sorted(_WARNED_DAYS):  # shortest first: the warning for one day replaces that for 14
        ending = tx.execute(
            update(keys_table)
            .where(
                keys_table.c.revoked_at.is_(None),
                keys_table.c.expires_at > now_ms,
                keys_table.c.expires_at <= now_ms + days * DAY_MS,
                or_(keys_table.c.warned_days.is_(None), keys_table.c.warned_days > days),
                keys_table.c.created_at <= keys_table.c.expires_at - days * DAY_MS,  # not for shorter lifetimes
            )
            .values(warned_days=days)
            .returning(keys_table.c.user_id, keys_table.c.name)
        ).all()
        for user_id, name in ending:
            when = "within a day" if days == 1 else f"within {days} days"
            notify_user(tx, now_ms, outbox, user_id, messages.key_expires, cause=None, name=name, days=when)
        warned += len(ending)
    return warned


def _self(tx: Tx, by: Caller) -> User:
    require_site(by, SiteAction.CHANGE_ACCOUNT)
    return users.get(tx, by.name)


def _readable(tx: Tx, by: Caller, channel: str) -> int:
    return channels.require(tx, by, Action.READ, channel).channel_id


def _check_channels(tx: Tx, by: Caller, names: Sequence[str] | None) -> None:
    if names is not None and not names:
        raise Malformed(
            "No channels are selected.", "Select channels, or create a key for all your channels.", field="channels"
        )
    for name in names or ():
        try:
            _readable(tx, by, name)
        except NotFound as error:
            raise NotFound(error.message, error.hint, field="channels") from None


def _check_days(days: int | None, rules: KeyPolicy) -> None:
    if days is None and not rules.allow_unlimited:
        raise Malformed(
            "This site does not allow keys without an expiry.", f"Choose 1 to {MAX_DAYS} days.", field="days"
        )
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise Malformed(
            f"A key can be valid for 1 to {MAX_DAYS} days.", "Create another one when it expires.", field="days"
        )
