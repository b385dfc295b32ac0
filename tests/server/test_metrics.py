"""Counters, and gauges read from the database, on a Seaway in this process."""

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
from tests.support.clock import ManualClock
from tests.support.jobs import args_type
from tests.support.packages import PackageFile
from tests.support.sites import OPERATOR, Factory, publish_file

pytestmark = pytest.mark.anyio

_LIMIT = 2  # above this number of records, documents are built by a job instead of a request


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def counted(tmp_path: Path, clock: ManualClock, metrics: Metrics) -> Iterator[Seaway]:
    """A Seaway with metrics."""
    settings = Settings(
        data=tmp_path / "data",
        whole_document_limit=_LIMIT,
        examiners=1,
        downloads="direct",
        **state.settings(tmp_path),
    )
    seaway = wiring.build(settings, clock, counts=metrics)
    yield seaway
    seaway.close()


def read(metrics: Metrics) -> Scrape:
    return parsed(generate_latest(metrics.registry).decode())


def gauges(seaway: Seaway, **replaced: Any) -> Scrape:
    """Return the gauges that a scrape would show now."""
    collected = DatabaseGauges(
        **{
            "database": seaway.site.database,
            "clock": seaway.site.clock,
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


async def test_uploads_are_counted_by_outcome(counted: Seaway, metrics: Metrics) -> None:
    """Outcomes with their codes, received bytes, and the duration of each stage that was reached."""
    channel = Factory(counted).channel("chan")
    file = PACKAGES[0]
    await publish_file(counted, channel, file)
    await publish_file(counted, channel, file, force=True)
    for name in (file.name.replace("-", "_"), "x-1.0-0.conda"):
        with pytest.raises(Refused):
            await publish_file(counted, channel, PackageFile(name, file.content))
    scrape = read(metrics)
    outcomes = {
        outcome: scrape.value("seaway_uploads_total", outcome=outcome)
        for outcome in ("published", "replaced", "refused")
    }
    assert {"published": 1, "replaced": 1, "refused": 2} == outcomes
    assert 1 == scrape.value("seaway_uploads_total", outcome="refused", code="bad-file-name")
    assert 3 * len(file.content) == scrape.value("seaway_upload_received_bytes_total")
    stages = {
        stage.value: scrape.value("seaway_upload_stage_duration_seconds_count", stage=stage.value)
        for stage in UploadStage
    }
    assert {"receive": 3, "examine": 3, "record": 2} == stages


class FailingFile:
    """An incoming file whose stream fails."""

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
        (Unavailable("The storage does not respond."), "failed", "unavailable"),
        (OSError(28, "No space left on device"), "failed", "disk"),
        (EOFError(), "broken-off", ""),
    ],
)
async def test_server_failures_are_not_counted_as_refusals(
    counted: Seaway, metrics: Metrics, error: Exception, outcome: str, code: str
) -> None:
    """Server failures, aborted uploads and refused files have different outcomes."""
    channel = Factory(counted).channel("chan")
    with pytest.raises(type(error)):
        await publish_incoming(counted, channel, FailingFile(error))
    assert 1 == read(metrics).value("seaway_uploads_total", outcome=outcome, code=code)


async def publish_incoming(seaway: Seaway, channel: str, incoming: Any) -> None:
    await publish(seaway.request_parts.publishing, channel, incoming, by=OPERATOR, force=False)


async def test_requests_are_counted_by_route_template(counted: Seaway, metrics: Metrics) -> None:
    """A path or method invented by a client must not create a new series."""
    channel = Factory(counted).channel("chan")
    file = PACKAGES[0]
    published = await publish_file(counted, channel, file)
    path = f"/{channel}/{published.subdir}/{file.name}"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(counted)), base_url="http://seaway.test"
    ) as http:
        for requested in (path, path, "/unknown/noarch/x", "/a/b/c/d"):
            await http.get(requested)
        await http.get(path, headers={"Range": "bytes=0-9"})
        await http.head(path)
        await http.request("BREW", "/coffee")
    scrape = read(metrics)
    template = "/{path:path}"
    by_status = {
        status: scrape.value("seaway_requests_total", route=template, method="GET", status=status)
        for status in ("200", "206", "401", "404")
    }
    assert {"200": 2, "206": 1, "401": 2, "404": 0} == by_status
    assert 1 == scrape.value("seaway_requests_total", route=template, method="other", status="405")
    assert 1 == scrape.value("seaway_requests_total", method="HEAD")
    assert 5 == scrape.value("seaway_request_duration_seconds_count", route=template, method="GET")
    methods = {
        method.value: scrape.value("seaway_package_downloads_total", way=method.value) for method in DeliveryMethod
    }
    assert {"whole": 2, "part": 1, "redirect": 0, "proxy": 0} == methods
    assert 2 * len(file.content) + 10 == scrape.value("seaway_package_download_bytes_total")


class RedirectingStore(MemoryBlobs):
    """A store that redirects readers to itself."""

    def signed_url(self, key: str, seconds: int) -> str:
        return f"https://bucket.test/{key}"


async def test_redirected_download_is_counted_without_bytes(tmp_path: Path, metrics: Metrics) -> None:
    """The bucket sends the bytes, not Seaway."""
    redirecting = wiring.build(Settings(data=tmp_path / "data", examiners=1), blobs=RedirectingStore(), counts=metrics)
    channel = Factory(redirecting).channel("chan")
    published = await publish_file(redirecting, channel, PACKAGES[0])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(redirecting)), base_url="http://seaway.test"
    ) as http:
        response = await http.get(f"/{channel}/{published.subdir}/{PACKAGES[0].name}")
    redirecting.close()
    scrape = read(metrics)
    counted = scrape.value("seaway_package_downloads_total", way="redirect")
    assert (302, 1, 0) == (response.status_code, counted, scrape.value("seaway_package_download_bytes_total"))


async def test_jobs_are_counted_and_waiting_jobs_are_shown(
    counted: Seaway, metrics: Metrics, clock: ManualClock
) -> None:
    """Attempts by kind and result, jobs by state, and the delay of the oldest job."""
    with counted.site.database.write_site() as tx:
        queue.enqueue(tx, clock.now_ms(), args_type("no such kind")())
    clock.move(90_000)
    before = gauges(counted)
    counted.runner.run_due()
    scrape, after = read(metrics), gauges(counted)
    assert (1, 90) == (before.value("seaway_jobs", state="ready"), before.value("seaway_jobs_overdue_seconds"))
    assert 1 == scrape.value("seaway_job_attempts_total", kind="sweep", result="done")
    assert 1 == scrape.value("seaway_job_attempts_total", kind="no such kind", result="failed")
    assert 1 == scrape.value("seaway_job_duration_seconds_count", kind="expire")
    # The failed job is scheduled again for later.
    assert (1, 0) == (after.value("seaway_jobs", state="ready"), after.value("seaway_jobs_overdue_seconds"))


async def test_document_lag_counts_built_documents_by_builder(counted: Seaway, clock: ManualClock) -> None:
    """Only built documents can be behind; whether readers see the lag depends on who builds them (request or job)."""
    channel = Factory(counted).channel("chan")
    file = PACKAGES[0]
    published = await publish_file(counted, channel, file)
    unbuilt = lag(gauges(counted))
    with counted.site.database.read() as tx:
        subdir_id = tx.execute(subdirs.select()).one().id
    counted.documents.build(subdir_id, REPODATA)
    built = lag(gauges(counted))
    for change in (removal.yank, removal.unyank):
        change(counted.site, OPERATOR, channel, published.subdir, file.name)
    clock.move(5_000)
    small = lag(gauges(counted))
    with counted.site.database.write_site() as tx:
        tx.execute(update(subdirs).values(record_count=_LIMIT + 1))
    large = lag(gauges(counted))
    none, behind = (0, 0, 0), (1, 2, 5)
    assert [{"request": none, "job": none}] * 2 == [unbuilt, built]
    assert [{"request": behind, "job": none}, {"request": none, "job": behind}] == [small, large]


def lag(scrape: Scrape) -> dict[str, tuple[float, ...]]:
    names = ("seaway_index_documents_behind", "seaway_index_lag_revisions", "seaway_index_lag_seconds")
    return {build: tuple(scrape.value(name, build=build) for name in names) for build in ("request", "job")}


async def test_stored_bytes_count_each_referenced_blob_once(counted: Seaway) -> None:
    """A blob in two channels counts once, and a deleted file does not count."""
    first, second = (Factory(counted).channel(name) for name in ("one", "other"))
    for file in PACKAGES[:2]:
        published = await publish_file(counted, first, file)
    await publish_file(counted, second, PACKAGES[0])
    removal.delete(counted.site, OPERATOR, first, published.subdir, PACKAGES[1].name)
    scrape = gauges(counted)
    assert (1, len(PACKAGES[0].content)) == tuple(
        scrape.value(name, what="packages") for name in ("seaway_stored_blobs", "seaway_stored_bytes")
    )
    assert 0 == scrape.value("seaway_stored_blobs", what="documents")


class CountingDatabase:
    """A database that counts its reads, and can fail or hang."""

    def __init__(self, seaway: Seaway) -> None:
        self._database = seaway.site.database
        self.reads = 0
        self.error: Exception | None = None
        self.released = threading.Event()
        self.released.set()

    @contextmanager
    def read(self) -> Iterator[Tx]:
        self.reads += 1
        self.released.wait(30)
        if self.error is not None:
            raise self.error
        with self._database.read() as tx:
            yield tx


def collected(state_gauges: DatabaseGauges) -> dict[str, float]:
    return {family.name: sum(sample.value for sample in family.samples) for family in state_gauges.collect()}


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("of a library")])
def test_unavailable_database_is_shown_as_down(counted: Seaway, clock: ManualClock, error: Exception) -> None:
    """The scrape shows only that the database is down, and all gauges when it is back."""
    database: Any = CountingDatabase(counted)
    state_gauges = DatabaseGauges(database, clock, whole_document_limit=_LIMIT)
    database.error = error
    away = collected(state_gauges)
    database.error = None
    back = collected(state_gauges)
    assert {"seaway_database_up": 0} == away
    assert 1 == back["seaway_database_up"]
    assert "seaway_jobs" in back


def test_hanging_database_does_not_block_the_scrape(counted: Seaway, clock: ManualClock) -> None:
    """The wait is bounded, and later scrapes do not start another query."""
    database: Any = CountingDatabase(counted)
    database.released.clear()
    state_gauges = DatabaseGauges(database, clock, whole_document_limit=_LIMIT, timeout_seconds=0.1)
    seen = [collected(state_gauges) for _ in range(3)]
    reads = database.reads
    database.released.set()
    state_gauges._snapshot_query.start().result(10)  # the query must end before the fixture closes the database
    assert ([{"seaway_database_up": 0}] * 3, 1) == (seen, reads)


def test_event_counters_share_one_interface() -> None:
    """Code counts events in the same way with and without metrics."""
    for counts in (EventCounter(), Metrics()):
        counts.request("/", "GET", 200, 0.1)
        counts.upload(UploadOutcome.FAILED, "unavailable")
        counts.received(1)
        counts.download(DeliveryMethod.REDIRECT, 0)
        counts.job("sweep", 0.1, done=True)
        with counts.timed(UploadStage.EXAMINE):
            pass
