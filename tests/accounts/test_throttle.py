"""How often somebody may try (callers/rate_limits.py), on the real database."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from seaway.callers import rate_limits
from seaway.callers.rate_limits import Rate
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.tables import buckets
from seaway.errors import TooManyRequests
from seaway.server.wiring import Seaway
from tests.support.clock import TurnedClock


def tries(seaway: Seaway, count: int, rate: Rate = Rate.SIGN_IN_USER, subject: str = "ada") -> int:
    """How many of so many tries are let through."""
    done = 0
    for _ in range(count):
        try:
            rate_limits.count_attempt(seaway.database, seaway.clock.now_ms(), rate, subject)
        except TooManyRequests:
            continue
        done += 1
    return done


def test_the_eleventh_try_is_refused(seaway: Seaway) -> None:
    """Case 8: ten in five minutes; it is told how long to wait, and others are not touched."""
    assert tries(seaway, 10) == 10
    with pytest.raises(TooManyRequests, match="sign-in attempts for this user") as refused:
        rate_limits.count_attempt(seaway.database, seaway.clock.now_ms(), Rate.SIGN_IN_USER, "ada")
    assert refused.value.retry_after_seconds == 30
    assert tries(seaway, 1, subject="bob") == 1
    assert tries(seaway, 1, rate=Rate.SIGN_IN_ADDRESS) == 1


def test_who_waits_as_told_gets_through(seaway: Seaway, clock: TurnedClock) -> None:
    """One more for each half minute; what was refused meanwhile is not counted (2)."""
    tries(seaway, 40)
    clock.move(29_000)
    assert tries(seaway, 1) == 0
    clock.move(1_000)
    assert tries(seaway, 5) == 1
    clock.move(5 * MINUTE_MS)
    assert tries(seaway, 20) == 10


def test_every_limit_of_a_rate_holds(seaway: Seaway, clock: TurnedClock) -> None:
    """Case 29: codes: 5 in five minutes, 20 in an hour, 50 in a day."""
    per_minute = []
    for _ in range(60):
        per_minute.append(tries(seaway, 5, Rate.SECOND_FACTOR_USER))
        clock.move(MINUTE_MS)
    assert per_minute[:2] == [5, 1]
    assert 20 <= sum(per_minute) <= 40
    for _ in range(23):
        per_minute.append(tries(seaway, 20, Rate.SECOND_FACTOR_USER))
        clock.move(HOUR_MS)
    assert 50 <= sum(per_minute) <= 100


def test_many_at_once_do_not_slip_through(seaway: Seaway) -> None:
    """A try is counted before it is made (1)."""
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: tries(seaway, 1), range(32))) == 10


def test_what_went_well_is_given_back(seaway: Seaway) -> None:
    """Eleven colleagues behind one address who know their passwords all get in."""
    for _ in range(30):
        assert tries(seaway, 1, Rate.SIGN_IN_ADDRESS, "10.0.0.1") == 1
        rate_limits.uncount(seaway.database, seaway.clock.now_ms(), Rate.SIGN_IN_ADDRESS, "10.0.0.1")
    assert tries(seaway, 20, Rate.SIGN_IN_ADDRESS, "10.0.0.1") == 10


def test_giving_back_makes_no_room_below_nothing(seaway: Seaway) -> None:
    """An empty bucket stays one."""
    tries(seaway, 1)
    for _ in range(5):
        rate_limits.uncount(seaway.database, seaway.clock.now_ms(), Rate.SIGN_IN_USER, "ada")
    assert tries(seaway, 20) == 10


def test_a_clock_that_is_behind_empties_nothing(seaway: Seaway, clock: TurnedClock) -> None:
    """Two machines may differ by some seconds."""
    tries(seaway, 10)
    clock.move(-MINUTE_MS)
    assert tries(seaway, 1) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("ada", "ADA", False),
    ],
)
def test_what_is_one_place(one: str, other: str, same: bool) -> None:
    """An IPv6 address stands for its /64 (3)."""
    assert same == (rate_limits.network_of(one) == rate_limits.network_of(other))


def test_empty_buckets_are_forgotten(seaway: Seaway, clock: TurnedClock) -> None:
    """Strangers cannot fill the table for ever."""
    tries(seaway, 1)
    tries(seaway, 1, Rate.EMAIL_ADD)
    clock.move(HOUR_MS)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(buckets)).scalar_one() == 1
    clock.move(DAY_MS)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(buckets)).scalar_one() == 0
