"""Health probes for orchestrators."""

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
_TIMEOUT_SECONDS = 0.2


class Unreachable:
    """An unavailable database or store, whose error contains a secret."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise Unavailable(f"No connection to postgresql://me:{_SECRET}@db.internal.")


class FailingComparison(MemoryBlobs):
    """A store whose identity check fails because the database fails."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__()
        self._error = error

    def stat(self, key: str) -> None:
        with converting_errors():
            kind = OperationalError if isinstance(self._error, sqlite3.OperationalError) else DBAPIError
            raise kind("SELECT 1", {}, self._error)


class Hanging(MemoryBlobs):
    """A store that does not respond until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.released = threading.Event()

    def stat(self, key: str) -> None:
        self.calls += 1
        self.released.wait(60)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Seaway]:
    """A Seaway with SQLite and a folder, whatever state other tests use."""
    seaway = wiring.build(Settings(data=tmp_path / "data"))
    yield seaway
    seaway.close()


@asynccontextmanager
async def client(seaway: Seaway, *, database: object = None, blobs: object = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose probes check the given database and store."""
    site: Any = replace(seaway.site, database=database or seaway.site.database, blobs=blobs or seaway.site.blobs)  # type: ignore[arg-type]
    readiness = Readiness(site, timeout_seconds=_TIMEOUT_SECONDS)
    probed = replace(seaway, request_parts=replace(seaway.request_parts, readiness=readiness))
    transport = httpx.ASGITransport(app=create_app(probed))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as http:
        yield http


async def test_probes_succeed_and_are_not_cached(opened: Seaway) -> None:
    async with client(opened) as http:
        responses = [await http.get(f"/health/{probe}") for probe in ("live", "ready")]
    assert [(200, "alive"), (200, "ready")] == [(response.status_code, response.text) for response in responses]
    assert {"private, no-store"} == {response.headers["cache-control"] for response in responses}


def damaged() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (damaged(), "The database is damaged: the operator must restore a backup."),
        (sqlite3.OperationalError("database is locked"), "The database does not respond."),
    ],
    ids=["damaged", "away"],
)
async def test_database_failure_is_not_reported_as_storage_failure(
    opened: Seaway, error: sqlite3.Error, sentence: str
) -> None:
    """The storage check reads the identity of the store from the database, so it fails too."""
    async with client(opened, blobs=FailingComparison(error)) as http:
        response = await http.get("/health/ready")
    assert (503, sentence) == (response.status_code, response.text)


@pytest.mark.parametrize(
    ("away", "sentence"),
    [
        (("database",), "The database does not respond."),
        (("blobs",), "The storage does not respond."),
        (("database", "blobs"), "The database and the storage do not respond."),
    ],
)
async def test_unavailable_part_is_named_without_details(opened: Seaway, away: tuple[str, ...], sentence: str) -> None:
    """503 and one sentence; the reason is only in the log, and the liveness probe still succeeds."""
    async with client(opened, **{part: Unreachable() for part in away}) as http:
        response = await http.get("/health/ready")
        head = await http.head("/health/ready")
        alive = await http.get("/health/live")
    assert (503, sentence, 503, 200) == (response.status_code, response.text, head.status_code, alive.status_code)


async def test_missing_store_folder_fails_the_probe(opened: Seaway, tmp_path: Path) -> None:
    """An unmounted or removed store has no blobs and raises no error, but is unavailable."""
    (tmp_path / "data" / "store").rename(tmp_path / "elsewhere")
    async with client(opened) as http:
        response = await http.get("/health/ready")
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "store")
        later = await http.get("/health/ready")
    assert (503, "The storage is empty or not mounted.", 200) == (
        response.status_code,
        response.text,
        later.status_code,
    )


async def test_hanging_store_does_not_block_the_probe(opened: Seaway) -> None:
    """Fifty concurrent probes time out, share one thread, and succeed once the store responds again."""
    blobs = Hanging()
    async with client(opened, blobs=blobs) as http:
        statuses: list[int] = []

        async def probe() -> None:
            statuses.append((await http.get("/health/ready")).status_code)

        with anyio.fail_after(20):  # shorter than the store hangs
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(probe)
        calls = blobs.calls
        blobs.released.set()
        with anyio.fail_after(10):
            while (await http.get("/health/ready")).status_code != 200:
                pass
    assert ([503] * 50, 1) == (statuses, calls)


def test_health_is_a_reserved_name() -> None:
    """A channel with this name would hide the probes."""
    assert reserved_names.is_reserved("health")


def test_probes_check_the_wired_database_and_store(opened: Seaway) -> None:
    expected: tuple[Database, BlobStore] = (opened.site.database, opened.site.blobs)
    probes = opened.request_parts.readiness._probes
    assert expected == (probes["database"]._call.args[0], probes["storage"]._call.args[0])  # type: ignore[attr-defined]
