"""
The database of one machine: a SQLite file.

1. `read` is a WAL snapshot.
2. `write` holds the only write lock from its start (BEGIN IMMEDIATE), whatever it is for. A deferred transaction
   that upgrades could fail at once whatever the timeout.
3. WAL with synchronous=FULL.
4. `alone`, `try_hold` and `share` are locks on files (flock), which die with the process.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from zlib import crc32

import sqlalchemy
from sqlalchemy import Connection, create_engine, event

from seaway.database.engine import BRIEF_MS, PRIMARY_CODE, THE_DATABASE, Database, Tx, does_not_answer, explained
from seaway.errors import BadSetting, Unavailable

BUSY_TIMEOUT_MS = 20_000  # how long we wait for a writer in another process
_POOL_SIZE = 40
_LOCK_FILES = 64
_SWITCH_SECONDS = 20
_PAUSE_SECONDS = 0.02
_HELD = "seaway_held"


class SqliteDatabase(Database):
    """A SQLite file; `locks` is a folder for what processes do alone."""

    marks_cost_nothing = True

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
        self._watch: sqlite3.Connection | None = None  # it never writes, so every commit is another's to it
        self._write_lock = threading.Lock()
        self._sharing = threading.Lock()
        self._shared: dict[Path, tuple[IO[str], int]] = {}  # the files that are shared, and by how many
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
        with explained(), self._write_lock, self.engine.connect() as connection, self._writing(connection):
            yield connection

    @contextmanager
    def write_part(self) -> Iterator[Tx]:
        with self.write_site() as tx:
            yield tx

    @contextmanager
    def write_briefly(self) -> Iterator[Tx]:
        if not self._write_lock.acquire(timeout=BRIEF_MS / 1000):
            raise Unavailable("The database is busy with another change.", "Try again in a moment.")
        try:
            with explained(), self.engine.connect() as connection, self._hurried(connection), self._writing(connection):
                yield connection
        finally:
            self._write_lock.release()

    @contextmanager
    def _hurried(self, connection: Connection) -> Iterator[None]:
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
        with _HeldFiles() as held, connection.begin():
            self._require_file()
            connection.info[_HELD] = held
            yield

    def hold(self, tx: Tx, thing: str) -> None:
        """Nothing to do: there is one writer."""

    def hold_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        """Nothing to do: there is one writer."""

    @contextmanager
    def alone(self, thing: str, *, wait: bool = True) -> Iterator[bool]:
        with self._lock_file(thing).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def try_hold(self, tx: Tx, thing: str) -> bool:
        held: _HeldFiles = tx.info[_HELD]
        try:
            held.add(self._lock_file(thing))
        except OSError:  # it is shared, or its file cannot be created, so that this is unknown
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
        """Return the file with a shared lock, after waiting for a limited time; flock itself would wait forever."""
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
        """Return the lock file of a thing; two things of a kind may share one and are then locked together."""
        self._locks.mkdir(parents=True, exist_ok=True)
        return self._locks / f"{thing.partition('/')[0]}-{crc32(thing.encode()) % _LOCK_FILES}"

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
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=self._busy_ms / 1000)

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


class _HeldFiles:
    """The locked files of one transaction, each of them once."""

    def __init__(self) -> None:
        self._files: dict[Path, IO[str]] = {}

    def add(self, path: Path) -> None:
        """Lock the file alone, without waiting: BlockingIOError."""
        if path in self._files:
            return
        with ExitStack() as stack:
            file = stack.enter_context(path.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files[path] = file
            stack.pop_all()

    def __enter__(self) -> "_HeldFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()


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
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("seaway_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
