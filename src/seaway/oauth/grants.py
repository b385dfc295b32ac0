"""
OAuth grants of command-line tools: one grant per login, with its access and refresh tokens.

1. Tokens are stored as SHA-256 only.
2. An access token is valid for an hour while its user is not disabled, with the access mode of the approved scope.
3. A refresh token is used once and replaced. The old one is still accepted for a minute, since two pixi processes
   may refresh concurrently without knowing of each other.
4. A refresh token that was replaced earlier than that was copied: the grant is revoked, for both thief and owner.
5. A grant that is not used for 90 days expires.

A grant is changed in a transaction that holds the lock (`lock`), so that concurrent refreshes see each other's changes.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from seaway import audit, secret_tokens
from seaway.audit import Actor, Event
from seaway.callers.caller import Caller, CredentialKind, Mode
from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import cli_grants, cli_tokens, users
from seaway.errors import NotFound
from seaway.oauth import clients

ACCESS_MS = HOUR_MS
IDLE_MS = 90 * DAY_MS
GRACE_MS = MINUTE_MS

_ACCESS, _REFRESH = "access", "refresh"
_PREFIX = f"swy-{secret_tokens.KeyKind.OAUTH_ACCESS.value}-"


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """An OAuth grant without its tokens."""

    id: int
    client_id: str
    scope: str
    mode: Mode
    created_at_ms: int
    used_at_ms: int
    address: str


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """The grant, user and tool that a token belongs to."""

    id: int
    user_id: int
    client_id: str


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """New tokens for a tool, which cannot be shown again."""

    user_id: int
    client_id: str
    access: str
    refresh: str
    scope: str
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class OAuthError:
    """An OAuth error: a code from RFC 6749 (5.2) or RFC 8628 (3.5), and a sentence for the user."""

    code: str
    description: str


def lock(database: Database, tx: Tx) -> None:
    """Lock OAuth grants for this transaction."""
    database.lock(tx, "oauth-grants")


def add(
    tx: Tx, now_ms: int, user_id: int, client_id: str, scope: str, *, address: str, nonce: str = ""
) -> tuple[int, IssuedTokens]:
    """Create a grant that the user has approved; return its id and first tokens."""
    mode = clients.mode_of(scope)
    grant_id = tx.execute(
        insert(cli_grants)
        .values(
            user_id=user_id,
            client_id=client_id,
            scope=scope,
            mode=mode.name,
            created_at=now_ms,
            used_at=now_ms,
            address=address,
        )
        .returning(cli_grants.c.id)
    ).scalar_one()
    actor = _actor(tx, user_id, client_id, address)
    audit.write(tx, now_ms, actor, Event.TOOL_LOGGED_IN, target=client_id, login=grant_id, mode=mode.name)
    return grant_id, IssuedTokens(user_id, client_id, *_new_tokens(tx, now_ms, grant_id), scope, nonce)


def refresh(
    tx: Tx, now_ms: int, secret: str, client_id: str, *, requested_scope: str = "", address: str = ""
) -> IssuedTokens | OAuthError:
    """
    Exchange a refresh token for new tokens (RFC 6749, 6; rotation as in RFC 9700, 4.14.2).

    Within the grace period, the tokens of both responses stay valid, since the server cannot know which ones the tool
    stores. The next refresh with either one replaces both.
    """
    row = tx.execute(_TOKEN, {"digest": secret_tokens.hash_key(secret)}).one_or_none()
    if row is None or row.kind != _REFRESH or row.client_id != client_id or _is_expired(row, now_ms):
        return _ENDED
    if row.replaced_at is not None and row.replaced_at + GRACE_MS <= now_ms:
        end(tx, now_ms, row.grant_id, address=address, reason="a replaced refresh token was used again")
        return _ENDED
    if row.disabled_at is not None:
        return _ENDED
    if requested_scope and clients.granted(requested_scope) != row.scope:
        return OAuthError("invalid_scope", "A login cannot change its scope. Log in again for another scope.")
    if row.replaced_at is None:
        tx.execute(_REPLACE, {"of_grant": row.grant_id, "now": now_ms})
    tx.execute(
        update(cli_grants).where(cli_grants.c.id == row.grant_id).values(used_at=now_ms, address=address or row.address)
    )
    return IssuedTokens(row.user_id, client_id, *_new_tokens(tx, now_ms, row.grant_id), row.scope)


def caller_of(tx: Tx, secret: str, now_ms: int) -> Caller | None:
    """Return the caller with this access token, or None if it is not valid."""
    if not secret.startswith(_PREFIX) or not secret_tokens.is_well_formed(secret):
        return None
    row = tx.execute(_CARRIER, {"digest": secret_tokens.hash_key(secret)}).one_or_none()
    if row is None or _is_expired(row, now_ms):
        return None
    return Caller(
        name=row.user_name,
        user_id=row.user_id,
        credential=CredentialKind.TOOL,
        is_admin=row.is_admin,
        mode=Mode[row.mode],
        tool=row.client_id,
        expires_at_ms=row.expires_at,
    )


def of_user(tx: Tx, user_id: int, now_ms: int) -> list[OAuthGrant]:
    """Return the valid grants of a user, the newest first."""
    rows = tx.execute(
        select(cli_grants)
        .where(cli_grants.c.user_id == user_id, cli_grants.c.used_at.between(*_last_use_bounds(now_ms)))
        .order_by(cli_grants.c.id.desc())
    )
    return [
        OAuthGrant(
            id=row.id,
            client_id=row.client_id,
            scope=row.scope,
            mode=Mode[row.mode],
            created_at_ms=row.created_at,
            used_at_ms=row.used_at,
            address=row.address,
        )
        for row in rows
    ]


def owner_of_token(tx: Tx, secret: str) -> TokenOwner | None:
    """Return the grant of a leaked access or refresh token, valid or not, or None."""
    row = tx.execute(_TOKEN, {"digest": secret_tokens.hash_key(secret)}).one_or_none()
    return None if row is None else TokenOwner(row.grant_id, row.user_id, row.client_id)


def revoke(database: Database, tx: Tx, now_ms: int, by: Caller, user_id: int, grant_id: int) -> str:
    """Revoke a user's grant from its next request on, and return its client; `NotFound` if the user has no such grant."""
    lock(database, tx)  # a concurrent refresh would otherwise add tokens to a deleted grant
    client_id: str | None = tx.execute(
        delete(cli_grants)
        .where(cli_grants.c.id == grant_id, cli_grants.c.user_id == user_id)
        .returning(cli_grants.c.client_id)
    ).scalar()
    if client_id is None:
        raise NotFound("This account has no such OAuth grant.", "It may have ended already.")
    audit.write(tx, now_ms, by.actor, Event.TOOL_REVOKED, target=client_id, login=grant_id)
    return client_id


def revoke_token(tx: Tx, now_ms: int, secret: str, client_id: str, *, address: str) -> None:
    """
    Revoke the grant of an access or refresh token (RFC 7009, 2.1); an unknown token is ignored.

    Tools revoke the refresh token first and then the access token; the first request already ends the grant.
    """
    row = tx.execute(_TOKEN, {"digest": secret_tokens.hash_key(secret)}).one_or_none()
    if row is not None and row.client_id == client_id:
        end(tx, now_ms, row.grant_id, address=address, reason="the tool logged out")


def end(tx: Tx, now_ms: int, grant_id: int, *, address: str, reason: str) -> None:
    """Delete a grant and its tokens without a user's request, and record the reason in the audit log."""
    row = tx.execute(
        delete(cli_grants).where(cli_grants.c.id == grant_id).returning(cli_grants.c.user_id, cli_grants.c.client_id)
    ).one_or_none()
    if row is None:
        return
    actor = _actor(tx, row.user_id, row.client_id, address)
    audit.write(tx, now_ms, actor, Event.TOOL_ENDED, target=row.client_id, login=grant_id, reason=reason)


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired tokens and grants; return the number of grants. Keep future ones: our clock may be behind."""
    tx.execute(delete(cli_tokens).where(cli_tokens.c.expires_at <= now_ms))
    return tx.execute(delete(cli_grants).where(cli_grants.c.used_at < _last_use_bounds(now_ms)[0])).rowcount


def _last_use_bounds(now_ms: int) -> tuple[int, int]:
    """Return the bounds of the last use of a valid grant; a time in the future is refused."""
    return now_ms - IDLE_MS + 1, now_ms + CLOCK_TOLERANCE_MS


def _is_expired(row: Any, now_ms: int) -> bool:
    return bool(row.expires_at <= now_ms or row.used_at > now_ms + CLOCK_TOLERANCE_MS)


_ENDED = OAuthError("invalid_grant", "This login has ended. Log in again.")

# Statements used by every request are built once, as in `keys`.
_CARRIER = (
    select(
        cli_tokens.c.expires_at, cli_grants.c.client_id, cli_grants.c.mode, cli_grants.c.used_at,
        users.c.id.label("user_id"), users.c.name.label("user_name"), users.c.is_admin,
    )
    .join(cli_grants, cli_grants.c.id == cli_tokens.c.grant_id)
    .join(users, users.c.id == cli_grants.c.user_id)
    .where(cli_tokens.c.digest == bindparam("digest"), cli_tokens.c.kind == _ACCESS, users.c.disabled_at.is_(None))
)  # fmt: skip
_TOKEN = (
    select(
        cli_tokens.c.kind, cli_tokens.c.grant_id, cli_tokens.c.expires_at, cli_tokens.c.replaced_at,
        cli_grants.c.client_id, cli_grants.c.scope, cli_grants.c.user_id, cli_grants.c.address, cli_grants.c.used_at,
        users.c.disabled_at,
    )
    .join(cli_grants, cli_grants.c.id == cli_tokens.c.grant_id)
    .join(users, users.c.id == cli_grants.c.user_id)
    .where(cli_tokens.c.digest == bindparam("digest"))
)  # fmt: skip
_REPLACE = (
    update(cli_tokens)
    .where(
        cli_tokens.c.grant_id == bindparam("of_grant"),
        cli_tokens.c.kind == _REFRESH,
        cli_tokens.c.replaced_at.is_(None),
    )
    .values(replaced_at=bindparam("now"))
)


def _new_tokens(tx: Tx, now_ms: int, grant_id: int) -> tuple[str, str]:
    access = secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_ACCESS)
    refresh_token = secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_REFRESH)
    rows = [
        {"digest": secret_tokens.hash_key(secret), "grant_id": grant_id, "kind": kind, "expires_at": now_ms + lasts_ms}
        for secret, kind, lasts_ms in ((access, _ACCESS, ACCESS_MS), (refresh_token, _REFRESH, IDLE_MS))
    ]
    tx.execute(insert(cli_tokens), rows)
    return access, refresh_token


def _actor(tx: Tx, user_id: int, client_id: str, address: str) -> Actor:
    name = tx.execute(select(users.c.name).where(users.c.id == user_id)).scalar_one()
    return Actor(f"{name} (tool {client_id})", user_id, address)
