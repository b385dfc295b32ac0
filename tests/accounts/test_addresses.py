"""The addresses of an account (sign_in/email_addresses.py, emails.py), with the letters that really leave."""

import pytest

from seaway.clock import DAY_MS, MINUTE_MS
from seaway.errors import ConfirmationRequired, Malformed, NameTaken, NotAllowed, NotFound, TooManyRequests
from seaway.server.wiring import Seaway
from seaway.sign_in import email_addresses, password_reset, sign_up
from seaway.users import emails
from tests.accounts.conftest import AWAY, HOME, OTHER_PASSWORD, Folk
from tests.support.clock import TurnedClock
from tests.support.mail import letters, letters_to, link_in, text_of

pytestmark = pytest.mark.anyio

HOME_ADDRESS = "ada@home.example"


def of(seaway: Seaway, user_id: int) -> list[tuple[str, bool, bool]]:
    with seaway.database.read() as tx:
        return [(one.address, one.is_primary, one.verified_at_ms is not None) for one in emails.of_user(tx, user_id)]


async def test_an_address_is_added_verified_and_made_primary(seaway: Seaway, folk: Folk) -> None:
    """Each step is told to those who read the others; other browsers are signed out (1, 2)."""
    ada = folk.add("ada")
    by, mine = await folk.session("ada")
    email_addresses.add(folk.house, by, HOME_ADDRESS)
    assert [("ada@example.com", True, True), (HOME_ADDRESS, False, False)] == of(seaway, ada)
    with pytest.raises(NotAllowed, match="is not verified"):
        email_addresses.make_primary(folk.house, by, HOME_ADDRESS)

    _, other = await folk.session("ada", AWAY)
    sign_up.verify(folk.house, by, link_in(letters(seaway)[0]))
    assert [True, False] == [folk.is_good(secret) for secret in (mine, other)]
    assert f"{HOME_ADDRESS} was added" in text_of(letters_to(seaway, "ada@example.com")[0])

    email_addresses.make_primary(folk.house, by, HOME_ADDRESS.upper())
    assert [(HOME_ADDRESS, True, True), ("ada@example.com", False, True)] == of(seaway, ada)
    email_addresses.remove(folk.house, by, "ada@example.com")
    assert [(HOME_ADDRESS, True, True)] == of(seaway, ada)
    assert "ada@example.com was removed" in text_of(letters_to(seaway, "ada@example.com")[-1])


async def test_the_primary_address_stays(folk: Folk) -> None:
    """A user who has an address goes on having one, and does not become one who has nothing to verify (emails 2)."""
    folk.add("ada", verified=False)
    by, _ = await folk.session("ada")
    with pytest.raises(NotAllowed, match="primary email address"):
        email_addresses.remove(folk.house, by, "ada@example.com")


async def test_an_address_of_somebody_else_can_be_claimed_and_not_had(seaway: Seaway, folk: Folk) -> None:
    """Nobody learns whose it is but its owner, by a letter (emails 3)."""
    folk.add("bob")
    ada = folk.add("ada")
    by, _ = await folk.session("ada")
    email_addresses.add(folk.house, by, "Bob@example.com")
    assert ("Bob@example.com", False, False) in of(seaway, ada)
    (letter,) = letters_to(seaway, "Bob@example.com")
    assert "already belongs to your account bob" in text_of(letter)
    with seaway.database.write_site() as tx, pytest.raises(NameTaken, match="belongs to an account"):
        emails.verify(tx, 0, ada, "bob@example.com")


async def test_a_link_to_an_address_that_was_removed_is_dead(seaway: Seaway, folk: Folk) -> None:
    """Also one that sets a password."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    email_addresses.add(folk.house, by, HOME_ADDRESS)
    secret = link_in(letters(seaway)[0])
    email_addresses.remove(folk.house, by, HOME_ADDRESS)
    with pytest.raises(NotFound):
        sign_up.verify(folk.house, by, secret)
    email_addresses.add(folk.house, by, HOME_ADDRESS)
    sign_up.verify(folk.house, by, link_in(letters_to(seaway, HOME_ADDRESS)[-1]))
    password_reset.request(folk.house, HOME_ADDRESS, client=HOME.address)
    secret = link_in(letters_to(seaway, HOME_ADDRESS)[-1])
    email_addresses.remove(folk.house, by, HOME_ADDRESS)
    with pytest.raises(NotFound):
        await password_reset.reset(folk.house, secret, OTHER_PASSWORD, client=HOME.address)


async def test_addresses_are_added_seldom(folk: Folk, clock: TurnedClock) -> None:
    """Two a day: each sends a letter to a stranger."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    email_addresses.add(folk.house, by, "one@example.com")
    email_addresses.add(folk.house, by, "two@example.com")
    with pytest.raises(TooManyRequests, match="new email addresses"):
        email_addresses.add(folk.house, by, "three@example.com")
    clock.move(DAY_MS)
    by, _ = await folk.session("ada")
    email_addresses.add(folk.house, by, "three@example.com")


async def test_what_is_refused_changes_nothing(seaway: Seaway, folk: Folk, clock: TurnedClock) -> None:
    """An address twice, none at all, one that is not there; and any change after a sign-in of a while ago."""
    ada = folk.add("ada")
    by, secret = await folk.session("ada")
    with pytest.raises(NameTaken, match="already in this account"):
        email_addresses.add(folk.house, by, "ADA@example.com")
    with pytest.raises(Malformed):
        email_addresses.add(folk.house, by, "none")
    for change in (email_addresses.remove, email_addresses.make_primary):
        with pytest.raises(NotFound):
            change(folk.house, by, "other@example.com")
    clock.move(30 * MINUTE_MS)
    by = folk.who(secret)
    for change in (email_addresses.add, email_addresses.remove, email_addresses.make_primary):
        with pytest.raises(ConfirmationRequired):
            change(folk.house, by, "new@example.com")
    assert [("ada@example.com", True, True)] == of(seaway, ada)
