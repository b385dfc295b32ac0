"""
The PostgreSQL database, for many workers on any number of machines.

1. `read` is one snapshot (REPEATABLE READ, read only).
2. Writers take transaction-level advisory locks before they read anything, and read at READ COMMITTED: each
   statement after the lock sees everything that earlier holders committed. (In REPEATABLE READ the statement that waits
   for the lock would already have taken the snapshot.) `write_site` locks the site exclusively; the others share
   the site lock and lock single things: blobs first, then one document or some channels in order of their names, so
   that they cannot deadlock.
3. Every connection sets synchronous_commit=on, whatever the server's default is.
4. `exclusive` and `share` are session-level advisory locks: the server releases them when the connection ends. All
   shares of a process are on one connection. If a machine disappears, the server ends its connections within a minute
   (keepalives).

pgbouncer works in session mode only, since 3 and 4 depend on the session.
"""

import hashlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import IntegrityError

from seaway.database.engine import BRIEF_MS, THE_DATABASE, Database, Tx, converting_errors
from seaway.errors import BadSetting, Unavailable

LOCK_TIMEOUT_MS = 20_000
_CONNECT_SECONDS = 10
# A worker whose machine hangs in the middle of a transaction must not lock its channel forever.
_IDLE_IN_TRANSACTION_MS = 120_000
_DEAD_PEER_MS = 30_000

_alone = text("SELECT pg_advisory_xact_lock(:key)")
_shared = text("SELECT pg_advisory_xact_lock_shared(:key)")
# `unnest` returns the keys in the order of the array, and each lock is taken before the next row is read.
_all_alone = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")
_all_shared = text("SELECT pg_advisory_xact_lock_shared(key) FROM unnest(CAST(:keys AS bigint[])) AS key")
_try_alone = text("SELECT pg_try_advisory_xact_lock(:key)")
_share = text("SELECT pg_advisory_lock_shared(:key)")
_unshare = text("SELECT pg_advisory_unlock_shared(:key)")
_brief = text(f"SET LOCAL lock_timeout = {BRIEF_MS}")
_mark = text("SELECT pg_current_snapshot()::text")


class PostgresDatabase(Database):
    """A database on a PostgreSQL server; `url` is `postgresql://user:password@host/name`."""

    is_change_mark_cheap = False

    def __init__(self, url: str, *, connections: int, lock_timeout_ms: int = LOCK_TIMEOUT_MS) -> None:
        self.engine = create_engine(
            sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            isolation_level="READ COMMITTED",  # invariant 2; the server's default may differ
            execution_options={THE_DATABASE: self},
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "tcp_user_timeout": _DEAD_PEER_MS,
                "keepalives_idle": 30,  # without them, a query waits forever for a server that has disappeared
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "application_name": "seaway",
            },
        )
        self._lock_timeout_ms = lock_timeout_ms
        # The body of `exclusive` needs further connections: without this limit, the locks could use up the whole pool.
        self._alone_slots = threading.BoundedSemaphore(max(connections // 2, 1))
        self._sharing = threading.Lock()
        self._sharer: Connection | None = None  # the connection with the locks of `share`
        self._shares = 0
        self._snapshots = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._single_statements = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # `insert`: before SQLAlchemy's own queries on a new connection.
        event.listen(self.engine, "connect", self._set_up_connection, insert=True)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with converting_errors(), self._snapshots.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        with self._transaction(_alone) as tx:
            yield tx

    @contextmanager
    def write_unlocked(self) -> Iterator[Tx]:
        with _collisions_as_unavailable(), self._transaction(_shared) as tx:
            yield tx

    @contextmanager
    def write_briefly(self) -> Iterator[Tx]:
        with _collisions_as_unavailable(), converting_errors(), self.engine.connect() as connection, connection.begin():
            connection.execute(_brief)
            connection.execute(_shared, {"key": _SITE})
            yield connection

    def lock(self, tx: Tx, thing: str) -> None:
        tx.execute(_alone, {"key": _key(thing)})

    def lock_blobs(self, tx: Tx, digests: Collection[bytes], *, shared: bool) -> None:
        keys = sorted({_number(digest) for digest in digests})  # every process locks in the same order: no deadlocks
        tx.execute(_all_shared if shared else _all_alone, {"keys": keys})

    @contextmanager
    def exclusive(self, thing: str, *, wait: bool = True) -> Iterator[bool]:
        key = {"key": _key(f"alone/{thing}")}
        with converting_errors(), self._alone_slots, self._single_statements.connect() as connection:
            if wait:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), key)
            elif not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar():
                yield False
                return
            try:
                yield True
            finally:
                _unlock(connection, key)

    def try_lock(self, tx: Tx, thing: str) -> bool:
        return bool(tx.execute(_try_alone, {"key": _key(f"share/{thing}")}).scalar_one())

    @contextmanager
    def share(self, thing: str) -> Iterator[None]:
        key = {"key": _key(f"share/{thing}")}
        with self._sharing, converting_errors():
            if self._sharer is None:
                self._sharer = self._single_statements.connect()
            self._on_sharer(_share, key)
            self._shares += 1
        try:
            yield
        finally:
            with self._sharing:
                self._end_share(key)

    def _on_sharer(self, statement: sqlalchemy.TextClause, key: dict[str, int]) -> None:
        """Run the statement on the connection with the shared locks; drop a broken one, whose locks are gone."""
        assert self._sharer is not None
        try:
            self._sharer.execute(statement, key)
        except sqlalchemy.exc.DBAPIError as error:
            if error.connection_invalidated:
                self._sharer.close()
                self._sharer = None
            raise

    def _end_share(self, key: dict[str, int]) -> None:
        self._shares -= 1
        if self._sharer is None:
            return
        with suppress(sqlalchemy.exc.DBAPIError):  # a broken connection has lost its locks already
            self._on_sharer(_unshare, key)
        if not self._shares and self._sharer is not None:
            self._sharer.close()
            self._sharer = None

    def change_mark(self) -> str:
        """Return the snapshot that a transaction would get now; it differs once a transaction commits a change."""
        with converting_errors(), self._single_statements.connect() as connection:
            return str(connection.execute(_mark).scalar_one())

    def close(self) -> None:
        if self._sharer is not None:
            self._sharer.close()
        self.engine.dispose()

    @contextmanager
    def _transaction(self, site_lock: sqlalchemy.TextClause) -> Iterator[Tx]:
        with converting_errors(), self.engine.connect() as connection, connection.begin():
            connection.execute(site_lock, {"key": _SITE})
            yield connection

    def _set_up_connection(self, connection: psycopg.Connection, _record: object) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise BadSetting(
                f"The database has the encoding {encoding}, which cannot store every character.",
                "Create one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.",
            )
        with connection.cursor() as cursor:
            for setting in (
                "synchronous_commit = on",
                f"lock_timeout = {self._lock_timeout_ms}",
                f"idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}",
                "idle_session_timeout = 0",
                "tcp_keepalives_idle = 30",
                "tcp_keepalives_interval = 10",
                "tcp_keepalives_count = 3",
            ):
                cursor.execute(f"SET {setting}".encode())
        connection.commit()
        connection.server_cursor_factory = _StreamingCursor


class _StreamingCursor(psycopg.ServerCursor[Any]):
    """
    Server-side cursor that closes without an error on a lost connection.

    A reader that stops early closes its cursor with a statement, which may be the first to notice the loss.
    SQLAlchemy would log a traceback and continue; the end of the transaction raises the error for the caller.
    """

    def close(self) -> None:
        try:
            super().close()
        except psycopg.OperationalError:
            if not self.connection.closed:
                raise
            super().close()  # sends no statement, now that the connection is known to be closed


@contextmanager
def _collisions_as_unavailable() -> Iterator[None]:
    """Raise `Unavailable` if another transaction added or deleted rows between this transaction's read and write."""
    try:
        yield
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) not in _CONCURRENT_CHANGES:
            raise
        raise Unavailable(
            "Another request changed the same data at the same time.", "Try again.", cause=str(error.orig)
        ) from error


_CONCURRENT_CHANGES = ("23503", "23505")  # foreign key violation, unique violation


def _unlock(connection: Connection, key: dict[str, int]) -> None:
    try:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
    except sqlalchemy.exc.DBAPIError:
        connection.invalidate()  # ends the session and so releases the lock


def _key(thing: str) -> int:
    return _number(hashlib.sha256(thing.encode()).digest())


def _number(digest: bytes) -> int:
    """Return the 64-bit key of an advisory lock; a collision of two things only costs a wait."""
    return int.from_bytes(digest[:8], "big", signed=True)


_SITE = _key("site")
