"""
In-memory cache of small blobs.

1. Blobs are named by their content, so a cached blob is never outdated and survives every change of rows. Its hash was
   verified before it was cached, since the cache entry also survives the repair of a damaged blob.
2. A blob is returned only to a caller for whom the database has just returned this key.
3. Entries can be dropped at any time, and the total size is bounded. Serving a blob that was swept since is harmless.
"""

from cachetools import LRUCache

SMALL_BYTES = 256 * 1024
_MAX_BYTES = 32 * 1024 * 1024


class BlobCache(LRUCache[str, bytes]):
    """The small blobs that this process has read, by key; used from the event loop only."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        super().__init__(max_bytes, getsizeof=len)
