"""
Revoke leaked secrets that a secret scanning service such as GitHub's reports.

1. A report must be signed (ECDSA, P-256, SHA-256) by a key from the configured source. Otherwise anyone could revoke
   keys that they have seen.
2. A reported secret is invalid as soon as the transaction commits, and its owner is notified. It is never sent or
   logged.
3. A token of a command-line tool revokes its whole OAuth grant: the tokens of a grant are in one file, so the others
   have probably leaked too.
4. The response states for each secret whether this server issued it. That is the case if it is in the table, revoked or
   not. Tokens of a grant that has ended are in no table.
"""

import base64
import binascii
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import select

from seaway import secret_tokens, strict_json
from seaway.callers.caller import Caller
from seaway.channels.notify import notify_user
from seaway.clock import DAY_MS, MINUTE_MS, Clock
from seaway.database.engine import Database, Tx
from seaway.database.rows import from_row
from seaway.database.tables import keys as key_rows
from seaway.database.tables import users as user_rows
from seaway.errors import Malformed, NotFound, Unavailable
from seaway.keys import api_keys
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.oauth import grants
from seaway.oauth.grants import TokenOwner
from seaway.secret_tokens import KeyKind
from seaway.site import Site
from seaway.trusted_publishing import tokens
from seaway.trusted_publishing.publisher_emails import PublisherEvent, notify_owner
from seaway.trusted_publishing.tokens import PublishToken
from seaway.users import users

MAX_SECRETS = 1_000  # secrets of one report
_KEPT_MS = DAY_MS
_PAUSE_MS = MINUTE_MS  # between requests for unknown keys

SCANNER = Caller("secret scanning")


class ReportedSecret(msgspec.Struct):
    """A reported secret, with the type and location that the report states."""

    token: str
    type: str
    url: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The response for one secret."""

    token: str
    type: str
    is_ours: bool


class PublicKeys:
    """The keys that reports are signed with, from a file or a URL; cached for a day."""

    def __init__(self, source: str, fetch: Callable[[str], Any], clock: Clock) -> None:
        self._source, self._fetch, self._clock = source, fetch, clock
        self._lock = threading.Lock()
        self._keys: dict[str, str] = {}
        self._fetched_at_ms: int | None = None

    @property
    def is_enabled(self) -> bool:
        """Return whether the operator has enabled reports."""
        return bool(self._source)

    def find(self, identifier: str) -> str | None:
        """Return the key with this identifier as PEM, or None; call this in a thread."""
        with self._lock:
            age = None if self._fetched_at_ms is None else self._clock.now_ms() - self._fetched_at_ms
            kept_ms = _KEPT_MS if identifier in self._keys else _PAUSE_MS
            if age is None or not 0 <= age < kept_ms:  # below zero: the clock was set back
                self._fetched_at_ms = self._clock.now_ms()
                self._keys = _keys_of(self._published())
            return self._keys.get(identifier)

    def _published(self) -> Any:
        if self._source.startswith("https://"):
            return self._fetch(self._source)
        try:
            return strict_json.decode(Path(self._source).read_bytes())
        except (OSError, strict_json.NotStrict) as error:
            raise Unavailable(
                "The public keys for secret scanning cannot be read.", "Check `secret_scanning_keys`.", cause=str(error)
            ) from None


@dataclass(frozen=True, slots=True)
class SecretScanning:
    """Dependencies for processing reports."""

    site: Site
    public_keys: PublicKeys
    outbox: Outbox


def process_report(
    parts: SecretScanning, body: bytes, identifier: str, signature: str, address: str
) -> list[ReportResult]:
    """Revoke the secrets in a signed report; `Malformed` if the signature is invalid. Call this in a thread."""
    if not _is_signed(parts.public_keys.find(identifier), body, signature):
        raise Malformed("The signature of the report is invalid.", "Sign the bytes of the body.")
    found = _read(body)
    with parts.site.database.write_unlocked() as tx:
        parts.site.database.lock(tx, "leaked-secrets")
        by = SCANNER.with_address(address)
        return revoke(parts.site.database, tx, parts.site.clock.now_ms(), by, found, outbox=parts.outbox)


def revoke(
    database: Database,
    tx: Tx,
    now_ms: int,
    by: Caller,
    found: Sequence[ReportedSecret],
    *,
    outbox: Outbox,
) -> list[ReportResult]:
    """Revoke the found secrets and notify their owners, in a transaction that locks `leaked-secrets` or the site."""
    # All are looked up before the first is revoked: revoking a grant removes its other token from the table.
    matches = [_look_up(tx, secret.token) for secret in found]
    for leaked in dict.fromkeys(match for match in matches if match is not None):
        leaked.end(database, tx, now_ms, by, outbox)
    return [
        ReportResult(secret.token, secret.type, leaked is not None)
        for secret, leaked in zip(found, matches, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    user_id: int
    user: str
    revoked_at_ms: int | None

    def end(self, database: Database, tx: Tx, now_ms: int, by: Caller, outbox: Outbox) -> None:
        if self.revoked_at_ms is None:
            with suppress(NotFound):  # its user deleted it at this moment
                api_keys.revoke(tx, now_ms, by, users.get(tx, self.user), self.name)
            notify_user(tx, now_ms, outbox, self.user_id, messages.key_leaked, cause=None, name=self.name)


@dataclass(frozen=True, slots=True)
class _Login:
    login: TokenOwner

    def end(self, database: Database, tx: Tx, now_ms: int, by: Caller, outbox: Outbox) -> None:
        with suppress(NotFound):  # its user ended it at this moment
            grants.revoke(database, tx, now_ms, by, self.login.user_id, self.login.id)
        notify_user(tx, now_ms, outbox, self.login.user_id, messages.tool_leaked, cause=None, tool=self.login.client_id)


@dataclass(frozen=True, slots=True)
class _Token:
    token: PublishToken

    def end(self, database: Database, tx: Tx, now_ms: int, by: Caller, outbox: Outbox) -> None:
        if self.token.revoked_at_ms is None:
            for publisher in tokens.revoke(tx, now_ms, by, self.token.id):
                notify_owner(
                    tx,
                    now_ms,
                    outbox,
                    publisher.channel_id,
                    publisher.channel,
                    publisher.name,
                    PublisherEvent.TOKEN_LEAKED,
                )


def _look_up(tx: Tx, secret: str) -> _Key | _Login | _Token | None:
    match secret_tokens.kind_of(secret):
        case KeyKind.USER:
            return _key_of(tx, secret)
        case KeyKind.OAUTH_ACCESS | KeyKind.OAUTH_REFRESH:
            login = grants.owner_of_token(tx, secret)
            return None if login is None else _Login(login)
        case KeyKind.WORKFLOW:
            token = tokens.find(tx, secret)
            return None if token is None else _Token(token)
        case _:
            return None


def _key_of(tx: Tx, secret: str) -> _Key | None:
    row = tx.execute(
        select(
            key_rows.c.name, key_rows.c.user_id, user_rows.c.name.label("user"),
            key_rows.c.revoked_at.label("revoked_at_ms"),
        )
        .join(user_rows, user_rows.c.id == key_rows.c.user_id)
        .where(key_rows.c.digest == secret_tokens.hash_key(secret))
    ).one_or_none()  # fmt: skip
    return None if row is None else from_row(_Key, row)


def _read(body: bytes) -> list[ReportedSecret]:
    try:
        found = msgspec.json.decode(body, type=list[ReportedSecret])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed("The report is not a list of secrets.", "Send an array of {token, type, url}.") from None
    if len(found) > MAX_SECRETS:
        raise Malformed(f"The report has more than {MAX_SECRETS:,} secrets.", "Send several reports.")
    return found


def _is_signed(pem: str | None, body: bytes, signature: str) -> bool:
    if pem is None:
        return False
    try:
        key = load_pem_public_key(pem.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(base64.b64decode(signature, validate=True), body, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, binascii.Error):
        return False
    return True


def _keys_of(published: Any) -> dict[str, str]:
    """Read `{"public_keys": [{"key_identifier", "key"}]}`, the format of GitHub; skip entries of any other form."""
    listed = published.get("public_keys") if isinstance(published, dict) else None
    return {
        entry["key_identifier"]: entry["key"]
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("key_identifier"), str)
        and isinstance(entry.get("key"), str)
    }
