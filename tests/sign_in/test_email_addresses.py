"""Email addresses of an account (sign_in/email_addresses.py, emails.py), with the emails that are sent."""

import pytest

from seaway.clock import DAY_MS, MINUTE_MS
from seaway.errors import ConfirmationRequired, Malformed, NameTaken, NotAllowed, NotFound, TooManyRequests
from seaway.server.wiring import Seaway
from seaway.sign_in import email_addresses, password_reset, sign_up
from seaway.users import emails
from tests.support.accounts import AWAY, HOME, OTHER_PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, link_secret, sent_emails, text_of

pytestmark = pytest.mark.anyio

HOME_ADDRESS = "ada@home.example"


def addresses_of(seaway: Seaway, user_id: int) -> list[tuple[str, bool, bool]]:
    with seaway.site.database.read() as tx:
        return [
            (email.address, email.is_primary, email.verified_at_ms is not None) for email in emails.of_user(tx, user_id)
        ]


async def test_address_is_added_verified_and_made_primary(seaway: Seaway, accounts: Accounts) -> None:
    """Each step notifies the other addresses and signs out other browsers (1, 2)."""
    ada = accounts.add("ada")
    by, own_session = await accounts.session("ada")
    email_addresses.add(accounts.parts, by, HOME_ADDRESS)
    assert [("ada@example.com", True, True), (HOME_ADDRESS, False, False)] == addresses_of(seaway, ada)
    with pytest.raises(NotAllowed, match="is not verified"):
        email_addresses.make_primary(accounts.parts, by, HOME_ADDRESS)

    _, other_session = await accounts.session("ada", AWAY)
    sign_up.verify(accounts.parts, by, link_secret(sent_emails(seaway)[0]))
    assert [True, False] == [accounts.is_valid(secret) for secret in (own_session, other_session)]
    assert f"{HOME_ADDRESS} was added" in text_of(emails_to(seaway, "ada@example.com")[0])

    email_addresses.make_primary(accounts.parts, by, HOME_ADDRESS.upper())
    assert [(HOME_ADDRESS, True, True), ("ada@example.com", False, True)] == addresses_of(seaway, ada)
    email_addresses.remove(accounts.parts, by, "ada@example.com")
    assert [(HOME_ADDRESS, True, True)] == addresses_of(seaway, ada)
    assert "ada@example.com was removed" in text_of(emails_to(seaway, "ada@example.com")[-1])


async def test_primary_address_cannot_be_removed(accounts: Accounts) -> None:
    """A user with an address always keeps one and never becomes a user with nothing to verify (emails 2)."""
    accounts.add("ada", verified=False)
    by, _ = await accounts.session("ada")
    with pytest.raises(NotAllowed, match="primary email address"):
        email_addresses.remove(accounts.parts, by, "ada@example.com")


async def test_address_of_another_user_can_be_added_but_not_verified(seaway: Seaway, accounts: Accounts) -> None:
    """Only the owner of the address learns that it belongs to an account, by email (emails 3)."""
    accounts.add("bob")
    ada = accounts.add("ada")
    by, _ = await accounts.session("ada")
    email_addresses.add(accounts.parts, by, "Bob@example.com")
    assert ("Bob@example.com", False, False) in addresses_of(seaway, ada)
    (email,) = emails_to(seaway, "Bob@example.com")
    assert "already belongs to your account bob" in text_of(email)
    with seaway.site.database.write_site() as tx, pytest.raises(NameTaken, match="belongs to an account"):
        emails.verify(tx, 0, ada, "bob@example.com")


async def test_link_to_removed_address_is_refused(seaway: Seaway, accounts: Accounts) -> None:
    """Links that verify the address and links that reset the password both stop working."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    email_addresses.add(accounts.parts, by, HOME_ADDRESS)
    secret = link_secret(sent_emails(seaway)[0])
    email_addresses.remove(accounts.parts, by, HOME_ADDRESS)
    with pytest.raises(NotFound):
        sign_up.verify(accounts.parts, by, secret)
    email_addresses.add(accounts.parts, by, HOME_ADDRESS)
    sign_up.verify(accounts.parts, by, link_secret(emails_to(seaway, HOME_ADDRESS)[-1]))
    password_reset.request(accounts.parts, HOME_ADDRESS, client=HOME.address)
    secret = link_secret(emails_to(seaway, HOME_ADDRESS)[-1])
    email_addresses.remove(accounts.parts, by, HOME_ADDRESS)
    with pytest.raises(NotFound):
        await password_reset.reset(accounts.parts, secret, OTHER_PASSWORD, client=HOME.address)


async def test_only_two_addresses_can_be_added_per_day(accounts: Accounts, clock: ManualClock) -> None:
    """Each addition sends an email to an address that may belong to another user."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    email_addresses.add(accounts.parts, by, "one@example.com")
    email_addresses.add(accounts.parts, by, "two@example.com")
    with pytest.raises(TooManyRequests, match="new email addresses"):
        email_addresses.add(accounts.parts, by, "three@example.com")
    clock.move(DAY_MS)
    by, _ = await accounts.session("ada")
    email_addresses.add(accounts.parts, by, "three@example.com")


async def test_refused_change_leaves_addresses_unchanged(
    seaway: Seaway, accounts: Accounts, clock: ManualClock
) -> None:
    """A duplicate, malformed or unknown address and a stale sign-in are refused."""
    ada = accounts.add("ada")
    by, secret = await accounts.session("ada")
    with pytest.raises(NameTaken, match="already in this account"):
        email_addresses.add(accounts.parts, by, "ADA@example.com")
    with pytest.raises(Malformed):
        email_addresses.add(accounts.parts, by, "none")
    for change in (email_addresses.remove, email_addresses.make_primary):
        with pytest.raises(NotFound):
            change(accounts.parts, by, "other@example.com")
    clock.move(30 * MINUTE_MS)
    by = accounts.caller_of(secret)
    for change in (email_addresses.add, email_addresses.remove, email_addresses.make_primary):
        with pytest.raises(ConfirmationRequired):
            change(accounts.parts, by, "new@example.com")
    assert [("ada@example.com", True, True)] == addresses_of(seaway, ada)
