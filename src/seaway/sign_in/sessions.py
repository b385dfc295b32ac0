"""
Sessions: signed-in browsers.

1. The cookie secret is generated here and stored as a hash. Against session fixation, a secret chosen by another party
   is never accepted, and confirming a session replaces its secret.
2. A session ends 12 hours after its last use, 14 days after it started, when its user is disabled, and when it is
   revoked: on the next request, on every worker. A session with times in the future (from a wrong clock) counts as
   ended; otherwise it would last until then.
3. A session is fresh for half an hour after its user signed in or confirmed it (`RequiredCredential.FRESH`).
4. The CSRF token is derived from the secret, so only pages served to this browser contain it.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass

import structlog
from sqlalchemy import ColumnElement, bindparam, delete, exists, insert, or_, select, update

from seaway import audit, secret_tokens
from seaway.audit import Actor, Event
from seaway.callers.caller import Caller, CredentialKind
from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.rows import from_row
from seaway.database.tables import emails, sessions, users
from seaway.errors import BadCredential, NotFound, Unavailable
from seaway.users import pending_offers

log = structlog.get_logger()

IDLE_MS = 12 * HOUR_MS
MAX_AGE_MS = 14 * DAY_MS
SEEN_EVERY_MS = 10 * MINUTE_MS
FRESH_MS = 30 * MINUTE_MS
_MAX_AGENT = 200


@dataclass(frozen=True, slots=True)
class Session:
    """A session without its secret."""

    id: int
    created_at_ms: int
    seen_at_ms: int
    address: str
    agent: str


def start(tx: Tx, now_ms: int, user_id: int, *, address: str, agent: str, confirmed_at_ms: int | None = None) -> str:
    """Start a session, confirmed at the given time or else now; return the secret for its cookie."""
    name = tx.execute(select(users.c.name).where(users.c.id == user_id)).scalar_one()
    secret = secret_tokens.new_key(secret_tokens.KeyKind.SESSION)
    tx.execute(
        insert(sessions).values(
            user_id=user_id,
            digest=secret_tokens.hash_key(secret),
            created_at=now_ms,
            seen_at=now_ms,
            confirmed_at=now_ms if confirmed_at_ms is None else confirmed_at_ms,
            address=address,
            agent=_printable(agent),
        )
    )
    tx.execute(update(users).where(users.c.id == user_id).values(signed_in_at=now_ms))
    audit.write(tx, now_ms, Actor(name, user_id, address), Event.SESSION_STARTED, target=name)
    return secret


_HAS_ADDRESS = exists().where(emails.c.user_id == users.c.id)
_HAS_VERIFIED = exists().where(emails.c.user_id == users.c.id, emails.c.verified_at.is_not(None))
_SESSION_USER = (
    select(
        sessions.c.id, sessions.c.created_at, sessions.c.seen_at, sessions.c.confirmed_at,
        users.c.id.label("user_id"), users.c.name, users.c.is_admin,
        # An account that an admin created without an email address has nothing to verify; sign-up requires an address.
        (_HAS_VERIFIED | ~_HAS_ADDRESS).label("is_verified"),
        pending_offers.count_of(users.c.id).label("pending_count"),
    )
    .join(users, users.c.id == sessions.c.user_id)
    .where(sessions.c.digest == bindparam("digest"), users.c.disabled_at.is_(None))
)  # fmt: skip


def caller_of(tx: Tx, secret: str, now_ms: int) -> Caller | None:
    """Return the caller with this cookie, or None if the session is not valid; malformed secrets cost no query."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.SESSION, secret):
        return None
    row = tx.execute(_SESSION_USER, {"digest": secret_tokens.hash_key(secret), "now_ms": now_ms}).one_or_none()
    if row is None:
        return None
    expires_at_ms = min(row.seen_at + IDLE_MS, row.created_at + MAX_AGE_MS)
    if expires_at_ms <= now_ms or max(row.seen_at, row.created_at) > now_ms + CLOCK_TOLERANCE_MS:
        return None
    return Caller(
        name=row.name,
        user_id=row.user_id,
        credential=CredentialKind.PERSON,
        is_admin=row.is_admin,
        is_verified=bool(row.is_verified),
        pending_count=row.pending_count,
        session_id=row.id,
        is_fresh=now_ms < row.confirmed_at + FRESH_MS,
        is_new=now_ms < row.created_at + FRESH_MS,
        expires_at_ms=expires_at_ms,
    )


def touch(database: Database, now_ms: int, by: Caller) -> None:
    """Record the use of a session, at most every ten minutes: each commit invalidates the caches of all workers."""
    if by.session_id is None:
        return
    own = sessions.c.id == by.session_id
    with database.read() as tx:
        seen_at = tx.execute(select(sessions.c.seen_at).where(own)).scalar()
    if seen_at is None or seen_at + SEEN_EVERY_MS > now_ms:
        return
    try:
        with database.write_unlocked() as tx:
            tx.execute(update(sessions).where(own, sessions.c.seen_at < now_ms).values(seen_at=now_ms))
    except Unavailable as error:  # on a full disk, users can still read pages and delete files
        log.warning("session.not_updated", error=error.message, cause=error.cause)


def csrf_token(secret: str) -> str:
    """Return the CSRF token for forms of this session; it does not reveal the secret."""
    digest = hmac.digest(secret.encode(), b"csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def renew(tx: Tx, now_ms: int, secret: str) -> str:
    """Mark a session as confirmed now and replace its secret; return the new one."""
    fresh = secret_tokens.new_key(secret_tokens.KeyKind.SESSION)
    changed = tx.execute(
        update(sessions)
        .where(sessions.c.digest == secret_tokens.hash_key(secret))
        .values(digest=secret_tokens.hash_key(fresh), seen_at=now_ms, confirmed_at=now_ms)
    )
    if changed.rowcount != 1:
        raise BadCredential("This session has ended.", "Sign in again.")
    return fresh


def end(tx: Tx, session_id: int) -> None:
    """End a session."""
    tx.execute(delete(sessions).where(sessions.c.id == session_id))


def end_others(tx: Tx, user_id: int, keep: int | None) -> int:
    """End every session of a user except `keep`, if any; return the count."""
    conditions = [sessions.c.user_id == user_id]
    if keep is not None:
        conditions.append(sessions.c.id != keep)
    return tx.execute(delete(sessions).where(*conditions)).rowcount


def end_own(tx: Tx, now_ms: int, by: Caller, session_id: int) -> Session:
    """End one of the caller's sessions, and return it."""
    own = [] if by.user_id is None else of_user(tx, by.user_id, now_ms)
    ended = next((session for session in own if session.id == session_id), None)
    if ended is None:
        raise NotFound("This account has no such session.", "It may have ended already.")
    end(tx, session_id)
    audit.write(tx, now_ms, by.actor, Event.SESSION_ENDED, target=by.name)
    return ended


def end_others_of(tx: Tx, now_ms: int, by: Caller) -> int:
    """End every session of the caller except the current one; return the count."""
    ended = 0 if by.user_id is None else end_others(tx, by.user_id, by.session_id)
    if ended:
        audit.write(tx, now_ms, by.actor, Event.SESSION_ENDED, target=by.name)
    return ended


def of_user(tx: Tx, user_id: int, now_ms: int) -> list[Session]:
    """Return the valid sessions of a user, the most recently used first."""
    rows = tx.execute(
        select(
            sessions.c.id, sessions.c.created_at.label("created_at_ms"), sessions.c.seen_at.label("seen_at_ms"),
            sessions.c.address, sessions.c.agent,
        )
        .where(sessions.c.user_id == user_id, *_valid(now_ms))
        .order_by(sessions.c.seen_at.desc(), sessions.c.id.desc())
    )  # fmt: skip
    return [from_row(Session, row) for row in rows]


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired sessions; return the count. Sessions in the future are kept: our clock may be behind."""
    is_over = or_(sessions.c.seen_at <= now_ms - IDLE_MS, sessions.c.created_at <= now_ms - MAX_AGE_MS)
    return tx.execute(delete(sessions).where(is_over)).rowcount


def _valid(now_ms: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    latest = now_ms + CLOCK_TOLERANCE_MS
    return (
        sessions.c.seen_at.between(now_ms - IDLE_MS + 1, latest),
        sessions.c.created_at.between(now_ms - MAX_AGE_MS + 1, latest),
    )


def _printable(agent: str) -> str:
    """Shorten the user agent and remove what PostgreSQL does not accept: the header can contain anything."""
    return "".join(char for char in agent[:_MAX_AGENT] if char.isprintable()).encode(errors="replace").decode()
