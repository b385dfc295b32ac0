"""Databases of each kind that several workers have open, in this process and in others."""

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

# What a script of another process begins with. It has `tell`, which is read by `hear`, and waits for its input to end.
_BEGINNING = """
import sys
from pathlib import Path
from sqlalchemy import text

def tell(word):
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
    """Where a database is."""

    kind: str
    address: str
    _opened: list[Database] = field(default_factory=list)

    def open(self, *, patience_ms: int = PATIENCE_MS, connections: int = 20) -> Database:
        """Open it as one more worker, who waits for others as long as this; closed at the end of the test."""
        self._opened.append(open_database(self.address, patience_ms=patience_ms, connections=connections))
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()

    @contextmanager
    def process(self, script: str) -> Iterator["Process"]:
        """A process that has it open too, as `database`; killed at the end."""
        command = [sys.executable, "-c", _BEGINNING + script, self.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
            try:
                yield Process(started)
            finally:
                started.kill()


@dataclass(frozen=True)
class Process:
    """Another process at work."""

    popen: subprocess.Popen[str]

    def hear(self, word: str) -> None:
        """Wait until it says this."""
        assert self.popen.stdout is not None
        assert f"{word}\n" == self.popen.stdout.readline()

    def go_on(self) -> None:
        """Let it pass one `input()`."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        """End it as the kernel does when memory is out."""
        self.popen.kill()
        self.popen.wait()


def open_database(address: str, *, patience_ms: int = PATIENCE_MS, connections: int = 20) -> Database:
    """The database at a path or URL."""
    if "://" in address:
        return PostgresDatabase(address, connections=connections, lock_timeout_ms=patience_ms)
    return SqliteDatabase(Path(address), Path(address).parent / "locks", busy_timeout_ms=patience_ms)


@contextmanager
def failing(error: type[BaseException] = Unavailable) -> Iterator[None]:
    """What is inside ends with this error."""
    with pytest.raises(error):
        yield


def together(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of them at once, each in a thread, and say what they return."""
    with ThreadPoolExecutor(len(acts)) as threads:
        return [done.result(_THREAD_SECONDS) for done in [threads.submit(act) for act in acts]]


@pytest.fixture(params=[SQLITE, POSTGRES])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty(kind: str, tmp_path: Path) -> Iterator[Place]:
    """A database without any table."""
    address = str(tmp_path / "empty.db") if kind == SQLITE else postgres.shared().new_database()
    yield from _lent(Place(kind, address))
    if kind == POSTGRES:
        postgres.shared().drop_database(address)


@pytest.fixture
def place(kind: str, tmp_path: Path, migrated: Callable[[str], str]) -> Iterator[Place]:
    """A database with today's schema and without rows."""
    address = migrated(kind)
    if kind == SQLITE:
        yield from _lent(Place(kind, str(copyfile(address, tmp_path / "test.db"))))
    else:
        _empty(address)
        yield from _lent(Place(kind, address))


@pytest.fixture
def database(place: Place) -> Database:
    return place.open()


@pytest.fixture
def other(place: Place) -> Database:
    """The same database as another worker has it."""
    return place.open()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A network between us and PostgreSQL."""
    with FaultProxy("127.0.0.1", postgres.shared().port) as started:
        yield started


@pytest.fixture
def distant(proxy: FaultProxy, migrated: Callable[[str], str]) -> Iterator[Place]:
    """A database with today's schema and without rows behind the network."""
    _empty(migrated(POSTGRES))
    yield from _lent(Place(POSTGRES, proxy.through(migrated(POSTGRES))))


@pytest.fixture(scope="package")
def fragile() -> Iterator[Postgres]:
    """A server that may be stopped without anybody else noticing."""
    with Postgres() as started:
        yield started


@pytest.fixture(scope="package")
def _on_fragile(fragile: Postgres) -> str:
    return _migrated(fragile.new_database())


@pytest.fixture
def fragile_place(_on_fragile: str) -> Iterator[Place]:
    """A database with today's schema and without rows on a server that may be stopped."""
    _empty(_on_fragile)
    yield from _lent(Place(POSTGRES, _on_fragile))


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Of each kind the address of one database, since making them takes long; a file is copied, a server's is emptied."""
    made: dict[str, str] = {}

    def address(kind: str) -> str:
        if kind not in made:
            file = tmp_path_factory.mktemp("migrated") / "test.db"
            made[kind] = _migrated(str(file) if kind == SQLITE else postgres.shared().new_database())
        return made[kind]

    yield address
    if POSTGRES in made:
        postgres.shared().drop_database(made[POSTGRES])


def _migrated(address: str) -> str:
    with closing(open_database(address)) as database:
        migrate(database)
    return address


def _empty(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)).encode()
        )


def _lent(place: Place) -> Iterator[Place]:
    yield place
    place.close()
