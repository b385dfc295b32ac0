"""
In-memory cache of responses, valid until any commit to the database.

1. A response is reused only if no connection of any process has committed anything since before it was computed:
   a revoked key, a lost role or a new file is seen by the next request (P6, S2).
2. It is reused only for the same credentials, path and encodings, and not after the credential has expired.
3. Entries can be dropped at any time: the cache is bounded by the bytes of its entries.

Checking for a commit takes microseconds on SQLite (`PRAGMA data_version`) and one round trip on PostgreSQL; querying
every row again costs many times as much.
"""

from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from anyio import to_thread
from cachetools import LRUCache

from seaway.database.engine import Database
from seaway.serving.caller_identification import Secrets
from seaway.serving.channel_response import ChannelResponse

_MAX_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 2_000  # measured with tracemalloc: request, response and form without their texts and content


class CacheKey(NamedTuple):
    """The cache key: credentials, path and the content codings that the client accepts, best first."""

    secrets: Secrets
    channel: str
    path: tuple[str, ...]
    encodings: tuple[str, ...]


@dataclass(slots=True)
class CachedResponse:
    """A cached response, valid until its content changes by itself or the caller's credential expires."""

    response: ChannelResponse
    valid_until_ms: int | None
    key_id: int | None = None  # the caller's key
    rendered: object = None  # the rendered response, private to the route that made it


class ResponseCache:
    """The response cache of a process; used from the event loop only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mark: object = None
        self._responses: LRUCache[CacheKey, tuple[CachedResponse, int]] = LRUCache(_MAX_BYTES, itemgetter(1))

    async def mark(self) -> object:
        """Return the state of the database, taken before a response is computed; pass it to `put` with the response."""
        if self._database.is_change_mark_cheap:
            mark = self._database.change_mark()
        else:
            mark = await to_thread.run_sync(self._database.change_mark)
        if mark != self._mark:
            self._responses.clear()
            self._mark = mark
        return mark

    def get(self, key: CacheKey, now_ms: int) -> CachedResponse | None:
        """Return the valid cached response, or None; call `mark` first."""
        cached_response, _ = self._responses.get(key, (None, 0))
        if cached_response is None or (
            cached_response.valid_until_ms is not None and cached_response.valid_until_ms <= now_ms
        ):
            return None
        return cached_response

    def put(self, mark: object, key: CacheKey, cached_response: CachedResponse) -> None:
        """Cache a response that was computed after `mark` was taken."""
        if mark != self._mark:
            return
        with suppress(ValueError):  # larger than the whole cache
            self._responses[key] = (cached_response, _weight(key, cached_response))


def _weight(key: CacheKey, cached_response: CachedResponse) -> int:
    """Return the bytes of an entry, including its key, whose length the client chooses."""
    texts = (*key.secrets.bearer, key.secrets.session, key.channel, *key.path, *key.encodings)
    return _ENTRY_BYTES + len(cached_response.response.content or b"") + sum(map(len, texts))
