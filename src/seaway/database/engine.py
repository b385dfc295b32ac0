"""
The database: transactions that read one state, transactions that write, and nothing else.

1. `read` sees one state from its first statement to its end, whatever is written meanwhile.
2. What a write has read of what it locks cannot change before it commits. `write_site` locks the site, `write_channel`
   one channel, `write_user` one user; `write_part` locks what it is told to (`hold`). On PostgreSQL all but the first
   run beside each other unless they lock the same thing; on SQLite there is one writer.
3. A commit that returned survives the loss of power.
4. `alone` lets one process of all that share the database do a thing; the right ends with the process.
5. A lock from `try_hold` lasts until after the commit of its transaction. `share` waits for such transactions; from
   then on none gets the lock until the share or its process ends. Neither needs disk space.

`sqlite` and `postgres` say how each of them does it.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from seaway.database.damage import is_damage
from seaway.errors import DamagedDatabase, NoRoom, NotWritable, Unavailable

BRIEF_MS = 1_000  # how long `write_briefly` waits

THE_DATABASE = "seaway_database"  # the option of every engine

Tx = Connection  # an open transaction, handed to every function that asks or changes rows


class Database(ABC):
    """One database; connections are pooled and used from worker threads."""

    engine: Engine
    marks_cost_nothing: bool  # whether `change_mark` may be asked on the event loop

    @abstractmethod
    def read(self) -> AbstractContextManager[Tx]:
        """A transaction that reads one state."""

    @abstractmethod
    def write_site(self) -> AbstractContextManager[Tx]:
        """Lock the whole site and write: for commands, site admins, the end of an account, cleanup; never for anonymous requests."""

    @abstractmethod
    def write_part(self) -> AbstractContextManager[Tx]:
        """Write what the transaction locks (`hold`, `hold_blobs`), what it only adds, or rows that concurrent transactions may change."""

    @contextmanager
    def write_channel(self, name: str) -> Iterator[Tx]:
        """Lock the channel of this name, which need not exist yet, and write in it."""
        with self.write_part() as tx:
            hold_channel(self, tx, name)
            yield tx

    @contextmanager
    def write_user(self, user_id: int) -> Iterator[Tx]:
        """Lock a user and write what is theirs: sessions, keys, factors, addresses."""
        with self.write_part() as tx:
            hold_user(self, tx, user_id)
            yield tx

    @contextmanager
    def write_group(self, name: str) -> Iterator[Tx]:
        """Lock the group of this name, which need not exist yet, and write in it."""
        with self.write_part() as tx:
            self.hold(tx, f"group/{name}")
            yield tx

    @abstractmethod
    def write_briefly(self) -> AbstractContextManager[Tx]:
        """As `write_part`, but wait no longer than a second for other writers: `Unavailable`."""

    @abstractmethod
    def hold(self, tx: Tx, thing: str) -> None:
        """Have the thing for this transaction alone, waiting for others that hold it; to be called in `write_part`."""

    @abstractmethod
    def hold_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        """Hold blobs: shared by those who name them, alone by who takes them away. Before any `hold`, or they deadlock."""

    @abstractmethod
    def alone(self, thing: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Do one thing at a time among all processes; False when another does it and we were not to wait."""

    @abstractmethod
    def try_hold(self, tx: Tx, thing: str) -> bool:
        """Lock the thing until the transaction has ended, unless it is shared now; return whether that worked, without waiting."""

    @abstractmethod
    def share(self, thing: str) -> AbstractContextManager[None]:
        """Wait for transactions that hold the thing, then keep all others from holding it (`try_hold`)."""

    @abstractmethod
    def change_mark(self) -> object:
        """A value that stays equal as long as no connection of any process commits a change."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""


def try_hold(tx: Tx, thing: str) -> bool:
    """As `Database.try_hold`, for code that has only the transaction."""
    database: Database = tx.get_execution_options()[THE_DATABASE]
    return database.try_hold(tx, thing)


def hold_channel(database: Database, tx: Tx, channel: str) -> None:
    """Have the channel of this name for the transaction alone."""
    database.hold(tx, f"channel/{channel}")


def hold_user(database: Database, tx: Tx, user_id: int) -> None:
    """Have what is this user's for the transaction alone."""
    database.hold(tx, f"user/{user_id}")


@contextmanager
def explained() -> Iterator[None]:
    """
    Turn what a database says when it is full, locked, away or damaged into `Unavailable`.

    Our own mistakes stay as they are.
    """
    try:
        yield
    except OperationalError as error:
        raise does_not_answer(error.orig) from error
    except PoolTimeout as error:
        raise Unavailable("The server is too busy to reach its database.", "Try again in a moment.") from error
    except DBAPIError as error:
        if is_damage(error.orig):
            raise DamagedDatabase(str(error.orig)) from error
        # 25006: after a failover we still talk to the server that is the standby now.
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) == "25006":
            raise Unavailable("The database went away.", "Try again in a moment.", cause=str(error.orig)) from error
        raise


def does_not_answer(error: BaseException | None) -> Unavailable:
    """What we say when a driver says this."""
    if is_damage(error):
        return DamagedDatabase(str(error))
    if _is_full(error):
        return NoRoom("The disk is full: the database has no room for this now.", _HINT, cause=str(error))
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code in _SQLITE_SAYS:
        return NotWritable(_SQLITE_SAYS[code], _HINT, cause=str(error))
    return Unavailable("The database does not answer.", "Try again in a moment.", cause=str(error))


_HINT = "Try again later, or tell the operator of the server."
PRIMARY_CODE = 0xFF  # of an extended error code
_SQLITE_SAYS = {
    sqlite3.SQLITE_READONLY: "The database is read-only.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened.",
    sqlite3.SQLITE_IOERR: "The database cannot be read or written.",
}


def _is_full(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    # The index of the log cannot grow: SQLite reports no other cause of that, and it needs a page of the disk to open.
    in_sqlite = code & PRIMARY_CODE == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    return in_sqlite or getattr(error, "sqlstate", None) == "53100"
