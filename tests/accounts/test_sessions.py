"""Browsers that are signed in (sign_in/sessions.py), turned through their time."""

import pytest
from sqlalchemy import func, select

from seaway import secret_tokens
from seaway.callers.caller import OPERATOR, Caller, CredentialKind
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.tables import sessions as rows
from seaway.errors import BadCredential
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Accepted, Secrets, identify
from seaway.sign_in import sessions, user_access
from seaway.users import emails, users
from tests.support.clock import TurnedClock
from tests.support.house import People


def start(people: People, name: str = "ada") -> str:
    people.user(name)
    seaway = people.seaway
    with seaway.database.write_site() as tx:
        return sessions.start(
            tx, seaway.clock.now_ms(), users.get(tx, name).id, address="10.0.0.1", agent="Firefox\n\0 150"
        )


def who(seaway: Seaway, secret: str) -> Caller | None:
    with seaway.database.read() as tx:
        return sessions.caller_of(tx, secret, seaway.clock.now_ms())


def test_a_session_speaks_for_a_person(seaway: Seaway, people: People) -> None:
    """The cookie's secret opens it, where a cookie carries it and a route accepts it."""
    secret = start(people)
    found = who(seaway, secret)
    assert found is not None
    assert ("ada", CredentialKind.PERSON, True, True) == (found.name, found.credential, found.is_fresh, found.is_new)
    with seaway.database.read() as tx:
        parts = seaway.request_parts.reading.identifying
        assert found == identify(tx, parts, Secrets(("", "garbage"), secret), Accepted.ANY)
        assert identify(tx, parts, Secrets((secret,)), Accepted.ANY).is_anonymous
        assert identify(tx, parts, Secrets(session=secret), Accepted.BEARER).is_anonymous


def test_a_secret_from_elsewhere_opens_nothing(seaway: Seaway, people: People) -> None:
    """Case 13: a well-formed secret that the browser was given by somebody else is not adopted (1)."""
    start(people)
    assert who(seaway, secret_tokens.new_key(secret_tokens.KeyKind.SESSION)) is None


def test_a_key_is_no_session(seaway: Seaway, people: People) -> None:
    """Nor the other way round: each kind of secret opens what it is for."""
    assert who(seaway, people.key("ada")) is None


@pytest.mark.parametrize(
    ("steps", "lives"),
    [
        ([12 * HOUR_MS - 1], True),
        ([12 * HOUR_MS], False),
        ([11 * HOUR_MS] * 3, True),
        ([11 * HOUR_MS] * 30 + [6 * HOUR_MS - 1], True),
        ([11 * HOUR_MS] * 30 + [6 * HOUR_MS], False),
    ],
    ids=["used within 12 h", "idle for 12 h", "used on", "just under 14 days", "14 days"],
)
def test_a_session_ends_by_itself(
    seaway: Seaway, people: People, clock: TurnedClock, steps: list[int], lives: bool
) -> None:
    """Case 16: 12 hours after it was last used, 14 days after it began (2)."""
    secret = start(people)
    for step in steps:
        found = who(seaway, secret)
        assert found is not None
        sessions.touch(seaway.database, clock.now_ms(), found)
        clock.move(step)
    assert lives == (who(seaway, secret) is not None)


def test_being_seen_is_written_seldom(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """At most every ten minutes: each commit makes every worker ask again."""
    found = who(seaway, start(people))
    assert found is not None
    begun = clock.now_ms()
    seen = []
    for _ in range(4):
        sessions.touch(seaway.database, clock.now_ms(), found)
        with seaway.database.read() as tx:
            seen.append((tx.execute(select(rows.c.seen_at)).scalar_one() - begun) // MINUTE_MS)
        clock.move(5 * MINUTE_MS)
    assert [0, 0, 10, 10] == seen


def test_a_fresh_proof_makes_a_fresh_secret(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """Case 12: the session goes on under a new secret, confirmed now, and the old one is dead (1)."""
    old = start(people)
    before = who(seaway, old)
    clock.move(HOUR_MS)
    with seaway.database.write_site() as tx:
        fresh = sessions.renew(tx, clock.now_ms(), old)
    after = who(seaway, fresh)
    assert before is not None
    assert after is not None
    assert (before.session_id, True, False) == (after.session_id, after.is_fresh, after.is_new)
    assert who(seaway, old) is None
    with seaway.database.write_site() as tx, pytest.raises(BadCredential, match="has ended"):
        sessions.renew(tx, clock.now_ms(), old)


def test_signing_out_ends_it(seaway: Seaway, people: People) -> None:
    """Case 14: the cookie that was copied before opens nothing after (2)."""
    secret, other = start(people), start(people)
    found = who(seaway, secret)
    assert found is not None
    assert found.session_id is not None
    with seaway.database.write_site() as tx:
        sessions.end(tx, found.session_id)
    assert who(seaway, secret) is None
    assert who(seaway, other) is not None


def test_the_others_are_ended(seaway: Seaway, people: People) -> None:
    """All but the one in hand, and nobody else's."""
    mine, other, stranger = start(people), start(people), start(people, "bob")
    found = who(seaway, mine)
    assert found is not None
    assert found.user_id is not None
    with seaway.database.write_site() as tx:
        sessions.end_others(tx, found.user_id, found.session_id)
    assert [True, False, True] == [who(seaway, each) is not None for each in (mine, other, stranger)]


def test_a_user_sees_their_sessions(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """The one that was used last first, without what browsers should not have said; ended ones are not listed."""
    start(people)
    clock.move(HOUR_MS)
    start(people)
    with seaway.database.read() as tx:
        found = sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms())
        later = sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms() + 11 * HOUR_MS)
    assert [clock.now_ms(), clock.now_ms() - HOUR_MS] == [each.created_at_ms for each in found]
    assert {"Firefox 150"} == {each.agent for each in found}
    assert [found[0]] == later


@pytest.mark.parametrize(("address", "verified"), [(None, True), (False, False), (True, True)], ids=str)
def test_who_has_verified_an_address(seaway: Seaway, people: People, address: bool | None, verified: bool) -> None:
    """Signing up takes an address, which is unverified at first; an operator's account without one has none to verify."""
    secret = start(people)
    if address is not None:
        with seaway.database.write_site() as tx:
            emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=address)
    found = who(seaway, secret)
    assert found is not None
    assert verified == found.is_verified


def test_the_token_of_forms_belongs_to_one_session(people: People) -> None:
    """It differs between sessions, and the cookie cannot be told from it (3)."""
    one, two = start(people), start(people)
    assert sessions.csrf_token(one) == sessions.csrf_token(one) != sessions.csrf_token(two)
    assert sessions.csrf_token(one) not in one


def test_only_the_hash_is_stored(seaway: Seaway, people: People) -> None:
    """What is in the table opens nothing (1)."""
    secret = start(people)
    with seaway.database.read() as tx:
        assert secret_tokens.hash_key(secret) == tx.execute(select(rows.c.digest)).scalar_one()


def test_old_sessions_are_forgotten(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """The hourly job takes those that ended, and no other."""
    start(people)
    clock.move(13 * HOUR_MS)
    secret = start(people)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert 1 == tx.execute(select(func.count()).select_from(rows)).scalar_one()
    assert who(seaway, secret) is not None
    clock.move(15 * DAY_MS)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert 0 == tx.execute(select(func.count()).select_from(rows)).scalar_one()


def test_a_disabled_user_is_signed_out(seaway: Seaway, people: People) -> None:
    """Case 27: on the next request, and not signed in again by being enabled (2)."""
    secret = start(people)
    with seaway.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    assert who(seaway, secret) is None
    with seaway.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=False)
    assert who(seaway, secret) is None
