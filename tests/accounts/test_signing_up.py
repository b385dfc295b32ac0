"""An account for a stranger (sign_in/sign_up.py), with the letters that really leave."""

from dataclasses import replace
from pathlib import Path

import pytest

from seaway.callers.caller import ANONYMOUS, CredentialKind
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import DAY_MS
from seaway.errors import Malformed, NameTaken, NotAllowed, NotFound, TooManyRequests, WeakPassword
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.sign_in import sign_up as signing_up
from seaway.users import email_links, emails, users
from seaway.users.email_links import Purpose
from tests.accounts.conftest import HOME, PASSWORD, Accounts
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.mail import letters, letters_to, link_in, text_of

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


async def sign_up(accounts: Accounts, name: str = "ada", address: str = ADA, password: str = PASSWORD) -> users.User:
    return await signing_up.sign_up(accounts.parts, name, address, password, client=HOME.address)


async def test_who_signs_up_gets_a_letter_and_proves_to_read_it(seaway: Seaway, accounts: Accounts) -> None:
    """Case 1: before that, they can sign in and do nothing that others see (3)."""
    await sign_up(accounts)
    by, secret = await accounts.session("ada")
    with pytest.raises(NotAllowed, match="not verified"):
        require_site(by, SiteAction.ADD_CHANNEL)

    (letter,) = letters(seaway)
    assert (ADA, "Verify your email address for 127.0.0.1:8000") == (letter["To"], letter["Subject"])
    signing_up.verify(accounts.parts, by, link_in(letter))

    require_site(accounts.caller_of(secret), SiteAction.ADD_CHANNEL)
    assert accounts.is_valid(secret)


async def test_a_link_is_pressed_twice(seaway: Seaway, accounts: Accounts) -> None:
    """Case 2: the second time is harmless, and no way in."""
    await sign_up(accounts)
    secret = link_in(letters(seaway)[0])
    by, _ = await accounts.session("ada")
    signing_up.verify(accounts.parts, by, secret)
    with pytest.raises(NotFound, match="no longer valid"):
        signing_up.verify(accounts.parts, by, secret)
    with seaway.database.read() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert 1 == len(sessions.of_user(tx, users.get(tx, "ada").id, accounts.now_ms))


async def test_a_link_works_for_the_account_that_named_the_address(seaway: Seaway, accounts: Accounts) -> None:
    """Nobody gives their address to the account of an attacker by pressing a button, signed in elsewhere or not (2)."""
    await sign_up(accounts, "attacker", "victim@example.com")
    secret = link_in(letters_to(seaway, "victim@example.com")[0])
    accounts.add("victim-elsewhere")
    other, _ = await accounts.session("victim-elsewhere")
    attacker, _ = await accounts.session("attacker")
    for by in (ANONYMOUS, other, replace(attacker, credential=CredentialKind.KEY)):
        with pytest.raises(NotAllowed, match="an email address of the account attacker"):
            signing_up.verify(accounts.parts, by, secret)
    with seaway.database.read() as tx:
        assert emails.owner_of(tx, "victim@example.com") is None
    signing_up.verify(accounts.parts, attacker, secret)


async def test_a_scanner_that_opens_the_link_verifies_nothing(seaway: Seaway, accounts: Accounts) -> None:
    """Case 3: what a page is shown by changes nothing (2)."""
    user = await sign_up(accounts)
    secret = link_in(letters(seaway)[0])
    with seaway.database.read() as tx:
        assert email_links.find(tx, accounts.now_ms, Purpose.VERIFY, secret) is not None
        assert [None] == [one.verified_at_ms for one in emails.of_user(tx, user.id)]


async def test_a_known_address_looks_like_any_other(seaway: Seaway, accounts: Accounts) -> None:
    """Case 4: the same answer and the same account; its owner gets a letter, and nobody a link (1)."""
    accounts.add("owner")
    new = await sign_up(accounts, "stranger", "new@example.com")
    known = await sign_up(accounts, "thief", "Owner@example.com")

    assert (new.display_name, new.is_admin, True) == (known.display_name, known.is_admin, known.email is not None)
    for name in ("stranger", "thief"):
        by, _ = await accounts.session(name)
        assert not by.is_verified
    (letter,) = letters_to(seaway, "Owner@example.com")
    assert "already belongs to your account owner" in text_of(letter)
    assert "swy-ln-" not in letter.as_string()


async def test_an_address_is_verified_by_one(seaway: Seaway, accounts: Accounts) -> None:
    """Two claim it; who reads its letters has it, and the other link is of no use any more."""
    await sign_up(accounts, "first")
    await sign_up(accounts, "second")
    one, two = (link_in(letter) for letter in letters(seaway))
    (first, _), (second, _) = await accounts.session("first"), await accounts.session("second")
    signing_up.verify(accounts.parts, second, two)
    with pytest.raises(NotFound):
        signing_up.verify(accounts.parts, first, one)
    with seaway.database.read() as tx:
        assert users.get(tx, "second").id == emails.owner_of(tx, ADA)


async def test_a_link_is_good_for_a_day(seaway: Seaway, accounts: Accounts, clock: TurnedClock) -> None:
    """After that a new letter is needed, which the account can ask for."""
    await sign_up(accounts)
    old = link_in(letters(seaway)[0])
    clock.move(DAY_MS)
    by, _ = await accounts.session("ada")
    with pytest.raises(NotFound):
        signing_up.verify(accounts.parts, by, old)
    signing_up.resend_verification(accounts.parts, by, ADA, client=HOME.address)
    signing_up.verify(accounts.parts, by, link_in(letters(seaway)[1]))


async def test_a_letter_again_goes_to_ones_own_address_only(seaway: Seaway, accounts: Accounts) -> None:
    """Seaway does not write to strangers for somebody."""
    await sign_up(accounts)
    by, _ = await accounts.session("ada")
    before = len(letters(seaway))
    signing_up.resend_verification(accounts.parts, by, "victim@example.com", client=HOME.address)
    assert before == len(letters(seaway))


@pytest.mark.parametrize(
    ("name", "address", "password", "error"),
    [
        ("Ada!", ADA, PASSWORD, NameTaken),
        ("admin", ADA, PASSWORD, NameTaken),
        ("founder", ADA, PASSWORD, NameTaken),
        ("ada", "no address", PASSWORD, Malformed),
        ("ada", "ada@example.com\r\nBcc: all@example.com", PASSWORD, Malformed),
        ("ada", "ada@\ud800.com", PASSWORD, Malformed),
        ("ada", "a" * 250 + "@example.com", PASSWORD, Malformed),
        ("ada", ADA, "short", WeakPassword),
        ("ada", ADA, "ada@example.com", WeakPassword),
    ],
)
async def test_what_is_refused_leaves_nothing(
    seaway: Seaway, accounts: Accounts, name: str, address: str, password: str, error: type[Exception]
) -> None:
    """No account, no letter."""
    with pytest.raises(error):
        await sign_up(accounts, name, address, password)
    with seaway.database.read() as tx:
        assert ["founder"] == [user.name for user in users.all_users(tx)]
    assert [] == letters(seaway)


async def test_letters_to_one_address_are_few(accounts: Accounts) -> None:
    """Nobody's mailbox is filled by strangers who type its address."""
    for name in ("one", "two", "three"):
        await sign_up(accounts, name)
    with pytest.raises(TooManyRequests, match="emails to this address"):
        await sign_up(accounts, "four")


async def test_the_operator_can_close_the_door(tmp_path: Path, clock: TurnedClock) -> None:
    """Nobody signs up, or only people with an address of the organization."""
    closed = house.build(tmp_path / "closed", clock, sign_up="closed")
    theirs = house.build(tmp_path / "theirs", clock, email_domains="example.com, example.org")
    for built in (closed, theirs):
        house.People(built).user("founder")
    with pytest.raises(NotAllowed, match="Sign-up is closed"):
        await sign_up(Accounts(closed))
    with pytest.raises(NotAllowed, match=r"at example\.net are not accepted"):
        await sign_up(Accounts(theirs), address="ada@example.net")
    with pytest.raises(NotAllowed, match=r"at evil\.example\.com are not accepted"):
        await sign_up(Accounts(theirs), address="ada@evil.example.com")
    assert "ada" == (await sign_up(Accounts(theirs), address="ada@EXAMPLE.org")).name
    closed.close()
    theirs.close()


async def test_nobody_signs_up_before_the_operator(seaway: Seaway) -> None:
    """Else whoever finds a fresh site first would look after it."""
    with pytest.raises(NotAllowed, match="no account yet"):
        await sign_up(Accounts(seaway))
    with seaway.database.read() as tx:
        assert not users.any_exist(tx)
