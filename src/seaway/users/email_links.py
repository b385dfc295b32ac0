"""
Secrets in links of emails.

1. A link is valid once, for one purpose, until it expires.
2. Opening a link does not use it up, since mail scanners open every link: the user presses a button on the page.
3. A password reset link is bound to the email address it was sent to and to the current password: it is deleted when
   either changes (`delete_pending`).
"""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import delete, insert, select, update
from sqlalchemy.sql import ColumnElement

from seaway import secret_tokens
from seaway.clock import DAY_MS, HOUR_MS, expiry_bounds
from seaway.database.engine import Tx
from seaway.database.tables import mailed_links

KEPT_MS = 7 * DAY_MS  # after expiry, so that opening a used link again can be explained


class Purpose(Enum):
    """Purpose of a link; the value is the first segment of its path."""

    VERIFY = "verify"
    RESET = "reset"
    FIRST_ACCOUNT = "first-account"
    INVITATION = "invite"


LIFETIME_MS = {
    Purpose.VERIFY: DAY_MS,
    Purpose.RESET: HOUR_MS,
    Purpose.FIRST_ACCOUNT: 7 * DAY_MS,
    Purpose.INVITATION: 7 * DAY_MS,
}


@dataclass(frozen=True, slots=True)
class Link:
    """User and email address of a valid link."""

    user_id: int | None
    address: str


def make(
    tx: Tx, now_ms: int, purpose: Purpose, *, user_id: int | None, address: str, lasts_ms: int | None = None
) -> str:
    """Create a link and return its secret, of which only the hash is stored."""
    secret = secret_tokens.new_key(secret_tokens.KeyKind.LINK)
    tx.execute(
        insert(mailed_links).values(
            digest=secret_tokens.hash_key(secret),
            purpose=purpose.value,
            user_id=user_id,
            address=address,
            expires_at=now_ms + (LIFETIME_MS[purpose] if lasts_ms is None else lasts_ms),
        )
    )
    return secret


def url(site_url: str, purpose: Purpose, secret: str) -> str:
    """Return the URL of a link. Our log masks secrets in paths; a query would be kept in the logs of others."""
    return f"{site_url}/{purpose.value}/{secret}"


def find(tx: Tx, now_ms: int, purpose: Purpose, secret: str) -> Link | None:
    """Return a valid link without using it up, or None."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.LINK, secret):
        return None
    row = tx.execute(
        select(mailed_links.c.user_id, mailed_links.c.address).where(*_valid(now_ms, purpose, secret))
    ).one_or_none()
    return None if row is None else Link(row.user_id, row.address)


def use(tx: Tx, now_ms: int, purpose: Purpose, secret: str) -> Link | None:
    """Use up a valid link and return it, or None."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.LINK, secret):
        return None
    row = tx.execute(
        update(mailed_links)
        .where(*_valid(now_ms, purpose, secret))
        .values(used_at=now_ms)
        .returning(mailed_links.c.user_id, mailed_links.c.address)
    ).one_or_none()
    return None if row is None else Link(row.user_id, row.address)


def was_used(tx: Tx, purpose: Purpose, secret: str) -> bool:
    """Return whether a link was used, to explain a second opening; used links are deleted after a while."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.LINK, secret):
        return False
    found = select(mailed_links.c.used_at).where(
        mailed_links.c.digest == secret_tokens.hash_key(secret), mailed_links.c.purpose == purpose.value
    )
    return tx.execute(found).scalar() is not None


def delete_pending(tx: Tx, purpose: Purpose, user_id: int | None, *, address: str | None = None) -> None:
    """Delete the unused links of a user for this purpose, all of them or only those sent to one address."""
    is_owner = mailed_links.c.user_id.is_(None) if user_id is None else mailed_links.c.user_id == user_id
    conditions = [mailed_links.c.purpose == purpose.value, is_owner, mailed_links.c.used_at.is_(None)]
    if address is not None:
        conditions.append(mailed_links.c.address == address)
    tx.execute(delete(mailed_links).where(*conditions))


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete links that expired more than `KEPT_MS` ago; return the count."""
    return tx.execute(delete(mailed_links).where(mailed_links.c.expires_at <= now_ms - KEPT_MS)).rowcount


def _valid(now_ms: int, purpose: Purpose, secret: str) -> tuple[ColumnElement[bool], ...]:
    return (
        mailed_links.c.digest == secret_tokens.hash_key(secret),
        mailed_links.c.purpose == purpose.value,
        mailed_links.c.used_at.is_(None),
        mailed_links.c.expires_at.between(*expiry_bounds(now_ms, max(LIFETIME_MS.values()))),
    )
