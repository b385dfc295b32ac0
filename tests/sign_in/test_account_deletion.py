"""The first account of a site and account deletion (sign_in/first_account.py, sign_in/account_deletion.py)."""

import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.clock import DAY_MS, MINUTE_MS
from seaway.database.tables import audit, sessions
from seaway.errors import ConfirmationRequired, NameTaken, NotAllowed, NotFound, WeakPassword
from seaway.keys import api_keys
from seaway.server.wiring import Seaway
from seaway.sign_in import account_deletion, first_account
from seaway.users import users
from tests.support.accounts import HOME, PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, text_of
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio


def first_account_secret(seaway: Seaway) -> str:
    link = first_account.create_link(seaway.site)
    assert link is not None
    assert link.startswith(f"{seaway.site.url}/first-account/swy-ln-")
    return link.rpartition("/")[2]


async def make(seaway: Seaway, secret: str, name: str = "ada", password: str = PASSWORD) -> users.User:
    return await first_account.make(
        seaway.request_parts.accounts, secret, name, f"{name}@example.com", password, client=HOME.address
    )


async def test_link_creates_the_first_account(seaway: Seaway) -> None:
    """The account is a site admin with a verified address; the link works once (1, 2)."""
    secret = first_account_secret(seaway)
    with pytest.raises(WeakPassword):
        await make(seaway, secret, password="short")
    assert (await make(seaway, secret)).is_admin
    assert (await Accounts(seaway).session("ada@example.com"))[0].is_verified
    with pytest.raises(NotFound):
        await make(seaway, secret, "bob")
    assert first_account.create_link(seaway.site) is None


async def test_restart_invalidates_the_old_link(seaway: Seaway, clock: ManualClock) -> None:
    """A link in an old log must not work, and a link expires after a week (1)."""
    old, new = first_account_secret(seaway), first_account_secret(seaway)
    with pytest.raises(NotFound):
        await make(seaway, old)
    clock.move(7 * DAY_MS)
    with pytest.raises(NotFound):
        await make(seaway, new)


async def test_account_created_by_command_invalidates_the_link(seaway: Seaway, factory: Factory) -> None:
    """The link is valid only while the site has no account (1)."""
    secret = first_account_secret(seaway)
    first_account.require_valid(seaway.request_parts.accounts.site, secret)
    factory.user("founder")
    with pytest.raises(NotFound):
        first_account.require_valid(seaway.request_parts.accounts.site, secret)
    with pytest.raises(NotFound):
        await make(seaway, secret)


async def test_deleting_account_deletes_sessions_and_keys(seaway: Seaway, accounts: Accounts, factory: Factory) -> None:
    """The user is notified by email, and the audit log is kept (2)."""
    accounts.add("ada")
    by, secret = await accounts.session("ada")
    key = factory.key("ada")
    with seaway.site.database.read() as tx:
        user = users.get(tx, "ada")
    assert "ada" == factory.caller_of_key(key).name
    account_deletion.remove(accounts.parts, by, user)
    assert not accounts.is_valid(secret)
    with seaway.site.database.read() as tx:
        assert api_keys.caller_of(tx, key, accounts.now_ms) is None
        assert users.find(tx, "ada") is None
        assert [] == list(tx.execute(select(sessions.c.id)))
        assert "user.removed" == tx.execute(select(audit.c.action).order_by(audit.c.id.desc())).scalars().first()
    assert "were deleted" in text_of(emails_to(seaway, "ada@example.com")[-1])


async def test_owner_of_channels_cannot_delete_account(seaway: Seaway, accounts: Accounts, factory: Factory) -> None:
    """The channels must be transferred or deleted first (1)."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    for name in ("tools", "more-tools"):
        factory.channel(name, owner="ada")
    with seaway.site.database.read() as tx:
        user = users.get(tx, "ada")
    with pytest.raises(NotAllowed, match="owns channels: more-tools, tools"):
        account_deletion.remove(accounts.parts, by, user)


async def test_name_of_deleted_account_is_reserved_for_a_year(
    seaway: Seaway, accounts: Accounts, factory: Factory, clock: ManualClock
) -> None:
    """Otherwise another user could impersonate the previous one (3)."""
    factory.user("ada")
    with seaway.site.database.read() as tx:
        user = users.get(tx, "ada")
    account_deletion.remove(accounts.parts, OPERATOR, user)
    clock.move(364 * DAY_MS)
    with pytest.raises(NameTaken, match="recently used"):
        factory.user("ada")
    clock.move(2 * DAY_MS)
    factory.user("ada")


async def test_deleting_account_needs_recent_sign_in(seaway: Seaway, accounts: Accounts, clock: ManualClock) -> None:
    """A browser left signed in must not be enough."""
    accounts.add("ada")
    by, secret = await accounts.session("ada")
    clock.move(30 * MINUTE_MS)
    by = accounts.caller_of(secret)
    with seaway.site.database.read() as tx:
        user = users.get(tx, "ada")
    with pytest.raises(ConfirmationRequired):
        account_deletion.remove(accounts.parts, by, user)


async def test_display_name_is_one_printable_line(seaway: Seaway, accounts: Accounts) -> None:
    """Any letters are allowed, but no line breaks and no bidirectional control characters."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    with seaway.site.database.write_site() as tx:
        assert (
            "Ada  Lovelace <b>".replace("  ", " ")
            == users.set_display_name(tx, 0, by, "ada", " Ada  Lovelace <b> ").display_name
        )
        for name in ("x" * 101, "a\u202eb", "a\0b"):
            with pytest.raises(NameTaken, match="display name"):
                users.set_display_name(tx, 0, by, "ada", name)
