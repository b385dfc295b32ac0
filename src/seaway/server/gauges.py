"""
Gauges, collected at each scrape: the state in the database, and the resources of the processes.

1. If the database is unreachable or hangs, a scrape lacks its gauges and waits a limited time; all else is unaffected.
2. Expensive queries run at most every 30 seconds, and rarely enough to take at most 1 % of the time.
"""

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import structlog
from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from seaway import __version__
from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.indexing.lag import Lag, lags
from seaway.jobs import queue
from seaway.packages import damage, usage
from seaway.packages.usage import Usage
from seaway.questions import Question

log = structlog.get_logger()

T = TypeVar("T")

PATIENCE_SECONDS = 3.0  # Prometheus itself waits for ten
_KEPT_SECONDS = 30.0
_SHARE = 100


@dataclass(frozen=True, slots=True)
class _Moment:
    """Result of the cheap queries."""

    jobs: Mapping[str, int]
    overdue_ms: int
    lags: Mapping[str, Lag]
    damaged: int
    now_ms: int


class StateGauges(Collector):
    """Gauges of the state in the database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        whole_document_limit: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._database, self._clock = database, clock
        self._limit = whole_document_limit
        self._patience_seconds = patience_seconds
        self._moment = Question(self._ask_moment)
        self._stored = Question(self._ask_stored)
        self._kept: Mapping[str, Usage] = {}
        self._ask_stored_at = 0.0

    def collect(self) -> Iterable[Metric]:
        until = time.monotonic() + self._patience_seconds
        moment = _in_time("state", self._moment.put(), until)
        yield _gauge(
            "seaway_database_up", "Whether the database responded to this scrape.", {(): 0 if moment is None else 1}
        )
        if moment is None:
            return
        yield from _of_jobs(moment)
        yield from _of_documents(moment)
        yield _gauge(
            "seaway_damaged_blobs",
            "Stored files that were found damaged or missing and are not repaired yet.",
            {(): moment.damaged},
        )
        if time.monotonic() >= self._ask_stored_at:
            _in_time("usage", self._stored.put(), until)
        yield from _of_store(self._kept)

    def _ask_moment(self) -> _Moment:
        now_ms = self._clock.now_ms()
        with self._database.read() as tx:
            small, large = lags(tx, self._limit)
            return _Moment(
                jobs=queue.count_jobs(tx),
                overdue_ms=queue.overdue_ms(tx, now_ms),
                lags={"request": small, "job": large},
                damaged=damage.count(tx),
                now_ms=now_ms,
            )

    def _ask_stored(self) -> None:
        """Query the stored bytes and keep the result: a scrape that cannot wait for it leaves it to the next one."""
        started = time.monotonic()
        with self._database.read() as tx:
            self._kept = {"packages": usage.of_packages(tx), "documents": usage.of_documents(tx)}
        ended = time.monotonic()
        self._ask_stored_at = ended + max(_KEPT_SECONDS, (ended - started) * _SHARE)


class ProcessGauges(Collector):
    """Process metrics of the Prometheus library for several processes; `pids` returns the running ones by name."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for name, pid in self._pids().items():
            for found in _of_process(pid):
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
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


def _of_process(pid: int) -> Iterable[Metric]:
    return ProcessCollector(registry=None, pid=lambda: pid).collect()


def _in_time(what: str, answer: Future[T], until: float) -> T | None:
    try:
        return answer.result(max(until - time.monotonic(), 0))
    except Exception as error:  # noqa: BLE001  any failure must leave the other metrics visible
        log.warning("metrics.no_answer", what=what, error=f"{type(error).__name__}: {error}")
        return None


def _of_jobs(moment: _Moment) -> Iterable[Metric]:
    yield _gauge(
        "seaway_jobs",
        "Background jobs by state: ready to run now or later, running, or dead (the last attempt failed).",
        {(state,): count for state, count in moment.jobs.items()},
        "state",
    )
    yield _gauge(
        "seaway_jobs_overdue_seconds",
        "How long the longest overdue job has waited for a worker.",
        {(): moment.overdue_ms / 1000},
    )


def _of_documents(moment: _Moment) -> Iterable[Metric]:
    """Gauges of outdated documents; `build` says what updates them: a job, or the next request for them."""
    yield _gauge(
        "seaway_index_documents_behind",
        "Subdirs whose whole documents (repodata.json) are older than their packages.",
        {(build,): lag.subdirs for build, lag in moment.lags.items()},
        "build",
    )
    yield _gauge(
        "seaway_index_lag_revisions",
        "Largest number of changes of a subdir that its whole documents do not show yet.",
        {(build,): lag.revisions for build, lag in moment.lags.items()},
        "build",
    )
    yield _gauge(
        "seaway_index_lag_seconds",
        "Longest time since the last change of a subdir whose whole documents do not show it yet.",
        {
            (build,): 0 if lag.since_ms is None else max(moment.now_ms - lag.since_ms, 0) / 1000
            for build, lag in moment.lags.items()
        },
        "build",
    )


def _of_store(stored: Mapping[str, Usage]) -> Iterable[Metric]:
    yield _gauge(
        "seaway_stored_blobs",
        "Distinct blobs of package files and of whole documents. Queried at most twice a minute.",
        {(what,): found.blobs for what, found in stored.items()},
        "what",
    )
    yield _gauge(
        "seaway_stored_bytes",
        "Size of these blobs in the store, in bytes.",
        {(what,): found.size for what, found in stored.items()},
        "what",
    )


def _gauge(name: str, meaning: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
