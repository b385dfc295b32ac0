"""What orchestrators are told."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from seaway.database.engine import Database, converting_errors
from seaway.errors import Unavailable
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving.readiness import Readiness
from seaway.settings import Settings
from seaway.storage.blobs import BlobStore
from seaway.storage.memory import MemoryBlobs
from seaway.users import reserved_names

pytestmark = pytest.mark.anyio

_SECRET = "hunter2"
_PATIENCE_SECONDS = 0.2


class Away:
    """A database or a store that is away; it says more of it than strangers may know."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise Unavailable(f"No connection to postgresql://me:{_SECRET}@db.internal.")


class Compared(MemoryBlobs):
    """A store that is compared with what a database notes of it, which fails."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__()
        self._error = error

    def stat(self, key: str) -> None:
        with converting_errors():
            kind = OperationalError if isinstance(self._error, sqlite3.OperationalError) else DBAPIError
            raise kind("SELECT 1", {}, self._error)


class Hanging(MemoryBlobs):
    """A store that does not answer until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.let = threading.Event()

    def stat(self, key: str) -> None:
        self.asked += 1
        self.let.wait(60)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Seaway]:
    """A house in a folder, whatever state other tests use."""
    built = wiring.build(Settings(data=tmp_path / "data"))
    yield built
    built.close()


@asynccontextmanager
async def client(seaway: Seaway, *, database: object = None, blobs: object = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the house, whose probes ask these parts instead of its own."""
    asked_database: Any = database or seaway.database
    asked_blobs: Any = blobs or seaway.blobs
    readiness = Readiness(asked_database, asked_blobs, patience_seconds=_PATIENCE_SECONDS)
    probed = replace(seaway, request_parts=replace(seaway.request_parts, readiness=readiness))
    transport = httpx.ASGITransport(app=create_app(probed))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as http:
        yield http


async def test_a_whole_house_is_ready(opened: Seaway) -> None:
    """Both probes say yes, in one word that nobody keeps."""
    async with client(opened) as http:
        answers = [await http.get(f"/health/{probe}") for probe in ("live", "ready")]
    assert [(200, "alive"), (200, "ready")] == [(answer.status_code, answer.text) for answer in answers]
    assert {"private, no-store"} == {answer.headers["cache-control"] for answer in answers}


def damaged() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (damaged(), "The database is damaged: the operator must restore a backup."),
        (sqlite3.OperationalError("database is locked"), "The database does not answer."),
    ],
    ids=["damaged", "away"],
)
async def test_a_database_that_fails_is_not_told_of_the_storage(
    opened: Seaway, error: sqlite3.Error, sentence: str
) -> None:
    """The storage is asked too, and reads in the database what it is compared with."""
    async with client(opened, blobs=Compared(error)) as http:
        answer = await http.get("/health/ready")
    assert (503, sentence) == (answer.status_code, answer.text)


@pytest.mark.parametrize(
    ("away", "sentence"),
    [
        (("database",), "The database does not answer."),
        (("blobs",), "The storage does not answer."),
        (("database", "blobs"), "The database and the storage do not answer."),
    ],
)
async def test_what_is_away_is_named_and_nothing_else(opened: Seaway, away: tuple[str, ...], sentence: str) -> None:
    """503 and one sentence; why it is away stays in the log, and the process is alive all the same."""
    async with client(opened, **{part: Away() for part in away}) as http:
        answer = await http.get("/health/ready")
        head = await http.head("/health/ready")
        alive = await http.get("/health/live")
    assert (503, sentence, 503, 200) == (answer.status_code, answer.text, head.status_code, alive.status_code)


async def test_a_folder_that_went_away_is_noticed(opened: Seaway, tmp_path: Path) -> None:
    """A store that was unmounted or removed has no blobs and raises no error, and is away all the same."""
    (tmp_path / "data" / "store").rename(tmp_path / "elsewhere")
    async with client(opened) as http:
        answer = await http.get("/health/ready")
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "store")
        later = await http.get("/health/ready")
    assert (503, "The storage is empty or not mounted.", 200) == (answer.status_code, answer.text, later.status_code)


async def test_a_store_that_hangs_does_not_hang_the_probe(opened: Seaway) -> None:
    """The bound holds however many ask, they hold one thread together, and the store may come back."""
    blobs = Hanging()
    async with client(opened, blobs=blobs) as http:
        statuses: list[int] = []

        async def probe() -> None:
            statuses.append((await http.get("/health/ready")).status_code)

        with anyio.fail_after(20):  # less than the store hangs
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(probe)
        asked = blobs.asked
        blobs.let.set()
        with anyio.fail_after(10):
            while (await http.get("/health/ready")).status_code != 200:
                pass
    assert ([503] * 50, 1) == (statuses, asked)


def test_the_probes_stand_in_no_channels_way() -> None:
    """Nobody can take the first part of their addresses as the name of a channel."""
    assert reserved_names.is_reserved("health")


def test_the_parts_that_are_asked_are_those_of_the_house(opened: Seaway) -> None:
    """A house is wired so that its probes ask its own database and store."""
    expected: tuple[Database, BlobStore] = (opened.database, opened.blobs)
    asked = opened.request_parts.readiness._probes
    assert expected == (asked["database"]._ask.args[0], asked["storage"]._ask.args[0])  # type: ignore[attr-defined]
