"""
On PostgreSQL, only the few changes that concern the whole site wait for a change of another channel.

Every row of the matrix that can write is sent while a transaction locks another channel, as an upload to it does.
"""

from collections.abc import Iterator

import pytest

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
from tests.http.matrix_requests import MatrixContext, RouteRequest
from tests.support import sites, state
from tests.support.server import serving
from tests.support.sites import Factory

BUILDERS = (matrix_account, matrix_channels, matrix_files, matrix_site, matrix_trusted_publishing)
# These routes lock the site: changes by site admins that exclude all other writes, and deleting an account.
SITE_WIDE = {
    "DELETE /api/v1/me",
    "POST /api/v1/users",
    "POST /api/v1/users/{user}/invitation",
    "DELETE /api/v1/users/{user}",
    "PATCH /api/v1/users/{user}",
    "PATCH /api/v1/users/{user}/quota",
    "POST /api/v1/users/{user}/second-factor-reset",
    "DELETE /api/v1/users/{user}/second-factor-reset",
    "POST /api/v1/issuers",
    "PATCH /api/v1/issuers/{issuer}",
    "DELETE /api/v1/issuers/{issuer}",
    "PUT /api/v1/issuers/{issuer}/keys",
    "POST /api/v1/issuers/{issuer}/keys/fetch",
    "POST /admin/users/invite",
    "POST /admin/users/{user}/quota",
    "POST /admin/users/{user}/{act}",
    "POST /admin/issuers",
    "POST /admin/issuers/{issuer}/{act}",
}
PATIENCE = 10.0  # seconds; a request that waits for the lock gets 503 after 20


def writes(table: str) -> list[str]:
    """Return the rows of a table that can write, without site-wide ones."""
    rows = [row for row in matrix.rows(table) if not row.startswith(("GET ", "HEAD ", "OPTIONS "))]
    return [row for row in rows if matrix.route_of(row) not in SITE_WIDE]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixContext]:
    folder = tmp_path_factory.mktemp("locks")
    with state.choose(state.POSTGRES_S3), serving(folder, examiners=1) as server:
        parts = sites.build(folder)
        site = Site(server, Factory(parts))
        with site.client() as http:
            yield matrix_requests.create_context(site, http, public=True)
        parts.close()
    state.forget(folder)


def status_while_locked(context: MatrixContext, row: str, request: RouteRequest, credentials: dict[str, str]) -> int:
    """Send a request while another channel is locked; return the status, or fail if it waits for the lock."""
    database = context.site.factory.seaway.site.database
    headers = {**(credentials if request.with_credentials else {}), **request.headers}
    with database.write_channel("busy"):
        return context.http.request(
            row.partition(" ")[0],
            request.path,
            json=request.json,
            content=request.content,
            params=request.params,
            headers=headers,
            timeout=PATIENCE,
        ).status_code


@pytest.mark.slow
@pytest.mark.parametrize("row", writes(matrix.KEYS))
def test_requests_with_keys_do_not_wait_for_another_channel(context: MatrixContext, row: str) -> None:
    """Uploads, deletions, members, settings etc. as the owner of the channel."""
    statuses = [
        status_while_locked(context, row, request, context.key_headers("owner"))
        for request in matrix_requests.requests_of(context, row, "owner")
    ]
    assert max(statuses) < 500


@pytest.mark.slow
@pytest.mark.parametrize("caller", ["owner", "admin"])
@pytest.mark.parametrize("row", writes(matrix.SESSIONS))
def test_signed_in_requests_do_not_wait_for_another_channel(context: MatrixContext, row: str, caller: str) -> None:
    """Pages and account settings, as the owner and as a site admin."""
    statuses = [
        status_while_locked(context, row, request, context.session_headers(caller))
        for request in matrix_requests.requests_of(context, row, caller)
    ]
    assert max(statuses) < 500


def test_site_wide_list_contains_only_existing_routes() -> None:
    assert {matrix.route_of(row) for table in (matrix.KEYS, matrix.SESSIONS) for row in matrix.rows(table)} >= SITE_WIDE
