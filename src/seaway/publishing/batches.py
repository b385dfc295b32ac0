"""
Uploads that are ready at the same moment are recorded in one transaction, and so share its commit and its questions.

1. Each is done or refused for itself. What goes wrong in company for a reason that nobody foresaw is tried again
   for each alone, so that it is an error of the one whom it concerns.
2. Nobody is answered before the commit that holds their change.
3. Who waits does the work of all who wait. There is no thread for it, and one alone waits for nobody.

A commit costs a sync of the disk, whatever is in it: eight uploads that each wait for their own commit take eight
times as long as one.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Generic, TypeVar

from seaway.database.engine import Database, Tx, hold_channel
from seaway.errors import DamagedRecord, SeawayError, Unavailable
from seaway.indexing.claims import BlobSwept, naming
from seaway.storage.blobs import Blobs

_MOST_AT_ONCE = 32

Upload = TypeVar("Upload")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Upload, Result]):
    """One upload that waits to be recorded."""

    sha256: bytes
    channel: str
    upload: Upload
    outcome: "Future[Result]" = field(default_factory=Future)


class Batches(Generic[Upload, Result]):
    """
    The uploads of one process that wait to be recorded.

    `count` is asked first, for all of them: to each the refusal, or None. `record_all` records those of one channel: to
    each its result, or the refusal that was decided before anything was written for it.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        record_all: Callable[[Tx, str, Sequence[Upload]], Sequence[Result | SeawayError]],
        count: Callable[[Tx, Sequence[Upload]], Sequence[SeawayError | None]],
    ) -> None:
        self._database, self._blobs, self._record_all, self._count = database, blobs, record_all, count
        self._lock = threading.Lock()
        self._waiting: list[_Entry[Upload, Result]] = []
        self._turn = threading.Lock()

    def record(self, sha256: bytes, channel: str, upload: Upload) -> Result:
        """Name the blob in the channel and commit it; `BlobSwept` when the blob is gone."""
        entry: _Entry[Upload, Result] = _Entry(sha256, channel, upload)
        with self._lock:
            self._waiting.append(entry)
        with self._turn:
            while not entry.outcome.done():
                self._record_waiting()
        return entry.outcome.result()

    def record_many(self, channel: str, uploads: Sequence[tuple[bytes, Upload]]) -> list[Result | BaseException]:
        """The same for many of one channel, each with its hash, in one transaction; what became of each."""
        return self._outcomes([_Entry(sha256, channel, upload) for sha256, upload in uploads])

    def _record_waiting(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        for entry, outcome in zip(batch, self._outcomes(batch), strict=True):
            if isinstance(outcome, BaseException):
                entry.outcome.set_exception(outcome)
            else:
                entry.outcome.set_result(outcome)

    def _outcomes(self, batch: Sequence[_Entry[Upload, Result]]) -> list[Result | BaseException]:
        try:
            return self._record_together(batch)
        except BaseException as error:  # noqa: BLE001  those who wait are not to wait for ever
            # The disk is full or the database away: that concerns all of them. A damaged record concerns one name.
            is_of_all = isinstance(error, Unavailable) and not isinstance(error, DamagedRecord)
            if len(batch) == 1 or is_of_all or not isinstance(error, Exception):
                return [error] * len(batch)
        return [outcome for entry in batch for outcome in self._outcomes([entry])]

    def _record_together(self, batch: Sequence[_Entry[Upload, Result]]) -> list[Result | BaseException]:
        with naming(self._database, self._blobs, {entry.sha256 for entry in batch}) as (tx, missing):
            outcomes: dict[int, Result | BaseException] = {
                id(entry): BlobSwept(entry.sha256.hex()) for entry in batch if entry.sha256 in missing
            }
            there = sorted((entry for entry in batch if id(entry) not in outcomes), key=attrgetter("channel"))
            for channel in dict.fromkeys(entry.channel for entry in there):
                hold_channel(self._database, tx, channel)
            refusals = self._count(tx, [entry.upload for entry in there])
            outcomes.update((id(entry), no) for entry, no in zip(there, refusals, strict=True) if no is not None)
            counted = [entry for entry in there if id(entry) not in outcomes]
            for channel, entries in groupby(counted, key=attrgetter("channel")):
                self._record_of_channel(tx, channel, list(entries), outcomes)
            return [outcomes[id(entry)] for entry in batch]

    def _record_of_channel(
        self,
        tx: Tx,
        channel: str,
        entries: Sequence[_Entry[Upload, Result]],
        outcomes: dict[int, Result | BaseException],
    ) -> None:
        results = self._record_all(tx, channel, [entry.upload for entry in entries])
        outcomes.update(zip(map(id, entries), results, strict=True))
