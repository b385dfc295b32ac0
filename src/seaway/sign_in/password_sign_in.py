"""
Sign-in with a user name or email address and a password, followed by a second factor if the user has one.

1. An unknown name, a wrong password and a disabled account give the same response, after the same work.
2. Attempts are counted per user and per IP address before anything is checked; successful ones are uncounted, so that
   users who know their passwords do not slow each other down.
3. A correct password alone gives no access without the second factor. The pending sign-in is valid for ten minutes,
   and ends when the password or a factor changes.
4. Every sign-in method ends in `proceed`, so that none bypasses the second factor.
"""

from dataclasses import dataclass
from functools import partial

import structlog
from anyio import to_thread
from sqlalchemy import select, update

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import users
from seaway.errors import BadCredential
from seaway.sign_in import pending_sign_ins, recovery, second_factors, sessions, totp
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.recovery import RecoveryCode
from seaway.site import Site
from seaway.users import emails

log = structlog.get_logger()

SECOND_FACTOR = "second-factor"
_MAX_CODE = 64


@dataclass(frozen=True, slots=True)
class BrowserInfo:
    """IP address and user agent of a request."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Result with a new session; `secret` is for its cookie."""

    secret: str


@dataclass(frozen=True, slots=True)
class NeedsSecondFactor:
    """Result after a correct first step; `flow` is the secret that the browser sends with the second factor."""

    flow: str
    has_totp: bool
    has_passkeys: bool


@dataclass(frozen=True, slots=True)
class _FoundUser:
    id: int
    name: str
    password_hash: str | None


async def sign_in(
    accounts: AccountParts, login: str, password: str, client: BrowserInfo
) -> SignedIn | NeedsSecondFactor:
    """Sign in with a user name or verified email address, and the password; raise `BadCredential` if one is wrong."""
    user = await to_thread.run_sync(partial(_begin, accounts.site, login, client))
    checked = await accounts.hasher.verify(password, None if user is None else user.password_hash)
    if user is None or not checked.is_right:
        log.info("sign_in.refused", user=None if user is None else user.name, address=client.address)
        raise BadCredential("The user name or password is wrong.", "Try again, or reset your password.")
    return await to_thread.run_sync(
        partial(_proceed_after_password, accounts.site, login, user, checked.better_hash, client)
    )


def proceed(
    tx: Tx, now_ms: int, user_id: int, client: BrowserInfo, *, confirmed_at_ms: int | None = None
) -> SignedIn | NeedsSecondFactor:
    """
    Continue a sign-in whose first step succeeded; raise `BadCredential` if the account is disabled.

    `confirmed_at_ms` is when an identity provider last authenticated the user; None if the first step was made here.
    """
    disabled_at = tx.execute(select(users.c.disabled_at).where(users.c.id == user_id)).scalar_one()
    if disabled_at is not None:
        raise BadCredential("This account is disabled.", "Ask a site admin.")
    factors = second_factors.of_user(tx, user_id)
    if not factors.any:
        secret = sessions.start(
            tx, now_ms, user_id, address=client.address, agent=client.agent, confirmed_at_ms=confirmed_at_ms
        )
        return SignedIn(secret)
    flow = pending_sign_ins.add(tx, now_ms, SECOND_FACTOR, {}, user_id=user_id)
    return NeedsSecondFactor(flow, factors.has_totp, factors.passkeys > 0)


async def second_factor(accounts: AccountParts, flow: str, code: str, client: BrowserInfo) -> SignedIn:
    """Complete a sign-in with a code from the authenticator app or a recovery code."""
    user_id = await to_thread.run_sync(partial(waiting, accounts.site, flow, client))
    used = await _check_code(accounts, user_id, code)
    return await to_thread.run_sync(partial(_finish, accounts, flow, user_id, used, client))


def waiting(site: Site, flow: str, client: BrowserInfo) -> int:
    """Count an attempt and return the id of the user whose sign-in needs a second factor."""
    with site.database.read() as tx:
        pending = pending_sign_ins.find(tx, site.clock.now_ms(), SECOND_FACTOR, flow)
    if pending is None or pending.user_id is None:
        raise _expired()
    count_second_factor(site, pending.user_id, client)
    return pending.user_id


def count_second_factor(site: Site, user_id: int, client: BrowserInfo) -> None:
    """Count an attempt with a second factor: a code has only six digits and could be guessed."""
    rate_limits.count_all(
        site.database,
        site.clock.now_ms(),
        (Rate.SECOND_FACTOR_USER, (str(user_id),)),
        (Rate.SECOND_FACTOR_ADDRESS, (client.address,)),
    )


def finish(tx: Tx, now_ms: int, flow: str, user_id: int, client: BrowserInfo) -> SignedIn:
    """Start the session of a sign-in after its second factor was verified."""
    pending = pending_sign_ins.take(tx, now_ms, SECOND_FACTOR, flow)
    if pending is None or pending.user_id != user_id:
        raise _expired()
    return SignedIn(sessions.start(tx, now_ms, user_id, address=client.address, agent=client.agent))


async def confirm(accounts: AccountParts, by: Caller, secret: str, proof: str, client: BrowserInfo) -> str:
    """
    Confirm a session with the password, or with a code of the second factor if the user has no password.

    Return the new secret of the session; the old one is no longer valid.
    """
    assert by.user_id is not None
    stored_hash = await to_thread.run_sync(partial(_password_of, accounts.site, by.user_id, client))
    if stored_hash is not None:
        checked = await accounts.hasher.verify(proof, stored_hash)
        is_right, used = checked.is_right, None
    else:
        used = await _check_code(accounts, by.user_id, proof)
        is_right = True
    if not is_right:
        raise BadCredential("The password is wrong.", "Try again.")
    return await to_thread.run_sync(partial(_renew_session, accounts, by, secret, used))


def _begin(site: Site, login: str, client: BrowserInfo) -> _FoundUser | None:
    user = _find(site, login)
    rate_limits.count_all(site.database, site.clock.now_ms(), *_rates(user, login, client), (Rate.SIGN_IN_ALL, ()))
    return user


def _rates(user: _FoundUser | None, login: str, client: BrowserInfo) -> tuple[tuple[Rate, tuple[str, ...]], ...]:
    """Count a user once for both name and email address; count unknown names too, to not reveal which ones exist."""
    subject = login.casefold()[:300] if user is None else f"#{user.id}"
    return (Rate.SIGN_IN_USER, (subject,)), (Rate.SIGN_IN_ADDRESS, (client.address,))


def _find(site: Site, login: str) -> _FoundUser | None:
    with site.database.read() as tx:
        columns = select(users.c.id, users.c.name, users.c.password_hash).where(users.c.disabled_at.is_(None))
        if "@" in login:
            owner = emails.owner_if_address(tx, login)
            row = None if owner is None else tx.execute(columns.where(users.c.id == owner)).one_or_none()
        else:
            row = tx.execute(columns.where(users.c.name == storable(login))).one_or_none()
    return None if row is None else from_row(_FoundUser, row)


def storable(login: str) -> str:
    """Replace lone surrogates and zero bytes, which databases do not accept and no name contains."""
    return login.encode(errors="replace").decode().replace("\0", "?")


def _proceed_after_password(
    site: Site, login: str, user: _FoundUser, better_hash: str | None, client: BrowserInfo
) -> SignedIn | NeedsSecondFactor:
    now_ms = site.clock.now_ms()
    for rate, subject in _rates(user, login, client):
        rate_limits.uncount(site.database, now_ms, rate, *subject)
    with site.database.write_user(user.id) as tx:
        unchanged = (users.c.id == user.id, users.c.password_hash == user.password_hash)
        if tx.execute(select(users.c.id).where(*unchanged)).first() is None:
            raise BadCredential("The password was just changed.", "Sign in with the new one.")
        if better_hash is not None:
            tx.execute(update(users).where(*unchanged).values(password_hash=better_hash))
        return proceed(tx, now_ms, user.id, client)


async def _check_code(accounts: AccountParts, user_id: int, code: str) -> RecoveryCode | int:
    """Return the TOTP step of a code, or the recovery code that matches it; raise `BadCredential` if it is neither."""
    plain = "".join(code.split()).replace("-", "").casefold()
    if totp.is_code(plain):
        step = await to_thread.run_sync(partial(totp.step_of, accounts, user_id, plain))
        if step is not None:
            return step
    elif plain.isascii() and len(plain) <= _MAX_CODE:
        found = await to_thread.run_sync(partial(recovery.find, accounts.site, user_id, plain))
        if (await accounts.hasher.verify(plain, None if found is None else found.hash)).is_right and found is not None:
            return found
    log.info("second_factor.refused", user=user_id)
    raise wrong_code()


def _finish(accounts: AccountParts, flow: str, user_id: int, used: RecoveryCode | int, client: BrowserInfo) -> SignedIn:
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(user_id) as tx:
        _mark_used(accounts, tx, now_ms, user_id, used)
        return finish(tx, now_ms, flow, user_id, client)


def _mark_used(accounts: AccountParts, tx: Tx, now_ms: int, user_id: int, used: RecoveryCode | int) -> None:
    """Mark a code as used; raise `BadCredential` if a concurrent request used it first."""
    was_unused = (
        totp.use(tx, user_id, used) if isinstance(used, int) else recovery.use(accounts, tx, now_ms, user_id, used)
    )
    if not was_unused:
        raise wrong_code()


def _password_of(site: Site, user_id: int, client: BrowserInfo) -> str | None:
    rate_limits.count_attempt(site.database, site.clock.now_ms(), Rate.CONFIRM_USER, str(user_id))
    with site.database.read() as tx:
        stored_hash: str | None = tx.execute(select(users.c.password_hash).where(users.c.id == user_id)).scalar_one()
    if stored_hash is None:
        count_second_factor(site, user_id, client)
    return stored_hash


def _renew_session(accounts: AccountParts, by: Caller, secret: str, used: RecoveryCode | int | None) -> str:
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        if used is not None:
            _mark_used(accounts, tx, now_ms, by.user_id, used)
        return sessions.renew(tx, now_ms, secret)


def wrong_code() -> BadCredential:
    """Return the refusal of any wrong code or passkey."""
    return BadCredential("The code is wrong or was already used.", "Wait for the next one, or use a recovery code.")


def _expired() -> BadCredential:
    return BadCredential("This sign-in has expired.", "Start again.")
