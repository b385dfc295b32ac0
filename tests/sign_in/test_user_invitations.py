"""Invitations to people without an account (sign_in/user_invitations.py), and deletion of accounts by site admins."""

import pytest

from seaway.audit import log
from seaway.callers.caller import OPERATOR, Caller
from seaway.clock import DAY_MS
from seaway.errors import (
    BadCredential,
    ConfirmationRequired,
    Invalid,
    Malformed,
    NameTaken,
    NotAllowed,
    NotFound,
    TooManyRequests,
    WeakPassword,
)
from seaway.server.wiring import Seaway
from seaway.sign_in import account_deletion, user_access, user_invitations
from seaway.users import emails, users
from seaway.users.users import User
from tests.support.accounts import HOME, PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, link_secret, text_of
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio

GRACE = "grace@example.com"


def invite(accounts: Accounts, by: Caller = OPERATOR, name: str = "grace", address: str = GRACE) -> User:
    seaway = accounts.seaway
    with seaway.site.database.write_site() as tx:
        return user_invitations.invite(accounts.parts, tx, seaway.site.clock.now_ms(), by, name, address)


def send_again(accounts: Accounts, by: Caller = OPERATOR, name: str = "grace") -> None:
    seaway = accounts.seaway
    with seaway.site.database.write_site() as tx:
        user_invitations.send_again(accounts.parts, tx, seaway.site.clock.now_ms(), by, name)


def newest_secret(accounts: Accounts) -> str:
    return link_secret(emails_to(accounts.seaway, GRACE)[-1])


async def accept(accounts: Accounts, secret: str, password: str = PASSWORD) -> User:
    return await user_invitations.accept(accounts.parts, secret, password, client=HOME.address)


async def test_invited_user_sets_a_password_and_signs_in(seaway: Seaway, accounts: Accounts, factory: Factory) -> None:
    """The email names the admin; accepting is the only way to sign in, and verifies the address (1, 2)."""
    factory.user("ada", admin=True)
    user = invite(accounts, factory.signed_in("ada"))
    assert (False, False) == (user.is_verified, user.is_admin)
    with pytest.raises(BadCredential):
        await accounts.sign_in("grace")
    text = text_of(emails_to(seaway, GRACE)[-1])
    assert all(part in text for part in ("ada created an account for you", "user name is grace", "expires in a week"))
    secret = newest_secret(accounts)
    with pytest.raises(WeakPassword):
        await accept(accounts, secret, "short")
    await accept(accounts, secret)
    caller, _ = await accounts.session(GRACE)
    assert (True, "grace") == (caller.is_verified, caller.name)
    with seaway.site.database.read() as tx:
        assert users.get(tx, "grace").signed_in_at_ms == seaway.site.clock.now_ms()
        written = {entry.action: entry.actor for entry in log.of_all(tx, limit=20) if entry.target == "grace"}
    assert ("ada", "ada", "grace") == (written["user.added"], written["user.invited"], written["email.verified"])
    with pytest.raises(NotFound, match="already accepted"):
        await accept(accounts, secret)


async def test_invitation_sent_again_replaces_the_first(accounts: Accounts, clock: ManualClock) -> None:
    """It can be sent after the first has expired; who accepted needs none (2)."""
    user = invite(accounts)
    first = newest_secret(accounts)
    send_again(accounts)
    with pytest.raises(NotFound):
        await accept(accounts, first)
    clock.move(8 * DAY_MS)
    with pytest.raises(NotFound, match="expired"):
        await accept(accounts, newest_secret(accounts))
    send_again(accounts)
    with accounts.seaway.site.database.read() as tx:
        now_ms = clock.now_ms()
        assert (1, now_ms + 7 * DAY_MS) == (
            user_invitations.count(tx, now_ms),
            user_invitations.expires_at(tx, user.id),
        )
    await accept(accounts, newest_secret(accounts))
    with pytest.raises(NotAllowed, match="needs no invitation"):
        send_again(accounts)


@pytest.mark.parametrize("cause", ["password", "disabled", "address of another account"])
async def test_withdrawn_invitation_is_refused(seaway: Seaway, accounts: Accounts, cause: str) -> None:
    """A link never replaces a password, opens a disabled account, or takes an address that another user verified."""
    invite(accounts)
    accounts.add("ada")
    secret = newest_secret(accounts)
    with seaway.site.database.write_site() as tx:
        if cause == "password":
            user_access.set_password(tx, 1, OPERATOR, "grace", "hash")
        elif cause == "disabled":
            user_access.set_disabled(tx, 1, OPERATOR, "grace", disabled=True)
        else:
            emails.add(tx, 1, users.get(tx, "ada").id, GRACE, verified=True)
    with pytest.raises((NotFound, NameTaken)):
        await accept(accounts, secret)
    if cause == "disabled":
        with pytest.raises(NotAllowed, match="disabled"):
            send_again(accounts)


async def test_errors_of_name_and_address_are_told_together(accounts: Accounts, factory: Factory) -> None:
    """Each at its field; nothing is created."""
    accounts.add("ada")
    with pytest.raises(Invalid) as both:
        invite(accounts, name="Ada Lovelace", address="nowhere")
    assert {"name", "email"} == set(both.value.fields)
    with pytest.raises(NameTaken, match="already belongs to the account ada") as taken:
        invite(accounts, address="ADA@example.com")
    assert {"email"} == set(taken.value.fields)
    with pytest.raises(NameTaken, match="already exists"):
        invite(accounts, name="ada")
    with accounts.seaway.site.database.read() as tx:
        assert users.find(tx, "grace") is None


async def test_only_confirmed_admins_invite(accounts: Accounts, factory: Factory) -> None:
    """Emails that an admin causes are limited, and a refused one leaves no account."""
    factory.user("ada", admin=True)
    with pytest.raises(NotAllowed):
        invite(accounts, factory.signed_in(factory.user("bob")))
    with pytest.raises(ConfirmationRequired):
        invite(accounts, factory.signed_in("ada", confirmed=False))
    invite(accounts, factory.signed_in("ada"))
    for _ in range(9):
        send_again(accounts, factory.signed_in("ada"))
    with pytest.raises(TooManyRequests):
        send_again(accounts, factory.signed_in("ada"))


async def test_admin_deletes_another_account(seaway: Seaway, accounts: Accounts, factory: Factory) -> None:
    """A user cannot delete another account, and two admins cannot delete each other: the second is no admin any more."""
    ada, bob = (factory.signed_in(factory.user(name, admin=True)) for name in ("ada", "bob"))
    eve = factory.signed_in(factory.user("eve"))
    with seaway.site.database.read() as tx:
        found = {name: users.get(tx, name) for name in ("ada", "bob", "eve")}
    with pytest.raises(NotAllowed):
        account_deletion.remove(accounts.parts, eve, found["ada"])
    account_deletion.remove(accounts.parts, ada, found["eve"])
    account_deletion.remove(accounts.parts, ada, found["bob"])
    with pytest.raises((NotAllowed, NotFound)):
        account_deletion.remove(accounts.parts, bob, found["ada"])
    with seaway.site.database.read() as tx:
        assert users.find(tx, "ada") is not None
    account_deletion.remove(accounts.parts, ada, found["ada"])


async def test_malformed_address_names_its_field(accounts: Accounts) -> None:
    with pytest.raises(Malformed) as refused:
        invite(accounts, address="@")
    assert {"email"} == set(refused.value.fields)
