"""Usage counter: which requests count as downloads, and when the use of a key is recorded."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, notices
from seaway.channels.notices import Level
from seaway.clock import DAY_MS, MINUTE_MS
from seaway.database.engine import Tx
from seaway.database.tables import files
from seaway.errors import Unavailable
from seaway.keys import api_keys
from seaway.packages import download_history, downloads, search
from seaway.packages import files as package_files
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import Split
from seaway.packages.search import PackageQuery
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving.usage_counter import UsageCounter
from seaway.users import users
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file

FILE = conda(index_json("demo"))
PATH = f"/boats/noarch/{FILE.name}"


@pytest.fixture
async def http(seaway: Seaway, factory: Factory) -> AsyncIterator[httpx.AsyncClient]:
    factory.channel("boats", owner="ada")
    await publish_file(seaway, "boats", FILE)
    transport = httpx.ASGITransport(create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def recent_downloads(tx: Tx) -> dict[str, int]:
    """Return the downloads of the packages of boats in the last 30 days, by name."""
    return {
        hit.package: hit.downloads for hit in search.search(tx, OPERATOR, PackageQuery(channel="boats"), limit=9).hits
    }


def download_count(seaway: Seaway) -> int:
    seaway.request_parts.usage_counter.write()
    with seaway.site.database.read() as tx:
        return download_history.totals_of_channel(tx, channels.get(tx, "boats").id, 0)[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        pytest.param("GET", {}, 1, id="whole file"),
        pytest.param("GET", {"Range": "bytes=0-9"}, 1, id="first range"),
        pytest.param("GET", {"Range": "bytes=10-19"}, 0, id="later range"),
        pytest.param("GET", {"Range": "bytes=-5"}, 0, id="suffix range"),
        pytest.param("GET", {"Range": "bytes=9999999-"}, 0, id="no such range"),
        pytest.param("GET", {"If-None-Match": "*"}, 0, id="not modified"),
        pytest.param("HEAD", {}, 0, id="head"),
    ],
)
async def test_only_a_get_from_the_first_byte_counts_as_a_download(
    http: httpx.AsyncClient, seaway: Seaway, method: str, headers: dict[str, str], expected: int
) -> None:
    """Cached responses count as well."""
    for _ in range(3):
        await http.request(method, PATH, headers=headers)
    assert 3 * expected == download_count(seaway)


@pytest.mark.anyio
async def test_documents_and_missing_files_are_not_counted(http: httpx.AsyncClient, seaway: Seaway) -> None:
    for path in ("/boats/noarch/repodata.json", "/boats/noarch/no-1.0-0.conda", "/nothing/noarch/x-1.0-0.conda"):
        await http.get(path)
    assert 0 == download_count(seaway)


@pytest.mark.anyio
async def test_downloads_are_counted_by_file_and_day(
    on_both: str, http: httpx.AsyncClient, seaway: Seaway, clock: ManualClock
) -> None:
    """Each day has a row that grows with every batch; sums are by file, package and days."""
    today = downloads.day_of(clock.now_ms())
    usage_counter = UsageCounter(replace(seaway.site, clock=clock))
    with seaway.site.database.read() as tx:
        file_id, channel_id = tx.execute(select(files.c.id)).scalar_one(), channels.get(tx, "boats").id
    for count in (2, 1):
        for _ in range(count):
            usage_counter.count_download(file_id, None)
        usage_counter.write()
    clock.move(DAY_MS)
    usage_counter.count_download(file_id, None)
    usage_counter.write()
    with seaway.site.database.read() as tx:

        def by_day(package: str, days: int) -> list[tuple[int, int]]:
            found = download_history.of_package(tx, channel_id, package, today=today + 1, days=days)
            return list(found.by_day.items())

        assert [(today, 3), (today + 1, 1)] == by_day("demo", 2)
        assert [(today + 1, 1)] == by_day("demo", 1)
        assert [] == by_day("other", 2)
        assert 4 == package_files.get(tx, channel_id, "noarch", FILE.name).downloads
        assert {"demo": 4} == recent_downloads(tx)


@pytest.mark.anyio
async def test_downloads_are_counted_by_client_family(
    http: httpx.AsyncClient, seaway: Seaway, clock: ManualClock
) -> None:
    """The User-Agent decides; neither it nor the address is stored."""
    for agent in ("pixi/0.59.0", "rattler-build/0.50.1", "conda/25.9.0 requests/2.32.5", ""):
        await http.get(PATH, headers={"User-Agent": agent})
    assert 4 == download_count(seaway)
    with seaway.site.database.read() as tx:
        found = download_history.of_channel(
            tx, channels.get(tx, "boats").id, today=downloads.day_of(clock.now_ms()), days=1, split=Split.CLIENT
        )
    assert [("rattler", 2), ("conda", 1), ("other", 1)] == [(one.name, one.total) for one in found.series]
    assert {one.name for one in found.series} <= {family.value for family in ClientFamily}


@pytest.mark.anyio
async def test_deleted_file_does_not_block_other_counts(http: httpx.AsyncClient, seaway: Seaway) -> None:
    """The counts of a deleted file are dropped, and the rest of the batch is written."""
    seaway.request_parts.usage_counter.count_download(987_654, None)
    await http.get(PATH)
    assert 1 == download_count(seaway)


@pytest.mark.anyio
async def test_unavailable_database_loses_no_counts(http: httpx.AsyncClient, seaway: Seaway) -> None:
    """Downloads continue while the database cannot be written, and are counted later."""
    await http.get(PATH)
    with seaway.site.database.read() as tx:
        file_id = tx.execute(select(files.c.id)).scalar_one()
    unavailable = UnavailableDatabase(seaway)
    usage_counter = UsageCounter(replace(seaway.site, database=unavailable))  # type: ignore[arg-type]
    usage_counter.count_download(file_id, None)
    usage_counter.write()
    unavailable.is_away = False
    usage_counter.write()
    assert 2 == download_count(seaway)


class UnavailableDatabase:
    """A database that rejects writes until `is_away` is cleared."""

    def __init__(self, seaway: Seaway) -> None:
        self._database = seaway.site.database
        self.is_away = True

    def write_unlocked(self):  # type: ignore[no-untyped-def]
        if self.is_away:
            raise Unavailable("The database went away.")
        return self._database.write_unlocked()


def key_of(seaway: Seaway) -> api_keys.Key:
    seaway.request_parts.usage_counter.write()
    with seaway.site.database.read() as tx:
        return api_keys.all_keys(tx, users.get(tx, "ada").id)[0]


@pytest.mark.anyio
async def test_key_use_is_recorded_at_most_every_ten_minutes(
    http: httpx.AsyncClient, seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """Using the key more often writes nothing."""
    secret = factory.key("ada")
    assert key_of(seaway).used_at_ms is None
    headers = {"Authorization": f"Bearer {secret}"}
    await http.get(PATH, headers=headers)
    first = key_of(seaway)
    assert (clock.now_ms(), "127.0.0.1") == (first.used_at_ms, first.used_from)
    clock.move(9 * MINUTE_MS)
    await http.get(PATH, headers=headers)
    assert first == key_of(seaway)
    clock.move(MINUTE_MS)
    await http.get(PATH, headers=headers)
    assert clock.now_ms() == key_of(seaway).used_at_ms


@pytest.mark.anyio
async def test_graceful_stop_writes_pending_counts(http: httpx.AsyncClient, seaway: Seaway) -> None:
    seaway.request_parts.usage_counter.start()
    await http.get(PATH)
    seaway.request_parts.usage_counter.stop()
    with seaway.site.database.read() as tx:
        assert 1 == download_history.totals_of_channel(tx, channels.get(tx, "boats").id, 0)[0]


@pytest.mark.anyio
async def test_expired_notice_is_not_served(
    http: httpx.AsyncClient, seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """It is served until it expires, also from the cache, and no later change is needed to remove it."""
    now_ms = clock.now_ms()
    with seaway.site.database.write_site() as tx:
        notices.add(tx, now_ms, OPERATOR, "boats", Level.WARNING, "Moving soon", expires_at_ms=now_ms + DAY_MS)
    responses = [(await http.get("/boats/notices.json")).json()["notices"] for _ in range(2)]
    assert responses[0] == responses[1]
    assert ["warning", "Moving soon"] == [responses[0][0]["level"], responses[0][0]["message"]]
    clock.move(DAY_MS)
    assert [] == (await http.get("/boats/notices.json")).json()["notices"]
