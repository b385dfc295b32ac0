"""The time, as a part that is handed in: tests hold a clock that they can turn."""

import time
from datetime import UTC, datetime
from typing import Protocol, overload

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# The clocks of machines may differ by minutes; a stored time that lies further ahead was written by a wrong clock.
CLOCK_TOLERANCE_MS = 10 * MINUTE_MS

# 2026-11-01, before this version was released: a clock that shows an earlier time is wrong. Raised with each release.
RELEASED_MS = 1_793_491_200_000


def is_behind(now_ms: int) -> bool:
    """Return whether a clock that shows this time is certainly wrong, as on a machine that has just started."""
    return now_ms < RELEASED_MS


def bounds_of_end(now_ms: int, lasts_ms: int) -> tuple[int, int]:
    """
    Return the first and the last end of a secret that is valid now, if it is valid for `lasts_ms` at most.

    A later end was written by a clock that was ahead, or our clock is behind: the secret is refused but kept.
    """
    return now_ms + 1, now_ms + lasts_ms + CLOCK_TOLERANCE_MS


class Clock(Protocol):
    """Tells the time of day."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, the unit of every time in the database and in repodata."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@overload
def moment(milliseconds: int) -> str: ...
@overload
def moment(milliseconds: int | None) -> str | None: ...
def moment(milliseconds: int | None) -> str | None:
    """A time as commands and the API write it: ISO 8601, UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
