"""
A refused request takes no write lock: SQLite has only one, and a caller could block all writes with it.

Every unsafe route of the matrix is called without a credential, without a role, with a READ key, and in a session
with an old sign-in. The database counts its write transactions.
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
from tests.http import (
    matrix,
    matrix_account,
    matrix_channels,
    matrix_files,
    matrix_requests,
    matrix_site,
    matrix_trusted_publishing,
)
from tests.http.matrix_requests import MatrixContext
from tests.http.test_matrix import send
from tests.support import state
from tests.support.server import Server
from tests.support.sites import Factory

BUILDERS = (matrix_account, matrix_channels, matrix_files, matrix_site, matrix_trusted_publishing)
KEYS, SESSIONS = (
    {row: cells for row, cells in matrix.rows(table).items() if not row.startswith(("GET ", "HEAD ", "OPTIONS "))}
    for table in (matrix.KEYS, matrix.SESSIONS)
)
# These callers are allowed; the account's state causes the refusal: a wrong code is counted, and there are no factors.
REFUSED_BY_ACCOUNT_STATE = {"POST /api/v1/me/totp/confirm", "POST /api/v1/me/recovery-codes"}


class CountingDatabase(SqliteDatabase):
    """A database that counts its write transactions."""

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
    """Transport to the application in this process for synchronous clients."""

    def __init__(self, seaway: Seaway, portal: BlockingPortal) -> None:
        self._transport = httpx.ASGITransport(create_app(seaway), raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content, headers = request.read(), request.headers
        return self._portal.call(partial(self._send, request.method, request.url, headers, content))

    async def _send(self, method: str, url: httpx.URL, headers: httpx.Headers, content: bytes) -> httpx.Response:
        response = await self._transport.handle_async_request(
            httpx.Request(method, url, headers=headers, content=content)
        )
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixContext]:
    """A public channel, so that callers without a role can read."""
    settings = Settings(data=tmp_path_factory.mktemp("refused") / "data")
    state.copy_paired_data(settings)
    database = CountingDatabase(settings.database_file, settings.locks_folder)
    seaway = wiring.build(settings, database=database)
    with start_blocking_portal() as portal:
        http = httpx.Client(transport=InProcess(seaway, portal), base_url="http://127.0.0.1")
        context = matrix_requests.create_context(Site(cast("Server", None), Factory(seaway)), http, public=True)
        http.get(
            "/", headers=context.session_headers("stale")
        )  # writes the last use of the session, at most every ten minutes
        yield context
    seaway.close()


def writes(context: MatrixContext, row: str, caller: str, credentials: dict[str, str]) -> set[tuple[int, int]]:
    """Send the requests of a row; return each status with the number of write transactions."""
    database = cast("CountingDatabase", context.site.factory.seaway.site.database)
    results = set()
    for request in matrix_requests.requests_of(context, row, caller):
        before = database.begun
        status = send(context, row, request, credentials).status_code
        results.add((status, database.begun - before))
    return results


def refused_results(results: set[tuple[int, int]], cells: dict[str, matrix.Cell]) -> set[tuple[int, int]]:
    """Return the refused results; 404 is a refusal if another caller succeeds."""
    public_statuses = {public for public, _ in cells.values()}
    return {
        (status, begun)
        for status, begun in results
        if status in (401, 403) or (status == 404 and min(public_statuses) < 400)
    }


@pytest.mark.parametrize("caller", ["anonymous", "nonmember", "READ"])
@pytest.mark.parametrize("row", KEYS)
def test_request_refused_for_its_key_begins_no_write(context: MatrixContext, row: str, caller: str) -> None:
    """Callers without a credential, without a role, or with a READ key."""
    results = writes(context, row, caller, context.key_headers(caller))
    assert {(status, 0) for status, _ in refused_results(results, KEYS[row])} == refused_results(results, KEYS[row])


@pytest.mark.parametrize("caller", ["nonmember", "stale"])
@pytest.mark.parametrize("row", [row for row in SESSIONS if row not in REFUSED_BY_ACCOUNT_STATE])
def test_request_refused_for_its_session_begins_no_write(context: MatrixContext, row: str, caller: str) -> None:
    """A user without a role, or an owner whose sign-in is too old."""
    results = writes(context, row, caller, context.session_headers(caller))
    assert {(status, 0) for status, _ in refused_results(results, SESSIONS[row])} == refused_results(
        results, SESSIONS[row]
    )
