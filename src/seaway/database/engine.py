"""
Read and write transactions on the database.

1. `read` sees one state from its first statement to its end, whatever is written meanwhile.
2. Locked data that a write transaction has read cannot change before it commits. `write_site` locks the site,
   `write_channel` one channel, `write_user` one user; `write_unlocked` locks only what `lock` names. On PostgreSQL all but
   the first run concurrently unless they lock the same thing; SQLite has one writer at a time.
3. A commit that returned survives a power loss.
4. `exclusive` is a mutex among all processes that share the database; it is released when the process ends.
5. A lock from `try_lock` lasts until after the commit of its transaction. `share` waits for such transactions; from
   then on no transaction gets the lock until the share or its process ends. Neither needs disk space.

The modules `sqlite` and `postgres` describe how each database implements this.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from seaway.database.damage import is_damage
from seaway.errors import DamagedDatabase, DiskFull, NotWritable, Unavailable

BRIEF_MS = 1_000  # how long `write_briefly` waits

THE_DATABASE = "seaway_database"  # execution option of every engine

Tx = Connection  # an open transaction, passed to every function that queries or changes rows


class Database(ABC):
    """A database; its connections are pooled and used from worker threads."""

    engine: Engine
    is_change_mark_cheap: bool  # whether `change_mark` can be called on the event loop

    @abstractmethod
    def read(self) -> AbstractContextManager[Tx]:
        """Open a transaction that reads one state."""

    @abstractmethod
    def write_site(self) -> AbstractContextManager[Tx]:
        """Lock the whole site and write, for commands, site admins and cleanup; never for anonymous requests."""

    @abstractmethod
    def write_unlocked(self) -> AbstractContextManager[Tx]:
        """Write rows that the transaction locks (`lock`, `lock_blobs`) or adds, or that can change concurrently."""

    @contextmanager
    def write_channel(self, name: str) -> Iterator[Tx]:
        """Lock the channel with this name, which need not exist yet, and write in it."""
        with self.write_unlocked() as tx:
            lock_channel(self, tx, name)
            yield tx

    @contextmanager
    def write_user(self, user_id: int) -> Iterator[Tx]:
        """Lock a user and write the user's data: sessions, keys, second factors, email addresses."""
        with self.write_unlocked() as tx:
            lock_user(self, tx, user_id)
            yield tx

    @contextmanager
    def write_group(self, name: str) -> Iterator[Tx]:
        """Lock the group with this name, which need not exist yet, and write in it."""
        with self.write_unlocked() as tx:
            self.lock(tx, f"group/{name}")
            yield tx

    @abstractmethod
    def write_briefly(self) -> AbstractContextManager[Tx]:
        """Like `write_unlocked`, but raise `Unavailable` after waiting a second for other writers."""

    @abstractmethod
    def lock(self, tx: Tx, thing: str) -> None:
        """Lock the thing exclusively for this transaction, waiting for other holders; call it in `write_unlocked`."""

    @abstractmethod
    def lock_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        """Lock blobs: shared to name them, exclusively to delete them. Call it before any `lock`: no deadlocks."""

    @abstractmethod
    def exclusive(self, thing: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Lock the thing among all processes; yield False if it is locked and `wait` is false."""

    @abstractmethod
    def try_lock(self, tx: Tx, thing: str) -> bool:
        """Lock the thing until the transaction has ended, without waiting; return False if it is shared now."""

    @abstractmethod
    def share(self, thing: str) -> AbstractContextManager[None]:
        """Wait for transactions that hold the thing, then keep others from locking it with `try_lock`."""

    @abstractmethod
    def change_mark(self) -> object:
        """Return a value that stays the same until a connection of any process commits a change."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""


def try_lock(tx: Tx, thing: str) -> bool:
    """Call `Database.try_lock`, for code that has only the transaction."""
    database: Database = tx.get_execution_options()[THE_DATABASE]
    return database.try_lock(tx, thing)


def lock_channel(database: Database, tx: Tx, channel: str) -> None:
    """Lock the channel with this name exclusively for the transaction."""
    database.lock(tx, f"channel/{channel}")


def lock_user(database: Database, tx: Tx, user_id: int) -> None:
    """Lock the user's data exclusively for the transaction."""
    database.lock(tx, f"user/{user_id}")


@contextmanager
def converting_errors() -> Iterator[None]:
    """
    Convert errors of a full, locked, unreachable or damaged database to `Unavailable`.

    Errors that are bugs of Seaway are not converted, nor are those of values that a database cannot hold: they are the
    fault of one row, and other writers have other rows.
    """
    try:
        yield
    except OperationalError as error:
        if _is_of_a_value(error.orig):
            raise
        raise to_unavailable(error.orig) from error
    except PoolTimeout as error:
        raise Unavailable("The server is too busy to reach its database.", "Try again in a moment.") from error
    except DBAPIError as error:
        if is_damage(error.orig):
            raise DamagedDatabase(str(error.orig)) from error
        # 25006 (read-only transaction): after a failover the connection may still be to the old primary, now a standby.
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) == "25006":
            raise Unavailable(
                "The connection to the database was lost.", "Try again in a moment.", cause=str(error.orig)
            ) from error
        raise


def to_unavailable(error: BaseException | None) -> Unavailable:
    """Return the error for a driver's error."""
    if is_damage(error):
        return DamagedDatabase(str(error))
    if _is_full(error):
        return DiskFull("The disk is full: the database has no room for this now.", _HINT, cause=str(error))
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code in _SQLITE_MESSAGES:
        return NotWritable(_SQLITE_MESSAGES[code], _HINT, cause=str(error))
    return Unavailable("The database does not respond.", "Try again in a moment.", cause=str(error))


def _is_of_a_value(error: BaseException | None) -> bool:
    """Return whether PostgreSQL reports invalid data (class 22) or a value beyond its limits (class 54)."""
    return str(getattr(error, "sqlstate", None)).startswith(("22", "54"))


_HINT = "Try again later, or tell the operator of the server."
PRIMARY_CODE = 0xFF  # mask of the primary code in an extended error code
_SQLITE_MESSAGES = {
    sqlite3.SQLITE_READONLY: "The database is read-only.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened.",
    sqlite3.SQLITE_IOERR: "The database cannot be read or written.",
}


def _is_full(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    # SHMSIZE: the WAL index cannot grow. A full disk is the only cause, since opening it needs one page of disk space.
    in_sqlite = code & PRIMARY_CODE == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    return in_sqlite or getattr(error, "sqlstate", None) == "53100"
