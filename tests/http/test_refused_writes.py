"""
A request that is refused takes no write lock: SQLite has one, and whoever could take it at will could stop all writes.

Every unsafe route of the matrix is asked by callers who may not use it: without a credential, without a role, with a
key that is too weak, and in a session whose sign-in was long ago. The database is one that counts its writers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from seaway.database.engine import Tx
from seaway.database.sqlite import SqliteDatabase
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from tests.conftest import Site
from tests.http import asks, asks_account, asks_channels, asks_files, asks_site, asks_trust, matrix
from tests.http.asks import Stage
from tests.http.test_matrix import send
from tests.support import state
from tests.support.house import People
from tests.support.server import Server

BUILDERS = (asks_account, asks_channels, asks_files, asks_site, asks_trust)
KEYS, SESSIONS = (
    {row: cells for row, cells in matrix.rows(table).items() if not row.startswith(("GET ", "HEAD ", "OPTIONS "))}
    for table in (matrix.KEYS, matrix.SESSIONS)
)
# Allowed to this caller, and refused for what the account holds: a wrong code is counted, and no factor has no codes.
OF_ACCOUNT = {"POST /api/v1/me/totp/confirm", "POST /api/v1/me/recovery-codes"}


class CountingDatabase(SqliteDatabase):
    """A database that counts the write transactions that were begun."""

    begun = 0

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        self.begun += 1
        with super().write_site() as tx:
            yield tx

    @contextmanager
    def write_briefly(self) -> Iterator[Tx]:
        self.begun += 1
        with super().write_briefly() as tx:
            yield tx


class InProcess(httpx.BaseTransport):
    """The application in this process, for clients that do not await."""

    def __init__(self, seaway: Seaway, portal: BlockingPortal) -> None:
        self._transport = httpx.ASGITransport(create_app(seaway), raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content, headers = request.read(), request.headers
        return self._portal.call(partial(self._send, request.method, request.url, headers, content))

    async def _send(self, method: str, url: httpx.URL, headers: httpx.Headers, content: bytes) -> httpx.Response:
        answer = await self._transport.handle_async_request(
            httpx.Request(method, url, headers=headers, content=content)
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A public channel, where a caller without a role may at least read."""
    settings = Settings(data=tmp_path_factory.mktemp("refused") / "data", github_api_url="http://127.0.0.1:9")
    state.begin_paired(settings)
    database = CountingDatabase(settings.database_file, settings.locks_folder)
    seaway = wiring.build(settings, database=database)
    with start_blocking_portal() as portal:
        http = httpx.Client(transport=InProcess(seaway, portal), base_url="http://127.0.0.1")
        made = asks.stage(Site(cast("Server", None), People(seaway)), http, public=True)
        http.get("/", headers=made.signed_in("stale"))  # notes that the session was used, at most every ten minutes
        yield made
    seaway.close()


def writes(stage: Stage, row: str, who: str, credentials: dict[str, str]) -> set[tuple[int, int]]:
    """The statuses of a row's requests, each with the number of write transactions."""
    database = cast("CountingDatabase", stage.site.people.seaway.database)
    found = set()
    for ask in asks.of(stage, row, who):
        before = database.begun
        status = send(stage, row, ask, credentials).status_code
        found.add((status, database.begun - before))
    return found


def refused(found: set[tuple[int, int]], cells: dict[str, matrix.Cell]) -> set[tuple[int, int]]:
    """Those that were refused to this caller; 404 is a refusal if another caller finds something."""
    others = {public for public, _ in cells.values()}
    return {(status, begun) for status, begun in found if status in (401, 403) or (status == 404 and min(others) < 400)}


@pytest.mark.parametrize("who", ["nobody", "stranger", "READ"])
@pytest.mark.parametrize("row", KEYS)
def test_a_refused_key_begins_no_write(stage: Stage, row: str, who: str) -> None:
    """No lock for callers without a credential, without a role, or with a key that only reads."""
    found = writes(stage, row, who, stage.signed(who))
    assert {(status, 0) for status, _ in refused(found, KEYS[row])} == refused(found, KEYS[row])


@pytest.mark.parametrize("who", ["stranger", "stale"])
@pytest.mark.parametrize("row", [row for row in SESSIONS if row not in OF_ACCOUNT])
def test_a_refused_session_begins_no_write(stage: Stage, row: str, who: str) -> None:
    """Nor in a browser, for somebody without a role, or an owner whose sign-in was too long ago."""
    found = writes(stage, row, who, stage.signed_in(who))
    assert {(status, 0) for status, _ in refused(found, SESSIONS[row])} == refused(found, SESSIONS[row])
