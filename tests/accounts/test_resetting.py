"""A new password (sign_in/password_reset.py), with the letters that really leave."""

from typing import Any

import pytest
from sqlalchemy import event

from seaway.callers.caller import OPERATOR
from seaway.clock import HOUR_MS, MINUTE_MS
from seaway.errors import BadCredential, ConfirmationRequired, NotFound, TooManyRequests, WeakPassword
from seaway.server.wiring import Seaway
from seaway.sign_in import password_reset, sessions, user_access
from seaway.sign_in.passwords import PARAMETERS
from seaway.users import emails, users
from tests.accounts.conftest import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Folk
from tests.support.clock import TurnedClock
from tests.support.mail import letters, letters_to, link_in, text_of

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


def asked(folk: Folk, address: str = ADA) -> str:
    """The secret of the newest letter for a new password."""
    password_reset.request(folk.house, address, client=HOME.address)
    return link_in(letters_to(folk.seaway, address)[-1])


async def reset(folk: Folk, secret: str, password: str = OTHER_PASSWORD) -> None:
    await password_reset.reset(folk.house, secret, password, client=AWAY.address)


async def test_a_forgotten_password_is_replaced(seaway: Seaway, folk: Folk) -> None:
    """By the link of a letter; every browser is signed out, and every verified address is told (3)."""
    ada = folk.add("ada")
    with seaway.database.write_site() as tx:
        emails.add(tx, 0, ada, "ada@home.example", verified=True)
        emails.add(tx, 0, ada, "unverified@example.com", verified=False)
    _, old = await folk.session("ada")
    await reset(folk, asked(folk))
    assert not folk.is_good(old)
    with pytest.raises(BadCredential):
        await folk.sign_in("ada")
    assert await folk.sign_in("ada", OTHER_PASSWORD)
    told = [letter["To"] for letter in letters(seaway) if "password was changed" in text_of(letter)]
    assert {ADA, "ada@home.example"} == set(told)


async def test_a_link_sets_one_password(folk: Folk) -> None:
    """Case 6: used twice (2)."""
    folk.add("ada")
    secret = asked(folk)
    await reset(folk, secret)
    with pytest.raises(NotFound):
        await reset(folk, secret, PASSWORD)


@pytest.mark.parametrize("what", ["password", "an hour", "address", "disabled", "other link", "verify link"])
async def test_a_link_that_is_not_good_any_more(seaway: Seaway, folk: Folk, clock: TurnedClock, what: str) -> None:
    """Case 6: after a password change, an hour, the loss of the address; of another kind (2)."""
    ada = folk.add("ada")
    secret = asked(folk)
    with seaway.database.write_site() as tx:
        if what == "password":
            user_access.set_password(tx, 0, OPERATOR, "ada", PARAMETERS.hash(PASSWORD))
        elif what == "address":
            emails.add(tx, 0, ada, "new@example.com", verified=True)
            emails.make_primary(tx, ada, "new@example.com")
            emails.remove(tx, ada, ADA)
        elif what == "disabled":
            user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    if what == "an hour":
        clock.move(HOUR_MS)
    if what == "other link":
        await reset(folk, asked(folk))
    if what == "verify link":
        secret = "swy-ln-" + secret[7:-1] + "x"
    with pytest.raises(NotFound, match="no longer valid"):
        await reset(folk, secret, PASSWORD + " 2")


async def test_a_bad_password_leaves_the_link_good(folk: Folk) -> None:
    """Who types one that is too short tries again."""
    folk.add("ada")
    secret = asked(folk)
    with pytest.raises(WeakPassword):
        await reset(folk, secret, "short")
    await reset(folk, secret)


async def test_an_unknown_address_gets_no_letter(seaway: Seaway, folk: Folk) -> None:
    """Nor does an unverified one: its owner may be somebody else (1)."""
    folk.add("ada", verified=False)
    for address in ("nobody@example.com", ADA):
        password_reset.request(folk.house, address, client=HOME.address)
    assert [] == letters(seaway)


async def test_asking_for_an_unknown_address_does_the_same_work(seaway: Seaway, folk: Folk) -> None:
    """Case 5: the same statements, so the same time; whether there is an account is looked up later, by a job (1)."""
    folk.add("ada")
    done: dict[str, list[str]] = {}
    for address in (ADA, "nobody@example.com"):
        statements = done.setdefault(address, [])

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any, to: list[str] = statements) -> None:
            to.append(statement)

        event.listen(seaway.database.engine, "before_cursor_execute", note)
        password_reset.request(folk.house, address, client=HOME.address)
        event.remove(seaway.database.engine, "before_cursor_execute", note)
    known, unknown = done.values()
    assert known == unknown
    assert any("INSERT INTO jobs" in statement for statement in known)


async def test_letters_are_few(folk: Folk, clock: TurnedClock) -> None:
    """Five a day for one address, known or not."""
    for address in (ADA, "nobody@example.com"):
        for _ in range(5):
            password_reset.request(folk.house, address, client=HOME.address)
        with pytest.raises(TooManyRequests, match="password reset requests"):
            password_reset.request(folk.house, address, client=HOME.address)


async def test_a_password_is_changed_by_who_was_just_there(seaway: Seaway, folk: Folk, clock: TurnedClock) -> None:
    """Case 15: this browser stays signed in, every other is out (3); a sign-in of a while ago is not enough."""
    folk.add("ada")
    by, mine = await folk.session("ada")
    _, other = await folk.session("ada", AWAY)
    await password_reset.change(folk.house, by, OTHER_PASSWORD)
    assert [True, False] == [folk.is_good(secret) for secret in (mine, other)]
    assert await folk.sign_in("ada", OTHER_PASSWORD)
    clock.move(30 * MINUTE_MS)
    by = folk.who(mine)
    with pytest.raises(ConfirmationRequired):
        await password_reset.change(folk.house, by, PASSWORD)
    with seaway.database.read() as tx:
        assert 2 == len(sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms()))
