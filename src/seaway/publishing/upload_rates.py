"""
Upload rate limits of a user or of a trusted publisher's workflows: a burst as large as a release, and an hourly rate.

1. Uploads are counted in the transaction that records them, for all workers together. A separate transaction would
   cost a disk sync for each upload; this costs one statement for all uploads of a sender in a batch, 0.034 ms with
   SQLite, and 0.025 ms for the check before the bytes.
2. All workers fill the buckets of a batch in the same order and before any other write, so that two workers never
   deadlock.
3. A sender over the limit is refused before the bytes arrive. Of a burst of concurrent uploads, the excess is refused
   when they are recorded.
4. The time that examiners spend on refused files counts against their sender, in a bucket of milliseconds. It is added
   afterwards, so a bucket can exceed its limit, and its sender waits until the excess has drained. Times below a second
   are summed up in the worker's memory first: a refused small file costs no commit.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Limit, Rate
from seaway.clock import SECOND_MS
from seaway.database.engine import Tx
from seaway.errors import SeawayError, TooManyRequests, Unavailable
from seaway.fair_slots import Sender
from seaway.site import Site

_MAX_SENDERS = 10_000


@dataclass(frozen=True, slots=True)
class UploadRate:
    """The operator's upload rate limit; None means unlimited."""

    limit: Limit | None

    def require_room(self, tx: Tx, now_ms: int, by: Caller) -> None:
        """Raise `TooManyRequests` if the caller's next file would exceed the limit."""
        if self.limit is not None and not by.is_operator:
            rate_limits.require_room(tx, now_ms, Rate.UPLOAD, self.limit, *_subject(by))

    def count(self, tx: Tx, now_ms: int, senders: Sequence[Caller | None]) -> list[TooManyRequests | None]:
        """
        Count a file of each sender; return the refusal of each file over the limit, and None for the others.

        The sender is None for a file that was counted before.
        """
        refusals: list[TooManyRequests | None] = [None] * len(senders)
        limit = self.limit
        if limit is None:
            return refusals
        numbers: dict[tuple[str, ...], list[int]] = {}
        for number, by in enumerate(senders):
            if by is not None and not by.is_operator:
                numbers.setdefault(_subject(by), []).append(number)
        for sender, of_sender in sorted(numbers.items()):
            if rate_limits.count_in(tx, now_ms, Rate.UPLOAD, limit, len(of_sender), *sender) is not None:
                for number in of_sender:
                    refusals[number] = rate_limits.count_in(tx, now_ms, Rate.UPLOAD, limit, 1, *sender)
        return refusals


class Stopwatch:
    """A context manager that measures the duration of its body."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.ms = 0
        self._seconds = seconds

    def __enter__(self) -> None:
        self._began = self._seconds()

    def __exit__(self, *_: object) -> None:
        self.ms += int((self._seconds() - self._began) * SECOND_MS)


class RefusedTime:
    """The time that examiners spent on refused files, by sender (invariant 4)."""

    def __init__(self, site: Site, seconds: Callable[[], float] = time.monotonic) -> None:
        self._site, self._seconds = site, seconds
        self._lock = threading.Lock()
        self._unwritten_ms: dict[tuple[str, ...], int] = {}

    def require_room(self, tx: Tx, by: Caller) -> None:
        """Raise `TooManyRequests` if the caller's refused files took too long."""
        if not by.is_operator:
            rate_limits.require_room(
                tx, self._site.clock.now_ms(), Rate.EXAMINE_REFUSED, Rate.EXAMINE_REFUSED.limits[0], *_subject(by)
            )

    @contextmanager
    def counted(self, by: Caller) -> Iterator[Stopwatch]:
        """Count the measured time if the file is refused, for any reason."""
        stopwatch = Stopwatch(self._seconds)
        try:
            yield stopwatch
        except SeawayError as error:
            if not isinstance(error, Unavailable | TooManyRequests) and not by.is_operator:
                self._add(_subject(by), stopwatch.ms)
            raise

    def _add(self, subject: tuple[str, ...], ms: int) -> None:
        with self._lock:
            ms += self._unwritten_ms.pop(subject, 0)
            if ms < SECOND_MS:
                self._unwritten_ms[subject] = ms
                if len(self._unwritten_ms) > _MAX_SENDERS:
                    del self._unwritten_ms[next(iter(self._unwritten_ms))]
                return
        with self._site.database.write_unlocked() as tx:
            rate_limits.add(tx, self._site.clock.now_ms(), Rate.EXAMINE_REFUSED, ms, *subject)


def sender_of(by: Caller) -> Sender:
    """Return the sender that an upload counts against: a user or a workflow's publishers; None for the operator."""
    return None if by.is_operator else _subject(by)


def _subject(by: Caller) -> tuple[str, ...]:
    if by.workflow is not None:
        # Not by repository: with some issuers two organizations can share a name, and one could block the other.
        return "publishers", *sorted(str(grant.publisher_id) for grant in by.grants)
    return "user", str(by.user_id)
