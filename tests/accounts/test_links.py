"""Links in letters, and what browsers have begun: each is used once (users/email_links.py, sign_in/pending_sign_ins.py)."""

import pytest

from seaway import secret_tokens
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.server.wiring import Seaway
from seaway.sign_in import pending_sign_ins
from seaway.sign_in.pending_sign_ins import Pending
from seaway.users import email_links, users
from seaway.users.email_links import Link, Purpose
from tests.support.clock import TurnedClock
from tests.support.house import People


@pytest.fixture
def ada(seaway: Seaway, people: People) -> int:
    people.user("ada")
    with seaway.database.read() as tx:
        return users.get(tx, "ada").id


def make(seaway: Seaway, ada: int, purpose: Purpose = Purpose.VERIFY) -> str:
    with seaway.database.write_site() as tx:
        return email_links.make(tx, seaway.clock.now_ms(), purpose, user_id=ada, address="ada@example.com")


def use(seaway: Seaway, secret: str, purpose: Purpose = Purpose.VERIFY) -> Link | None:
    with seaway.database.write_site() as tx:
        return email_links.use(tx, seaway.clock.now_ms(), purpose, secret)


def test_a_link_is_used_once(seaway: Seaway, ada: int) -> None:
    """And whoever opens it again can be told so (1)."""
    secret = make(seaway, ada)
    assert Link(ada, "ada@example.com") == use(seaway, secret)
    assert use(seaway, secret) is None
    with seaway.database.read() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert not email_links.was_used(tx, Purpose.RESET, secret)


def test_looking_does_not_use_it_up(seaway: Seaway, ada: int) -> None:
    """Case 3: scanners of mail open every link, more than once (2)."""
    secret = make(seaway, ada)
    with seaway.database.read() as tx:
        found = [email_links.find(tx, seaway.clock.now_ms(), Purpose.VERIFY, secret) for _ in range(2)]
        assert not email_links.was_used(tx, Purpose.VERIFY, secret)
    assert [Link(ada, "ada@example.com")] * 2 == found
    assert use(seaway, secret) is not None


def test_a_link_is_for_one_purpose(seaway: Seaway, ada: int) -> None:
    """Case 6: one that verifies an address sets no password, and is not used up by the try."""
    secret = make(seaway, ada)
    assert use(seaway, secret, Purpose.RESET) is None
    assert use(seaway, secret) is not None


@pytest.mark.parametrize(("purpose", "lasts"), [(Purpose.VERIFY, DAY_MS), (Purpose.RESET, HOUR_MS)], ids=str)
def test_a_link_ends(seaway: Seaway, ada: int, clock: TurnedClock, purpose: Purpose, lasts: int) -> None:
    """A day to verify, an hour to set a password."""
    good, late = make(seaway, ada, purpose), make(seaway, ada, purpose)
    clock.move(lasts - 1)
    assert use(seaway, good, purpose) is not None
    clock.move(1)
    assert use(seaway, late, purpose) is None


def test_links_are_ended(seaway: Seaway, ada: int) -> None:
    """When what they are bound to changes (3)."""
    secret, other = make(seaway, ada, Purpose.RESET), make(seaway, ada)
    with seaway.database.write_site() as tx:
        email_links.delete_pending(tx, Purpose.RESET, ada, address="another@example.com")
    with seaway.database.read() as tx:
        assert email_links.find(tx, seaway.clock.now_ms(), Purpose.RESET, secret) is not None
    with seaway.database.write_site() as tx:
        email_links.delete_pending(tx, Purpose.RESET, ada)
    assert use(seaway, secret, Purpose.RESET) is None
    assert use(seaway, other) is not None


@pytest.mark.parametrize(
    "secret",
    ["", "x", secret_tokens.new_key(secret_tokens.KeyKind.LINK), secret_tokens.new_key(secret_tokens.KeyKind.USER)],
    ids=len,
)
def test_another_secret_opens_nothing(seaway: Seaway, ada: int, secret: str) -> None:
    """Garbage, one that was never made, one of another kind."""
    make(seaway, ada)
    assert use(seaway, secret) is None


def test_what_was_begun_is_taken_once(seaway: Seaway, ada: int, clock: TurnedClock) -> None:
    """Case 22, 31: the state of a sign-in, or a challenge, is good for one answer, of one kind, for ten minutes."""
    now_ms = clock.now_ms()
    with seaway.database.write_site() as tx:
        one, two = (pending_sign_ins.add(tx, now_ms, "provider", {"state": "x"}, user_id=ada) for _ in range(2))
        assert pending_sign_ins.take(tx, now_ms, "passkey", one) is None
        assert Pending(ada, {"state": "x"}) == pending_sign_ins.find(tx, now_ms, "provider", one)
        assert Pending(ada, {"state": "x"}) == pending_sign_ins.take(tx, now_ms, "provider", one)
        assert pending_sign_ins.take(tx, now_ms, "provider", one) is None
        assert pending_sign_ins.take(tx, now_ms + 10 * MINUTE_MS, "provider", two) is None
        assert pending_sign_ins.take(tx, now_ms, "provider", "garbage") is None


def test_what_ended_is_forgotten(seaway: Seaway, ada: int, clock: TurnedClock) -> None:
    """The hourly job takes it away; a link a week later, so that its reader is told what happened."""
    secret = make(seaway, ada)
    use(seaway, secret)
    with seaway.database.write_site() as tx:
        pending_sign_ins.add(tx, clock.now_ms(), "provider", {})
        assert pending_sign_ins.delete_expired(tx, clock.now_ms() + 10 * MINUTE_MS) == 1
        assert email_links.delete_expired(tx, clock.now_ms() + 7 * DAY_MS) == 0
    assert use(seaway, secret) is None
    with seaway.database.write_site() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert email_links.delete_expired(tx, clock.now_ms() + 8 * DAY_MS) == 1
