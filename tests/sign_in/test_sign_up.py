"""Sign-up and email verification (sign_in/sign_up.py), with the emails that are sent."""

from dataclasses import replace
from pathlib import Path

import pytest

from seaway.callers.caller import ANONYMOUS, CredentialKind
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import DAY_MS
from seaway.errors import Invalid, Malformed, NameTaken, NotAllowed, NotFound, TooManyRequests, WeakPassword
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.sign_in import sign_up as signing_up
from seaway.users import email_links, emails, users
from seaway.users.email_links import Purpose
from tests.support import sites
from tests.support.accounts import HOME, PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, link_secret, sent_emails, text_of

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


async def sign_up(accounts: Accounts, name: str = "ada", address: str = ADA, password: str = PASSWORD) -> users.User:
    return await signing_up.sign_up(accounts.parts, name, address, password, client=HOME.address)


async def test_new_account_is_restricted_until_address_is_verified(seaway: Seaway, accounts: Accounts) -> None:
    """Case 1: before that, the user can sign in but create nothing that other users see (3)."""
    await sign_up(accounts)
    by, secret = await accounts.session("ada")
    with pytest.raises(NotAllowed, match="not verified"):
        require_site(by, SiteAction.ADD_CHANNEL)

    (email,) = sent_emails(seaway)
    assert (ADA, "Verify your email address for 127.0.0.1:8000") == (email["To"], email["Subject"])
    signing_up.verify(accounts.parts, by, link_secret(email))

    require_site(accounts.caller_of(secret), SiteAction.ADD_CHANNEL)
    assert accounts.is_valid(secret)


async def test_verification_link_is_used_once(seaway: Seaway, accounts: Accounts) -> None:
    """Case 2: using it again changes nothing and signs no user in."""
    await sign_up(accounts)
    secret = link_secret(sent_emails(seaway)[0])
    by, _ = await accounts.session("ada")
    signing_up.verify(accounts.parts, by, secret)
    with pytest.raises(NotFound, match="no longer valid"):
        signing_up.verify(accounts.parts, by, secret)
    with seaway.site.database.read() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert 1 == len(sessions.of_user(tx, users.get(tx, "ada").id, accounts.now_ms))


async def test_verification_link_works_only_for_its_account(seaway: Seaway, accounts: Accounts) -> None:
    """An attacker must not get a victim's address verified, whether the victim is signed in or not (2)."""
    await sign_up(accounts, "attacker", "victim@example.com")
    secret = link_secret(emails_to(seaway, "victim@example.com")[0])
    accounts.add("victim-elsewhere")
    other_user, _ = await accounts.session("victim-elsewhere")
    attacker, _ = await accounts.session("attacker")
    for by in (ANONYMOUS, other_user, replace(attacker, credential=CredentialKind.KEY)):
        with pytest.raises(NotAllowed, match="an email address of the account attacker"):
            signing_up.verify(accounts.parts, by, secret)
    with seaway.site.database.read() as tx:
        assert emails.owner_of(tx, "victim@example.com") is None
    signing_up.verify(accounts.parts, attacker, secret)


async def test_opening_verification_link_verifies_nothing(seaway: Seaway, accounts: Accounts) -> None:
    """Case 3: mail scanners open links; only the button on the page verifies (2)."""
    user = await sign_up(accounts)
    secret = link_secret(sent_emails(seaway)[0])
    with seaway.site.database.read() as tx:
        assert email_links.find(tx, accounts.now_ms, Purpose.VERIFY, secret) is not None
        assert [None] == [address.verified_at_ms for address in emails.of_user(tx, user.id)]


async def test_sign_up_with_known_address_looks_the_same(seaway: Seaway, accounts: Accounts) -> None:
    """Case 4: the result and the account do not differ; the owner of the address gets an email without a link (1)."""
    accounts.add("owner")
    new = await sign_up(accounts, "newcomer", "new@example.com")
    duplicate = await sign_up(accounts, "thief", "Owner@example.com")

    assert (new.display_name, new.is_admin, True) == (
        duplicate.display_name,
        duplicate.is_admin,
        duplicate.email is not None,
    )
    for name in ("newcomer", "thief"):
        by, _ = await accounts.session(name)
        assert not by.is_verified
    (email,) = emails_to(seaway, "Owner@example.com")
    assert "already belongs to your account owner" in text_of(email)
    assert "swy-ln-" not in email.as_string()


async def test_address_is_verified_by_one_account_only(seaway: Seaway, accounts: Accounts) -> None:
    """When two accounts claim it, the first to verify gets it and the other link becomes invalid."""
    await sign_up(accounts, "first")
    await sign_up(accounts, "second")
    first_link, second_link = (link_secret(email) for email in sent_emails(seaway))
    (first, _), (second, _) = await accounts.session("first"), await accounts.session("second")
    signing_up.verify(accounts.parts, second, second_link)
    with pytest.raises(NotFound):
        signing_up.verify(accounts.parts, first, first_link)
    with seaway.site.database.read() as tx:
        assert users.get(tx, "second").id == emails.owner_of(tx, ADA)


async def test_verification_link_expires_after_a_day(seaway: Seaway, accounts: Accounts, clock: ManualClock) -> None:
    """The user can request another email."""
    await sign_up(accounts)
    old_link = link_secret(sent_emails(seaway)[0])
    clock.move(DAY_MS)
    by, _ = await accounts.session("ada")
    with pytest.raises(NotFound):
        signing_up.verify(accounts.parts, by, old_link)
    signing_up.resend_verification(accounts.parts, by, ADA, client=HOME.address)
    signing_up.verify(accounts.parts, by, link_secret(sent_emails(seaway)[1]))


async def test_verification_email_is_resent_only_to_own_address(seaway: Seaway, accounts: Accounts) -> None:
    """Users must not be able to send emails to other users."""
    await sign_up(accounts)
    by, _ = await accounts.session("ada")
    before = len(sent_emails(seaway))
    with pytest.raises(NotFound):
        signing_up.resend_verification(accounts.parts, by, "victim@example.com", client=HOME.address)
    assert before == len(sent_emails(seaway))


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
async def test_refused_sign_up_creates_no_account_and_sends_no_email(
    seaway: Seaway, accounts: Accounts, name: str, address: str, password: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await sign_up(accounts, name, address, password)
    with seaway.site.database.read() as tx:
        assert ["founder"] == [user.name for user in users.all_users(tx)]
    assert [] == sent_emails(seaway)


async def test_emails_to_one_address_are_limited(accounts: Accounts) -> None:
    """Signing up with a victim's address must not flood their mailbox."""
    for name in ("one", "two", "three"):
        await sign_up(accounts, name)
    with pytest.raises(TooManyRequests, match="emails to this address"):
        await sign_up(accounts, "four")


async def test_operator_can_close_or_restrict_sign_up(tmp_path: Path, clock: ManualClock) -> None:
    """Sign-up can be closed, or limited to email domains."""
    closed = sites.build(tmp_path / "closed", clock, sign_up="closed")
    restricted = sites.build(tmp_path / "theirs", clock, email_domains="example.com, example.org")
    for seaway in (closed, restricted):
        sites.Factory(seaway).user("founder")
    with pytest.raises(NotAllowed, match="Sign-up is closed"):
        await sign_up(Accounts(closed))
    with pytest.raises(NotAllowed, match=r"at example\.net are not accepted"):
        await sign_up(Accounts(restricted), address="ada@example.net")
    with pytest.raises(NotAllowed, match=r"at evil\.example\.com are not accepted"):
        await sign_up(Accounts(restricted), address="ada@evil.example.com")
    assert "ada" == (await sign_up(Accounts(restricted), address="ada@EXAMPLE.org")).name
    closed.close()
    restricted.close()


async def test_sign_up_is_refused_before_the_first_account(seaway: Seaway) -> None:
    """Otherwise the first user to sign up would become the admin."""
    with pytest.raises(NotAllowed, match="no account yet"):
        await sign_up(Accounts(seaway))
    with seaway.site.database.read() as tx:
        assert not users.any_exist(tx)


async def test_all_errors_of_the_form_are_reported_at_once(seaway: Seaway, accounts: Accounts) -> None:
    """And a refused form uses up none of the emails that the address can get."""
    for _ in range(4):
        with pytest.raises(Invalid) as refused:
            await sign_up(accounts, "founder", ADA, "short")
        assert {"name", "password"} == set(refused.value.fields)
    with pytest.raises(Invalid) as refused:
        await sign_up(accounts, "Not a name", "no address", "short")
    assert {"name", "address", "password"} == set(refused.value.fields)
    assert "ada" == (await sign_up(accounts, "ada", ADA)).name
