"""
The table of jobs.

1. A job exists if and only if the transaction that enqueued it has committed.
2. A job runs at least once. The worker that runs it holds a lease; when the lease expires, another worker takes the
   job. Job handlers must therefore be repeatable.
3. Only the worker that holds the lease, in the attempt for which it got the lease, can finish or fail a job.
4. A job whose attempt fails is retried after increasing pauses; after the last attempt it is a failed job (state
   `failed`): it is kept with its error until an operator runs `seaway jobs retry`.
5. Of equal jobs (kind and arguments), at most one is waiting, unless the kind says that each one counts.
6. If equal jobs are enqueued for different times, the earliest time counts.
7. A clock that was ahead and is set back delays a job by minutes, not until the clock has caught up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import msgspec
import structlog
from sqlalchemy import ColumnElement, and_, case, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from seaway.clock import CLOCK_TOLERANCE_MS, MINUTE_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import jobs, schedules

log = structlog.get_logger()

JobState = Literal["ready", "running", "failed"]
READY: Final = "ready"
RUNNING: Final = "running"
FAILED: Final = "failed"

LAST_ATTEMPT = 10
_FIRST_PAUSE_MS = 1_000
_MAX_PAUSE_MS = 10 * MINUTE_MS
_ERROR_LENGTH = 10_000
_RETRIED_TOGETHER = 500


class JobArgs(msgspec.Struct, frozen=True):
    """Arguments of a job; each kind has a subclass, next to the code that enqueues it."""

    kind: ClassVar[str]
    is_unique: ClassVar[bool] = True  # equal arguments are the same work

    @property
    def dedup_key(self) -> str | None:
        """Return a key that only equal jobs share, or None if each job counts."""
        return f"{self.kind}/{msgspec.json.encode(self).decode()}" if self.is_unique else None


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as workers and `seaway jobs` see it."""

    id: int
    kind: str
    args_json: str
    state: JobState
    attempt: int
    run_at_ms: int
    lease_owner: str | None
    error: str
    created_at_ms: int


_JOB = (
    jobs.c.id, jobs.c.kind, jobs.c.args.label("args_json"), jobs.c.state, jobs.c.attempt,
    jobs.c.run_at.label("run_at_ms"), jobs.c.owner.label("lease_owner"), jobs.c.error,
    jobs.c.created_at.label("created_at_ms"),
)  # fmt: skip


def enqueue(tx: Tx, now_ms: int, args: JobArgs, *, run_at_ms: int | None = None) -> None:
    """
    Enqueue a job in the caller's transaction; if an equal job waits, move it to the earlier time instead.

    The waiting job is locked until commit: if it started earlier, it would not see the changes of this transaction.
    """
    values = {
        "kind": args.kind,
        "dedup_key": args.dedup_key,
        "args": msgspec.json.encode(args).decode(),
        "state": READY,
        "run_at": now_ms if run_at_ms is None else run_at_ms,
        "attempt": 0,
        "error": "",
        "created_at": now_ms,
    }
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(jobs).values(values)
    earlier = case((statement.excluded.run_at < jobs.c.run_at, statement.excluded.run_at), else_=jobs.c.run_at)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[jobs.c.dedup_key], index_where=text("state = 'ready'"), set_={"run_at": earlier}
        )
    )


def is_due(tx: Tx, now_ms: int) -> bool:
    """Return whether `claim` would find a job; called often, so it only reads."""
    return tx.execute(select(jobs.c.id).where(_due(now_ms)).limit(1)).first() is not None


def claim(tx: Tx, now_ms: int, owner: str, lease_ms: int) -> Job | None:
    """Claim the job that has been due longest, or return None; `owner` must be a name that was never used before."""
    _fail_lost(tx, now_ms)
    first = (
        select(jobs.c.id)
        .where(_due(now_ms))
        .order_by(jobs.c.run_at, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = tx.execute(
        update(jobs)
        .where(jobs.c.id == first.scalar_subquery())
        .values(state=RUNNING, owner=owner, lease_until=now_ms + lease_ms, attempt=jobs.c.attempt + 1)
        .returning(*_JOB)
    ).one_or_none()
    return None if row is None else from_row(Job, row)


def renew(tx: Tx, job: Job, until_ms: int) -> bool:
    """Extend the lease; return False if another worker has the job now."""
    return tx.execute(update(jobs).where(_has_lease(job)).values(lease_until=until_ms)).rowcount == 1


def finish(tx: Tx, job: Job) -> None:
    """Delete a job that is done."""
    tx.execute(delete(jobs).where(_has_lease(job)))


def fail(tx: Tx, job: Job, now_ms: int, error: str) -> None:
    """Schedule the next attempt, or mark the job as failed; merge it with an equal waiting job at the earlier time."""
    # Lone surrogates cannot be stored in any database, and zero bytes not in PostgreSQL.
    storable = error.encode(errors="replace").decode().replace("\0", "?")
    values = {
        "run_at": now_ms + pause_ms(job.attempt),
        "owner": None,
        "lease_until": None,
        "error": storable[:_ERROR_LENGTH],
    }
    if job.attempt >= LAST_ATTEMPT:
        _delete_failed_duplicates(tx, job)
        tx.execute(update(jobs).where(_has_lease(job)).values(state=FAILED, **values))
    else:
        _set_waiting(tx, _has_lease(job), values)


def pause_ms(attempt: int) -> int:
    """Return the pause after a failed attempt: one second, then twice as long each time, at most ten minutes."""
    return min(_FIRST_PAUSE_MS << (attempt - 1), _MAX_PAUSE_MS)


def list_jobs(
    tx: Tx, state: str | None = None, *, kind: str = "", after: int = 0, limit: int | None = None
) -> list[Job]:
    """Return the jobs in one state and of one kind, or all, oldest first; with `limit`, one page, after the id `after`."""
    query = select(*_JOB).where(jobs.c.id > after).order_by(jobs.c.id).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind:
        query = query.where(jobs.c.kind == kind)
    return [from_row(Job, row) for row in tx.execute(query)]


def count_by_kind(tx: Tx) -> dict[tuple[str, str], int]:
    """Return the number of jobs of each state and kind that exist."""
    counted = tx.execute(select(jobs.c.state, jobs.c.kind, func.count()).group_by(jobs.c.state, jobs.c.kind))
    return {(state, kind): count for state, kind, count in counted}


def count_jobs(tx: Tx) -> dict[str, int]:
    """Return the number of jobs in each state."""
    counted = tx.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    return {READY: 0, RUNNING: 0, FAILED: 0} | dict(counted.all())


def overdue_ms(tx: Tx, now_ms: int) -> int:
    """Return how long the job that has been due longest has waited; 0 if no job is due."""
    first: int | None = tx.execute(select(func.min(jobs.c.run_at)).where(_due(now_ms))).scalar()
    return 0 if first is None else now_ms - first


def retry(tx: Tx, now_ms: int, job_id: int | None = None, *, kind: str = "") -> int:
    """Retry all failed jobs, those of one kind, or the one with this id, with all their attempts; return the count."""
    count = 0
    while failed := _failed_jobs(tx, job_id, kind):
        _retry_together(tx, now_ms, failed)
        count += len(failed)
    return count


def enqueue_due(tx: Tx, now_ms: int, periods_ms: Mapping[JobArgs, int]) -> None:
    """Enqueue the scheduled jobs that are due; one job replaces any number of missed periods."""
    known = _next_times(tx)
    if any(_is_ahead(known.get(job.kind, 0), now_ms, period_ms) for job, period_ms in periods_ms.items()):
        log.warning("schedules.ahead", hint="The clock was set back. Schedules with times from before that run now.")
        reset_future_times(tx, now_ms)
    for job, period_ms in periods_ms.items():
        if not _is_time(known.get(job.kind, 0), now_ms, period_ms):
            continue
        enqueue(tx, now_ms, job)
        tx.execute(delete(schedules).where(schedules.c.kind == job.kind))
        tx.execute(insert(schedules).values(kind=job.kind, next_at=now_ms + period_ms))


def schedule_is_due(tx: Tx, now_ms: int, periods_ms: Mapping[JobArgs, int]) -> bool:
    """Return whether `enqueue_due` would change anything."""
    known = _next_times(tx)
    return any(_is_time(known.get(job.kind, 0), now_ms, period_ms) for job, period_ms in periods_ms.items())


def _is_time(next_ms: int, now_ms: int, period_ms: int) -> bool:
    return next_ms <= now_ms or _is_ahead(next_ms, now_ms, period_ms)


def _is_ahead(next_ms: int, now_ms: int, period_ms: int) -> bool:
    """Return whether the next time was written while a clock was ahead; clocks can differ by minutes."""
    return next_ms > now_ms + period_ms + CLOCK_TOLERANCE_MS


def reset_future_times(tx: Tx, now_ms: int) -> None:
    """
    Replace times in jobs that were written while a clock was ahead (invariant 7).

    If the clock of this machine is behind instead, jobs run too early or twice, which is harmless (invariant 2).
    """
    is_ready = jobs.c.state == READY
    corrected = tx.execute(
        update(jobs)
        .where(is_ready, jobs.c.created_at > now_ms)
        .values(run_at=now_ms + jobs.c.run_at - jobs.c.created_at, created_at=now_ms)
    ).rowcount
    if corrected:
        log.warning("clock.times_corrected", jobs=corrected)
    # No pause is longer, and a running worker renews its lease within a fraction of that time.
    latest = now_ms + _MAX_PAUSE_MS
    tx.execute(update(jobs).where(is_ready, jobs.c.attempt > 0, jobs.c.run_at > latest).values(run_at=latest))
    tx.execute(update(jobs).where(jobs.c.state == RUNNING, jobs.c.lease_until > latest).values(lease_until=latest))


def _next_times(tx: Tx) -> dict[str, int]:
    return {row.kind: row.next_at for row in tx.execute(select(schedules.c.kind, schedules.c.next_at))}


def _due(now_ms: int) -> ColumnElement[bool]:
    return or_(
        and_(jobs.c.state == READY, jobs.c.run_at <= now_ms),
        and_(jobs.c.state == RUNNING, jobs.c.lease_until <= now_ms),
    )


def _fail_lost(tx: Tx, now_ms: int) -> None:
    """Fail jobs whose worker died in every attempt: the job is probably what kills the workers."""
    tx.execute(
        update(jobs)
        .where(jobs.c.state == RUNNING, jobs.c.lease_until <= now_ms, jobs.c.attempt >= LAST_ATTEMPT)
        .values(state=FAILED, owner=None, lease_until=None, error="Its worker died in every attempt.")
    )


def _delete_failed_duplicates(tx: Tx, job: Job) -> None:
    """Delete failed jobs equal to this one, so that a job that is enqueued often and always fails leaves one row."""
    same = select(jobs.c.dedup_key).where(_has_lease(job)).scalar_subquery()
    tx.execute(delete(jobs).where(jobs.c.state == FAILED, jobs.c.dedup_key == same))


def _has_lease(job: Job) -> ColumnElement[bool]:
    return and_(jobs.c.id == job.id, jobs.c.state == RUNNING, jobs.c.owner == job.lease_owner)


def _failed_jobs(tx: Tx, job_id: int | None, kind: str) -> dict[int, str | None]:
    """Return some failed jobs, of one kind if given, or the one with this id, with their dedup keys; lock them until the transaction ends."""
    query = select(jobs.c.id, jobs.c.dedup_key).where(jobs.c.state == FAILED).order_by(jobs.c.id)
    if job_id is not None:
        query = query.where(jobs.c.id == job_id)
    if kind:
        query = query.where(jobs.c.kind == kind)
    return {row.id: row.dedup_key for row in tx.execute(query.limit(_RETRIED_TOGETHER).with_for_update())}


def _retry_together(tx: Tx, now_ms: int, failed: Mapping[int, str | None]) -> None:
    job_by_key = {key: job_id for job_id, key in failed.items() if key is not None}
    duplicates = [job_id for job_id, key in failed.items() if key is not None and job_by_key[key] != job_id]
    waiting = select(jobs.c.dedup_key).where(jobs.c.state == READY, jobs.c.dedup_key.in_(list(job_by_key)))
    _bring_forward(tx, list(job_by_key), now_ms)
    is_failed = jobs.c.id.in_(list(failed))
    tx.execute(delete(jobs).where(is_failed, or_(jobs.c.id.in_(duplicates), jobs.c.dedup_key.in_(waiting))))
    values = {"attempt": 0, "run_at": now_ms}
    try:
        with tx.begin_nested():
            tx.execute(update(jobs).where(is_failed).values(state=READY, **values))
    except IntegrityError:  # an equal job was enqueued concurrently
        for job_id in failed:
            _set_waiting(tx, jobs.c.id == job_id, values)


def _set_waiting(tx: Tx, condition: ColumnElement[bool], values: Mapping[str, Any]) -> None:
    """Set a job to waiting; delete it instead if an equal one waits or is committed concurrently."""
    try:
        with tx.begin_nested():
            tx.execute(update(jobs).where(condition).values(state=READY, **values))
    except IntegrityError:
        dedup_keys = tx.execute(delete(jobs).where(condition).returning(jobs.c.dedup_key)).scalars().all()
        _bring_forward(tx, dedup_keys, values["run_at"])


def _bring_forward(tx: Tx, dedup_keys: Sequence[str | None], run_at_ms: int) -> None:
    """Move waiting jobs to this time unless they are due earlier (invariant 6)."""
    late = (
        select(jobs.c.id)
        .where(jobs.c.state == READY, jobs.c.dedup_key.in_(dedup_keys), jobs.c.run_at > run_at_ms)
        # A locked job is being claimed or enqueued again; waiting for several locks could deadlock.
        .with_for_update(skip_locked=True)
    )
    tx.execute(update(jobs).where(jobs.c.id.in_(late)).values(run_at=run_at_ms))
