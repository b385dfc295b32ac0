"""
Passkeys (WebAuthn), as a second factor and as a sign-in method of their own.

1. The challenge is the secret of a pending flow (`pending_sign_ins`): random, valid once, for one purpose, for five
   minutes, and only for the known user, if any.
2. Relying party id and origin come from the public URL, never from a request.
3. A sign-in with only a passkey requires user verification (PIN, fingerprint); as a second factor it does not.
4. A signature counter that does not increase indicates a cloned passkey; a credential belongs to one account.
5. Any malformed browser input gets the same plain refusal.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import delete, insert, select, update
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from seaway import audit
from seaway.audit import Event
from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import MINUTE_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import passkeys, users
from seaway.errors import BadCredential, Malformed, NameTaken, NotAllowed, NotFound
from seaway.sign_in import account_security, password_sign_in, pending_sign_ins, second_factors, sessions
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_sign_in import BrowserInfo, SignedIn
from seaway.site import Site
from seaway.urls import normal_url

LASTS_MS = 5 * MINUTE_MS
MAX_PASSKEYS = 20
MAX_NAME = 100
_MAX_BYTES = 16_384
_ADD, _SIGN_IN, _SECOND_FACTOR = "passkey-add", "passkey", "passkey-second"

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as shown to its user."""

    id: int
    name: str
    created_at_ms: int
    used_at_ms: int | None


@dataclass(frozen=True, slots=True)
class _StoredPasskey:
    id: int
    user_id: int
    public_key: bytes
    sign_count: int


def of_user(tx: Tx, user_id: int) -> list[Passkey]:
    """Return the passkeys of a user, the oldest first."""
    rows = tx.execute(
        select(
            passkeys.c.id, passkeys.c.name, passkeys.c.created_at.label("created_at_ms"),
            passkeys.c.used_at.label("used_at_ms"),
        )
        .where(passkeys.c.user_id == user_id)
        .order_by(passkeys.c.id)
    )  # fmt: skip
    return [from_row(Passkey, row) for row in rows]


def creation_options(site: Site, by: Caller) -> str:
    """Return the JSON options for `navigator.credentials.create`."""
    assert by.user_id is not None
    second_factors.require_can_add(site, by)
    now_ms = site.clock.now_ms()
    rate_limits.count_attempt(site.database, now_ms, Rate.PASSKEY_BEGIN, by.address)
    with site.database.write_user(by.user_id) as tx:
        second_factors.require_fresh_to_add(tx, by)
        own_descriptors = _descriptors(tx, by.user_id)
        challenge = pending_sign_ins.add(tx, now_ms, _ADD, {}, user_id=by.user_id, lasts_ms=LASTS_MS)
    options = webauthn.generate_registration_options(
        rp_id=_rp_id(site),
        rp_name="Seaway",
        user_id=_handle(by.user_id),
        user_name=by.name,
        challenge=challenge.encode(),
        exclude_credentials=own_descriptors,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return webauthn.options_to_json(options)


def add(accounts: AccountParts, by: Caller, credential: str, name: str) -> Passkey:
    """Store the passkey that the browser created."""
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    second_factors.require_can_add(accounts.site, by)
    _check_name(name)
    challenge = _challenge_in(credential)
    with accounts.site.database.write_unlocked() as tx:
        pending = pending_sign_ins.take(tx, now_ms, _ADD, challenge)
    if pending is None or pending.user_id != by.user_id:
        raise _refused()
    registration = _verified(
        lambda: webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge.encode(),
            expected_rp_id=_rp_id(accounts.site),
            expected_origin=_origin(accounts.site),
        )
    )
    with accounts.site.database.write_user(by.user_id) as tx:
        second_factors.require_fresh_to_add(tx, by)  # another factor may have been added meanwhile
        return _store(accounts, tx, now_ms, by, registration, name)


def rename(site: Site, by: Caller, passkey_id: int, name: str) -> Passkey:
    """Rename one of the caller's passkeys."""
    assert by.user_id is not None
    _check_name(name)
    own = (passkeys.c.id == passkey_id, passkeys.c.user_id == by.user_id)
    with site.database.write_user(by.user_id) as tx:
        if tx.execute(update(passkeys).where(*own).values(name=name)).rowcount != 1:
            raise _not_found()
        audit.write(tx, site.clock.now_ms(), by.actor, Event.PASSKEY_RENAMED, target=by.name, passkey=name)
        return next(passkey for passkey in of_user(tx, by.user_id) if passkey.id == passkey_id)


def remove(accounts: AccountParts, by: Caller, passkey_id: int) -> str:
    """Remove one of the caller's passkeys; return its name."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        own = (passkeys.c.id == passkey_id, passkeys.c.user_id == by.user_id)
        name: str | None = tx.execute(delete(passkeys).where(*own).returning(passkeys.c.name)).scalar()
        if name is None:
            raise _not_found()
        second_factors.delete_unneeded_codes(tx, by.user_id)
        audit.write(tx, now_ms, by.actor, Event.PASSKEY_REMOVED, target=by.name, passkey=name)
        account_security.end_sessions_and_notify(
            accounts, tx, now_ms, by.user_id, "A passkey was removed.", keep=by.session_id
        )
    return name


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise NameTaken(
            f"{name[:60]!a} is not a valid passkey name.", f"Use 1 to {MAX_NAME} printable characters.", field="name"
        )


def _not_found() -> NotFound:
    return NotFound("This account has no such passkey.", "Check the list of passkeys.")


def sign_in_options(site: Site, client: BrowserInfo) -> str:
    """Return the JSON options for `navigator.credentials.get` for a sign-in without a user name."""
    return _options(site, client.address, _SIGN_IN, None, UserVerificationRequirement.REQUIRED)


def sign_in(site: Site, credential: str, client: BrowserInfo) -> SignedIn:
    """Sign in with only a passkey, which must have verified the user (3)."""
    now_ms = site.clock.now_ms()
    rate_limits.count_all(site.database, now_ms, (Rate.SIGN_IN_ADDRESS, (client.address,)), (Rate.SIGN_IN_ALL, ()))
    stored = _verify_response(site, credential, _SIGN_IN, None)
    rate_limits.uncount(site.database, now_ms, Rate.SIGN_IN_ADDRESS, client.address)
    with site.database.write_user(stored.user_id) as tx:
        if tx.execute(select(users.c.disabled_at).where(users.c.id == stored.user_id)).scalar_one() is not None:
            raise _refused()
        return SignedIn(sessions.start(tx, now_ms, stored.user_id, address=client.address, agent=client.agent))


def second_factor_options(site: Site, flow: str, client: BrowserInfo) -> str:
    """Return the JSON options for `navigator.credentials.get` for a sign-in that needs a second factor."""
    now_ms = site.clock.now_ms()
    with site.database.read() as tx:
        pending = pending_sign_ins.find(tx, now_ms, password_sign_in.SECOND_FACTOR, flow)
    if pending is None or pending.user_id is None:
        raise _refused()
    return _options(site, client.address, _SECOND_FACTOR, pending.user_id, UserVerificationRequirement.DISCOURAGED)


def second_factor(site: Site, flow: str, credential: str, client: BrowserInfo) -> SignedIn:
    """Complete a sign-in that needs a second factor with a passkey."""
    user_id = password_sign_in.waiting(site, flow, client)
    _verify_response(site, credential, _SECOND_FACTOR, user_id)
    with site.database.write_user(user_id) as tx:
        return password_sign_in.finish(tx, site.clock.now_ms(), flow, user_id, client)


def confirm_options(site: Site, by: Caller) -> str:
    """Return the JSON options for `navigator.credentials.get` to confirm a session."""
    assert by.user_id is not None
    return _options(site, by.address, _SECOND_FACTOR, by.user_id, UserVerificationRequirement.PREFERRED)


def confirm(site: Site, by: Caller, secret: str, credential: str, client: BrowserInfo) -> str:
    """Confirm a session with a passkey; return its new secret."""
    assert by.user_id is not None
    password_sign_in.count_second_factor(site, by.user_id, client)
    _verify_response(site, credential, _SECOND_FACTOR, by.user_id)
    with site.database.write_user(by.user_id) as tx:
        return sessions.renew(tx, site.clock.now_ms(), secret)


def _options(
    site: Site, address: str, kind: str, user_id: int | None, verification: UserVerificationRequirement
) -> str:
    """Return the JSON options with a new challenge, for the passkeys of this user or for any."""
    now_ms = site.clock.now_ms()
    rate_limits.count_attempt(site.database, now_ms, Rate.PASSKEY_BEGIN, address)
    with site.database.write_unlocked() as tx:
        challenge = pending_sign_ins.add(tx, now_ms, kind, {}, user_id=user_id, lasts_ms=LASTS_MS)
        allowed = [] if user_id is None else _descriptors(tx, user_id)
    options = webauthn.generate_authentication_options(
        rp_id=_rp_id(site),
        challenge=challenge.encode(),
        allow_credentials=allowed,
        user_verification=verification,
    )
    return webauthn.options_to_json(options)


def _verify_response(site: Site, credential: str, kind: str, user_id: int | None) -> _StoredPasskey:
    """Verify a response to a challenge and return the passkey; with `user_id`, accept only passkeys of that user."""
    now_ms = site.clock.now_ms()
    challenge = _challenge_in(credential)
    with site.database.write_unlocked() as tx:
        pending = pending_sign_ins.take(tx, now_ms, kind, challenge)
        stored = _find(tx, credential)
    if pending is None or stored is None or pending.user_id != user_id or user_id not in (None, stored.user_id):
        raise _refused()
    verified = _verified(
        lambda: webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge.encode(),
            expected_rp_id=_rp_id(site),
            expected_origin=_origin(site),
            credential_public_key=stored.public_key,
            credential_current_sign_count=stored.sign_count,
            require_user_verification=user_id is None,
        )
    )
    with site.database.write_unlocked() as tx:
        unchanged = (passkeys.c.id == stored.id, passkeys.c.sign_count == stored.sign_count)
        changed = tx.execute(
            update(passkeys).where(*unchanged).values(sign_count=verified.new_sign_count, used_at=now_ms)
        )
    if changed.rowcount != 1:
        raise _refused()
    return stored


def _store(
    accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, registration: VerifiedRegistration, name: str
) -> Passkey:
    assert by.user_id is not None
    if tx.execute(select(passkeys.c.id).where(passkeys.c.credential_id == registration.credential_id)).first():
        raise NameTaken("This passkey is already registered.", "Use another one.")
    if len(of_user(tx, by.user_id)) >= MAX_PASSKEYS:
        raise NotAllowed(f"An account can have at most {MAX_PASSKEYS} passkeys.", "Remove one first.")
    tx.execute(
        insert(passkeys).values(
            user_id=by.user_id,
            credential_id=registration.credential_id,
            public_key=registration.credential_public_key,
            sign_count=registration.sign_count,
            transports="",
            name=name,
            created_at=now_ms,
        )
    )
    audit.write(tx, now_ms, by.actor, Event.PASSKEY_ADDED, target=by.name, passkey=name)
    account_security.end_sessions_and_notify(
        accounts, tx, now_ms, by.user_id, "A passkey was added.", keep=by.session_id
    )
    return of_user(tx, by.user_id)[-1]


def _find(tx: Tx, credential: str) -> _StoredPasskey | None:
    raw_id = _bytes_of(json.loads(credential).get("rawId"))
    row = tx.execute(
        select(passkeys.c.id, passkeys.c.user_id, passkeys.c.public_key, passkeys.c.sign_count).where(
            passkeys.c.credential_id == raw_id
        )
    ).one_or_none()
    return None if row is None else from_row(_StoredPasskey, row)


def _challenge_in(credential: str) -> str:
    """Return the challenge in the browser's response, which identifies the pending flow."""
    if len(credential) > _MAX_BYTES:
        raise Malformed("The response of the passkey is too large.", "Try again.")
    try:
        client_data = json.loads(_bytes_of(json.loads(credential)["response"]["clientDataJSON"]))
        return _bytes_of(client_data["challenge"]).decode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _refused() from None


def _bytes_of(text: Any) -> bytes:
    if not isinstance(text, str):
        raise _refused()
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise _refused() from None


def _verified(verify: Callable[[], R]) -> R:
    try:
        return verify()
    except Exception:  # noqa: BLE001  the input is untrusted: any exception of the library is a refusal
        raise _refused() from None


def _descriptors(tx: Tx, user_id: int) -> list[PublicKeyCredentialDescriptor]:
    rows = tx.execute(select(passkeys.c.credential_id).where(passkeys.c.user_id == user_id).order_by(passkeys.c.id))
    return [PublicKeyCredentialDescriptor(id=bytes(row.credential_id)) for row in rows]


def _handle(user_id: int) -> bytes:
    """Return the WebAuthn user handle, which authenticators store: a number, no personal data."""
    return f"seaway-{user_id}".encode()


def _rp_id(site: Site) -> str:
    return urlsplit(site.url).hostname or "localhost"


def _origin(site: Site) -> str:
    return normal_url(site.url).rstrip("/")


def _refused() -> BadCredential:
    return BadCredential("The passkey was not accepted.", "Try again, or use another sign-in method.")
