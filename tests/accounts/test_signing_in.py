"""From a name and a password to a session (sign_in/password_sign_in.py)."""

from dataclasses import replace

import anyio
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from seaway.callers.caller import OPERATOR
from seaway.clock import HOUR_MS, MINUTE_MS
from seaway.database.tables import users as rows
from seaway.errors import BadCredential, TooManyRequests, WeakPassword
from seaway.server.wiring import Seaway
from seaway.sign_in import password_sign_in, sessions, user_access
from seaway.sign_in.password_sign_in import BrowserInfo, SignedIn
from seaway.sign_in.passwords import PARAMETERS, Hasher
from tests.accounts.conftest import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Accounts, CountingHasher
from tests.support.clock import TurnedClock
from tests.support.house import People

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("login", ["ada", "ada@example.com", "ADA@Example.COM"])
async def test_name_or_address_and_password_open_a_session(seaway: Seaway, accounts: Accounts, login: str) -> None:
    """And the session says where it was opened."""
    ada = accounts.add("ada")
    by, _ = await accounts.session(login)
    assert (ada, "ada") == (by.user_id, by.name)
    with seaway.database.read() as tx:
        assert [HOME.address] == [one.address for one in sessions.of_user(tx, ada, accounts.now_ms)]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("ada", OTHER_PASSWORD),
        ("ada", ""),
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("unverified@example.com", PASSWORD),
        ("keyless", PASSWORD),
        ("disabled", PASSWORD),
        ("disabled@example.com", PASSWORD),
        ("", PASSWORD),
        ("ada\0\ud800", PASSWORD),
        ("@" * 500, PASSWORD),
    ],
)
async def test_whatever_is_wrong_the_answer_is_one(
    seaway: Seaway, accounts: Accounts, people: People, login: str, password: str
) -> None:
    """Nobody learns which accounts there are, or in which state (1)."""
    accounts.add("ada")
    accounts.add("unverified", verified=False)
    accounts.add("disabled")
    people.user("keyless")
    with seaway.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "disabled", disabled=True)
    with pytest.raises(BadCredential) as refused:
        await accounts.sign_in(login, password)
    assert "The user name or password is wrong. Try again, or reset your password." == str(refused.value)


@pytest.mark.parametrize("login", ["ada", "ada@example.com", "nobody", "nobody@example.com", "keyless", ""])
async def test_an_unknown_name_takes_the_work_of_a_wrong_password(
    accounts: Accounts, people: People, login: str
) -> None:
    """Case 7: each is hashed once with the same parameters, which is nearly all of the time (1)."""
    accounts.add("ada")
    people.user("keyless")
    counting = CountingHasher()
    house = replace(accounts.parts, hasher=Hasher(parameters=counting))
    with pytest.raises(BadCredential):
        await password_sign_in.sign_in(house, login, OTHER_PASSWORD, HOME)
    assert 1 == counting.hashes


async def test_the_eleventh_wrong_password_is_refused(accounts: Accounts, clock: TurnedClock) -> None:
    """Case 8: with the time to wait; a full bucket of the place leaves the user free elsewhere (2)."""
    accounts.add("ada")
    accounts.add("bob")
    for number in range(10):
        with pytest.raises(BadCredential):
            await accounts.sign_in("ada" if number % 2 else "bob", OTHER_PASSWORD)
    with pytest.raises(TooManyRequests, match="from this IP address") as refused:
        await accounts.sign_in("ada")
    assert 30 == refused.value.retry_after_seconds
    assert isinstance(await accounts.sign_in("ada", client=AWAY), SignedIn)
    for _ in range(5):
        with pytest.raises(BadCredential):
            await accounts.sign_in("ada@example.com", OTHER_PASSWORD, AWAY)
    with pytest.raises(TooManyRequests, match="for this user"):
        await accounts.sign_in("ada", client=BrowserInfo("203.0.113.9"))
    clock.move(5 * MINUTE_MS)
    assert isinstance(await accounts.sign_in("ada"), SignedIn)


async def test_who_knows_the_password_is_not_slowed_down(accounts: Accounts) -> None:
    """An office signs in at nine, from one address (2)."""
    accounts.add("ada")
    for _ in range(13):
        assert isinstance(await accounts.sign_in("ada"), SignedIn)


async def test_a_huge_password_is_not_hashed(accounts: Accounts) -> None:
    """Case 10: it is refused by its length, for any name."""
    full = replace(
        accounts.parts, hasher=Hasher(threads=1, waiting=-1)
    )  # a password to hash would be told to come back
    with pytest.raises(WeakPassword, match="12 to 256 characters"):
        await password_sign_in.sign_in(full, "nobody", "x" * 1_000_000, HOME)


async def test_an_old_hash_is_made_again(seaway: Seaway, accounts: Accounts) -> None:
    """Case 11: at the sign-in, with the parameters of today."""
    ada = accounts.add("ada")
    with seaway.database.write_site() as tx:
        old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        tx.execute(update(rows).where(rows.c.id == ada).values(password_hash=old))
    for _ in range(2):
        assert isinstance(await accounts.sign_in("ada"), SignedIn)
    with seaway.database.read() as tx:
        kept = tx.execute(select(rows.c.password_hash).where(rows.c.id == ada)).scalar_one()
    assert not PARAMETERS.check_needs_rehash(kept)


async def test_every_sign_in_has_a_secret_of_its_own(accounts: Accounts) -> None:
    """Case 12: nothing that the browser had before is gone on with."""
    accounts.add("ada")
    secrets = [(await accounts.session("ada"))[1] for _ in range(2)]
    assert secrets[0] != secrets[1]
    assert [True, True] == [accounts.is_valid(secret) for secret in secrets]


async def test_a_fresh_proof_renews_the_session(accounts: Accounts, clock: TurnedClock) -> None:
    """The password again: a new secret, confirmed now; a wrong one changes nothing, and is counted."""
    accounts.add("ada")
    by, old = await accounts.session("ada")
    clock.move(HOUR_MS)
    with pytest.raises(BadCredential, match="password is wrong"):
        await password_sign_in.confirm(accounts.parts, by, old, OTHER_PASSWORD, HOME)
    fresh = await password_sign_in.confirm(accounts.parts, by, old, PASSWORD, HOME)
    assert (False, True) == (accounts.is_valid(old), accounts.caller_of(fresh).is_fresh)
    for _ in range(8):
        with pytest.raises(BadCredential):
            await password_sign_in.confirm(accounts.parts, by, fresh, OTHER_PASSWORD, HOME)
    with pytest.raises(TooManyRequests):
        await password_sign_in.confirm(accounts.parts, by, fresh, PASSWORD, HOME)


async def test_many_sign_ins_at_once_are_refused_rather_than_piled_up(accounts: Accounts) -> None:
    """Case 9: some are let in, the rest is told to come back; the pool holds what fits."""
    accounts.add("ada")
    done: list[bool] = []

    async def one(number: int) -> None:
        try:
            done.append(isinstance(await accounts.sign_in("ada", client=BrowserInfo(f"10.0.{number}.1")), SignedIn))
        except TooManyRequests:
            done.append(False)

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(one, number)
    assert 60 == len(done)
    assert 5 <= sum(done) <= 60
