"""Rate limits (callers/rate_limits.py), on the real database."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from seaway.callers import rate_limits
from seaway.callers.rate_limits import Rate
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.tables import buckets
from seaway.errors import TooManyRequests
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock


def count_allowed(seaway: Seaway, count: int, rate: Rate = Rate.SIGN_IN_USER, subject: str = "ada") -> int:
    """Make `count` attempts; return how many are allowed."""
    allowed = 0
    for _ in range(count):
        try:
            rate_limits.count_attempt(seaway.site.database, seaway.site.clock.now_ms(), rate, subject)
        except TooManyRequests:
            continue
        allowed += 1
    return allowed


def test_eleventh_attempt_is_refused(seaway: Seaway) -> None:
    """Case 8: ten in five minutes; the error contains the time to wait, and other users and rates are not affected."""
    assert count_allowed(seaway, 10) == 10
    with pytest.raises(TooManyRequests, match="sign-in attempts for this user") as refused:
        rate_limits.count_attempt(seaway.site.database, seaway.site.clock.now_ms(), Rate.SIGN_IN_USER, "ada")
    assert refused.value.retry_after_seconds == 30
    assert count_allowed(seaway, 1, subject="bob") == 1
    assert count_allowed(seaway, 1, rate=Rate.SIGN_IN_ADDRESS) == 1


def test_attempt_is_allowed_after_waiting(seaway: Seaway, clock: ManualClock) -> None:
    """One more attempt every 30 seconds; refused attempts are not counted (2)."""
    count_allowed(seaway, 40)
    clock.move(29_000)
    assert count_allowed(seaway, 1) == 0
    clock.move(1_000)
    assert count_allowed(seaway, 5) == 1
    clock.move(5 * MINUTE_MS)
    assert count_allowed(seaway, 20) == 10


def test_every_limit_of_a_rate_is_applied(seaway: Seaway, clock: ManualClock) -> None:
    """Case 29: second-factor codes are limited to 5 in five minutes, 20 in an hour and 50 in a day."""
    per_minute = []
    for _ in range(60):
        per_minute.append(count_allowed(seaway, 5, Rate.SECOND_FACTOR_USER))
        clock.move(MINUTE_MS)
    assert per_minute[:2] == [5, 1]
    assert 20 <= sum(per_minute) <= 40
    for _ in range(23):
        per_minute.append(count_allowed(seaway, 20, Rate.SECOND_FACTOR_USER))
        clock.move(HOUR_MS)
    assert 50 <= sum(per_minute) <= 100


def test_concurrent_attempts_do_not_exceed_the_limit(seaway: Seaway) -> None:
    """An attempt is counted before it is made (1)."""
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: count_allowed(seaway, 1), range(32))) == 10


def test_successful_attempts_are_not_counted(seaway: Seaway) -> None:
    """Colleagues behind one IP address who know their passwords can all sign in."""
    for _ in range(30):
        assert count_allowed(seaway, 1, Rate.SIGN_IN_ADDRESS, "10.0.0.1") == 1
        rate_limits.uncount(seaway.site.database, seaway.site.clock.now_ms(), Rate.SIGN_IN_ADDRESS, "10.0.0.1")
    assert count_allowed(seaway, 20, Rate.SIGN_IN_ADDRESS, "10.0.0.1") == 10


def test_uncounting_does_not_raise_the_limit(seaway: Seaway) -> None:
    count_allowed(seaway, 1)
    for _ in range(5):
        rate_limits.uncount(seaway.site.database, seaway.site.clock.now_ms(), Rate.SIGN_IN_USER, "ada")
    assert count_allowed(seaway, 20) == 10


def test_clock_that_is_behind_does_not_reset_the_limit(seaway: Seaway, clock: ManualClock) -> None:
    """The clocks of two machines can differ by some seconds."""
    count_allowed(seaway, 10)
    clock.move(-MINUTE_MS)
    assert count_allowed(seaway, 1) == 0


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("ada", "ADA", False),
    ],
)
def test_network_of_ip_address(first: str, second: str, is_same: bool) -> None:
    """All addresses of an IPv6 /64 count as one network (3)."""
    assert is_same == (rate_limits.network_of(first) == rate_limits.network_of(second))


def test_empty_buckets_are_deleted(seaway: Seaway, clock: ManualClock) -> None:
    """Clients must not be able to fill the table permanently."""
    count_allowed(seaway, 1)
    count_allowed(seaway, 1, Rate.EMAIL_ADD)
    clock.move(HOUR_MS)
    seaway.runner.run_due()
    with seaway.site.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(buckets)).scalar_one() == 1
    clock.move(DAY_MS)
    seaway.runner.run_due()
    with seaway.site.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(buckets)).scalar_one() == 0
