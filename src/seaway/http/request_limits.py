"""
Rate limits on requests that anyone can send and that cost more than a lookup: searches and lists of channels and
packages (per IP address), lists and comparisons of the files in packages (per user, publisher or IP address).

1. Requests are counted in the memory of each worker. A row in the database would need a commit per read, and each
   commit empties the response caches of all workers (`serving.response_cache`): one fast client would slow down every client.
2. IPv6 addresses are counted by their /64, as in other rate limits (`callers.rate_limits`).
3. The number of counters is bounded. Counting per address does not stop a client that has more addresses than that.
"""

import math
import threading

from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Limit, network_of
from seaway.clock import Clock
from seaway.errors import TooManyRequests

_MAX_CALLERS = 10_000
COMPARISON_COST = 10  # cost of comparing two file lists, in file lists


def rate_limit_key(by: Caller) -> str:
    """Return the key that counts a caller: the user, the publishers of a workflow, or the IP address."""
    if by.workflow is not None:
        return " ".join(["publishers", *sorted(str(grant.publisher_id) for grant in by.grants)])
    return network_of(by.address) if by.user_id is None else f"user {by.user_id}"


class RateLimiter:
    """Leaky bucket for each caller; a `limit` of None allows any number. `requests` completes "Too many ..."."""

    def __init__(self, clock: Clock, limit: Limit | None, requests: str) -> None:
        self._clock, self._limit, self._requests = clock, limit, requests
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, int]] = {}  # (level, time of the level), least recently used first

    def take(self, caller: str, count: int = 1) -> None:
        """Count requests of a caller (or IP address); raise `TooManyRequests` with the time to wait if over the limit."""
        if self._limit is None:
            return
        count = min(count, self._limit.count)  # an empty bucket takes any request
        key, now_ms, rate_per_ms = network_of(caller), self._clock.now_ms(), self._limit.count / self._limit.per_ms
        with self._lock:
            level, at_ms = self._buckets.pop(key, (0.0, now_ms))
            level = max(level - max(now_ms - at_ms, 0) * rate_per_ms, 0.0)
            is_allowed = level + count <= self._limit.count
            self._buckets[key] = (level + count * is_allowed, now_ms)
            if len(self._buckets) > _MAX_CALLERS:
                del self._buckets[next(iter(self._buckets))]
        if not is_allowed:
            wait = max(math.ceil((level + count - self._limit.count) / rate_per_ms / 1000), 1)
            raise TooManyRequests(
                f"Too many {self._requests}.",
                "Wait a while, then try again.",
                retry_after_seconds=wait,
            )
