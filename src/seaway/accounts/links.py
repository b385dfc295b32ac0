"""
The secrets in the links of letters.

1. A link is good once, for one purpose, and until it expires.
2. To look at it does not use it up: scanners of mail open every link, and people press a button on what it opens.
3. A link that sets a password is bound to the address it was sent to and to the password of that moment: when either
   changes, it is gone (`forget`).
"""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import delete, insert, select, update
from sqlalchemy.sql import ColumnElement

from seaway import ids
from seaway.clock import DAY_MS, HOUR_MS, bounds_of_end
from seaway.database.engine import Tx
from seaway.database.tables import mailed_links

KEPT_MS = 7 * DAY_MS  # for a plain word to whoever opens it again


class Purpose(Enum):
    """What a link is for; the value is the first part of its path."""

    VERIFY = "verify"
    RESET = "reset"
    FIRST_ACCOUNT = "first-account"


LASTS_MS = {Purpose.VERIFY: DAY_MS, Purpose.RESET: HOUR_MS, Purpose.FIRST_ACCOUNT: 7 * DAY_MS}


@dataclass(frozen=True, slots=True)
class Link:
    """What is known of a link that is good."""

    user_id: int | None
    address: str


def make(
    tx: Tx, now_ms: int, purpose: Purpose, *, user_id: int | None, address: str, lasts_ms: int | None = None
) -> str:
    """A fresh secret for a letter; it is stored only as its hash."""
    secret = ids.new_key(ids.KeyKind.LINK)
    tx.execute(
        insert(mailed_links).values(
            digest=ids.digest(secret),
            purpose=purpose.value,
            user_id=user_id,
            address=address,
            expires_at=now_ms + (LASTS_MS[purpose] if lasts_ms is None else lasts_ms),
        )
    )
    return secret


def url(site_url: str, purpose: Purpose, secret: str) -> str:
    """The link itself. The secret is in the path, where our log masks it, and not in a query, which others keep."""
    return f"{site_url}/{purpose.value}/{secret}"


def look(tx: Tx, now_ms: int, purpose: Purpose, secret: str) -> Link | None:
    """What the link stands for, which it goes on to do."""
    if not ids.is_of(ids.KeyKind.LINK, secret):
        return None
    row = tx.execute(
        select(mailed_links.c.user_id, mailed_links.c.address).where(*_good(now_ms, purpose, secret))
    ).one_or_none()
    return None if row is None else Link(row.user_id, row.address)


def use(tx: Tx, now_ms: int, purpose: Purpose, secret: str) -> Link | None:
    """What the link stood for; nobody can use it again."""
    if not ids.is_of(ids.KeyKind.LINK, secret):
        return None
    row = tx.execute(
        update(mailed_links)
        .where(*_good(now_ms, purpose, secret))
        .values(used_at=now_ms)
        .returning(mailed_links.c.user_id, mailed_links.c.address)
    ).one_or_none()
    return None if row is None else Link(row.user_id, row.address)


def was_used(tx: Tx, purpose: Purpose, secret: str) -> bool:
    """Whether the link did its work already: a word for people who open it twice, not an answer to rely on."""
    if not ids.is_of(ids.KeyKind.LINK, secret):
        return False
    found = select(mailed_links.c.used_at).where(
        mailed_links.c.digest == ids.digest(secret), mailed_links.c.purpose == purpose.value
    )
    return tx.execute(found).scalar() is not None


def forget(tx: Tx, purpose: Purpose, user_id: int | None, *, address: str | None = None) -> None:
    """End the links of a user for this purpose, all of them or those to one address."""
    mine = mailed_links.c.user_id.is_(None) if user_id is None else mailed_links.c.user_id == user_id
    which = [mailed_links.c.purpose == purpose.value, mine, mailed_links.c.used_at.is_(None)]
    if address is not None:
        which.append(mailed_links.c.address == address)
    tx.execute(delete(mailed_links).where(*which))


def forget_old(tx: Tx, now_ms: int) -> int:
    """Delete those that nobody asks for any more; how many."""
    return tx.execute(delete(mailed_links).where(mailed_links.c.expires_at <= now_ms - KEPT_MS)).rowcount


def _good(now_ms: int, purpose: Purpose, secret: str) -> tuple[ColumnElement[bool], ...]:
    return (
        mailed_links.c.digest == ids.digest(secret),
        mailed_links.c.purpose == purpose.value,
        mailed_links.c.used_at.is_(None),
        mailed_links.c.expires_at.between(*bounds_of_end(now_ms, max(LASTS_MS.values()))),
    )
