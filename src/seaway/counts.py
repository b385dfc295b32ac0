"""
What is worth counting, said by those who do it.

`Counts` keeps nothing, so the parts count without asking whether anybody looks. Where an operator asks for
metrics, `server/metrics.py` is handed in instead.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Outcome(Enum):
    """What became of an upload that a door handed over."""

    PUBLISHED = "published"
    REPLACED = "replaced"
    REPEATED = "repeated"  # the same bytes from the same uploader again
    REFUSED = "refused"  # for a reason that lies with the file or the asker
    FAILED = "failed"  # for a reason that lies with us
    BROKEN_OFF = "broken-off"  # the client hung up, or nobody foresaw it: then the request's status is 500


class Stage(Enum):
    """A part of an upload that takes time."""

    RECEIVE = "receive"
    EXAMINE = "examine"
    RECORD = "record"


class Way(Enum):
    """How a package file left."""

    WHOLE = "whole"
    PART = "part"
    REDIRECT = "redirect"
    PROXY = "proxy"  # nginx sends it (`downloads = x-accel`)


class Counts:
    """Counts nothing; whoever keeps counts overrides every method but `timed`, and may be called from any thread."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `route` is the template of its path, and status 0 says that nobody waited for it."""

    def upload(self, outcome: Outcome, code: str = "") -> None:
        """One upload came to its end; `code` is that of the refusal or failure."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """One stage of an upload ended, well or not."""

    def received(self, size: int) -> None:
        """A file of this many bytes arrived whole."""

    def download(self, way: Way, size: int) -> None:
        """A package file left, with this many bytes through us."""

    def job(self, kind: str, seconds: float, *, done: bool) -> None:
        """One attempt at a job ended."""

    def unknown_claims(self, kind: str, number: int) -> None:
        """The token of a workflow had claims that its kind of issuer was not known to give."""

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """What happens inside is one stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage(stage, time.perf_counter() - started)
