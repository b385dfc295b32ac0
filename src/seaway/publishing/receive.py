"""
Strangers' bytes -> a spool file, counted and hashed on the way, never whole in memory.

While one batch of bytes is written and hashed in threads, the next one arrives: an upload goes as fast as the
slowest of these, not as all of them one after the other. Memory is bounded by two batches.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seaway.conda.record import Hashes
from seaway.conda.refusals import Reason, Refused
from seaway.errors import TooLarge

# Off the event loop, a slow disk delays one upload and not the other requests. A batch costs two changes of thread.
_BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has arrived whole in the spool."""

    path: Path
    hashes: Hashes


class Arrived:
    """The last byte has come; what is left is to write and hash the end, which `finish` does in a worker thread."""

    def __init__(self, sink: "_Sink", rest: list[bytes], size: int) -> None:
        self._sink, self._rest, self._size = sink, rest, size

    def finish(self, announced_sha256: str | None) -> Received:
        """The whole file; `Refused` if its hash is not the announced one."""
        hashes = self._sink.finish(b"".join(self._rest), self._size)
        if announced_sha256 is not None and announced_sha256.lower() != hashes.sha256.hex():
            raise Refused(
                Reason.HASH_MISMATCH,
                f"The bytes that arrived have the sha256 {hashes.sha256.hex()}, not {announced_sha256[:64]!a}.",
                "They changed on the way: upload the file again.",
            )
        return Received(self._sink.path, hashes)


async def receive(chunks: AsyncIterator[bytes], file: BinaryIO, *, limit: int, disk: Executor) -> Arrived:
    """Write the chunks to `file` by threads of `disk`; `TooLarge` at the first byte over `limit`."""
    sink = _Sink(file, disk)
    batch: list[bytes] = []
    waiting = size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            waiting += len(chunk)
            if size > limit:
                raise too_large(limit)
            batch.append(chunk)
            if waiting >= _BATCH_BYTES:
                await sink.take(b"".join(batch))
                batch, waiting = [], 0
    except BaseException:
        sink.settle()  # the file is about to be closed and removed: nobody may be writing to it
        raise
    return Arrived(sink, batch, size)


def too_large(limit: int) -> TooLarge:
    """The refusal for a file over the limit, with the figure."""
    return TooLarge(
        f"The file is larger than {limit:,} bytes, the limit of this server.", "Ask its operator to raise it."
    )


class _Sink:
    """A file and the hashes of what was written to it: one batch at a time, by two threads."""

    def __init__(self, file: BinaryIO, disk: Executor) -> None:
        self.path = Path(file.name)
        self._file, self._disk = file, disk
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._at_work: list[Future[None]] = []

    async def take(self, content: bytes) -> None:
        """Begin with a batch when the one before is done."""
        for work in self._at_work:
            await asyncio.wrap_future(work)
        self._at_work = [self._disk.submit(self._write, content)]
        self._at_work.append(self._disk.submit(self._md5.update, content))  # `settle` knows the first if this fails

    def finish(self, content: bytes, size: int) -> Hashes:
        """Wait for what was begun, and do the last batch; from a worker thread."""
        for work in self._at_work:
            work.result()
        self._write(content)
        self._md5.update(content)
        self._file.flush()
        return Hashes(self._sha256.digest(), self._md5.digest(), size)

    def settle(self) -> None:
        """Wait until nothing is written any more, whatever became of it."""
        wait(self._at_work)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
