"""
Receive a file into the spool; count and hash it on the way, never whole in memory.

While one batch of bytes is written and hashed in threads, the next one arrives: an upload is as fast as the
slowest of these steps, not as slow as all of them together. Memory is bounded by two batches.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seaway.conda.record import FileDigest
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import TooLarge

# Off the event loop, so that a slow disk delays one upload and no other requests. A batch costs two thread switches.
_BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A completely received file in the spool."""

    path: Path
    hashes: FileDigest


class PendingFile:
    """A file whose last byte has arrived; `finish`, called in a worker thread, writes and hashes the rest."""

    def __init__(self, sink: "_Sink", rest: list[bytes], size: int) -> None:
        self._sink, self._rest, self._size = sink, rest, size

    def finish(self, announced_sha256: str | None) -> Received:
        """Return the whole file; raise `Refused` if its hash is not the announced one."""
        hashes = self._sink.finish(b"".join(self._rest), self._size)
        if announced_sha256 is not None and announced_sha256.lower() != hashes.sha256.hex():
            raise Refused(
                RefusalReason.HASH_MISMATCH,
                f"The received bytes have the sha256 {hashes.sha256.hex()}; {announced_sha256[:64]!a} was announced.",
                "Upload the file again; if the error repeats, check the announced sha256.",
            )
        return Received(self._sink.path, hashes)


async def receive(chunks: AsyncIterator[bytes], file: BinaryIO, *, limit: int, disk: Executor) -> PendingFile:
    """Write the chunks to `file` in threads of `disk`; raise `TooLarge` at the first byte over `limit`."""
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
        sink.settle()  # the file is about to be closed and removed: no thread may still write to it
        raise
    return PendingFile(sink, batch, size)


def too_large(limit: int) -> TooLarge:
    """Return the refusal for a file over the limit, stating the limit."""
    return TooLarge(
        f"The file is larger than {limit:,} bytes, the limit of this server.", "Ask the operator to raise the limit."
    )


class _Sink:
    """A file and the hashes of its content, written one batch at a time by two threads."""

    def __init__(self, file: BinaryIO, disk: Executor) -> None:
        self.path = Path(file.name)
        self._file, self._disk = file, disk
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._running: list[Future[None]] = []

    async def take(self, content: bytes) -> None:
        """Wait for the previous batch, then start the next one."""
        for work in self._running:
            await asyncio.wrap_future(work)
        self._running = [self._disk.submit(self._write, content)]
        # Appended separately, so that `settle` waits for the first one if this fails.
        self._running.append(self._disk.submit(self._md5.update, content))

    def finish(self, content: bytes, size: int) -> FileDigest:
        """Wait for the running batch and write the last one; call it in a worker thread."""
        for work in self._running:
            work.result()
        self._write(content)
        self._md5.update(content)
        self._file.flush()
        return FileDigest(self._sha256.digest(), self._md5.digest(), size)

    def settle(self) -> None:
        """Wait until all writes have ended, successfully or not."""
        wait(self._running)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
