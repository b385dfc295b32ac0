"""
How often one address may ask for what anybody may ask for and what costs more than a look: searches, and lists of
channels and of packages.

1. Counted in the memory of each worker. A row in the database would be a commit for each read, and a commit makes every
   worker forget what it keeps for readers (`serving.memory`): who is to be slowed down would slow down everybody.
2. An IPv6 address stands for its /64, as with other tries (`accounts.throttle`).
3. What is kept is bounded. Whoever has so many addresses is not stopped by a count for each of them.
"""

import math
import threading

from seaway.accounts.throttle import Limit, shortened
from seaway.clock import Clock
from seaway.errors import TooMany

_MOST_ADDRESSES = 10_000


class ListLimit:
    """A leaking bucket for each address; `limit` of None: any number."""

    def __init__(self, clock: Clock, limit: Limit | None) -> None:
        self._clock, self._limit = clock, limit
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, int]] = {}  # how full, and when that was; the longest unused first

    def take(self, address: str) -> None:
        """Count a question of this address, or `TooMany` with the time to wait."""
        if self._limit is None:
            return
        place, now_ms, leaks = shortened(address), self._clock.now_ms(), self._limit.count / self._limit.per_ms
        with self._lock:
            level, at_ms = self._buckets.pop(place, (0.0, now_ms))
            level = max(level - max(now_ms - at_ms, 0) * leaks, 0.0)
            is_taken = level + 1.0 <= self._limit.count
            self._buckets[place] = (level + is_taken, now_ms)
            if len(self._buckets) > _MOST_ADDRESSES:
                del self._buckets[next(iter(self._buckets))]
        if not is_taken:
            wait = max(math.ceil((level + 1.0 - self._limit.count) / leaks / 1000), 1)
            raise TooMany(
                "There were too many searches and lists from this address.",
                "Wait a while, then try again.",
                retry_after_seconds=wait,
            )
