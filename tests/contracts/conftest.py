"""Databases of each kind, opened by several workers in this process and in others."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Any

import psycopg
import pytest

from seaway.database.engine import Database
from seaway.database.migrate import migrate
from seaway.database.postgres import PostgresDatabase
from seaway.database.sqlite import SqliteDatabase
from seaway.database.tables import metadata
from seaway.errors import Unavailable
from tests.support import postgres
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy

SQLITE, POSTGRES = "sqlite", "postgres"
PATIENCE_MS = 20_000
_THREAD_SECONDS = 60

on_sqlite = pytest.mark.parametrize("kind", [SQLITE])
on_postgres = pytest.mark.parametrize("kind", [POSTGRES])

# Start of every script of another process; `send` prints a line that `Process.wait_for` reads.
_SCRIPT_START = """
import sys
from pathlib import Path
from sqlalchemy import text

def send(word):
    print(word, flush=True)

address = sys.argv[1]
if "://" in address:
    from seaway.database.postgres import PostgresDatabase
    database = PostgresDatabase(address, connections=4)
else:
    from seaway.database.sqlite import SqliteDatabase
    database = SqliteDatabase(Path(address), Path(address).parent / "locks")
"""


@dataclass(frozen=True)
class Place:
    """Address of a database."""

    kind: str
    address: str
    _opened: list[Database] = field(default_factory=list)

    def open(self, *, timeout_ms: int = PATIENCE_MS, connections: int = 20) -> Database:
        """Open it as another worker with this lock timeout; closed at the end of the test."""
        self._opened.append(open_database(self.address, timeout_ms=timeout_ms, connections=connections))
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()

    @contextmanager
    def process(self, script: str) -> Iterator["Process"]:
        """Run a script with the database open as `database`; kill it at the end."""
        command = [sys.executable, "-c", _SCRIPT_START + script, self.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
            try:
                yield Process(started)
            finally:
                started.kill()


@dataclass(frozen=True)
class Process:
    """Another running process."""

    popen: subprocess.Popen[str]

    def wait_for(self, word: str) -> None:
        """Wait until it sends this word."""
        assert self.popen.stdout is not None
        assert f"{word}\n" == self.popen.stdout.readline()

    def resume(self) -> None:
        """Let it return from one `input()`."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        """Kill it, as the kernel does if memory is exhausted."""
        self.popen.kill()
        self.popen.wait()


def open_database(address: str, *, timeout_ms: int = PATIENCE_MS, connections: int = 20) -> Database:
    """Open the database at a path or URL."""
    if "://" in address:
        return PostgresDatabase(address, connections=connections, lock_timeout_ms=timeout_ms)
    return SqliteDatabase(Path(address), Path(address).parent / "locks", busy_timeout_ms=timeout_ms)


@contextmanager
def expect_error(error: type[BaseException] = Unavailable) -> Iterator[None]:
    """Assert that the block raises this error."""
    with pytest.raises(error):
        yield


def run_concurrently(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all functions at once, each in a thread; return their results."""
    with ThreadPoolExecutor(len(acts)) as threads:
        return [done.result(_THREAD_SECONDS) for done in [threads.submit(act) for act in acts]]


@pytest.fixture(params=[SQLITE, POSTGRES])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty(kind: str, tmp_path: Path) -> Iterator[Place]:
    """A database without tables."""
    address = str(tmp_path / "empty.db") if kind == SQLITE else postgres.shared().new_database()
    yield from _closed_after(Place(kind, address))
    if kind == POSTGRES:
        postgres.shared().drop_database(address)


@pytest.fixture
def place(kind: str, tmp_path: Path, migrated: Callable[[str], str]) -> Iterator[Place]:
    """A database with the current schema and without rows."""
    address = migrated(kind)
    if kind == SQLITE:
        yield from _closed_after(Place(kind, str(copyfile(address, tmp_path / "test.db"))))
    else:
        _empty(address)
        yield from _closed_after(Place(kind, address))


@pytest.fixture
def database(place: Place) -> Database:
    return place.open()


@pytest.fixture
def other(place: Place) -> Database:
    """The same database, opened by another worker."""
    return place.open()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy to PostgreSQL that simulates network faults."""
    with FaultProxy("127.0.0.1", postgres.shared().port) as started:
        yield started


@pytest.fixture
def proxied_place(proxy: FaultProxy, migrated: Callable[[str], str]) -> Iterator[Place]:
    """A database with the current schema and without rows, reached through the proxy."""
    _empty(migrated(POSTGRES))
    yield from _closed_after(Place(POSTGRES, proxy.through(migrated(POSTGRES))))


@pytest.fixture(scope="package")
def fragile() -> Iterator[Postgres]:
    """A server that tests can stop without affecting others."""
    with Postgres() as started:
        yield started


@pytest.fixture(scope="package")
def _on_fragile(fragile: Postgres) -> str:
    return _migrated(fragile.new_database())


@pytest.fixture
def fragile_place(_on_fragile: str) -> Iterator[Place]:
    """A database with the current schema and without rows, on a server that can be stopped."""
    _empty(_on_fragile)
    yield from _closed_after(Place(POSTGRES, _on_fragile))


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Return the address of one migrated database per kind, since migrating is slow; files are copied, others emptied."""
    addresses: dict[str, str] = {}

    def address(kind: str) -> str:
        if kind not in addresses:
            file = tmp_path_factory.mktemp("migrated") / "test.db"
            addresses[kind] = _migrated(str(file) if kind == SQLITE else postgres.shared().new_database())
        return addresses[kind]

    yield address
    if POSTGRES in addresses:
        postgres.shared().drop_database(addresses[POSTGRES])


def _migrated(address: str) -> str:
    with closing(open_database(address)) as database:
        migrate(database)
    return address


def _empty(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)).encode()
        )


def _closed_after(place: Place) -> Iterator[Place]:
    yield place
    place.close()
