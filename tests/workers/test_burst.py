"""More concurrent requests than a worker has connections and threads: all get a response in time."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import anyio
import httpx
import pytest
from sqlalchemy import text

from seaway.database.postgres import PostgresDatabase
from tests.support import postgres, sites, state
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, raw_headers, upload, wait_until
from tests.support.server import serving
from tests.support.sites import Factory
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet, Owned, at_once, in_repodata, in_shards

READS = 200
UPLOADS = 50
STOCK = conda(index_json("stock"))
PATHS = (REPODATA, SHARD_INDEX, REPODATA_ZST, f"noarch/{STOCK.name}", "noarch/run_exports.json", "channeldata.json")

_TIMEOUT_SECONDS = 120
_NO_CONNECTION = "too busy to reach its database"  # message after a timeout waiting for a connection


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server with the minimum number of PostgreSQL connections, and documents that jobs build."""
    folder = tmp_path_factory.mktemp("small")
    with state.choose(state.POSTGRES_S3):
        settings = {"database_connections": 4, "examiners": 2, "whole_document_limit": 3}
        with closing(sites.build(folder)) as seaway, serving(folder, **settings) as server:
            yield Fleet([server], Factory(seaway))
        state.forget(folder)


async def send_all(address: str, requests: Sequence[httpx.Request]) -> list[httpx.Response]:
    """Send all requests at once, each on its own connection."""
    responses: dict[int, httpx.Response] = {}

    async def send(http: httpx.AsyncClient, number: int, request: httpx.Request) -> None:
        responses[number] = await http.send(request)

    limits = httpx.Limits(max_connections=len(requests))
    async with (
        httpx.AsyncClient(base_url=address, limits=limits, timeout=_TIMEOUT_SECONDS) as http,
        anyio.create_task_group() as group,
    ):
        for number, request in enumerate(requests):
            group.start_soon(send, http, number, request)
    return [responses[number] for number in range(len(requests))]


def read_requests(address: str, channels: Sequence[Owned]) -> list[httpx.Request]:
    return [
        httpx.Request("GET", address + channels[number % len(channels)].path(PATHS[number % len(PATHS)]))
        for number in range(READS)
    ]


@dataclass(frozen=True, eq=False)
class Upload:
    """A prepared upload."""

    owned: Owned
    file: PackageFile
    request: httpx.Request


def prepare_uploads(address: str, channels: Sequence[Owned]) -> list[Upload]:
    uploads = []
    for number in range(UPLOADS):
        owned, file = channels[number % len(channels)], conda(index_json(f"p{number}"))
        headers = {**raw_headers(file), **bearer(owned.key)}
        url = f"{address}/api/v1/upload/{owned.channel}"
        uploads.append(Upload(owned, file, httpx.Request("POST", url, headers=headers, content=file.content)))
    return uploads


@pytest.mark.slow
@pytest.mark.parametrize("channels", [pytest.param(6, id="six channels"), pytest.param(1, id="one channel")])
def test_a_burst_gets_responses(small_server: Fleet, channels: int) -> None:
    """200 reads and 50 uploads at once, in one channel or several: the only error is a 503 with Retry-After."""
    server = small_server.servers[0]
    owned = [small_server.new_channel() for _ in range(channels)]
    for each in owned:
        with server.client(each.key) as http:
            assert 201 == upload(http, each.channel, STOCK).status_code
    uploads = prepare_uploads(server.address, owned)
    responses = anyio.run(
        send_all, server.address, [*read_requests(server.address, owned), *(each.request for each in uploads)]
    )
    refused = [response for response in responses if response.status_code == 503]
    assert {200, 201, 302, 503} >= {response.status_code for response in responses}
    assert [] == [response.text for response in refused if "retry-after" not in response.headers]
    assert [] == [response.text for response in refused if _NO_CONNECTION in response.text]
    accepted = {each for each, response in zip(uploads, responses[READS:], strict=True) if response.status_code == 201}
    with server.client() as http:
        for each in owned:
            expected = {one.file.name: one.file.sha256 for one in accepted if one.owned == each}
            assert expected | {STOCK.name: STOCK.sha256} == in_shards(http, each)
            wait_until(partial(has_document_of, http, each, len(expected) + 1))
    assert [] == [line for line in server.log if "request.failed" in line]


def has_document_of(http: httpx.Client, owned: Owned, files: int) -> bool:
    return files == len(in_repodata(http, owned))


def test_exclusive_tasks_keep_connections_for_their_reads() -> None:
    """Tasks that hold a lock and then read finish, even if there are more of them than connections."""
    url = postgres.shared().new_database()
    with closing(PostgresDatabase(url, connections=4)) as database:

        def work(number: int) -> None:
            with database.exclusive(f"thing {number}"), database.read() as tx:
                tx.execute(text("SELECT 1"))

        for _ in range(20):
            at_once([partial(work, number) for number in range(8)])  # a timeout waiting for a connection raises
    postgres.shared().drop_database(url)
