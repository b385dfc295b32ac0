"""
Periodically verify every blob that a row names, and take damaged and missing ones out of use.

1. Each blob is read once per period. Hashes are spread evenly, so the elapsed share of the period gives the hash up to
   which blobs are due, and the work is spread over the whole period.
2. One process at a time reads, for some seconds and with pauses, and holds no transaction while it reads.
3. Progress is stored, so a killed process loses at most one slice.
4. A blob that the store cannot read now is skipped until the next pass; if the store itself is unavailable, the slice
   ends before that blob and is tried again.
5. A late pass gets longer slices, up to a limit. A pass that takes longer than the period is logged once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from seaway.clock import DAY_MS
from seaway.database import site_values
from seaway.database.engine import Database
from seaway.indexing.blob_references import named_after
from seaway.packages.damaged_blobs import VERIFY_LOCK, BlobVerifier

log = structlog.get_logger()

_PROGRESS_KEY = "scrub"
_SLICE_SECONDS = 20.0
_MAX_SLICE_SECONDS = 60.0  # a server that is stopping waits for the slice
_PAUSE_SHARE = 0.25  # of the time that reading the blob took
_MAX_PAUSE_SECONDS = 1.0
_BLOBS_AT_ONCE = 100
_LAST = b"\xff" * 32


class _Progress(msgspec.Struct):
    """Progress of a pass over all blobs."""

    started_ms: int
    reached: bytes = b""
    verified: int = 0
    bad: int = 0
    is_late: bool = False  # has been logged


@dataclass(frozen=True, slots=True)
class Slice:
    """Result of one slice: how many blobs were verified, and how many of them were bad."""

    verified: int
    bad: int
    unread: int = 0


def scrub(
    keeper: BlobVerifier, days: int, *, seconds: float | None = None, pause: Callable[[float], None] = time.sleep
) -> Slice | None:
    """Verify the blobs that are due, for at most `seconds` (5); return None if another process is doing so."""
    with keeper.site.database.exclusive(VERIFY_LOCK, wait=False) as is_acquired:
        if not is_acquired:
            return None
        keeper.recheck()
        return _Scrub(keeper, days * DAY_MS, seconds, pause).run()


class _Scrub:
    def __init__(
        self, keeper: BlobVerifier, period_ms: int, seconds: float | None, pause: Callable[[float], None]
    ) -> None:
        self._keeper, self._period_ms, self._pause = keeper, period_ms, pause
        self._now_ms = keeper.site.clock.now_ms()
        self._progress = self._begin(_load(keeper.site.database))
        self._deadline = time.monotonic() + (slice_seconds(self._late_ms()) if seconds is None else seconds)
        self._unread: set[bytes] = set()

    def run(self) -> Slice:
        before = self._progress.verified, self._progress.bad
        target = self._target()
        try:
            while self._progress.reached < target and time.monotonic() < self._deadline:
                self._read_some(target)
        finally:
            self._log_if_late()
            _store(self._keeper.site.database, self._progress)
        return Slice(self._progress.verified - before[0], self._progress.bad - before[1], len(self._unread))

    def _begin(self, progress: _Progress | None) -> _Progress:
        """Return the current pass, or a new one if its period is over or the clock was set back."""
        if progress is None or progress.started_ms > self._now_ms:
            return _Progress(self._now_ms)
        if progress.reached < _LAST or self._now_ms - progress.started_ms < self._period_ms:
            return progress
        days = (self._now_ms - progress.started_ms) // DAY_MS
        log.info("scrub.done", blobs=progress.verified, bad=progress.bad, days=days)
        return _Progress(self._now_ms)

    def _late_ms(self) -> int:
        """Return how long ago the next blob was due."""
        return self._now_ms - self._progress.started_ms - int(_share(self._progress.reached) * self._period_ms)

    def _log_if_late(self) -> None:
        progress, took_ms = self._progress, self._now_ms - self._progress.started_ms
        if progress.is_late or took_ms <= self._period_ms or progress.reached >= _LAST:
            return
        progress.is_late = True
        read_percent = round(100 * _share(progress.reached))
        log.warning("scrub.late", scrub_days=self._period_ms // DAY_MS, read_percent=read_percent)

    def _target(self) -> bytes:
        """Return the hash up to which blobs are due now."""
        passed = min((self._now_ms - self._progress.started_ms) / self._period_ms, 1.0)
        return min(int(passed * 2**256), 2**256 - 1).to_bytes(32, "big")

    def _read_some(self, target: bytes) -> None:
        with self._keeper.site.database.read() as tx:
            batch = named_after(tx, self._progress.reached, _BLOBS_AT_ONCE)
        for sha256 in batch:
            if sha256 > target or time.monotonic() >= self._deadline:
                break
            self._read(sha256)
            self._progress.reached = sha256
        else:
            if len(batch) == _BLOBS_AT_ONCE:
                return
        if time.monotonic() < self._deadline:
            self._progress.reached = target

    def _read(self, sha256: bytes) -> None:
        started = time.monotonic()
        with self._keeper.skipping_unreadable(sha256, self._unread):
            finding = self._keeper.verify(sha256)
            self._progress.verified += 1
            self._progress.bad += finding is not None
        self._pause(min((time.monotonic() - started) * _PAUSE_SHARE, _MAX_PAUSE_SECONDS))


def slice_seconds(late_ms: int) -> float:
    """Return the length of a slice: twenty seconds for each day that the pass is late, within bounds."""
    return min(max(late_ms / DAY_MS, 1.0) * _SLICE_SECONDS, _MAX_SLICE_SECONDS)


def _share(sha256: bytes) -> float:
    """Return the share of all hashes that are lower than this one."""
    return int.from_bytes(sha256[:8].ljust(8, b"\0"), "big") / 2**64


def _load(database: Database) -> _Progress | None:
    with database.read() as tx:
        stored = site_values.get(tx, _PROGRESS_KEY)
    return None if stored is None else msgspec.json.decode(stored, type=_Progress)


def _store(database: Database, progress: _Progress) -> None:
    with database.write_unlocked() as tx:
        site_values.put(tx, _PROGRESS_KEY, msgspec.json.encode(progress))
