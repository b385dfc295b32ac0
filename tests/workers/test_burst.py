"""More at once than one worker has connections and threads for: everybody is answered, and nobody waits for ever."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import anyio
import httpx
import pytest
from sqlalchemy import text

from seaway.database.postgres import PostgresDatabase
from tests.support import house, postgres, state
from tests.support.house import People
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, raw_headers, until, upload
from tests.support.server import serving
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet, Owned, at_once, in_repodata, in_shards

READS = 200
UPLOADS = 50
STOCK = conda(index_json("stock"))
PATHS = (REPODATA, SHARD_INDEX, REPODATA_ZST, f"noarch/{STOCK.name}", "noarch/run_exports.json", "channeldata.json")

_PATIENCE_SECONDS = 120
_NO_CONNECTION = "too busy to reach its database"  # what a request says that waited for one in vain


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server with the fewest connections to PostgreSQL that can be set, and documents that jobs build."""
    folder = tmp_path_factory.mktemp("narrow")
    with state.choose(state.POSTGRES_S3):
        settings = {"database_connections": 4, "examiners": 2, "whole_document_limit": 3}
        with closing(house.build(folder)) as beside, serving(folder, **settings) as server:
            yield Fleet([server], People(beside))
        state.forget(folder)


async def ask_all(address: str, requests: Sequence[httpx.Request]) -> list[httpx.Response]:
    """Send everything at once, each on a connection of its own."""
    answers: dict[int, httpx.Response] = {}

    async def ask(http: httpx.AsyncClient, number: int, request: httpx.Request) -> None:
        answers[number] = await http.send(request)

    limits = httpx.Limits(max_connections=len(requests))
    async with (
        httpx.AsyncClient(base_url=address, limits=limits, timeout=_PATIENCE_SECONDS) as http,
        anyio.create_task_group() as group,
    ):
        for number, request in enumerate(requests):
            group.start_soon(ask, http, number, request)
    return [answers[number] for number in range(len(requests))]


def reading(address: str, channels: Sequence[Owned]) -> list[httpx.Request]:
    return [
        httpx.Request("GET", address + channels[number % len(channels)].path(PATHS[number % len(PATHS)]))
        for number in range(READS)
    ]


@dataclass(frozen=True, eq=False)
class Upload:
    """An upload that is about to be made."""

    owned: Owned
    file: PackageFile
    request: httpx.Request


def uploading(address: str, channels: Sequence[Owned]) -> list[Upload]:
    made = []
    for number in range(UPLOADS):
        owned, file = channels[number % len(channels)], conda(index_json(f"p{number}"))
        headers = {**raw_headers(file), **bearer(owned.key)}
        url = f"{address}/api/v1/upload/{owned.channel}"
        made.append(Upload(owned, file, httpx.Request("POST", url, headers=headers, content=file.content)))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("channels", [pytest.param(6, id="six channels"), pytest.param(1, id="one channel")])
def test_a_burst_is_answered(narrow: Fleet, channels: int) -> None:
    """Two hundred reads and fifty uploads at once, in one channel or several: no error but a 503 with the time to wait."""
    server = narrow.servers[0]
    owned = [narrow.new_channel() for _ in range(channels)]
    for each in owned:
        with server.client(each.key) as http:
            assert 201 == upload(http, each.channel, STOCK).status_code
    uploads = uploading(server.address, owned)
    answers = anyio.run(ask_all, server.address, [*reading(server.address, owned), *(one.request for one in uploads)])
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {200, 201, 302, 503} >= {answer.status_code for answer in answers}
    assert [] == [answer.text for answer in refused if "retry-after" not in answer.headers]
    assert [] == [answer.text for answer in refused if _NO_CONNECTION in answer.text]
    taken = {one for one, answer in zip(uploads, answers[READS:], strict=True) if answer.status_code == 201}
    with server.client() as http:
        for each in owned:
            expected = {one.file.name: one.file.sha256 for one in taken if one.owned == each}
            assert expected | {STOCK.name: STOCK.sha256} == in_shards(http, each)
            until(partial(has_document_of, http, each, len(expected) + 1))
    assert [] == [line for line in server.log if "request.failed" in line]


def has_document_of(http: httpx.Client, owned: Owned, files: int) -> bool:
    return files == len(in_repodata(http, owned))


def test_what_is_done_alone_leaves_connections_for_itself() -> None:
    """Work that holds a lock and then reads goes on, though more of it begins at once than there are connections."""
    url = postgres.shared().new_database()
    with closing(PostgresDatabase(url, connections=4)) as database:

        def work(number: int) -> None:
            with database.exclusive(f"thing {number}"), database.read() as tx:
                tx.execute(text("SELECT 1"))

        for _ in range(20):
            at_once([partial(work, number) for number in range(8)])  # whoever waits in vain for a connection raises
    postgres.shared().drop_database(url)
