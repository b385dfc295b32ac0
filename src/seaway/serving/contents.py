"""
Small blobs as they were read a moment ago.

1. A blob is named by its content, so what is kept is never old: it outlives every change of rows. What is kept had
   the hash that its key names, since it also outlives the repair of a damaged blob.
2. Nothing is given from here to anybody whom the rows have not answered first, by this very key.
3. Forgetting is always allowed, and the bytes are bounded. A blob that was swept meanwhile does no harm.
"""

from collections import OrderedDict

SMALL_BYTES = 256 * 1024
_MOST_BYTES = 32 * 1024 * 1024


class Contents:
    """The small blobs that one process keeps; used from the event loop only."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()

    def recall(self, key: str) -> bytes | None:
        """The content of a blob, if it is remembered."""
        content = self._contents.get(key)
        if content is not None:
            self._contents.move_to_end(key)
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Remember the whole content of a small blob."""
        if key in self._contents:
            return
        self._contents[key] = content
        self._bytes += len(content)
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._contents.popitem(last=False)[1])
