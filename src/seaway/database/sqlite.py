"""
The database of one machine: a SQLite file.

1. `read` is a WAL snapshot.
2. `write` holds the only write lock from its start (BEGIN IMMEDIATE), whatever it is for. A deferred transaction
   that upgrades could fail at once whatever the timeout.
3. WAL with synchronous=FULL.
4. `alone` is a lock on a file (flock), which dies with the process.
5. A file that was removed or replaced while it is open is noticed before each transaction: what is written to the old
   one would be lost with it.
6. A file is made only where there is none, and no write-ahead log of one: the log has commits that the file may lack.

Writers of this process wait for each other on a lock, not on SQLite's polling, which costs tail latency.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import sqlalchemy
from sqlalchemy import Connection, create_engine, event

from seaway.database.engine import Database, Tx, does_not_answer, explained
from seaway.errors import BadSetting, Unavailable

BUSY_TIMEOUT_MS = 20_000  # how long we wait for a writer in another process
_POOL_SIZE = 40
_LOCK_FILES = 64
_SWITCH_SECONDS = 20
_SWITCH_PAUSE_SECONDS = 0.02


class SqliteDatabase(Database):
    """A SQLite file; `locks` is a folder for what processes do alone."""

    marks_cost_nothing = True

    def __init__(self, path: Path, locks: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.engine = create_engine(
            sqlalchemy.URL.create("sqlite", database=str(path)), pool_size=_POOL_SIZE, creator=self._connect
        )
        self._path = path
        self._busy_seconds = busy_timeout_ms / 1000
        self._locks = locks
        self._watch: sqlite3.Connection | None = None  # it never writes, so every commit is another's to it
        self._write_lock = threading.Lock()
        self._file: tuple[int, int] | None = None  # which file was opened first
        event.listen(self.engine, "connect", _set_up_connection)
        event.listen(self.engine, "connect", self._note_file)
        event.listen(self.engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with explained(), self.engine.connect() as connection, connection.begin():
            self._require_file()
            yield connection

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        with explained(), self._write_lock, self.engine.connect() as connection:
            connection.execution_options(seaway_writes=True)
            with connection.begin():
                self._require_file()
                yield connection

    @contextmanager
    def write_part(self) -> Iterator[Tx]:
        with self.write_site() as tx:
            yield tx

    def hold(self, tx: Tx, thing: str) -> None:
        """Nothing to do: there is one writer."""

    def hold_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        """Nothing to do: there is one writer."""

    @contextmanager
    def alone(self, thing: str, *, wait: bool = True) -> Iterator[bool]:
        # Two things of a kind may share a file: then one waits for the other, which costs time only.
        self._locks.mkdir(parents=True, exist_ok=True)
        kind = thing.partition("/")[0]
        with (self._locks / f"{kind}-{crc32(thing.encode()) % _LOCK_FILES}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def change_mark(self) -> int:
        """`PRAGMA data_version`: microseconds to ask."""
        try:
            if self._watch is None:
                self._watch = self._connect()
                self._watch.isolation_level = None
            mark: int = self._watch.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise does_not_answer(error) from error
        return mark

    def _connect(self) -> sqlite3.Connection:
        """Open the file, which is made only if none was open before: SQLite deletes the log beside a new file (6)."""
        if self._file is None:
            self._require_no_log()
        else:
            self._require_file()
        mode = "rwc" if self._file is None else "rw"
        address = f"{self._path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=self._busy_seconds)

    def _require_no_log(self) -> None:
        log = self._path.with_name(self._path.name + "-wal")
        if not self._path.exists() and log.exists():
            raise BadSetting(
                f"The database file {self._path} is missing, and its write-ahead log is there.",
                f"Restore the database file, or remove {log} to begin with an empty database.",
            )

    def _note_file(self, _connection: sqlite3.Connection, _record: object) -> None:
        if self._file is None:
            self._file = self._file_now()

    def _require_file(self) -> None:
        if self._file_now() != self._file:
            raise Unavailable(
                "The database file was removed or replaced while Seaway ran.",
                "Restore the database file, and restart Seaway.",
            )

    def _file_now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  asked in every transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close every connection; the last one folds the WAL into the database file."""
        if self._watch is not None:
            self._watch.close()
        self.engine.dispose()


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    _switch_journal(connection)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _switch_journal(connection: sqlite3.Connection) -> None:
    """A new file is switched to the write-ahead log once; SQLite does not wait when another process is at it."""
    deadline = time.monotonic() + _SWITCH_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_PAUSE_SECONDS)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("seaway_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
