"""
Usage counters: downloads of files, and when keys were last used.

1. Counting is an addition in memory. It never waits for the database, and never fails or slows down a download.
2. A thread writes the counts every few seconds, and again at a graceful stop. A process that is killed loses the last
   seconds: counts are only displayed, and nothing depends on them.
3. A write is many short transactions, so that others never wait long for it.
4. The use of a key is written at most every ten minutes. Each commit invalidates the response cache of every worker
   (`serving.response_cache`), so nothing is committed if there is nothing to write.
"""

import threading
from collections import Counter
from collections.abc import Mapping

import structlog

from seaway.clock import MINUTE_MS
from seaway.database.rows import in_batches
from seaway.errors import SeawayError
from seaway.keys import api_keys
from seaway.packages import downloads
from seaway.packages.client_families import family_of
from seaway.packages.downloads import DownloadKey
from seaway.site import Site

log = structlog.get_logger()

_PERIOD_SECONDS = 5.0
USE_WRITTEN_EVERY_MS = 10 * MINUTE_MS
_ENTRIES_PER_WRITE = 5_000
_MAX_ENTRIES = 100_000  # unwritten counts while the database is unavailable; further files are not counted


class UsageCounter:
    """The usage counters of a process; used from any thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._downloads = Counter[DownloadKey]()
        self._used: dict[int, tuple[int, str]] = {}
        self._use_written_at: dict[int, int] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def count_download(self, file_id: int, user_agent: str | None) -> None:
        """Count a download of the file by a client."""
        entry = DownloadKey(file_id, downloads.day_of(self._site.clock.now_ms()), family_of(user_agent))
        with self._lock:
            if entry in self._downloads or len(self._downloads) < _MAX_ENTRIES:
                self._downloads[entry] += 1

    def count_key_use(self, key_id: int | None, address: str) -> None:
        """Note that the key was used from this IP address; ignore None."""
        if key_id is None:
            return
        now_ms = self._site.clock.now_ms()
        since_ms = now_ms - self._use_written_at.get(key_id, -USE_WRITTEN_EVERY_MS)
        if not 0 <= since_ms < USE_WRITTEN_EVERY_MS:  # negative if the clock was set back
            with self._lock:
                self._used[key_id] = (now_ms, address)

    def start(self) -> None:
        """Start the thread that writes the counts."""
        self._thread = threading.Thread(target=self._run, name="usage-counter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and write the remaining counts."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.write()

    def write(self) -> None:
        """Write the counts to the database; if it is unavailable, keep them for the next time."""
        with self._lock:
            downloaded, self._downloads = self._downloads, Counter()
            used, self._used = self._used, {}
        if not downloaded and not used:
            return
        try:
            self._write_use(used)
            for batch in in_batches(list(downloaded), _ENTRIES_PER_WRITE):
                self._write_downloads({entry: downloaded[entry] for entry in batch})
                for entry in batch:
                    del downloaded[entry]
        except SeawayError as error:
            log.warning("usage_counter.delayed", reason=error.message)
            with self._lock:
                self._downloads.update(downloaded)

    def _write_use(self, used: Mapping[int, tuple[int, str]]) -> None:
        if used:
            with self._site.database.write_unlocked() as tx:
                api_keys.note_uses(tx, used, since_ms=USE_WRITTEN_EVERY_MS)
            self._use_written_at.update((key_id, at_ms) for key_id, (at_ms, _) in used.items())

    def _write_downloads(self, counted: Mapping[DownloadKey, int]) -> None:
        with self._site.database.write_unlocked() as tx:
            downloads.add(tx, counted, today=downloads.day_of(self._site.clock.now_ms()))

    def _run(self) -> None:
        while not self._stopped.wait(_PERIOD_SECONDS):
            try:
                self.write()
            except Exception:
                log.exception("usage_counter.failed")  # a bug in counting must not end the thread
