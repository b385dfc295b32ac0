"""An account that begins a site, and accounts that end (sign_in/first_account.py, leaving.py)."""

import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.clock import DAY_MS, MINUTE_MS
from seaway.database.tables import audit, sessions
from seaway.errors import ConfirmationRequired, NameTaken, NotAllowed, NotFound, WeakPassword
from seaway.server.wiring import Seaway
from seaway.sign_in import account_deletion, first_account
from seaway.users import users
from tests.accounts.conftest import HOME, PASSWORD, Folk
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.mail import letters_to, text_of

pytestmark = pytest.mark.anyio


def offered(seaway: Seaway) -> str:
    link = first_account.create_link(seaway.database, seaway.clock.now_ms(), "https://conda.example.com")
    assert link is not None
    assert link.startswith("https://conda.example.com/first-account/swy-ln-")
    return link.rpartition("/")[2]


async def make(seaway: Seaway, secret: str, name: str = "ada", password: str = PASSWORD) -> users.User:
    return await first_account.make(
        seaway.request_parts.accounts, secret, name, f"{name}@example.com", password, client=HOME.address
    )


async def test_the_link_makes_the_first_account(seaway: Seaway) -> None:
    """A site admin, whose address needs no proof; the link is good once, and none is offered any more (1, 2)."""
    secret = offered(seaway)
    with pytest.raises(WeakPassword):
        await make(seaway, secret, password="short")
    assert (await make(seaway, secret)).is_admin
    assert (await Folk(seaway).session("ada@example.com"))[0].is_verified
    with pytest.raises(NotFound):
        await make(seaway, secret, "bob")
    assert first_account.create_link(seaway.database, seaway.clock.now_ms(), "https://conda.example.com") is None


async def test_a_new_start_ends_the_old_link(seaway: Seaway, clock: TurnedClock) -> None:
    """What stood in an old log opens nothing; and a link ends after a week (1)."""
    old, new = offered(seaway), offered(seaway)
    with pytest.raises(NotFound):
        await make(seaway, old)
    clock.move(7 * DAY_MS)
    with pytest.raises(NotFound):
        await make(seaway, new)


async def test_an_account_by_command_ends_the_link(seaway: Seaway, people: People) -> None:
    """While nobody has an account, it is good, and not a moment longer (1)."""
    secret = offered(seaway)
    first_account.require_valid(seaway.request_parts.accounts, secret)
    people.user("founder")
    with pytest.raises(NotFound):
        first_account.require_valid(seaway.request_parts.accounts, secret)
    with pytest.raises(NotFound):
        await make(seaway, secret)


async def test_an_account_ends_with_all_that_it_carried(seaway: Seaway, folk: Folk, people: People) -> None:
    """Sessions, keys; its letters say so; what was done stays in the log (2)."""
    folk.add("ada")
    by, secret = await folk.session("ada")
    key = people.key("ada")
    with seaway.database.read() as tx:
        user = users.get(tx, "ada")
    account_deletion.remove(folk.house, by, user)
    assert not folk.is_good(secret)
    with seaway.database.read() as tx:
        assert users.find(tx, "ada") is None
        assert [] == list(tx.execute(select(sessions.c.id)))
        assert "user.removed" == tx.execute(select(audit.c.action).order_by(audit.c.id.desc())).scalars().first()
    assert key
    assert "were deleted" in text_of(letters_to(seaway, "ada@example.com")[-1])


async def test_who_owns_channels_stays(seaway: Seaway, folk: Folk, people: People) -> None:
    """Until they are given away or deleted (1)."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    for name in ("tools", "more-tools"):
        people.channel(name, owner="ada")
    with seaway.database.read() as tx:
        user = users.get(tx, "ada")
    with pytest.raises(NotAllowed, match="owns channels: more-tools, tools"):
        account_deletion.remove(folk.house, by, user)


async def test_a_name_is_held_for_a_year(seaway: Seaway, folk: Folk, people: People, clock: TurnedClock) -> None:
    """Nobody comes back as somebody else (3)."""
    people.user("ada")
    with seaway.database.read() as tx:
        user = users.get(tx, "ada")
    account_deletion.remove(folk.house, OPERATOR, user)
    clock.move(364 * DAY_MS)
    with pytest.raises(NameTaken, match="recently used"):
        people.user("ada")
    clock.move(2 * DAY_MS)
    people.user("ada")


async def test_a_sign_in_of_a_while_ago_deletes_nothing(seaway: Seaway, folk: Folk, clock: TurnedClock) -> None:
    """A browser left open is not enough."""
    folk.add("ada")
    by, secret = await folk.session("ada")
    clock.move(30 * MINUTE_MS)
    by = folk.who(secret)
    with seaway.database.read() as tx:
        user = users.get(tx, "ada")
    with pytest.raises(ConfirmationRequired):
        account_deletion.remove(folk.house, by, user)


async def test_a_name_to_show_is_one_line(seaway: Seaway, folk: Folk) -> None:
    """Any letters, and nothing that breaks a line or turns its direction."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    with seaway.database.write_site() as tx:
        assert (
            "Ada  Lovelace <b>".replace("  ", " ")
            == users.set_display_name(tx, 0, by, "ada", " Ada  Lovelace <b> ").display_name
        )
        for wrong in ("x" * 101, "a\u202eb", "a\0b"):
            with pytest.raises(NameTaken, match="display name"):
                users.set_display_name(tx, 0, by, "ada", wrong)
