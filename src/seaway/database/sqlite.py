"""
The SQLite database, for one machine.

1. `read` is a WAL snapshot.
2. Every write transaction holds the only write lock from its start (BEGIN IMMEDIATE). A deferred transaction
   that upgrades can fail immediately, whatever the timeout.
3. The journal mode is WAL with synchronous=FULL.
4. `exclusive`, `try_lock` and `share` are file locks (flock), which end with the process.
5. Each transaction first checks that the open file was not removed or replaced: writes to the old file would be lost.
6. A file is created only if neither it nor a write-ahead log exists: the log may have commits that the file lacks.

Writers of one process wait for each other on a lock instead of SQLite's polling, which adds tail latency.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from zlib import crc32

import sqlalchemy
from sqlalchemy import Connection, create_engine, event

from seaway.database.engine import BRIEF_MS, PRIMARY_CODE, THE_DATABASE, Database, Tx, converting_errors, to_unavailable
from seaway.errors import BadSetting, Unavailable

BUSY_TIMEOUT_MS = 20_000  # how long to wait for a writer in another process
_POOL_SIZE = 40
_LOCK_FILES = 64
_SWITCH_SECONDS = 20
_PAUSE_SECONDS = 0.02
_HELD = "seaway_held"  # the lock files of a transaction, and their paths


class SqliteDatabase(Database):
    """A SQLite file; `locks` is the folder of the lock files."""

    is_change_mark_cheap = True

    def __init__(self, path: Path, locks: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.engine = create_engine(
            sqlalchemy.URL.create("sqlite", database=str(path)),
            pool_size=_POOL_SIZE,
            creator=self._connect,
            execution_options={THE_DATABASE: self},
        )
        self._path = path
        self._busy_ms = busy_timeout_ms
        self._locks = locks
        # It never writes, so its data_version changes with every commit.
        self._watch: sqlite3.Connection | None = None
        self._write_lock = threading.Lock()
        self._sharing = threading.Lock()
        self._shared: dict[Path, tuple[IO[str], int]] = {}  # lock files with a shared lock, and their number of holders
        self._file: tuple[int, int] | None = None  # device and inode of the file that was opened first
        event.listen(self.engine, "connect", _set_up_connection)
        event.listen(self.engine, "connect", self._note_file)
        event.listen(self.engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with converting_errors(), self.engine.connect() as connection, connection.begin():
            self._require_file()
            yield connection

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        with converting_errors(), self._write_lock, self.engine.connect() as connection, self._writing(connection):
            yield connection

    @contextmanager
    def write_unlocked(self) -> Iterator[Tx]:
        with self.write_site() as tx:
            yield tx

    @contextmanager
    def write_briefly(self) -> Iterator[Tx]:
        if not self._write_lock.acquire(timeout=BRIEF_MS / 1000):
            raise Unavailable("The database is busy with another change.", "Try again in a moment.")
        try:
            with (
                converting_errors(),
                self.engine.connect() as connection,
                self._short_timeout(connection),
                self._writing(connection),
            ):
                yield connection
        finally:
            self._write_lock.release()

    @contextmanager
    def _short_timeout(self, connection: Connection) -> Iterator[None]:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(f"PRAGMA busy_timeout = {min(BRIEF_MS, self._busy_ms)}")
        try:
            yield
        finally:
            driver.execute(f"PRAGMA busy_timeout = {self._busy_ms}")

    @contextmanager
    def _writing(self, connection: Connection) -> Iterator[None]:
        connection.execution_options(seaway_writes=True)
        with ExitStack() as held, connection.begin():
            self._require_file()
            connection.info[_HELD] = held, set[Path]()
            yield

    def lock(self, tx: Tx, thing: str) -> None:
        """Do nothing: SQLite has one writer."""

    def lock_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        """Do nothing: SQLite has one writer."""

    @contextmanager
    def exclusive(self, thing: str, *, wait: bool = True) -> Iterator[bool]:
        with self._lock_file(thing).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def try_lock(self, tx: Tx, thing: str) -> bool:
        held, paths = tx.info[_HELD]
        try:
            path = self._lock_file(thing)
            if path not in paths:
                fcntl.flock(held.enter_context(path.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
                paths.add(path)
        except OSError:  # the thing is shared, or the lock file cannot be created
            return False
        return True

    @contextmanager
    def share(self, thing: str) -> Iterator[None]:
        path = self._lock_file(thing)
        with self._sharing:
            file, count = self._shared.get(path) or (self._locked(path), 0)
            self._shared[path] = file, count + 1
        try:
            yield
        finally:
            with self._sharing:
                file, count = self._shared.pop(path)
                if count > 1:
                    self._shared[path] = file, count - 1
                else:
                    file.close()

    def _locked(self, path: Path) -> IO[str]:
        """Return the file with a shared lock; wait for a limited time, since flock itself would wait forever."""
        deadline = time.monotonic() + self._busy_ms / 1000
        with ExitStack() as stack:
            file = stack.enter_context(path.open("w"))
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            "The database is busy with another change.", "Try again in a moment."
                        ) from error
                    time.sleep(_PAUSE_SECONDS)
                else:
                    stack.pop_all()
                    return file

    def _lock_file(self, thing: str) -> Path:
        """Return the lock file of a thing; two things of a kind may share a file and are then locked together."""
        self._locks.mkdir(parents=True, exist_ok=True)
        return self._locks / f"{thing.partition('/')[0]}-{crc32(thing.encode()) % _LOCK_FILES}"

    def change_mark(self) -> int:
        """Return `PRAGMA data_version`, which takes microseconds."""
        try:
            if self._watch is None:
                self._watch = self._connect()
                self._watch.isolation_level = None
            mark: int = self._watch.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise to_unavailable(error) from error
        return mark

    def _connect(self) -> sqlite3.Connection:
        """Open the file; create it only at first, since SQLite deletes the log beside a new file (invariant 6)."""
        if self._file is None:
            self._require_no_log()
        else:
            self._require_file()
        mode = "rwc" if self._file is None else "rw"
        address = f"{self._path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=self._busy_ms / 1000)

    def _require_no_log(self) -> None:
        log = self._path.with_name(self._path.name + "-wal")
        if not self._path.exists() and log.exists():
            raise BadSetting(
                f"The database file {self._path} is missing, but its write-ahead log exists.",
                f"Restore the database file, or remove {log} to start with an empty database.",
            )

    def _note_file(self, _connection: sqlite3.Connection, _record: object) -> None:
        if self._file is None:
            self._file = self._file_now()

    def _require_file(self) -> None:
        if self._file_now() != self._file:
            raise Unavailable(
                "The database file was removed or replaced while Seaway was running.",
                "Restore the database file and restart Seaway.",
            )

    def _file_now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  faster, and called in every transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close every connection; closing the last one checkpoints the WAL."""
        if self._watch is not None:
            self._watch.close()
        self.engine.dispose()


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # `_begin` sends BEGIN
    _switch_journal(connection)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _switch_journal(connection: sqlite3.Connection) -> None:
    """Switch a new file to the write-ahead log; retry, since SQLite does not wait for another process doing this."""
    deadline = time.monotonic() + _SWITCH_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("seaway_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
