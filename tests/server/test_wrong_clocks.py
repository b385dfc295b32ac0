"""
Wrong clocks: one that was far ahead and is set back holds nothing up; one that is behind for a while destroys nothing.

Nothing stored tells the two apart, so no stored time is rewritten but those of jobs and schedules.
"""

import pytest
from sqlalchemy import select

from seaway.callers import rate_limits
from seaway.callers.caller import OPERATOR
from seaway.callers.rate_limits import Rate
from seaway.channels import channels, invitations
from seaway.channels.roles import Role
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, RELEASE_DATE_MS, SystemClock
from seaway.database import tables
from seaway.errors import TooManyRequests, Unavailable
from seaway.jobs import queue
from seaway.keys import api_keys
from seaway.oauth import grants
from seaway.server.job_handlers import WriteManifests
from seaway.server.wiring import Seaway
from seaway.sign_in import pending_sign_ins, second_factors, sessions
from seaway.users import email_links, users
from seaway.users.email_links import Purpose
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json

YEARS_MS = 800 * DAY_MS


def run_what_is_due(seaway: Seaway) -> None:
    seaway.runner.run_due()


def fill(seaway: Seaway, now_ms: int, rate: Rate) -> None:
    for _ in range(rate.limits[0].count):
        rate_limits.count_attempt(seaway.database, now_ms, rate, "ada")
    with pytest.raises(TooManyRequests):
        rate_limits.count_attempt(seaway.database, now_ms, rate, "ada")


@pytest.mark.parametrize("rate", [Rate.SIGN_IN_USER, Rate.SECOND_FACTOR_USER])
def test_a_full_bucket_does_not_outlive_a_wrong_clock(seaway: Seaway, clock: TurnedClock, rate: Rate) -> None:
    """Ten wrong passwords in 2029 do not refuse the right one today."""
    clock.move(YEARS_MS)
    fill(seaway, clock.now_ms(), rate)
    clock.move(-YEARS_MS)
    rate_limits.count_attempt(seaway.database, clock.now_ms(), rate, "ada")


def test_a_clock_that_differs_by_a_minute_empties_no_bucket(seaway: Seaway, clock: TurnedClock) -> None:
    fill(seaway, clock.now_ms() + MINUTE_MS, Rate.SIGN_IN_USER)
    with pytest.raises(TooManyRequests):
        rate_limits.count_attempt(seaway.database, clock.now_ms(), Rate.SIGN_IN_USER, "ada")


def test_sessions_and_logins_of_a_wrong_clock_have_ended(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    people.user("ada")
    clock.move(YEARS_MS)
    with seaway.database.write_site() as tx:
        user_id = tx.execute(select(tables.users.c.id).where(tables.users.c.name == "ada")).scalar_one()
        secret = sessions.start(tx, clock.now_ms(), user_id, address="", agent="")
        _, login = grants.add(tx, clock.now_ms(), user_id, "rattler", "openid channel:read", address="")
    clock.move(-YEARS_MS)
    with seaway.database.read() as tx:
        assert sessions.caller_of(tx, secret, clock.now_ms()) is None
        assert sessions.of_user(tx, user_id, clock.now_ms()) == []
        assert grants.caller_of(tx, login.access, clock.now_ms()) is None
        assert grants.of_user(tx, user_id, clock.now_ms()) == []
    run_what_is_due(seaway)
    with seaway.database.write_site() as tx:
        again = sessions.start(tx, clock.now_ms(), user_id, address="", agent="")
        assert sessions.caller_of(tx, again, clock.now_ms()) is not None


def test_secrets_of_a_clock_that_was_ahead_are_refused(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """A link for a new password would otherwise be valid for years."""
    people.user("ada")
    clock.move(YEARS_MS)
    with seaway.database.write_site() as tx:
        link = email_links.make(tx, clock.now_ms(), Purpose.RESET, user_id=None, address="ada@example.com")
        flow = pending_sign_ins.add(tx, clock.now_ms(), "test", {})
        assert email_links.find(tx, clock.now_ms(), Purpose.RESET, link) is not None
        assert pending_sign_ins.find(tx, clock.now_ms(), "test", flow) is not None
    clock.move(-YEARS_MS)
    with seaway.database.read() as tx:
        assert email_links.find(tx, clock.now_ms(), Purpose.RESET, link) is None
        assert pending_sign_ins.find(tx, clock.now_ms(), "test", flow) is None


@pytest.mark.anyio
async def test_after_a_clock_is_set_back_the_cleanup_and_uploads_go_on(
    seaway: Seaway, people: People, clock: TurnedClock
) -> None:
    people.channel("one")
    clock.move(YEARS_MS)
    run_what_is_due(seaway)
    await publish_file(seaway, "one", conda())
    clock.move(-YEARS_MS)
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        next_times = tx.execute(select(tables.schedules.c.next_at)).scalars().all()
    assert next_times
    assert all(at_ms <= clock.now_ms() + DAY_MS for at_ms in next_times)
    assert await publish_file(seaway, "one", conda(index_json(version="2.0")))


def test_the_last_use_of_a_key_is_corrected_by_its_next_use(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    people.key("ada", days=30)
    with seaway.database.write_site() as tx:
        key_id = tx.execute(select(tables.keys.c.id)).scalar_one()
        api_keys.note_uses(tx, {key_id: (clock.now_ms() + YEARS_MS, "")}, since_ms=HOUR_MS)
        api_keys.note_uses(tx, {key_id: (clock.now_ms(), "")}, since_ms=HOUR_MS)
        assert tx.execute(select(tables.keys.c.used_at)).scalar() == clock.now_ms()


def _contents(seaway: Seaway) -> dict[str, list[tuple[object, ...]]]:
    """Everything stored but jobs, schedules and what the cleanup notes of itself."""
    with seaway.database.read() as tx:
        return {
            table.name: sorted(map(tuple, tx.execute(select(table))), key=repr)
            for table in tables.metadata.sorted_tables
            if table.name not in ("jobs", "schedules", "site_values")
        }


@pytest.mark.anyio
@pytest.mark.parametrize("behind_ms", [1_800_000_000_000, YEARS_MS, 60 * DAY_MS], ids=["1970", "years", "months"])
async def test_a_clock_that_is_behind_for_a_while_destroys_nothing(
    seaway: Seaway, people: People, clock: TurnedClock, behind_ms: int
) -> None:
    """A machine without a battery for its clock starts in the past, and the cleanup runs before NTP has set the time."""
    people.channel("one", owner="ada")
    people.user("bob")
    people.key("ada", days=30)
    await publish_file(seaway, "one", conda())
    accounts = seaway.request_parts.accounts
    with seaway.database.write_site() as tx:
        now_ms, ada = clock.now_ms(), users.get(tx, "ada")
        session = sessions.start(tx, now_ms, ada.id, address="", agent="")
        _, login = grants.add(tx, now_ms, ada.id, "rattler", "openid channel:read", address="")
        link = email_links.make(tx, now_ms, Purpose.RESET, user_id=ada.id, address="ada@example.com")
        flow = pending_sign_ins.add(tx, now_ms, "test", {})
        second_factors.request_reset(accounts, tx, now_ms, OPERATOR, users.get(tx, "bob").id)
        channels.add(tx, now_ms, OPERATOR, "two", ada, description="", is_public=True)
        channels.remove(tx, now_ms, OPERATOR, "two")
        rate_limits.add(tx, now_ms, Rate.SIGN_IN_USER, 1, "ada")
        invitations.invite(tx, now_ms, OPERATOR, "one", "carol@example.com", Role.CONTRIBUTOR, notifier=None)
    run_what_is_due(seaway)
    before = _contents(seaway)
    clock.move(-behind_ms)
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        assert second_factors.ends_at(tx, users.get(tx, "bob").id) == now_ms + second_factors.RESET_AFTER_MS
    clock.move(behind_ms)
    run_what_is_due(seaway)
    assert _contents(seaway) == before
    with seaway.database.read() as tx:
        assert sessions.caller_of(tx, session, now_ms) is not None
        assert grants.caller_of(tx, login.access, now_ms) is not None
        assert email_links.find(tx, now_ms, Purpose.RESET, link) is not None
        assert pending_sign_ins.find(tx, now_ms, "test", flow) is not None


def test_a_clock_that_is_certainly_behind_starts_no_waiting_time(
    seaway: Seaway, people: People, clock: TurnedClock
) -> None:
    """The 72 hours before second factors are removed would be over as soon as the clock is right."""
    people.user("bob")
    with seaway.database.write_site() as tx, pytest.raises(Unavailable):
        second_factors.request_reset(
            seaway.request_parts.accounts, tx, RELEASE_DATE_MS - 1, OPERATOR, users.get(tx, "bob").id
        )


def test_the_release_lies_in_the_past() -> None:
    assert SystemClock().now_ms() > RELEASE_DATE_MS


def test_jobs_of_one_wrong_machine_are_due_when_it_is_corrected(seaway: Seaway, clock: TurnedClock) -> None:
    """The schedules of the other machines are right, so that nothing else notices."""
    run_what_is_due(seaway)
    with seaway.database.write_unlocked() as tx:
        queue.enqueue(tx, clock.now_ms() + YEARS_MS, WriteManifests())
    clock.move(HOUR_MS)
    run_what_is_due(seaway)
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        assert queue.list_jobs(tx) == []
