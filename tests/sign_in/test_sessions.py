"""Browser sessions (sign_in/sessions.py)."""

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
from tests.support.clock import ManualClock
from tests.support.sites import Factory


def start(factory: Factory, name: str = "ada") -> str:
    factory.user(name)
    seaway = factory.seaway
    with seaway.site.database.write_site() as tx:
        return sessions.start(
            tx, seaway.site.clock.now_ms(), users.get(tx, name).id, address="10.0.0.1", agent="Firefox\n\0 150"
        )


def caller_of(seaway: Seaway, secret: str) -> Caller | None:
    with seaway.site.database.read() as tx:
        return sessions.caller_of(tx, secret, seaway.site.clock.now_ms())


def test_session_cookie_identifies_its_user(seaway: Seaway, factory: Factory) -> None:
    """The secret works only as a cookie, and only on routes that accept sessions."""
    secret = start(factory)
    caller = caller_of(seaway, secret)
    assert caller is not None
    assert ("ada", CredentialKind.PERSON, True, True) == (
        caller.name,
        caller.credential,
        caller.is_fresh,
        caller.is_new,
    )
    with seaway.site.database.read() as tx:
        now_ms, policy = seaway.site.clock.now_ms(), seaway.request_parts.reading.policy
        assert caller == identify(tx, now_ms, policy, Secrets(("", "garbage"), secret), Accepted.ANY)
        assert identify(tx, now_ms, policy, Secrets((secret,)), Accepted.ANY).is_anonymous
        assert identify(tx, now_ms, policy, Secrets(session=secret), Accepted.BEARER).is_anonymous


def test_unknown_session_secret_is_refused(seaway: Seaway, factory: Factory) -> None:
    """Case 13: session fixation; a well-formed secret planted by an attacker is not adopted (1)."""
    start(factory)
    assert caller_of(seaway, secret_tokens.new_key(secret_tokens.KeyKind.SESSION)) is None


def test_api_key_is_not_a_session(seaway: Seaway, factory: Factory) -> None:
    assert caller_of(seaway, factory.key("ada")) is None


@pytest.mark.parametrize(
    ("steps", "is_valid"),
    [
        ([12 * HOUR_MS - 1], True),
        ([12 * HOUR_MS], False),
        ([11 * HOUR_MS] * 3, True),
        ([11 * HOUR_MS] * 30 + [6 * HOUR_MS - 1], True),
        ([11 * HOUR_MS] * 30 + [6 * HOUR_MS], False),
    ],
    ids=["used within 12 h", "idle for 12 h", "used repeatedly", "just under 14 days", "14 days"],
)
def test_session_expires(
    seaway: Seaway, factory: Factory, clock: ManualClock, steps: list[int], is_valid: bool
) -> None:
    """Case 16: 12 hours after it was last used, or 14 days after it began (2)."""
    secret = start(factory)
    for step in steps:
        caller = caller_of(seaway, secret)
        assert caller is not None
        sessions.touch(seaway.site.database, clock.now_ms(), caller)
        clock.move(step)
    assert is_valid == (caller_of(seaway, secret) is not None)


def test_last_use_is_written_at_most_every_ten_minutes(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Each commit makes every worker query the database again."""
    caller = caller_of(seaway, start(factory))
    assert caller is not None
    started_ms = clock.now_ms()
    seen_minutes = []
    for _ in range(4):
        sessions.touch(seaway.site.database, clock.now_ms(), caller)
        with seaway.site.database.read() as tx:
            seen_minutes.append((tx.execute(select(rows.c.seen_at)).scalar_one() - started_ms) // MINUTE_MS)
        clock.move(5 * MINUTE_MS)
    assert [0, 0, 10, 10] == seen_minutes


def test_confirmed_session_gets_a_new_secret(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Case 12: the session continues under a new secret, and the old one is refused (1)."""
    old_secret = start(factory)
    before = caller_of(seaway, old_secret)
    clock.move(HOUR_MS)
    with seaway.site.database.write_site() as tx:
        new_secret = sessions.renew(tx, clock.now_ms(), old_secret)
    after = caller_of(seaway, new_secret)
    assert before is not None
    assert after is not None
    assert (before.session_id, True, False) == (after.session_id, after.is_fresh, after.is_new)
    assert caller_of(seaway, old_secret) is None
    with seaway.site.database.write_site() as tx, pytest.raises(BadCredential, match="has ended"):
        sessions.renew(tx, clock.now_ms(), old_secret)


def test_signing_out_ends_the_session(seaway: Seaway, factory: Factory) -> None:
    """Case 14: a copy of the cookie is refused afterwards (2)."""
    secret, other_session = start(factory), start(factory)
    caller = caller_of(seaway, secret)
    assert caller is not None
    assert caller.session_id is not None
    with seaway.site.database.write_site() as tx:
        sessions.end(tx, caller.session_id)
    assert caller_of(seaway, secret) is None
    assert caller_of(seaway, other_session) is not None


def test_ending_other_sessions_keeps_the_current_one(seaway: Seaway, factory: Factory) -> None:
    """Sessions of other users are not affected."""
    own_session, other_session, session_of_bob = start(factory), start(factory), start(factory, "bob")
    caller = caller_of(seaway, own_session)
    assert caller is not None
    assert caller.user_id is not None
    with seaway.site.database.write_site() as tx:
        sessions.end_others(tx, caller.user_id, caller.session_id)
    assert [True, False, True] == [
        caller_of(seaway, secret) is not None for secret in (own_session, other_session, session_of_bob)
    ]


def test_sessions_are_listed_by_last_use(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Control characters are removed from the user agent; expired sessions are not listed."""
    start(factory)
    clock.move(HOUR_MS)
    start(factory)
    with seaway.site.database.read() as tx:
        sessions_now = sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms())
        later = sessions.of_user(tx, users.get(tx, "ada").id, clock.now_ms() + 11 * HOUR_MS)
    assert [clock.now_ms(), clock.now_ms() - HOUR_MS] == [session.created_at_ms for session in sessions_now]
    assert {"Firefox 150"} == {session.agent for session in sessions_now}
    assert [sessions_now[0]] == later


@pytest.mark.parametrize(("address", "verified"), [(None, True), (False, False), (True, True)], ids=str)
def test_caller_is_verified_by_a_verified_address(
    seaway: Seaway, factory: Factory, address: bool | None, verified: bool
) -> None:
    """Accounts created by the operator without an address have none to verify, so they count as verified."""
    secret = start(factory)
    if address is not None:
        with seaway.site.database.write_site() as tx:
            emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=address)
    caller = caller_of(seaway, secret)
    assert caller is not None
    assert verified == caller.is_verified


def test_csrf_token_is_bound_to_its_session(factory: Factory) -> None:
    """The cookie cannot be derived from it (3)."""
    first, second = start(factory), start(factory)
    assert sessions.csrf_token(first) == sessions.csrf_token(first) != sessions.csrf_token(second)
    assert sessions.csrf_token(first) not in first


def test_session_secret_is_stored_as_a_hash(seaway: Seaway, factory: Factory) -> None:
    """A dump of the table contains no usable secret (1)."""
    secret = start(factory)
    with seaway.site.database.read() as tx:
        assert secret_tokens.hash_key(secret) == tx.execute(select(rows.c.digest)).scalar_one()


def test_hourly_job_deletes_expired_sessions(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    start(factory)
    clock.move(13 * HOUR_MS)
    secret = start(factory)
    seaway.runner.run_due()
    with seaway.site.database.read() as tx:
        assert 1 == tx.execute(select(func.count()).select_from(rows)).scalar_one()
    assert caller_of(seaway, secret) is not None
    clock.move(15 * DAY_MS)
    seaway.runner.run_due()
    with seaway.site.database.read() as tx:
        assert 0 == tx.execute(select(func.count()).select_from(rows)).scalar_one()


def test_sessions_of_disabled_user_end(seaway: Seaway, factory: Factory) -> None:
    """Case 27: on the next request; enabling the account does not restore them (2)."""
    secret = start(factory)
    with seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    assert caller_of(seaway, secret) is None
    with seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=False)
    assert caller_of(seaway, secret) is None
