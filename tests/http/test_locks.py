"""
On PostgreSQL nobody waits for a channel that others change, but for the few changes that concern the whole site.

Every row of the matrix that may write is sent while a transaction holds another channel, as an upload there does.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import Site
from tests.http import asks, asks_account, asks_channels, asks_files, asks_site, asks_trust, matrix
from tests.http.asks import Ask, Stage
from tests.support import house, state
from tests.support.house import People
from tests.support.server import serving

BUILDERS = (asks_account, asks_channels, asks_files, asks_site, asks_trust)
# What locks the site: changes of site admins that bear no other write beside them, and the end of an account.
SITE_WIDE = {
    "DELETE /api/v1/me",
    "PATCH /api/v1/users/{user}",
    "PATCH /api/v1/users/{user}/quota",
    "POST /api/v1/users/{user}/second-factor-reset",
    "DELETE /api/v1/users/{user}/second-factor-reset",
    "POST /api/v1/issuers",
    "PATCH /api/v1/issuers/{issuer}",
    "DELETE /api/v1/issuers/{issuer}",
    "PUT /api/v1/issuers/{issuer}/keys",
    "POST /api/v1/issuers/{issuer}/keys/fetch",
    "POST /admin/users/{user}/{act}",
    "POST /admin/issuers",
    "POST /admin/issuers/{issuer}/{act}",
}
PATIENCE = 10.0  # seconds; whoever waits for the lock gets 503 after 20


def writes(table: str) -> list[str]:
    """The rows of a table that are not only looked at."""
    rows = [row for row in matrix.rows(table) if not row.startswith(("GET ", "HEAD ", "OPTIONS "))]
    return [row for row in rows if matrix.route_of(row) not in SITE_WIDE]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("locks")
    with state.choose(state.POSTGRES_S3), serving(folder, examiners=1) as server:
        beside = house.build(folder)
        site = Site(server, People(beside))
        with site.client() as http:
            yield asks.stage(site, http, public=True)
        beside.close()
    state.forget(folder)


def answer(stage: Stage, row: str, ask: Ask, credentials: dict[str, str]) -> int:
    """Send a request while another channel is locked, and fail if it waits for that."""
    database = stage.site.people.seaway.database
    headers = {**(credentials if ask.signed else {}), **ask.headers}
    with database.write_channel("busy"):
        return stage.http.request(
            row.partition(" ")[0],
            ask.path,
            json=ask.json,
            content=ask.content,
            params=ask.params,
            headers=headers,
            timeout=PATIENCE,
        ).status_code


@pytest.mark.slow
@pytest.mark.parametrize("row", writes(matrix.KEYS))
def test_no_key_waits_for_another_channel(stage: Stage, row: str) -> None:
    """Uploads, deletions, members, settings ..., as the owner of their own channel."""
    statuses = [answer(stage, row, ask, stage.signed("owner")) for ask in asks.of(stage, row, "owner")]
    assert max(statuses) < 500


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "admin"])
@pytest.mark.parametrize("row", writes(matrix.SESSIONS))
def test_nobody_signed_in_waits_for_another_channel(stage: Stage, row: str, who: str) -> None:
    """The same, and one's own account."""
    statuses = [answer(stage, row, ask, stage.signed_in(who)) for ask in asks.of(stage, row, who)]
    assert max(statuses) < 500


def test_the_list_of_what_locks_the_site_names_routes() -> None:
    """None is left in it when its route goes."""
    assert {matrix.route_of(row) for table in (matrix.KEYS, matrix.SESSIONS) for row in matrix.rows(table)} >= SITE_WIDE
