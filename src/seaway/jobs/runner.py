"""
Workers of the job queue: threads of a server process or of `seaway work`.

1. A lease is renewed after a third of its duration while the job runs, so it expires only if the process dies.
2. A stop waits for running jobs and takes no new ones; after a kill, the next worker takes over the jobs.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from seaway import os_errors
from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.errors import Unavailable
from seaway.jobs import queue
from seaway.jobs.queue import Job, JobArgs
from seaway.metric_events import EventCounter

log = structlog.get_logger()

LEASE_MS = 60_000
_POLL_SECONDS = 0.5
_THREADS = 2

A = TypeVar("A", bound=JobArgs)


@dataclass(frozen=True, slots=True)
class JobHandler(Generic[A]):
    """
    Runs one kind of job, which may run more than once.

    A job with a period is also enqueued on a schedule; its arguments have defaults.
    """

    args: type[A]
    run: Callable[[A], object]
    period_ms: int | None = None


class InvalidJob(Exception):
    """A stored job has an unknown kind or malformed arguments."""


class Runner:
    """Runs due jobs until it is stopped."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Iterable[JobHandler[Any]],
        *,
        metrics: EventCounter | None = None,
        lease_ms: int = LEASE_MS,
        threads: int = _THREADS,
    ) -> None:
        self._database, self._clock = database, clock
        self._handlers = {handler.args.kind: handler for handler in handlers}
        self._periods_ms: dict[JobArgs, int] = {
            handler.args(): handler.period_ms for handler in self._handlers.values() if handler.period_ms is not None
        }
        self._counts = metrics or EventCounter()
        self._lease_ms = lease_ms
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"jobs-{number}") for number in range(threads)]

    def start(self) -> None:
        """Start the worker threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more jobs and wait for the running ones."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def run_due(self) -> int:
        """Run all jobs that are due now, in this thread; return the count."""
        count = 0
        while not self._stopping.is_set() and (job := self._claim()) is not None:
            self._run(job)
            count += 1
        return count

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.run_due()
            except Unavailable as error:
                log.warning("jobs.database_unavailable", error=error.full_message)
            except Exception as error:  # a worker thread that ended would leave every later job waiting
                log.error(
                    "jobs.failed", error=str(error), exc_info=None if os_errors.is_server_failure(error) else error
                )
            self._stopping.wait(_POLL_SECONDS)

    def _claim(self) -> Job | None:
        now_ms = self._clock.now_ms()
        with self._database.read() as tx:
            scheduled = queue.schedule_is_due(tx, now_ms, self._periods_ms)
            if not scheduled and not queue.is_due(tx, now_ms):
                return None
        with self._database.write_unlocked() as tx:
            if scheduled:
                self._database.lock(tx, "schedules")
                queue.enqueue_due(tx, now_ms, self._periods_ms)
            return queue.claim(tx, now_ms, f"{self._name}/{secrets.token_hex(4)}", self._lease_ms)

    def _run(self, job: Job) -> None:
        done = threading.Event()
        renewing = threading.Thread(target=self._keep_lease, args=(job, done), name=f"lease-{job.id}")
        renewing.start()
        started = time.perf_counter()
        try:
            self._handle(job)
        except Exception as error:  # any failure of a handler is stored with the job, which is retried
            self._counts.job(job.kind, time.perf_counter() - started, done=False)
            # A traceback is useless if the database, the store or the machine was unavailable.
            traceback = None if os_errors.is_server_failure(error) else error
            log.warning(
                "job.failed", kind=job.kind, job=job.id, attempt=job.attempt, error=str(error), exc_info=traceback
            )
            with self._database.write_unlocked() as tx:
                queue.fail(tx, job, self._clock.now_ms(), f"{type(error).__name__}: {error}")
        else:
            self._counts.job(job.kind, time.perf_counter() - started, done=True)
            with self._database.write_unlocked() as tx:
                queue.finish(tx, job)
        finally:
            done.set()
            renewing.join()

    def _handle(self, job: Job) -> None:
        handler = self._handlers.get(job.kind)
        if handler is None:
            raise InvalidJob(f"This version of Seaway has no jobs of the kind {job.kind!r}.")
        try:
            args = msgspec.json.decode(job.args_json, type=handler.args)
        except msgspec.DecodeError as error:
            raise InvalidJob(f"The arguments of this job are malformed: {error}") from None
        handler.run(args)

    def _keep_lease(self, job: Job, done: threading.Event) -> None:
        while not done.wait(self._lease_ms / 3000):
            try:
                with self._database.write_unlocked() as tx:
                    if not queue.renew(tx, job, self._clock.now_ms() + self._lease_ms):
                        log.warning("job.lease_lost", kind=job.kind, job=job.id)
                        return
            except Unavailable as error:
                log.warning("job.lease_not_renewed", kind=job.kind, job=job.id, error=error.full_message)
