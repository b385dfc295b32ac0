"""Links in emails and pending sign-ins: each is used once (users/email_links.py, sign_in/pending_sign_ins.py)."""

import pytest

from seaway import secret_tokens
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.server.wiring import Seaway
from seaway.sign_in import pending_sign_ins
from seaway.sign_in.pending_sign_ins import Pending
from seaway.users import email_links, users
from seaway.users.email_links import Link, Purpose
from tests.support.clock import ManualClock
from tests.support.sites import Factory


@pytest.fixture
def ada(seaway: Seaway, factory: Factory) -> int:
    factory.user("ada")
    with seaway.site.database.read() as tx:
        return users.get(tx, "ada").id


def make(seaway: Seaway, ada: int, purpose: Purpose = Purpose.VERIFY) -> str:
    with seaway.site.database.write_site() as tx:
        return email_links.make(tx, seaway.site.clock.now_ms(), purpose, user_id=ada, address="ada@example.com")


def use(seaway: Seaway, secret: str, purpose: Purpose = Purpose.VERIFY) -> Link | None:
    with seaway.site.database.write_site() as tx:
        return email_links.use(tx, seaway.site.clock.now_ms(), purpose, secret)


def test_link_is_used_once(seaway: Seaway, ada: int) -> None:
    """A page can report that the link was already used (1)."""
    secret = make(seaway, ada)
    assert Link(ada, "ada@example.com") == use(seaway, secret)
    assert use(seaway, secret) is None
    with seaway.site.database.read() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert not email_links.was_used(tx, Purpose.RESET, secret)


def test_finding_a_link_does_not_use_it(seaway: Seaway, ada: int) -> None:
    """Case 3: mail scanners open every link, more than once (2)."""
    secret = make(seaway, ada)
    with seaway.site.database.read() as tx:
        links = [email_links.find(tx, seaway.site.clock.now_ms(), Purpose.VERIFY, secret) for _ in range(2)]
        assert not email_links.was_used(tx, Purpose.VERIFY, secret)
    assert [Link(ada, "ada@example.com")] * 2 == links
    assert use(seaway, secret) is not None


def test_link_is_valid_for_one_purpose(seaway: Seaway, ada: int) -> None:
    """Case 6: a verification link cannot set a password, and the attempt does not use it."""
    secret = make(seaway, ada)
    assert use(seaway, secret, Purpose.RESET) is None
    assert use(seaway, secret) is not None


@pytest.mark.parametrize(("purpose", "lifetime_ms"), [(Purpose.VERIFY, DAY_MS), (Purpose.RESET, HOUR_MS)], ids=str)
def test_link_expires(seaway: Seaway, ada: int, clock: ManualClock, purpose: Purpose, lifetime_ms: int) -> None:
    """Verification links are valid for a day, password reset links for an hour."""
    valid, late = make(seaway, ada, purpose), make(seaway, ada, purpose)
    clock.move(lifetime_ms - 1)
    assert use(seaway, valid, purpose) is not None
    clock.move(1)
    assert use(seaway, late, purpose) is None


def test_pending_links_are_deleted_by_purpose_and_address(seaway: Seaway, ada: int) -> None:
    """They become invalid when the data they depend on changes (3)."""
    secret, verify_secret = make(seaway, ada, Purpose.RESET), make(seaway, ada)
    with seaway.site.database.write_site() as tx:
        email_links.delete_pending(tx, Purpose.RESET, ada, address="another@example.com")
    with seaway.site.database.read() as tx:
        assert email_links.find(tx, seaway.site.clock.now_ms(), Purpose.RESET, secret) is not None
    with seaway.site.database.write_site() as tx:
        email_links.delete_pending(tx, Purpose.RESET, ada)
    assert use(seaway, secret, Purpose.RESET) is None
    assert use(seaway, verify_secret) is not None


@pytest.mark.parametrize(
    "secret",
    ["", "x", secret_tokens.new_key(secret_tokens.KeyKind.LINK), secret_tokens.new_key(secret_tokens.KeyKind.USER)],
    ids=len,
)
def test_unknown_secret_is_refused(seaway: Seaway, ada: int, secret: str) -> None:
    make(seaway, ada)
    assert use(seaway, secret) is None


def test_pending_sign_in_is_taken_once(seaway: Seaway, ada: int, clock: ManualClock) -> None:
    """Cases 22 and 31: the stored state is valid for one response of one kind, for ten minutes."""
    now_ms = clock.now_ms()
    with seaway.site.database.write_site() as tx:
        first, second = (pending_sign_ins.add(tx, now_ms, "provider", {"state": "x"}, user_id=ada) for _ in range(2))
        assert pending_sign_ins.take(tx, now_ms, "passkey", first) is None
        assert Pending(ada, {"state": "x"}) == pending_sign_ins.find(tx, now_ms, "provider", first)
        assert Pending(ada, {"state": "x"}) == pending_sign_ins.take(tx, now_ms, "provider", first)
        assert pending_sign_ins.take(tx, now_ms, "provider", first) is None
        assert pending_sign_ins.take(tx, now_ms + 10 * MINUTE_MS, "provider", second) is None
        assert pending_sign_ins.take(tx, now_ms, "provider", "garbage") is None


def test_expired_links_and_pending_sign_ins_are_deleted(seaway: Seaway, ada: int, clock: ManualClock) -> None:
    """Used links are kept for a week longer, so that pages can report that they were used."""
    secret = make(seaway, ada)
    use(seaway, secret)
    with seaway.site.database.write_site() as tx:
        pending_sign_ins.add(tx, clock.now_ms(), "provider", {})
        assert pending_sign_ins.delete_expired(tx, clock.now_ms() + 10 * MINUTE_MS) == 1
        assert email_links.delete_expired(tx, clock.now_ms() + 7 * DAY_MS) == 0
    assert use(seaway, secret) is None
    with seaway.site.database.write_site() as tx:
        assert email_links.was_used(tx, Purpose.VERIFY, secret)
        assert email_links.delete_expired(tx, clock.now_ms() + 8 * DAY_MS) == 1
