"""
How many files one user, or the workflows of one trusted publisher, may send: a release at once, and so many an hour.

1. What comes in is counted in the transaction that records it, for all workers together. A transaction of its own
   would cost a sync of the disk for each upload; like this it is one statement for all of a sender in a batch, 0.034 ms
   with SQLite, and 0.025 ms for the look before the bytes.
2. The buckets of a batch are filled in one order by all, before anything else is written: two workers never wait for
   each other.
3. Who is over the rate is refused before the bytes come. Of many that came in at once, those too many are refused then.
4. The time that examiners spend on refused files counts against their sender, in a bucket of milliseconds. It is added
   afterwards, so a bucket may hold more than its limit, and its sender waits until that has run out. Less than a second
   is summed in the memory of the worker: a refused small file costs no commit.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from seaway.accounts import throttle
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Limit, Rate
from seaway.clock import SECOND_MS, Clock
from seaway.database.engine import Database, Tx
from seaway.errors import SeawayError, TooMany, Unavailable
from seaway.fair_turns import Sender

_MOST_SENDERS = 10_000


@dataclass(frozen=True, slots=True)
class UploadRate:
    """What the operator allows; None: any number."""

    limit: Limit | None

    def require_room(self, tx: Tx, now_ms: int, by: Principal) -> None:
        """`TooMany` if the next file of this principal would be one too many."""
        if self.limit is not None and not by.is_operator:
            throttle.require_room(tx, now_ms, Rate.UPLOAD, self.limit, *_subject(by))

    def count(self, tx: Tx, now_ms: int, senders: Sequence[Principal]) -> list[TooMany | None]:
        """Count a file of each of them; the refusal of those that are too many, None for the others."""
        refusals: list[TooMany | None] = [None] * len(senders)
        limit = self.limit
        if limit is None:
            return refusals
        numbers: dict[tuple[str, ...], list[int]] = {}
        for number, by in enumerate(senders):
            if not by.is_operator:
                numbers.setdefault(_subject(by), []).append(number)
        for sender, theirs in sorted(numbers.items()):
            if throttle.take_within(tx, now_ms, Rate.UPLOAD, limit, len(theirs), *sender) is not None:
                for number in theirs:
                    refusals[number] = throttle.take_within(tx, now_ms, Rate.UPLOAD, limit, 1, *sender)
        return refusals


class Stopwatch:
    """Measures how long the body of a `with` takes."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.ms = 0
        self._seconds = seconds

    def __enter__(self) -> None:
        self._began = self._seconds()

    def __exit__(self, *_: object) -> None:
        self.ms += int((self._seconds() - self._began) * SECOND_MS)


class RefusedTime:
    """How long examiners were busy with files that were refused, for each sender (invariant 4)."""

    def __init__(self, database: Database, clock: Clock, seconds: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock, self._seconds = database, clock, seconds
        self._lock = threading.Lock()
        self._unwritten_ms: dict[tuple[str, ...], int] = {}

    def require_room(self, tx: Tx, by: Principal) -> None:
        """`TooMany` if refused files of this principal took too long."""
        if not by.is_operator:
            throttle.require_room(
                tx, self._clock.now_ms(), Rate.EXAMINE_REFUSED, Rate.EXAMINE_REFUSED.limits[0], *_subject(by)
            )

    @contextmanager
    def counted(self, by: Principal) -> Iterator[Stopwatch]:
        """Count what the stopwatch measured if the file is refused, for whatever reason."""
        stopwatch = Stopwatch(self._seconds)
        try:
            yield stopwatch
        except SeawayError as error:
            if not isinstance(error, Unavailable | TooMany) and not by.is_operator:
                self._add(_subject(by), stopwatch.ms)
            raise

    def _add(self, subject: tuple[str, ...], ms: int) -> None:
        with self._lock:
            ms += self._unwritten_ms.pop(subject, 0)
            if ms < SECOND_MS:
                self._unwritten_ms[subject] = ms
                if len(self._unwritten_ms) > _MOST_SENDERS:
                    del self._unwritten_ms[next(iter(self._unwritten_ms))]
                return
        with self._database.write_part() as tx:
            throttle.add(tx, self._clock.now_ms(), Rate.EXAMINE_REFUSED, ms, *subject)


def sender_of(by: Principal) -> Sender:
    """Return the sender that an upload counts against: a user, or the publishers of a workflow; None for the operator."""
    return None if by.is_operator else _subject(by)


def _subject(by: Principal) -> tuple[str, ...]:
    if by.workflow is not None:
        # Not by repository: some issuers give names that two organizations may share, and one would stop the other.
        return "publishers", *sorted(str(grant.publisher_id) for grant in by.grants)
    return "user", str(by.user_id)
