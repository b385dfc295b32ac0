"""Jobs of kinds that only tests know, and handlers of real ones run directly."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from seaway.jobs.queue import JobArgs
from seaway.jobs.runner import JobHandler


class Work(JobArgs, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments of all kinds of jobs of the tests; equal keys make equal jobs."""

    key: str | None = None
    name: str = ""
    number: int = 0
    words: tuple[str, ...] = ()

    @property
    def dedup_key(self) -> str | None:
        return self.key


def args_type(kind: str, key: str | None = None) -> type[Work]:
    """The arguments of this kind, with the key that they have if none is given."""
    return msgspec.defstruct(
        "Work", [("key", str | None, key)], bases=(Work,), namespace={"kind": kind}, frozen=True, kw_only=True
    )


def job_handlers(
    runs: Mapping[str, Callable[[Any], None]], periods_ms: Mapping[str, int] | None = None
) -> tuple[JobHandler[Any], ...]:
    """What does each kind of job, and how often."""
    periods_ms = periods_ms or {}
    return tuple(
        JobHandler(args_type(kind, kind if kind in periods_ms else None), run, periods_ms.get(kind))
        for kind, run in runs.items()
    )


def run_job(handlers: Iterable[JobHandler[Any]], job: JobArgs) -> None:
    """Do it here and now; its errors are those of the caller."""
    next(handler for handler in handlers if handler.args is type(job)).run(job)
