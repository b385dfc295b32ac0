"""
Gauges, collected at each scrape: the state in the database, and the resources of the processes.

If the database is unreachable or hangs, a scrape lacks its gauges and waits a limited time; all else is unaffected.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from seaway import __version__
from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.indexing.document_lag import Lag, lags
from seaway.jobs import queue
from seaway.packages import damaged_blobs, storage_usage
from seaway.packages.storage_usage import SiteUsage
from seaway.single_flight import SingleFlight

log = structlog.get_logger()

TIMEOUT_SECONDS = 3.0  # Prometheus itself waits for ten


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """State at one time."""

    jobs: Mapping[str, int]
    overdue_ms: int
    lags: Mapping[str, Lag]
    damaged: int
    usage: SiteUsage
    now_ms: int


class DatabaseGauges(Collector):
    """Gauges of the state in the database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        whole_document_limit: int,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._database, self._clock = database, clock
        self._limit = whole_document_limit
        self._timeout_seconds = timeout_seconds
        self._snapshot_query = SingleFlight(self._read_snapshot)

    def collect(self) -> Iterable[Metric]:
        snapshot = self._snapshot_in_time()
        yield _gauge(
            "seaway_database_up", "Whether the database responded to this scrape.", {(): 0 if snapshot is None else 1}
        )
        if snapshot is None:
            return
        yield from _job_gauges(snapshot)
        yield from _document_gauges(snapshot)
        yield _gauge(
            "seaway_damaged_blobs",
            "Stored files that were found damaged or missing and are not repaired yet.",
            {(): snapshot.damaged},
        )
        yield from _usage_gauges(snapshot.usage)

    def _snapshot_in_time(self) -> _Snapshot | None:
        try:
            return self._snapshot_query.start().result(self._timeout_seconds)
        except Exception as error:  # noqa: BLE001  any failure must leave the other metrics visible
            log.warning("metrics.no_response", error=f"{type(error).__name__}: {error}")
            return None

    def _read_snapshot(self) -> _Snapshot:
        now_ms = self._clock.now_ms()
        with self._database.read() as tx:
            small, large = lags(tx, self._limit)
            return _Snapshot(
                jobs=queue.count_jobs(tx),
                overdue_ms=queue.overdue_ms(tx, now_ms),
                lags={"request": small, "job": large},
                damaged=damaged_blobs.count(tx),
                usage=storage_usage.of_site(tx, now_ms),
                now_ms=now_ms,
            )


class ProcessGauges(Collector):
    """Process metrics of the Prometheus library for several processes; `pids` returns the running ones by name."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for name, pid in self._pids().items():
            for metric in _process_metrics(pid):
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    family.add_sample(sample.name, {"worker": name}, sample.value)
        return families.values()


class BuildInfo(Collector):
    """Version of Seaway."""

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "seaway_build_info", "Always 1; the labels are the versions.", labels=("version", "python")
        )
        family.add_metric((__version__, platform.python_version()), 1)
        return [family]


def _process_metrics(pid: int) -> Iterable[Metric]:
    return ProcessCollector(registry=None, pid=lambda: pid).collect()


def _job_gauges(snapshot: _Snapshot) -> Iterable[Metric]:
    yield _gauge(
        "seaway_jobs",
        "Background jobs by state: ready to run now or later, running, or failed after the last attempt.",
        {(state,): count for state, count in snapshot.jobs.items()},
        "state",
    )
    yield _gauge(
        "seaway_jobs_overdue_seconds",
        "How long the longest overdue job has waited for a worker.",
        {(): snapshot.overdue_ms / 1000},
    )


def _document_gauges(snapshot: _Snapshot) -> Iterable[Metric]:
    """Gauges of outdated documents; `build` says what updates them: a job, or the next request for them."""
    yield _gauge(
        "seaway_index_documents_behind",
        "Subdirs whose whole documents (repodata.json) are older than their packages.",
        {(build,): lag.subdirs for build, lag in snapshot.lags.items()},
        "build",
    )
    yield _gauge(
        "seaway_index_lag_revisions",
        "Largest number of changes of a subdir that its whole documents do not show yet.",
        {(build,): lag.revisions for build, lag in snapshot.lags.items()},
        "build",
    )
    yield _gauge(
        "seaway_index_lag_seconds",
        "Longest time since the last change of a subdir whose whole documents do not show it yet.",
        {
            (build,): 0 if lag.since_ms is None else max(snapshot.now_ms - lag.since_ms, 0) / 1000
            for build, lag in snapshot.lags.items()
        },
        "build",
    )


def _usage_gauges(usage: SiteUsage) -> Iterable[Metric]:
    usages = {"packages": usage.packages, "documents": usage.documents}
    yield _gauge(
        "seaway_stored_blobs",
        "Distinct blobs of package files and of whole documents. Counted every hour on a site with more than 10,000 files.",
        {(what,): of_kind.blobs for what, of_kind in usages.items()},
        "what",
    )
    yield _gauge(
        "seaway_stored_bytes",
        "Size of these blobs in the store, in bytes.",
        {(what,): of_kind.size for what, of_kind in usages.items()},
        "what",
    )


def _gauge(name: str, meaning: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
