"""Sign-in with name and password (sign_in/password_sign_in.py)."""

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
from tests.support.accounts import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Accounts, CountingHasher
from tests.support.clock import ManualClock
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("login", ["ada", "ada@example.com", "ADA@Example.COM"])
async def test_password_sign_in_by_name_or_address_starts_a_session(
    seaway: Seaway, accounts: Accounts, login: str
) -> None:
    """The session records the IP address."""
    ada = accounts.add("ada")
    by, _ = await accounts.session(login)
    assert (ada, "ada") == (by.user_id, by.name)
    with seaway.site.database.read() as tx:
        assert [HOME.address] == [session.address for session in sessions.of_user(tx, ada, accounts.now_ms)]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("ada", OTHER_PASSWORD),
        ("ada", ""),
        ("unknown", PASSWORD),
        ("unknown@example.com", PASSWORD),
        ("unverified@example.com", PASSWORD),
        ("keyless", PASSWORD),
        ("disabled", PASSWORD),
        ("disabled@example.com", PASSWORD),
        ("", PASSWORD),
        ("ada\0\ud800", PASSWORD),
        ("@" * 500, PASSWORD),
    ],
)
async def test_every_refused_sign_in_gives_the_same_error(
    seaway: Seaway, accounts: Accounts, factory: Factory, login: str, password: str
) -> None:
    """The error must not reveal which accounts exist or their state (1)."""
    accounts.add("ada")
    accounts.add("unverified", verified=False)
    accounts.add("disabled")
    factory.user("keyless")
    with seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "disabled", disabled=True)
    with pytest.raises(BadCredential) as refused:
        await accounts.sign_in(login, password)
    assert "The user name or password is wrong. Try again, or reset your password." == str(refused.value)


@pytest.mark.parametrize("login", ["ada", "ada@example.com", "unknown", "unknown@example.com", "keyless", ""])
async def test_unknown_name_costs_the_same_hash_as_wrong_password(
    accounts: Accounts, factory: Factory, login: str
) -> None:
    """Case 7: one hash with the same parameters takes nearly all of the time (1)."""
    accounts.add("ada")
    factory.user("keyless")
    counting_hasher = CountingHasher()
    parts = replace(accounts.parts, hasher=Hasher(parameters=counting_hasher))
    with pytest.raises(BadCredential):
        await password_sign_in.sign_in(parts, login, OTHER_PASSWORD, HOME)
    assert 1 == counting_hasher.hashes


async def test_eleventh_wrong_password_is_refused(accounts: Accounts, clock: ManualClock) -> None:
    """Case 8: the error contains the time to wait; the limit of an IP address does not block the user elsewhere (2)."""
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


async def test_successful_sign_ins_are_not_limited(accounts: Accounts) -> None:
    """Many users of one office sign in from one IP address (2)."""
    accounts.add("ada")
    for _ in range(13):
        assert isinstance(await accounts.sign_in("ada"), SignedIn)


async def test_huge_password_is_not_hashed(accounts: Accounts) -> None:
    """Case 10: its length is checked first, for any name."""
    # hashing a password would raise TooManyRequests
    full_parts = replace(accounts.parts, hasher=Hasher(threads=1, waiting=-1))
    with pytest.raises(WeakPassword, match="12 to 256 characters"):
        await password_sign_in.sign_in(full_parts, "unknown", "x" * 1_000_000, HOME)


async def test_sign_in_replaces_hash_with_old_parameters(seaway: Seaway, accounts: Accounts) -> None:
    """Case 11."""
    ada = accounts.add("ada")
    with seaway.site.database.write_site() as tx:
        old_hash = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        tx.execute(update(rows).where(rows.c.id == ada).values(password_hash=old_hash))
    for _ in range(2):
        assert isinstance(await accounts.sign_in("ada"), SignedIn)
    with seaway.site.database.read() as tx:
        stored = tx.execute(select(rows.c.password_hash).where(rows.c.id == ada)).scalar_one()
    assert not PARAMETERS.check_needs_rehash(stored)


async def test_every_sign_in_gets_a_new_secret(accounts: Accounts) -> None:
    """Case 12: no earlier session of the browser is continued."""
    accounts.add("ada")
    secrets = [(await accounts.session("ada"))[1] for _ in range(2)]
    assert secrets[0] != secrets[1]
    assert [True, True] == [accounts.is_valid(secret) for secret in secrets]


async def test_confirming_password_renews_the_session(accounts: Accounts, clock: ManualClock) -> None:
    """The session gets a new secret and counts as fresh; wrong passwords change nothing and are counted."""
    accounts.add("ada")
    by, old_secret = await accounts.session("ada")
    clock.move(HOUR_MS)
    with pytest.raises(BadCredential, match="password is wrong"):
        await password_sign_in.confirm(accounts.parts, by, old_secret, OTHER_PASSWORD, HOME)
    new_secret = await password_sign_in.confirm(accounts.parts, by, old_secret, PASSWORD, HOME)
    assert (False, True) == (accounts.is_valid(old_secret), accounts.caller_of(new_secret).is_fresh)
    for _ in range(8):
        with pytest.raises(BadCredential):
            await password_sign_in.confirm(accounts.parts, by, new_secret, OTHER_PASSWORD, HOME)
    with pytest.raises(TooManyRequests):
        await password_sign_in.confirm(accounts.parts, by, new_secret, PASSWORD, HOME)


async def test_burst_of_sign_ins_is_refused_over_capacity(accounts: Accounts) -> None:
    """Case 9: some succeed, the rest get TooManyRequests."""
    accounts.add("ada")
    outcomes: list[bool] = []

    async def sign_in(number: int) -> None:
        try:
            outcomes.append(isinstance(await accounts.sign_in("ada", client=BrowserInfo(f"10.0.{number}.1")), SignedIn))
        except TooManyRequests:
            outcomes.append(False)

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(sign_in, number)
    assert 60 == len(outcomes)
    assert 5 <= sum(outcomes) <= 60
