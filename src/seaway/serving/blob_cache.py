"""
In-memory cache of small blobs.

1. Blobs are named by their content, so a cached blob is never outdated and survives every change of rows. Its hash was
   verified before it was cached, since the cache entry also survives the repair of a damaged blob.
2. A blob is returned only to a caller for whom the database has just returned this key.
3. Entries can be dropped at any time, and the total size is bounded. Serving a blob that was swept since is harmless.
"""

from collections import OrderedDict

SMALL_BYTES = 256 * 1024
_MOST_BYTES = 32 * 1024 * 1024


class BlobCache:
    """The blob cache of a process; used from the event loop only."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()

    def recall(self, key: str) -> bytes | None:
        """Return the content of a blob, None if it is not cached."""
        content = self._contents.get(key)
        if content is not None:
            self._contents.move_to_end(key)
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Cache the whole content of a small blob."""
        if key in self._contents:
            return
        self._contents[key] = content
        self._bytes += len(content)
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._contents.popitem(last=False)[1])
