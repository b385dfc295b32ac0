"""
Interface for counting events: requests, uploads, downloads and jobs.

`EventCounter` discards everything, so callers need not know whether metrics are enabled. If they are, the parts get
`server/prometheus_metrics.py` instead.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class UploadOutcome(Enum):
    """Result of an upload."""

    PUBLISHED = "published"
    REPLACED = "replaced"
    REPEATED = "repeated"  # the same bytes from the same uploader again
    REFUSED = "refused"  # because of the file or the caller
    FAILED = "failed"  # because of the server
    ABORTED = "broken-off"  # the client disconnected, or an unexpected error: the status of the request is 500 then


class UploadStage(Enum):
    """Timed stage of an upload."""

    RECEIVE = "receive"
    EXAMINE = "examine"
    RECORD = "record"


class DeliveryMethod(Enum):
    """How a package file was delivered."""

    WHOLE = "whole"
    PART = "part"
    REDIRECT = "redirect"
    PROXY = "proxy"  # nginx sends it (`downloads = x-accel`)


class EventCounter:
    """Discard all counts. Subclasses override every method but `timed`; all can be called from any thread."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is its path template, and status 0 means that the client disconnected."""

    def upload(self, outcome: UploadOutcome, code: str = "") -> None:
        """Count a finished upload; `code` is that of the refusal or failure."""

    def stage(self, stage: UploadStage, seconds: float) -> None:
        """Count a stage of an upload that has ended, successfully or not."""

    def received(self, size: int) -> None:
        """Count a completely received file of `size` bytes."""

    def download(self, way: DeliveryMethod, size: int) -> None:
        """Count a download; `size` is the number of bytes that Seaway itself sends."""

    def job(self, kind: str, seconds: float, *, done: bool) -> None:
        """Count an attempt at a job."""

    def unknown_claims(self, kind: str, number: int) -> None:
        """Count claims of a workflow token that are unknown for its kind of issuer."""

    @contextmanager
    def timed(self, stage: UploadStage) -> Iterator[None]:
        """Time the block as one stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage(stage, time.perf_counter() - started)
