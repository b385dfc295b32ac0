"""
From a name and a password to a session, with a second factor between where the user has one.

1. An unknown name, a wrong password, a disabled account: one answer, after the same work.
2. Tries are counted for the user and for the place they come from before anything is looked at; what went well is
   given back, so that people who know their password do not slow each other down.
3. A right password gives nothing that could be used without the second factor. What waits for it is good for ten
   minutes, and ends when the password or a factor changes.
4. Every way to sign in ends in `proceed`, so that none goes around the second factor.
"""

from dataclasses import dataclass
from functools import partial

import structlog
from anyio import to_thread
from sqlalchemy import select, update

from seaway.accounts import emails, recovery, second_factors, sessions, sign_ins, throttle, totp
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.accounts.recovery import Recovery
from seaway.accounts.throttle import Rate
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import users
from seaway.errors import BadCredential

log = structlog.get_logger()

SECOND_FACTOR = "second-factor"
_MAX_CODE = 64


@dataclass(frozen=True, slots=True)
class Client:
    """Where a person sits: the address of the request, and what the browser calls itself."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The session is open; the secret is for its cookie."""

    secret: str


@dataclass(frozen=True, slots=True)
class NeedsSecondFactor:
    """The first proof was good; `flow` is what this browser brings along with the second."""

    flow: str
    has_totp: bool
    has_passkeys: bool


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    name: str
    password_hash: str | None


async def sign_in(house: Accounts, login: str, password: str, client: Client) -> SignedIn | NeedsSecondFactor:
    """Sign in with a name or a verified address, and the password; `BadCredential` if either is wrong."""
    known = await to_thread.run_sync(partial(_begin, house, login, client))
    checked = await house.hasher.verify(password, None if known is None else known.password_hash)
    if known is None or not checked.is_right:
        log.info("sign_in.refused", user=None if known is None else known.name, address=client.address)
        raise BadCredential("The name or the password is wrong.", "Try again, or ask for a new password.")
    return await to_thread.run_sync(partial(_went_well, house, login, known, checked.better_hash, client))


def proceed(
    tx: Tx, now_ms: int, user_id: int, client: Client, *, confirmed_at_ms: int | None = None
) -> SignedIn | NeedsSecondFactor:
    """
    Go on with a person whose first proof was good, by whichever provider; they must not be disabled.

    `confirmed_at_ms` is when an external provider saw them prove to be there; None for a proof that was given here now.
    """
    disabled_at = tx.execute(select(users.c.disabled_at).where(users.c.id == user_id)).scalar_one()
    if disabled_at is not None:
        raise BadCredential("This account is disabled.", "Ask an admin of the site.")
    factors = second_factors.of_user(tx, user_id)
    if not factors.any:
        secret = sessions.start(
            tx, now_ms, user_id, address=client.address, agent=client.agent, confirmed_at_ms=confirmed_at_ms
        )
        return SignedIn(secret)
    flow = sign_ins.put(tx, now_ms, SECOND_FACTOR, {}, user_id=user_id)
    return NeedsSecondFactor(flow, factors.has_totp, factors.passkeys > 0)


async def second_factor(house: Accounts, flow: str, code: str, client: Client) -> SignedIn:
    """Bring the code of an app, or a recovery code, for a sign-in that waits for it."""
    user_id = await to_thread.run_sync(partial(waiting, house, flow, client))
    used = await _check_code(house, user_id, code)
    return await to_thread.run_sync(partial(_finish, house, flow, user_id, used, client))


def waiting(house: Accounts, flow: str, client: Client) -> int:
    """Whose sign-in waits for a second factor, after counting the try."""
    with house.database.read() as tx:
        pending = sign_ins.look(tx, house.clock.now_ms(), SECOND_FACTOR, flow)
    if pending is None or pending.user_id is None:
        raise _over()
    count_second_factor(house, pending.user_id, client)
    return pending.user_id


def count_second_factor(house: Accounts, user_id: int, client: Client) -> None:
    """Count a try of a second factor: a code has six digits, and must not be guessed."""
    throttle.take_all(
        house.database,
        house.clock.now_ms(),
        (Rate.SECOND_FACTOR_USER, (str(user_id),)),
        (Rate.SECOND_FACTOR_ADDRESS, (client.address,)),
    )


def finish(tx: Tx, now_ms: int, flow: str, user_id: int, client: Client) -> SignedIn:
    """Open the session that waited for a second factor, which was good."""
    pending = sign_ins.take(tx, now_ms, SECOND_FACTOR, flow)
    if pending is None or pending.user_id != user_id:
        raise _over()
    return SignedIn(sessions.start(tx, now_ms, user_id, address=client.address, agent=client.agent))


async def confirm(house: Accounts, by: Principal, secret: str, proof: str, client: Client) -> str:
    """
    A fresh proof of somebody who is signed in: the password, or a code of the second factor where there is none.

    The new secret of the session, which goes on; the old one is dead.
    """
    assert by.user_id is not None
    kept = await to_thread.run_sync(partial(_password_of, house, by.user_id, client))
    if kept is not None:
        checked = await house.hasher.verify(proof, kept)
        is_right, used = checked.is_right, None
    else:
        used = await _check_code(house, by.user_id, proof)
        is_right = True
    if not is_right:
        raise BadCredential("The password is wrong.", "Try again.")
    return await to_thread.run_sync(partial(_confirmed, house, by, secret, used))


def _begin(house: Accounts, login: str, client: Client) -> _Known | None:
    known = _find(house, login)
    throttle.take_all(house.database, house.clock.now_ms(), *_rates(known, login, client), (Rate.SIGN_IN_ALL, ()))
    return known


def _rates(known: _Known | None, login: str, client: Client) -> tuple[tuple[Rate, tuple[str, ...]], ...]:
    """A user counts as one by name and by address; an unknown name counts as well, or it would show."""
    subject = login.casefold()[:300] if known is None else f"#{known.id}"
    return (Rate.SIGN_IN_USER, (subject,)), (Rate.SIGN_IN_ADDRESS, (client.address,))


def _find(house: Accounts, login: str) -> _Known | None:
    with house.database.read() as tx:
        columns = select(users.c.id, users.c.name, users.c.password_hash).where(users.c.disabled_at.is_(None))
        if "@" in login:
            owner = emails.owner_if_address(tx, login)
            row = None if owner is None else tx.execute(columns.where(users.c.id == owner)).one_or_none()
        else:
            row = tx.execute(columns.where(users.c.name == storable(login))).one_or_none()
    return None if row is None else from_row(_Known, row)


def storable(login: str) -> str:
    """What a database can be asked for; half characters and zero bytes stand in no name."""
    return login.encode(errors="replace").decode().replace("\0", "?")


def _went_well(
    house: Accounts, login: str, known: _Known, better_hash: str | None, client: Client
) -> SignedIn | NeedsSecondFactor:
    now_ms = house.clock.now_ms()
    for rate, subject in _rates(known, login, client):
        throttle.give_back(house.database, now_ms, rate, *subject)
    with house.database.write_user(known.id) as tx:
        mine = (users.c.id == known.id, users.c.password_hash == known.password_hash)
        if tx.execute(select(users.c.id).where(*mine)).first() is None:
            raise BadCredential("The password was changed at this moment.", "Sign in with the new one.")
        if better_hash is not None:
            tx.execute(update(users).where(*mine).values(password_hash=better_hash))
        return proceed(tx, now_ms, known.id, client)


async def _check_code(house: Accounts, user_id: int, code: str) -> Recovery | int:
    """The step of the app's code, or the recovery code that it is; `BadCredential` when it is neither."""
    plain = "".join(code.split()).replace("-", "").casefold()
    if totp.is_code(plain):
        step = await to_thread.run_sync(partial(totp.step_of, house, user_id, plain))
        if step is not None:
            return step
    elif plain.isascii() and len(plain) <= _MAX_CODE:
        found = await to_thread.run_sync(partial(recovery.find, house, user_id, plain))
        if (await house.hasher.verify(plain, None if found is None else found.hash)).is_right and found is not None:
            return found
    log.info("second_factor.refused", user=user_id)
    raise wrong_code()


def _finish(house: Accounts, flow: str, user_id: int, used: Recovery | int, client: Client) -> SignedIn:
    now_ms = house.clock.now_ms()
    with house.database.write_user(user_id) as tx:
        _use_up(house, tx, now_ms, user_id, used)
        return finish(tx, now_ms, flow, user_id, client)


def _use_up(house: Accounts, tx: Tx, now_ms: int, user_id: int, used: Recovery | int) -> None:
    """A code is good once, also for two that bring it at one moment."""
    was_good = totp.use(tx, user_id, used) if isinstance(used, int) else recovery.use(house, tx, now_ms, user_id, used)
    if not was_good:
        raise wrong_code()


def _password_of(house: Accounts, user_id: int, client: Client) -> str | None:
    throttle.take(house.database, house.clock.now_ms(), Rate.CONFIRM_USER, str(user_id))
    with house.database.read() as tx:
        kept: str | None = tx.execute(select(users.c.password_hash).where(users.c.id == user_id)).scalar_one()
    if kept is None:
        count_second_factor(house, user_id, client)
    return kept


def _confirmed(house: Accounts, by: Principal, secret: str, used: Recovery | int | None) -> str:
    assert by.user_id is not None
    now_ms = house.clock.now_ms()
    with house.database.write_user(by.user_id) as tx:
        if used is not None:
            _use_up(house, tx, now_ms, by.user_id, used)
        return sessions.renew(tx, now_ms, secret)


def wrong_code() -> BadCredential:
    """The one answer to any proof that was not good."""
    return BadCredential("The code is wrong, or was used already.", "Wait for the next one, or use a recovery code.")


def _over() -> BadCredential:
    return BadCredential("This sign-in has ended.", "Begin again.")
