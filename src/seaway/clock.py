"""Clock interface, so that tests can set the time."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, overload

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_DAY_ZERO = date(1970, 1, 1)

# Clocks of machines may differ by minutes; a stored time further in the future was written by a wrong clock.
CLOCK_TOLERANCE_MS = 10 * MINUTE_MS

# 2026-11-01, before the release of this version: a clock with an earlier time is wrong. Raised with each release.
RELEASE_DATE_MS = 1_793_491_200_000


def is_before_release(now_ms: int) -> bool:
    """Return whether a clock with this time is certainly wrong, as it can be just after a machine has started."""
    return now_ms < RELEASE_DATE_MS


def expiry_bounds(now_ms: int, max_lifetime_ms: int) -> tuple[int, int]:
    """
    Return the earliest and latest expiry of a secret that is valid now and has a lifetime of at most `lasts_ms`.

    If the stored expiry is later, another clock was ahead or ours is behind: the secret is refused but kept.
    """
    return now_ms + 1, now_ms + max_lifetime_ms + CLOCK_TOLERANCE_MS


class Clock(Protocol):
    """Source of the current time."""

    def now_ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC, the unit of every time in the database and in repodata."""
        ...


class SystemClock:
    """Clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@overload
def format_time(milliseconds: int) -> str: ...
@overload
def format_time(milliseconds: int | None) -> str | None: ...
def format_time(milliseconds: int | None) -> str | None:
    """Format a time for commands and the API: ISO 8601, UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_day(day: int) -> str:
    """Format a day (days since 1970 UTC) as an ISO 8601 date."""
    return (_DAY_ZERO + timedelta(day)).isoformat()
