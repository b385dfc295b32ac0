"""
Record concurrent uploads in one transaction, to share its commit and its queries.

1. Each upload succeeds or is refused separately. If a batch fails with an unexpected error, its uploads are retried one
   by one, so that only the upload that caused the error fails.
2. No upload returns before the commit that contains its change.
3. A waiting thread records the uploads of all waiting threads. There is no extra thread; a single upload never waits.

A commit costs a disk sync, whatever it contains: eight uploads with separate commits take eight times as long as one.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from seaway.database.engine import lock_channel
from seaway.errors import DamagedRecord, Unavailable
from seaway.indexing.blob_references import BlobSwept, referencing
from seaway.publishing.record import Recorded, RecordingParts, Submission, record_submissions

_MAX_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class _Entry:
    """An upload that waits to be recorded."""

    sha256: bytes
    channel: str
    submission: Submission
    outcome: "Future[Recorded]" = field(default_factory=Future)


class Batches:
    """The uploads of a process that wait to be recorded."""

    def __init__(self, parts: RecordingParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._recording = threading.Lock()

    def record(self, sha256: bytes, channel: str, submission: Submission) -> Recorded:
        """Record the upload in the channel and commit it; raise `BlobSwept` if its blob is gone."""
        entry = _Entry(sha256, channel, submission)
        with self._lock:
            self._waiting.append(entry)
        with self._recording:
            while not entry.outcome.done():
                self._record_waiting()
        return entry.outcome.result()

    def record_many(
        self, channel: str, submissions: Sequence[tuple[bytes, Submission]]
    ) -> list[Recorded | BaseException]:
        """Record many uploads of one channel, each with its hash, in one transaction; return the outcome of each."""
        return self._outcomes([_Entry(sha256, channel, submission) for sha256, submission in submissions])

    def _record_waiting(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:_MAX_AT_ONCE], self._waiting[_MAX_AT_ONCE:]
        for entry, outcome in zip(batch, self._outcomes(batch), strict=True):
            if isinstance(outcome, BaseException):
                entry.outcome.set_exception(outcome)
            else:
                entry.outcome.set_result(outcome)

    def _outcomes(self, batch: Sequence[_Entry]) -> list[Recorded | BaseException]:
        try:
            return self._record_together(batch)
        except BaseException as error:  # noqa: BLE001  or the waiting threads would wait forever
            # A full disk or an unavailable database affects all of them. A damaged record affects one name.
            is_of_all = isinstance(error, Unavailable) and not isinstance(error, DamagedRecord)
            if len(batch) == 1 or is_of_all or not isinstance(error, Exception):
                return [error] * len(batch)
        return [outcome for entry in batch for outcome in self._outcomes([entry])]

    def _record_together(self, batch: Sequence[_Entry]) -> list[Recorded | BaseException]:
        site = self._parts.site
        with referencing(site, {entry.sha256 for entry in batch}) as (tx, missing):
            outcomes: dict[int, Recorded | BaseException] = {
                id(entry): BlobSwept(entry.sha256.hex()) for entry in batch if entry.sha256 in missing
            }
            present = sorted((entry for entry in batch if id(entry) not in outcomes), key=attrgetter("channel"))
            for channel in dict.fromkeys(entry.channel for entry in present):
                lock_channel(site.database, tx, channel)
            # Uploads in pieces were counted when they began.
            senders = [None if entry.submission.in_pieces else entry.submission.by for entry in present]
            refusals = self._parts.rate.count(tx, site.clock.now_ms(), senders)
            outcomes.update(
                (id(entry), refusal) for entry, refusal in zip(present, refusals, strict=True) if refusal is not None
            )
            counted = [entry for entry in present if id(entry) not in outcomes]
            for channel, entries in groupby(counted, key=attrgetter("channel")):
                of_channel = list(entries)
                results = record_submissions(tx, self._parts, channel, [entry.submission for entry in of_channel])
                outcomes.update(zip(map(id, of_channel), results, strict=True))
            return [outcomes[id(entry)] for entry in batch]
