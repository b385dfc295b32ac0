"""What is counted, and what the database says, on a house in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from sqlalchemy import update

from seaway.conda.refusals import Refused
from seaway.database.engine import Tx
from seaway.database.tables import subdirs
from seaway.errors import Unavailable
from seaway.indexing.documents import REPODATA
from seaway.jobs import queue
from seaway.metric_events import DeliveryMethod, EventCounter, UploadOutcome, UploadStage
from seaway.packages import removal
from seaway.publishing.publish import publish
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.gauges import DatabaseGauges
from seaway.server.prometheus_metrics import Metrics
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.storage.memory import MemoryBlobs
from tests.server.conftest import PACKAGES, Scrape, parsed
from tests.support import state
from tests.support.clock import TurnedClock
from tests.support.house import OPERATOR, People, publish_file
from tests.support.jobs import work_of
from tests.support.packages import PackageFile

pytestmark = pytest.mark.anyio

_LIMIT = 2  # records up to which documents are built by the request that asks for them


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def counted(tmp_path: Path, clock: TurnedClock, metrics: Metrics) -> Iterator[Seaway]:
    """A house that counts."""
    settings = Settings(
        data=tmp_path / "data",
        whole_document_limit=_LIMIT,
        examiners=1,
        downloads="direct",
        **state.settings(tmp_path),
    )
    built = wiring.build(settings, clock, counts=metrics)
    yield built
    built.close()


def read(metrics: Metrics) -> Scrape:
    return parsed(generate_latest(metrics.registry).decode())


def gauges(seaway: Seaway, **replaced: Any) -> Scrape:
    """What a scrape would say of the state of the house now."""
    collected = DatabaseGauges(
        **{
            "database": seaway.database,
            "clock": seaway.clock,
            "whole_document_limit": _LIMIT,
            **replaced,
        }
    ).collect()
    return Scrape(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in collected
            for sample in family.samples
        }
    )


async def test_uploads_are_counted_by_what_became_of_them(counted: Seaway, metrics: Metrics) -> None:
    """Published, replaced, refused with its code; the bytes that came and the time of each stage that was reached."""
    channel = People(counted).channel("chan")
    file = PACKAGES[0]
    await publish_file(counted, channel, file)
    await publish_file(counted, channel, file, force=True)
    for name in (file.name.replace("-", "_"), "x-1.0-0.conda"):
        with pytest.raises(Refused):
            await publish_file(counted, channel, PackageFile(name, file.content))
    found = read(metrics)
    outcomes = {
        outcome: found.value("seaway_uploads_total", outcome=outcome)
        for outcome in ("published", "replaced", "refused")
    }
    assert {"published": 1, "replaced": 1, "refused": 2} == outcomes
    assert 1 == found.value("seaway_uploads_total", outcome="refused", code="bad-file-name")
    assert 3 * len(file.content) == found.value("seaway_upload_received_bytes_total")
    stages = {
        stage.value: found.value("seaway_upload_stage_duration_seconds_count", stage=stage.value)
        for stage in UploadStage
    }
    assert {"receive": 3, "examine": 3, "record": 2} == stages


class Broken:
    """A file whose bytes do not come."""

    file_name = PACKAGES[0].name
    announced_sha256 = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def chunks(self) -> Any:
        raise self._error
        yield b""

    async def finish(self) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (Unavailable("The storage does not answer."), "failed", "unavailable"),
        (OSError(28, "No space left on device"), "failed", "disk"),
        (EOFError(), "broken-off", ""),
    ],
)
async def test_our_failures_are_no_refusals(
    counted: Seaway, metrics: Metrics, error: Exception, outcome: str, code: str
) -> None:
    """What lies with us, and who hung up, is told apart from what lies with the file."""
    channel = People(counted).channel("chan")
    with pytest.raises(type(error)):
        await publish_incoming(counted, channel, Broken(error))
    assert 1 == read(metrics).value("seaway_uploads_total", outcome=outcome, code=code)


async def publish_incoming(seaway: Seaway, channel: str, incoming: Any) -> None:
    await publish(seaway.request_parts.publishing, channel, incoming, by=OPERATOR, force=False)


async def test_requests_are_counted_by_the_template_of_their_route(counted: Seaway, metrics: Metrics) -> None:
    """No path, method or status that a stranger makes up becomes a series of its own."""
    channel = People(counted).channel("chan")
    file = PACKAGES[0]
    published = await publish_file(counted, channel, file)
    path = f"/{channel}/{published.subdir}/{file.name}"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(counted)), base_url="http://seaway.test"
    ) as http:
        for asked in (path, path, "/nobody/noarch/x", "/a/b/c/d"):
            await http.get(asked)
        await http.get(path, headers={"Range": "bytes=0-9"})
        await http.head(path)
        await http.request("BREW", "/coffee")
    found = read(metrics)
    template = "/{path:path}"
    by_status = {
        status: found.value("seaway_requests_total", route=template, method="GET", status=status)
        for status in ("200", "206", "401", "404")
    }
    assert {"200": 2, "206": 1, "401": 2, "404": 0} == by_status
    assert 1 == found.value("seaway_requests_total", route=template, method="other", status="405")
    assert 1 == found.value("seaway_requests_total", method="HEAD")
    assert 5 == found.value("seaway_request_duration_seconds_count", route=template, method="GET")
    ways = {way.value: found.value("seaway_package_downloads_total", way=way.value) for way in DeliveryMethod}
    assert {"whole": 2, "part": 1, "redirect": 0, "proxy": 0} == ways
    assert 2 * len(file.content) + 10 == found.value("seaway_package_download_bytes_total")


class Signing(MemoryBlobs):
    """A store that lets readers come to it."""

    def signed_url(self, key: str, seconds: int) -> str:
        return f"https://bucket.test/{key}"


async def test_what_leaves_the_bucket_itself_is_no_byte_of_ours(tmp_path: Path, metrics: Metrics) -> None:
    """A download by redirect counts as one, without its bytes."""
    redirecting = wiring.build(Settings(data=tmp_path / "data", examiners=1), blobs=Signing(), counts=metrics)
    channel = People(redirecting).channel("chan")
    published = await publish_file(redirecting, channel, PACKAGES[0])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(redirecting)), base_url="http://seaway.test"
    ) as http:
        answer = await http.get(f"/{channel}/{published.subdir}/{PACKAGES[0].name}")
    redirecting.close()
    found = read(metrics)
    counted = found.value("seaway_package_downloads_total", way="redirect")
    assert (302, 1, 0) == (answer.status_code, counted, found.value("seaway_package_download_bytes_total"))


async def test_jobs_are_counted_and_those_that_wait_are_shown(
    counted: Seaway, metrics: Metrics, clock: TurnedClock
) -> None:
    """Attempts by kind and result; the jobs there are by state, and how late the oldest is."""
    with counted.database.write_site() as tx:
        queue.enqueue(tx, clock.now_ms(), work_of("no such kind")())
    clock.move(90_000)
    before = gauges(counted)
    counted.runner.run_due()
    found, after = read(metrics), gauges(counted)
    assert (1, 90) == (before.value("seaway_jobs", state="ready"), before.value("seaway_jobs_overdue_seconds"))
    assert 1 == found.value("seaway_job_attempts_total", kind="sweep", result="done")
    assert 1 == found.value("seaway_job_attempts_total", kind="no such kind", result="failed")
    assert 1 == found.value("seaway_job_duration_seconds_count", kind="expire")
    # It failed, and comes back later.
    assert (1, 0) == (after.value("seaway_jobs", state="ready"), after.value("seaway_jobs_overdue_seconds"))


async def test_the_lag_of_whole_documents(counted: Seaway, clock: TurnedClock) -> None:
    """Only documents that were built can be behind; who builds them says whether a reader can see it."""
    channel = People(counted).channel("chan")
    file = PACKAGES[0]
    published = await publish_file(counted, channel, file)
    unbuilt = lag(gauges(counted))
    with counted.database.read() as tx:
        subdir_id = tx.execute(subdirs.select()).one().id
    counted.documents.build(subdir_id, REPODATA)
    built = lag(gauges(counted))
    for act in (removal.yank, removal.unyank):
        act(counted.request_parts.removing, OPERATOR, channel, published.subdir, file.name)
    clock.move(5_000)
    small = lag(gauges(counted))
    with counted.database.write_site() as tx:
        tx.execute(update(subdirs).values(record_count=_LIMIT + 1))
    large = lag(gauges(counted))
    nothing, behind = (0, 0, 0), (1, 2, 5)
    assert [{"request": nothing, "job": nothing}] * 2 == [unbuilt, built]
    assert [{"request": behind, "job": nothing}, {"request": nothing, "job": behind}] == [small, large]


def lag(found: Scrape) -> dict[str, tuple[float, ...]]:
    names = ("seaway_index_documents_behind", "seaway_index_lag_revisions", "seaway_index_lag_seconds")
    return {build: tuple(found.value(name, build=build) for name in names) for build in ("request", "job")}


async def test_the_store_is_measured_by_the_rows_that_name_it(counted: Seaway) -> None:
    """Content that two channels have counts once, and a deleted file not at all."""
    one, other = (People(counted).channel(name) for name in ("one", "other"))
    for file in PACKAGES[:2]:
        published = await publish_file(counted, one, file)
    await publish_file(counted, other, PACKAGES[0])
    removal.delete(counted.request_parts.removing, OPERATOR, one, published.subdir, PACKAGES[1].name)
    found = gauges(counted)
    assert (1, len(PACKAGES[0].content)) == tuple(
        found.value(name, what="packages") for name in ("seaway_stored_blobs", "seaway_stored_bytes")
    )
    assert 0 == found.value("seaway_stored_blobs", what="documents")


class Counting:
    """A database that counts how often it is asked, and can be away or hang."""

    def __init__(self, seaway: Seaway) -> None:
        self._database = seaway.database
        self.asked = 0
        self.error: Exception | None = None
        self.let = threading.Event()
        self.let.set()

    @contextmanager
    def read(self) -> Iterator[Tx]:
        self.asked += 1
        self.let.wait(30)
        if self.error is not None:
            raise self.error
        with self._database.read() as tx:
            yield tx


def collected(state_gauges: DatabaseGauges) -> dict[str, float]:
    return {family.name: sum(sample.value for sample in family.samples) for family in state_gauges.collect()}


def test_what_is_dear_is_not_asked_at_each_scrape(counted: Seaway, clock: TurnedClock) -> None:
    """Of three scrapes, the first alone adds up the store."""
    database: Any = Counting(counted)
    state_gauges = DatabaseGauges(database, clock, whole_document_limit=_LIMIT)
    seen = [collected(state_gauges) for _ in range(3)]
    assert 4 == database.asked
    assert {"seaway_stored_bytes", "seaway_jobs"} <= set.intersection(*map(set, seen))


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("of a library")])
def test_a_database_that_is_away_is_said(counted: Seaway, clock: TurnedClock, error: Exception) -> None:
    """The scrape says that it is away, nothing of what it would say, and all of it when it is back."""
    database: Any = Counting(counted)
    state_gauges = DatabaseGauges(database, clock, whole_document_limit=_LIMIT)
    database.error = error
    away = collected(state_gauges)
    database.error = None
    back = collected(state_gauges)
    assert {"seaway_database_up": 0} == away
    assert 1 == back["seaway_database_up"]
    assert "seaway_jobs" in back


def test_a_database_that_hangs_does_not_hang_the_scrape(counted: Seaway, clock: TurnedClock) -> None:
    """The wait is bounded, and scrapes that come meanwhile do not ask again."""
    database: Any = Counting(counted)
    database.let.clear()
    state_gauges = DatabaseGauges(database, clock, whole_document_limit=_LIMIT, patience_seconds=0.1)
    seen = [collected(state_gauges) for _ in range(3)]
    asked = database.asked
    database.let.set()
    state_gauges._snapshot_query.start().result(10)  # nobody shall use the house after its end
    assert ([{"seaway_database_up": 0}] * 3, 1) == (seen, asked)


def test_whoever_keeps_nothing_takes_everything() -> None:
    """Parts count in the same way whether anybody looks or not."""
    for counts in (EventCounter(), Metrics()):
        counts.request("/", "GET", 200, 0.1)
        counts.upload(UploadOutcome.FAILED, "unavailable")
        counts.received(1)
        counts.download(DeliveryMethod.REDIRECT, 0)
        counts.job("sweep", 0.1, done=True)
        with counts.timed(UploadStage.EXAMINE):
            pass
