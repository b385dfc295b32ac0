"""
Prometheus counters and histograms of a server process.

Label values come from bounded sets (route templates, known methods, error codes, kinds of jobs), never from user input.
The children of a metric are looked up once for each set of label values, since thousands of requests are counted per
second.

Import this module only if metrics are enabled (`metrics_port`), and in a worker only after its parent has set
PROMETHEUS_MULTIPROC_DIR: the library decides at import where it stores values. Gauges are in `gauges.py`.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from seaway.metric_events import DeliveryMethod, EventCounter, UploadOutcome, UploadStage

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STAGE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_JOB_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)


class Metrics(EventCounter):
    """Counts that are stored in `registry`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # these would add an unused series to each
        self.registry = CollectorRegistry()
        counter, histogram = partial(Counter, registry=self.registry), partial(Histogram, registry=self.registry)
        self._requests_total = counter(
            "seaway_requests_total",
            "Requests by route template, method and status; status 0 means that the client disconnected.",
            ["route", "method", "status"],
        )
        self._request_seconds = histogram(
            "seaway_request_duration_seconds",
            "Time from the head of a request to the end of its response, including both bodies.",
            ["route", "method"],
            buckets=_REQUEST_SECONDS,
        )
        self._uploads = counter(
            "seaway_uploads_total",
            "Finished uploads by outcome (published, replaced, repeated, refused, failed or broken-off) and error code.",
            ["outcome", "code"],
        )
        stages = histogram(
            "seaway_upload_stage_duration_seconds",
            "Duration of upload stages: receive the bytes, examine the archive, store and record it.",
            ["stage"],
            buckets=_STAGE_SECONDS,
        )
        self._received = counter(
            "seaway_upload_received_bytes_total",
            "Bytes of completely received package files, including refused ones.",
        )
        downloads = counter(
            "seaway_package_downloads_total",
            "Package files delivered: whole, in part, by a redirect to the bucket, or through the proxy (`x-accel`).",
            ["way"],
        )
        self._sent = counter(
            "seaway_package_download_bytes_total",
            "Bytes of package files sent by Seaway itself.",
        )
        self._jobs = counter(
            "seaway_job_attempts_total",
            "Attempts at background jobs, by kind and result (done or failed).",
            ["kind", "result"],
        )
        self._job_seconds = histogram(
            "seaway_job_duration_seconds",
            "Duration of attempts at background jobs.",
            ["kind"],
            buckets=_JOB_SECONDS,
        )
        self._unknown_claims = counter(
            "seaway_unknown_claims_total",
            "Claims in workflow tokens that are unknown to Seaway and ignored.",
            ["kind"],
        )
        self._requests: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._stages = {stage: stages.labels(stage.value).observe for stage in UploadStage}
        self._downloads = {way: downloads.labels(way.value).inc for way in DeliveryMethod}
        for outcome in (UploadOutcome.PUBLISHED, UploadOutcome.REPLACED, UploadOutcome.REPEATED):
            self._uploads.labels(outcome.value, "")

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        if method not in _METHODS:
            method = _OTHER
        count, observe = self._requests.get((route, method, status)) or self._request_children(route, method, status)
        count()
        observe(seconds)

    def upload(self, outcome: UploadOutcome, code: str = "") -> None:
        self._uploads.labels(outcome.value, code).inc()

    def stage(self, stage: UploadStage, seconds: float) -> None:
        self._stages[stage](seconds)

    def received(self, size: int) -> None:
        self._received.inc(size)

    def download(self, way: DeliveryMethod, size: int) -> None:
        self._downloads[way]()
        if size:
            self._sent.inc(size)

    def job(self, kind: str, seconds: float, *, done: bool) -> None:
        self._jobs.labels(kind, "done" if done else "failed").inc()
        self._job_seconds.labels(kind).observe(seconds)

    def unknown_claims(self, kind: str, number: int) -> None:
        self._unknown_claims.labels(kind).inc(number)

    def _request_children(
        self, route: str, method: str, status: int
    ) -> tuple[Callable[[], None], Callable[[float], None]]:
        children = (
            self._requests_total.labels(route, method, str(status)).inc,
            self._request_seconds.labels(route, method).observe,
        )
        self._requests[route, method, status] = children
        return children
