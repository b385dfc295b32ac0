"""Password reset and change (sign_in/password_reset.py), with the emails that are sent."""

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
from tests.support.accounts import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, link_secret, sent_emails, text_of

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


def request_link(accounts: Accounts, address: str = ADA) -> str:
    """Request a password reset; return the secret of the newest link."""
    password_reset.request(accounts.parts, address, client=HOME.address)
    return link_secret(emails_to(accounts.seaway, address)[-1])


async def reset(accounts: Accounts, secret: str, password: str = OTHER_PASSWORD) -> None:
    await password_reset.reset(accounts.parts, secret, password, client=AWAY.address)


async def test_reset_link_sets_a_new_password(seaway: Seaway, accounts: Accounts) -> None:
    """Every browser is signed out, and every verified address is notified (3)."""
    ada = accounts.add("ada")
    with seaway.site.database.write_site() as tx:
        emails.add(tx, 0, ada, "ada@home.example", verified=True)
        emails.add(tx, 0, ada, "unverified@example.com", verified=False)
    _, old_session = await accounts.session("ada")
    await reset(accounts, request_link(accounts))
    assert not accounts.is_valid(old_session)
    with pytest.raises(BadCredential):
        await accounts.sign_in("ada")
    assert await accounts.sign_in("ada", OTHER_PASSWORD)
    notified = [email["To"] for email in sent_emails(seaway) if "password was changed" in text_of(email)]
    assert {ADA, "ada@home.example"} == set(notified)


async def test_reset_link_is_used_once(accounts: Accounts) -> None:
    """Case 6 (2)."""
    accounts.add("ada")
    secret = request_link(accounts)
    await reset(accounts, secret)
    with pytest.raises(NotFound):
        await reset(accounts, secret, PASSWORD)


@pytest.mark.parametrize("cause", ["password", "an hour", "address", "disabled", "other link", "unknown link"])
async def test_invalid_reset_link_is_refused(
    seaway: Seaway, accounts: Accounts, clock: ManualClock, cause: str
) -> None:
    """Case 6: expired, never issued, or invalidated by a change of the account (2)."""
    ada = accounts.add("ada")
    secret = request_link(accounts)
    with seaway.site.database.write_site() as tx:
        if cause == "password":
            user_access.set_password(tx, 0, OPERATOR, "ada", PARAMETERS.hash(PASSWORD))
        elif cause == "address":
            emails.add(tx, 0, ada, "new@example.com", verified=True)
            emails.make_primary(tx, ada, "new@example.com")
            emails.remove(tx, ada, ADA)
        elif cause == "disabled":
            user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    if cause == "an hour":
        clock.move(HOUR_MS)
    if cause == "other link":
        await reset(accounts, request_link(accounts))
    if cause == "unknown link":
        secret = "swy-ln-" + secret[7:-1] + "x"
    with pytest.raises(NotFound, match="no longer valid"):
        await reset(accounts, secret, PASSWORD + " 2")


async def test_weak_password_does_not_use_the_link(accounts: Accounts) -> None:
    """The user can try again with another password."""
    accounts.add("ada")
    secret = request_link(accounts)
    with pytest.raises(WeakPassword):
        await reset(accounts, secret, "short")
    await reset(accounts, secret)


async def test_unknown_address_gets_no_email(seaway: Seaway, accounts: Accounts) -> None:
    """An unverified address gets none either: it may belong to another user (1)."""
    accounts.add("ada", verified=False)
    for address in ("unknown@example.com", ADA):
        password_reset.request(accounts.parts, address, client=HOME.address)
    assert [] == sent_emails(seaway)


async def test_reset_request_runs_the_same_statements_for_unknown_address(seaway: Seaway, accounts: Accounts) -> None:
    """Case 5: the same statements take the same time; a job looks up the account later (1)."""
    accounts.add("ada")
    statements_by_address: dict[str, list[str]] = {}
    for address in (ADA, "unknown@example.com"):
        statements = statements_by_address.setdefault(address, [])

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any, to: list[str] = statements) -> None:
            to.append(statement)

        event.listen(seaway.site.database.engine, "before_cursor_execute", note)
        password_reset.request(accounts.parts, address, client=HOME.address)
        event.remove(seaway.site.database.engine, "before_cursor_execute", note)
    known, unknown = statements_by_address.values()
    assert known == unknown
    assert any("INSERT INTO jobs" in statement for statement in known)


async def test_reset_requests_are_limited_per_address(accounts: Accounts, clock: ManualClock) -> None:
    """Five a day, whether the address is known or not."""
    for address in (ADA, "unknown@example.com"):
        for _ in range(5):
            password_reset.request(accounts.parts, address, client=HOME.address)
        with pytest.raises(TooManyRequests, match="password reset requests"):
            password_reset.request(accounts.parts, address, client=HOME.address)


async def test_changing_password_needs_recent_sign_in(seaway: Seaway, accounts: Accounts, clock: ManualClock) -> None:
    """Case 15: this session continues, all others end (3)."""
    accounts.add("ada")
    by, own_session = await accounts.session("ada")
    _, other_session = await accounts.session("ada", AWAY)
    await password_reset.change(accounts.parts, by, OTHER_PASSWORD)
    assert [True, False] == [accounts.is_valid(secret) for secret in (own_session, other_session)]
    assert await accounts.sign_in("ada", OTHER_PASSWORD)
    clock.move(30 * MINUTE_MS)
    by = accounts.caller_of(own_session)
    with pytest.raises(ConfirmationRequired):
        await password_reset.change(accounts.parts, by, PASSWORD)
    with seaway.site.database.read() as tx:
        assert 2 == len(sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms()))
