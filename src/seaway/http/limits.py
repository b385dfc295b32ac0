"""
Limits on requests that anyone can send and that cost more than a lookup: searches, lists of channels and
of packages (by address), lists of the files in a package and comparisons of them (by user, publisher or address).

1. Counted in the memory of each worker. A row in the database would be a commit for each read, and a commit makes every
   worker forget what it keeps for readers (`serving.memory`): who is to be slowed down would slow down everybody.
2. An IPv6 address stands for its /64, as with other tries (`accounts.throttle`).
3. What is kept is bounded. Whoever has so many addresses is not stopped by a count for each of them.
"""

import math
import threading

from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Limit, shortened
from seaway.clock import Clock
from seaway.errors import TooMany

_MOST_CALLERS = 10_000
COMPARISON = 10  # what comparing two lists of files counts


def caller_of(by: Principal) -> str:
    """Return the key of a caller in limits: the user, the publishers of a workflow, or the address."""
    if by.workflow is not None:
        return " ".join(["publishers", *sorted(str(grant.publisher_id) for grant in by.grants)])
    return shortened(by.address) if by.user_id is None else f"user {by.user_id}"


class ListLimit:
    """A leaking bucket for each caller; `limit` of None: any number; `said` completes "There were too many ..."."""

    def __init__(self, clock: Clock, limit: Limit | None, said: str) -> None:
        self._clock, self._limit, self._said = clock, limit, said
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, int]] = {}  # how full, and when that was; the longest unused first

    def take(self, caller: str, count: int = 1) -> None:
        """Count so many requests of this caller or address, or `TooMany` with the time to wait."""
        if self._limit is None:
            return
        count = min(count, self._limit.count)  # an empty bucket takes any request
        place, now_ms, leaks = shortened(caller), self._clock.now_ms(), self._limit.count / self._limit.per_ms
        with self._lock:
            level, at_ms = self._buckets.pop(place, (0.0, now_ms))
            level = max(level - max(now_ms - at_ms, 0) * leaks, 0.0)
            is_taken = level + count <= self._limit.count
            self._buckets[place] = (level + count * is_taken, now_ms)
            if len(self._buckets) > _MOST_CALLERS:
                del self._buckets[next(iter(self._buckets))]
        if not is_taken:
            wait = max(math.ceil((level + count - self._limit.count) / leaks / 1000), 1)
            raise TooMany(
                f"There were too many {self._said}.",
                "Wait a while, then try again.",
                retry_after_seconds=wait,
            )
