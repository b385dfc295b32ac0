"""A clock that was far ahead and is set back (server/future_times.py): no stored time holds anything up."""

import pytest
from sqlalchemy import BigInteger, func, select

from seaway.accounts import sessions, throttle, tools, users
from seaway.accounts.principal import OPERATOR
from seaway.accounts.throttle import Rate
from seaway.channels import channels
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database import tables
from seaway.errors import TooMany
from seaway.jobs import queue
from seaway.server import future_times
from seaway.server.wiring import Seaway
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json

YEARS_MS = 800 * DAY_MS


def run_what_is_due(seaway: Seaway) -> None:
    seaway.runner.run_due()


def fill(seaway: Seaway, now_ms: int, rate: Rate) -> None:
    for _ in range(rate.limits[0].count):
        throttle.take(seaway.database, now_ms, rate, "ada")
    with pytest.raises(TooMany):
        throttle.take(seaway.database, now_ms, rate, "ada")


def test_every_stored_time_has_a_rule() -> None:
    """Invariant 2: a column of times that is added must be given one."""
    named = [
        *future_times.PAST,
        *future_times.ENDS,
        *future_times.ENDED,
        *future_times.ELSEWHERE,
        *future_times.HISTORY,
    ]
    stored = [
        column
        for table in tables.metadata.sorted_tables
        for column in table.c
        if isinstance(column.type, BigInteger) and (column.name == "at" or column.name.endswith(("_at", "_until")))
    ]
    assert sorted(map(str, named)) == sorted(map(str, stored))


@pytest.mark.parametrize("rate", [Rate.SIGN_IN_USER, Rate.SECOND_FACTOR_USER])
def test_a_full_bucket_does_not_outlive_a_wrong_clock(seaway: Seaway, clock: TurnedClock, rate: Rate) -> None:
    """Ten wrong passwords in 2029 do not refuse the right one today."""
    clock.move(YEARS_MS)
    fill(seaway, clock.now_ms(), rate)
    clock.move(-YEARS_MS)
    throttle.take(seaway.database, clock.now_ms(), rate, "ada")


def test_a_clock_that_differs_by_a_minute_empties_no_bucket(seaway: Seaway, clock: TurnedClock) -> None:
    fill(seaway, clock.now_ms() + MINUTE_MS, Rate.SIGN_IN_USER)
    with pytest.raises(TooMany):
        throttle.take(seaway.database, clock.now_ms(), Rate.SIGN_IN_USER, "ada")


def test_sessions_and_logins_of_a_wrong_clock_have_ended(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    people.user("ada")
    clock.move(YEARS_MS)
    with seaway.database.write_site() as tx:
        user_id = tx.execute(select(tables.users.c.id).where(tables.users.c.name == "ada")).scalar_one()
        secret = sessions.start(tx, clock.now_ms(), user_id, address="", agent="")
        _, login = tools.add(tx, clock.now_ms(), user_id, "rattler", "openid channel:read", address="")
    clock.move(-YEARS_MS)
    with seaway.database.read() as tx:
        assert sessions.principal_of(tx, secret, clock.now_ms()) is None
        assert sessions.of_user(tx, user_id, clock.now_ms()) == []
        assert tools.principal_of(tx, login.access, clock.now_ms()) is None
        assert tools.of_user(tx, user_id, clock.now_ms()) == []
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(tables.sessions)).scalar() == 0
        assert tx.execute(select(func.count()).select_from(tables.cli_grants)).scalar() == 0


def test_the_cleanup_runs_and_corrects_every_table(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """Invariants 1 and 3: one cleanup after the correction leaves no time ahead but in history and in what ends."""
    run_what_is_due(seaway)
    clock.move(YEARS_MS)
    run_what_is_due(seaway)
    people.channel("one", owner="ada")
    people.key("ada", days=30)
    with seaway.database.write_site() as tx:
        channels.add(tx, clock.now_ms(), OPERATOR, "two", users.get(tx, "ada"), description="", is_public=True)
        channels.remove(tx, clock.now_ms(), OPERATOR, "two")
    clock.move(-YEARS_MS)
    run_what_is_due(seaway)
    now_ms = clock.now_ms()
    with seaway.database.read() as tx:
        for column in future_times.PAST:
            latest = tx.execute(select(func.max(column))).scalar()
            assert latest is None or latest <= now_ms, str(column)
        assert tx.execute(select(tables.keys.c.expires_at)).scalar() == now_ms + 30 * DAY_MS
        next_times = tx.execute(select(tables.schedules.c.next_at)).scalars().all()
    assert next_times
    assert all(at_ms <= now_ms + DAY_MS for at_ms in next_times)


@pytest.mark.anyio
async def test_a_wrong_clock_leaves_no_subdir_in_the_future(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """The index gets a new revision with a time of today; the file's own record stays as readers got it."""
    people.channel("one")
    clock.move(YEARS_MS)
    published = await publish_file(seaway, "one", conda())
    clock.move(-YEARS_MS)
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        subdir = tx.execute(select(tables.subdirs)).one()
        indexed_at = tx.execute(select(tables.files.c.indexed_at)).scalar_one()
    assert (subdir.changed_at, subdir.revision) == (clock.now_ms(), published.revision + 1)
    assert indexed_at == clock.now_ms() + YEARS_MS
    assert await publish_file(seaway, "one", conda(index_json(version="2.0")))


def test_jobs_of_one_wrong_machine_are_due_when_it_is_corrected(seaway: Seaway, clock: TurnedClock) -> None:
    """The schedules of the other machines are right, so that nothing else notices."""
    run_what_is_due(seaway)
    with seaway.database.write_part() as tx:
        queue.enqueue(tx, clock.now_ms() + YEARS_MS, "manifests", {})
    clock.move(HOUR_MS)
    run_what_is_due(seaway)
    run_what_is_due(seaway)
    with seaway.database.read() as tx:
        assert queue.list_jobs(tx) == []
