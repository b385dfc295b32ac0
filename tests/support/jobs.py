"""Job kinds of the tests, and direct calls of the real handlers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from seaway.jobs.queue import JobArgs
from seaway.jobs.runner import JobHandler


class Work(JobArgs, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments of all job kinds of the tests; jobs with equal keys are duplicates."""

    key: str | None = None
    name: str = ""
    number: int = 0
    words: tuple[str, ...] = ()

    @property
    def dedup_key(self) -> str | None:
        return self.key


def args_type(kind: str, key: str | None = None) -> type[Work]:
    """Return the class of the arguments of this kind, with this default key."""
    return msgspec.defstruct(
        "Work", [("key", str | None, key)], bases=(Work,), namespace={"kind": kind}, frozen=True, kw_only=True
    )


def job_handlers(
    runs: Mapping[str, Callable[[Any], None]], periods_ms: Mapping[str, int] | None = None
) -> tuple[JobHandler[Any], ...]:
    """Return handlers that run these functions, periodically where a period is given."""
    periods_ms = periods_ms or {}
    return tuple(
        JobHandler(args_type(kind, kind if kind in periods_ms else None), run, periods_ms.get(kind))
        for kind, run in runs.items()
    )


def run_job(handlers: Iterable[JobHandler[Any]], job: JobArgs) -> None:
    """Run the handler of this job directly; its errors reach the caller."""
    next(handler for handler in handlers if handler.args is type(job)).run(job)
