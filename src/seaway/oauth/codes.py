"""
Device codes and authorization codes, the two ways for a command-line tool to get an OAuth grant.

1. Codes are stored as SHA-256 only. A user code has 34 bits, few enough to try them all against a copy of the database,
   but it is valid for ten minutes only, and useless without a signed-in user who approves it.
2. A device code creates one grant: its row is deleted by the exchange (RFC 8628).
3. An authorization code creates one grant, for the tool that knows the verifier (RFC 7636) and names the redirect URI
   to which the code was sent. A second use means that it was stolen: its grant is revoked (RFC 6749, 4.1.2).
4. An approval is valid only while the account is not disabled.

As in `grants`, changes are made in a transaction with the lock `grants.lock`.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from seaway import audit, secret_tokens
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.clock import DAY_MS, MINUTE_MS, SECOND_MS, expiry_bounds
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import cli_codes, cli_devices, users
from seaway.oauth import clients, grants
from seaway.oauth.grants import IssuedTokens, OAuthError

DEVICE_MS = 10 * MINUTE_MS
INTERVAL_MS = 5 * SECOND_MS
CODE_MS = MINUTE_MS

# No vowels, so that no code spells a word, and no look-alikes (RFC 8628, 6.1).
_USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE_CHARS = 8
_TOLERANCE_MS = SECOND_MS  # tolerance for network delays, since a tool waits five seconds by its own clock
_KEPT_MS = DAY_MS  # how long a used code is recognized


class DeviceState(Enum):
    """The user's decision about a device code."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """A pending device authorization, as shown on the consent page."""

    client_id: str
    scope: str
    address: str


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization request that a tool made through a browser."""

    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    nonce: str


def add_device(tx: Tx, now_ms: int, client_id: str, scope: str, *, address: str) -> tuple[str, str]:
    """Start a device authorization; return the device code and the user code (RFC 8628, 3.2)."""
    secret = secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_DEVICE)
    user_code = "".join(secrets.choice(_USER_CODE_ALPHABET) for _ in range(_USER_CODE_CHARS))
    tx.execute(
        insert(cli_devices).values(
            digest=secret_tokens.hash_key(secret),
            user_code=secret_tokens.hash_key(user_code),
            client_id=client_id,
            scope=scope,
            state=DeviceState.PENDING.value,
            address=address,
            interval_ms=INTERVAL_MS,
            expires_at=now_ms + DEVICE_MS,
        )
    )
    return secret, f"{user_code[:4]}-{user_code[4:]}"


def normalize_user_code(user_code: str) -> str:
    """Normalize a typed user code: uppercase, without the hyphen."""
    return "".join(letter for letter in user_code.upper() if letter.isalnum())


def find_device(tx: Tx, now_ms: int, user_code: str) -> DeviceAuthorization | None:
    """Return the pending device authorization with this user code, or None."""
    row = tx.execute(
        select(cli_devices.c.client_id, cli_devices.c.scope, cli_devices.c.address).where(
            *_waiting(now_ms, normalize_user_code(user_code))
        )
    ).one_or_none()
    return None if row is None else from_row(DeviceAuthorization, row)


def decide_device(tx: Tx, now_ms: int, by: Caller, user_code: str, *, approved: bool) -> bool:
    """Record the user's decision; return False if no device authorization with this user code is pending."""
    state = DeviceState.APPROVED if approved else DeviceState.DENIED
    row = tx.execute(
        update(cli_devices)
        .where(*_waiting(now_ms, normalize_user_code(user_code)))
        .values(state=state.value, user_id=by.user_id)
        .returning(cli_devices.c.client_id, cli_devices.c.scope, cli_devices.c.address)
    ).one_or_none()
    if row is None:
        return False
    event = Event.TOOL_ALLOWED if approved else Event.TOOL_DENIED
    audit.write(tx, now_ms, by.actor, event, target=row.client_id, scope=row.scope, requested_from=row.address)
    return True


def exchange_device(tx: Tx, now_ms: int, secret: str, client_id: str, *, address: str) -> IssuedTokens | OAuthError:
    """Handle a device-code poll (RFC 8628, 3.4 and 3.5)."""
    digest = secret_tokens.hash_key(secret)
    row = tx.execute(select(cli_devices).where(cli_devices.c.digest == digest)).one_or_none()
    if row is None or row.client_id != client_id:
        return OAuthError("invalid_grant", "This device code is unknown or was already used. Log in again.")
    if not _is_valid(row.expires_at, now_ms, DEVICE_MS):
        return OAuthError("expired_token", "The code was not entered in time. Log in again.")
    if row.state == DeviceState.DENIED.value:
        return OAuthError("access_denied", "The login was denied in the browser.")
    if row.state == DeviceState.PENDING.value:
        return _still_pending(tx, now_ms, row)
    tx.execute(delete(cli_devices).where(cli_devices.c.digest == digest))
    if not _is_enabled(tx, row.user_id):
        return OAuthError("access_denied", "The account is disabled.")
    return grants.add(tx, now_ms, row.user_id, client_id, row.scope, address=address)[1]


def add_code(tx: Tx, now_ms: int, by: Caller, request: AuthorizationRequest) -> str:
    """Create an authorization code after the user's approval, for the redirect to the tool."""
    secret = secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_CODE)
    tx.execute(
        insert(cli_codes).values(
            digest=secret_tokens.hash_key(secret),
            user_id=by.user_id,
            client_id=request.client_id,
            redirect_uri=request.redirect_uri,
            scope=request.scope,
            challenge=request.challenge,
            nonce=request.nonce,
            expires_at=now_ms + CODE_MS,
        )
    )
    audit.write(tx, now_ms, by.actor, Event.TOOL_ALLOWED, target=request.client_id, scope=request.scope)
    return secret


def exchange_code(
    tx: Tx, now_ms: int, secret: str, client_id: str, *, redirect_uri: str, verifier: str, address: str
) -> IssuedTokens | OAuthError:
    """Exchange an authorization code for tokens (RFC 6749, 4.1.3; RFC 7636, 4.6)."""
    digest = secret_tokens.hash_key(secret)
    row = tx.execute(select(cli_codes).where(cli_codes.c.digest == digest)).one_or_none()
    if row is None:
        return _BAD_CODE
    if row.grant_id is not None:
        grants.end(tx, now_ms, row.grant_id, address=address, reason="an authorization code was used twice")
        return _BAD_CODE
    is_valid = _is_valid(row.expires_at, now_ms, CODE_MS)
    if not is_valid or row.client_id != client_id or row.redirect_uri != redirect_uri:
        return _BAD_CODE
    if not clients.is_verifier(verifier) or not hmac.compare_digest(challenge_of(verifier), row.challenge):
        return OAuthError("invalid_grant", "The code_verifier does not match the code_challenge of this code.")
    if not _is_enabled(tx, row.user_id):
        return _BAD_CODE
    grant_id, issued = grants.add(tx, now_ms, row.user_id, client_id, row.scope, address=address, nonce=row.nonce)
    tx.execute(update(cli_codes).where(cli_codes.c.digest == digest).values(grant_id=grant_id, expires_at=now_ms))
    return issued


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired codes; return the count. A used code is kept for a day, to recognize a second use."""
    return sum(
        tx.execute(delete(table).where(table.c.expires_at <= now_ms - _KEPT_MS)).rowcount
        for table in (cli_devices, cli_codes)
    )


_BAD_CODE = OAuthError("invalid_grant", "This code is unknown, expired or was already used. Log in again.")


def _is_valid(expires_at_ms: int, now_ms: int, lasts_ms: int) -> bool:
    first, last = expiry_bounds(now_ms, lasts_ms)
    return first <= expires_at_ms <= last


def _waiting(now_ms: int, user_code: str) -> tuple[ColumnElement[bool], ...]:
    return (
        cli_devices.c.user_code == secret_tokens.hash_key(user_code),
        cli_devices.c.state == DeviceState.PENDING.value,
        cli_devices.c.expires_at.between(*expiry_bounds(now_ms, DEVICE_MS)),
    )


def _still_pending(tx: Tx, now_ms: int, row: Row[Any]) -> OAuthError:
    too_soon = row.polled_at is not None and now_ms < row.polled_at + row.interval_ms - _TOLERANCE_MS
    interval_ms = row.interval_ms + (5 * SECOND_MS if too_soon else 0)
    tx.execute(
        update(cli_devices).where(cli_devices.c.digest == row.digest).values(polled_at=now_ms, interval_ms=interval_ms)
    )
    if too_soon:
        return OAuthError("slow_down", f"Poll every {interval_ms // SECOND_MS} seconds.")
    return OAuthError("authorization_pending", "The code has not been entered yet.")


def _is_enabled(tx: Tx, user_id: int) -> bool:
    return (
        tx.execute(select(users.c.id).where(users.c.id == user_id, users.c.disabled_at.is_(None))).first() is not None
    )
