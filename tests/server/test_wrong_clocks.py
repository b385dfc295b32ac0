"""
Wrong clocks: after a clock far ahead is set back, nothing is blocked; a clock behind for a while destroys nothing.

Stored times cannot distinguish the two cases, so only the times of jobs and schedules are rewritten.
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
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file

YEARS_MS = 800 * DAY_MS


def run_due_jobs(seaway: Seaway) -> None:
    seaway.runner.run_due()


def fill_rate_limit(seaway: Seaway, now_ms: int, rate: Rate) -> None:
    for _ in range(rate.limits[0].count):
        rate_limits.count_attempt(seaway.site.database, now_ms, rate, "ada")
    with pytest.raises(TooManyRequests):
        rate_limits.count_attempt(seaway.site.database, now_ms, rate, "ada")


@pytest.mark.parametrize("rate", [Rate.SIGN_IN_USER, Rate.SECOND_FACTOR_USER])
def test_full_rate_limit_ends_when_the_clock_is_set_back(seaway: Seaway, clock: ManualClock, rate: Rate) -> None:
    """Ten wrong passwords with a clock in 2029 must not block the right one today."""
    clock.move(YEARS_MS)
    fill_rate_limit(seaway, clock.now_ms(), rate)
    clock.move(-YEARS_MS)
    rate_limits.count_attempt(seaway.site.database, clock.now_ms(), rate, "ada")


def test_clock_difference_of_a_minute_resets_no_rate_limit(seaway: Seaway, clock: ManualClock) -> None:
    fill_rate_limit(seaway, clock.now_ms() + MINUTE_MS, Rate.SIGN_IN_USER)
    with pytest.raises(TooManyRequests):
        rate_limits.count_attempt(seaway.site.database, clock.now_ms(), Rate.SIGN_IN_USER, "ada")


def test_sessions_and_grants_from_the_future_are_invalid(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    factory.user("ada")
    clock.move(YEARS_MS)
    with seaway.site.database.write_site() as tx:
        user_id = tx.execute(select(tables.users.c.id).where(tables.users.c.name == "ada")).scalar_one()
        secret = sessions.start(tx, clock.now_ms(), user_id, address="", agent="")
        _, grant = grants.add(tx, clock.now_ms(), user_id, "rattler", "openid channel:read", address="")
    clock.move(-YEARS_MS)
    with seaway.site.database.read() as tx:
        assert sessions.caller_of(tx, secret, clock.now_ms()) is None
        assert sessions.of_user(tx, user_id, clock.now_ms()) == []
        assert grants.caller_of(tx, grant.access, clock.now_ms()) is None
        assert grants.of_user(tx, user_id, clock.now_ms()) == []
    run_due_jobs(seaway)
    with seaway.site.database.write_site() as tx:
        new_secret = sessions.start(tx, clock.now_ms(), user_id, address="", agent="")
        assert sessions.caller_of(tx, new_secret, clock.now_ms()) is not None


def test_email_links_from_the_future_are_refused(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """A link for a password reset would otherwise be valid for years."""
    factory.user("ada")
    clock.move(YEARS_MS)
    with seaway.site.database.write_site() as tx:
        link = email_links.make(tx, clock.now_ms(), Purpose.RESET, user_id=None, address="ada@example.com")
        flow = pending_sign_ins.add(tx, clock.now_ms(), "test", {})
        assert email_links.find(tx, clock.now_ms(), Purpose.RESET, link) is not None
        assert pending_sign_ins.find(tx, clock.now_ms(), "test", flow) is not None
    clock.move(-YEARS_MS)
    with seaway.site.database.read() as tx:
        assert email_links.find(tx, clock.now_ms(), Purpose.RESET, link) is None
        assert pending_sign_ins.find(tx, clock.now_ms(), "test", flow) is None


@pytest.mark.anyio
async def test_cleanup_and_uploads_continue_after_the_clock_is_set_back(
    seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    factory.channel("one")
    clock.move(YEARS_MS)
    run_due_jobs(seaway)
    await publish_file(seaway, "one", conda())
    clock.move(-YEARS_MS)
    run_due_jobs(seaway)
    with seaway.site.database.read() as tx:
        next_times = tx.execute(select(tables.schedules.c.next_at)).scalars().all()
    assert next_times
    assert all(at_ms <= clock.now_ms() + DAY_MS for at_ms in next_times)
    assert await publish_file(seaway, "one", conda(index_json(version="2.0")))


def test_last_use_of_a_key_is_corrected_by_its_next_use(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    factory.key("ada", days=30)
    with seaway.site.database.write_site() as tx:
        key_id = tx.execute(select(tables.keys.c.id)).scalar_one()
        api_keys.note_uses(tx, {key_id: (clock.now_ms() + YEARS_MS, "")}, since_ms=HOUR_MS)
        api_keys.note_uses(tx, {key_id: (clock.now_ms(), "")}, since_ms=HOUR_MS)
        assert tx.execute(select(tables.keys.c.used_at)).scalar() == clock.now_ms()


def _contents(seaway: Seaway) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows, except jobs, schedules and the notes of the cleanup."""
    with seaway.site.database.read() as tx:
        return {
            table.name: sorted(map(tuple, tx.execute(select(table))), key=repr)
            for table in tables.metadata.sorted_tables
            if table.name not in ("jobs", "schedules", "site_values")
        }


@pytest.mark.anyio
@pytest.mark.parametrize("behind_ms", [1_800_000_000_000, YEARS_MS, 60 * DAY_MS], ids=["1970", "years", "months"])
async def test_clock_behind_for_a_while_destroys_nothing(
    seaway: Seaway, factory: Factory, clock: ManualClock, behind_ms: int
) -> None:
    """A machine without a clock battery starts in the past, and the cleanup can run before NTP sets the time."""
    factory.channel("one", owner="ada")
    factory.second_factor("bob")
    factory.key("ada", days=30)
    await publish_file(seaway, "one", conda())
    accounts = seaway.request_parts.accounts
    with seaway.site.database.write_site() as tx:
        now_ms, ada = clock.now_ms(), users.get(tx, "ada")
        session = sessions.start(tx, now_ms, ada.id, address="", agent="")
        _, grant = grants.add(tx, now_ms, ada.id, "rattler", "openid channel:read", address="")
        link = email_links.make(tx, now_ms, Purpose.RESET, user_id=ada.id, address="ada@example.com")
        flow = pending_sign_ins.add(tx, now_ms, "test", {})
        second_factors.request_reset(accounts, tx, now_ms, OPERATOR, users.get(tx, "bob").id)
        channels.add(tx, now_ms, OPERATOR, "two", ada, description="", is_public=True)
        channels.remove(tx, now_ms, OPERATOR, "two")
        rate_limits.add(tx, now_ms, Rate.SIGN_IN_USER, 1, "ada")
        invitations.invite(tx, now_ms, OPERATOR, "one", "carol@example.com", Role.CONTRIBUTOR, outbox=None)
    run_due_jobs(seaway)
    before = _contents(seaway)
    clock.move(-behind_ms)
    run_due_jobs(seaway)
    with seaway.site.database.read() as tx:
        assert second_factors.ends_at(tx, users.get(tx, "bob").id) == now_ms + second_factors.RESET_AFTER_MS
    clock.move(behind_ms)
    run_due_jobs(seaway)
    assert _contents(seaway) == before
    with seaway.site.database.read() as tx:
        assert sessions.caller_of(tx, session, now_ms) is not None
        assert grants.caller_of(tx, grant.access, now_ms) is not None
        assert email_links.find(tx, now_ms, Purpose.RESET, link) is not None
        assert pending_sign_ins.find(tx, now_ms, "test", flow) is not None


def test_clock_before_the_release_date_starts_no_waiting_time(
    seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """The 72 hours before second factors are removed would end as soon as the clock is corrected."""
    factory.user("bob")
    with seaway.site.database.write_site() as tx, pytest.raises(Unavailable):
        second_factors.request_reset(
            seaway.request_parts.accounts, tx, RELEASE_DATE_MS - 1, OPERATOR, users.get(tx, "bob").id
        )


def test_release_date_is_in_the_past() -> None:
    assert SystemClock().now_ms() > RELEASE_DATE_MS


def test_jobs_enqueued_with_a_wrong_clock_run_after_its_correction(seaway: Seaway, clock: ManualClock) -> None:
    """The schedules, kept by machines with right clocks, do not reveal such jobs."""
    run_due_jobs(seaway)
    with seaway.site.database.write_unlocked() as tx:
        queue.enqueue(tx, clock.now_ms() + YEARS_MS, WriteManifests())
    clock.move(HOUR_MS)
    run_due_jobs(seaway)
    run_due_jobs(seaway)
    with seaway.site.database.read() as tx:
        assert queue.list_jobs(tx) == []
