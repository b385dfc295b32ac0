"""Contract of the job queue and its runners, tested on every database."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
import structlog
from sqlalchemy import event, insert, select, text

from seaway.clock import CLOCK_TOLERANCE_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import jobs
from seaway.errors import Unavailable
from seaway.jobs import queue
from seaway.jobs.queue import FAILED, LAST_ATTEMPT, READY, RUNNING, Job
from seaway.jobs.runner import Runner
from tests.contracts.conftest import Place, expect_error, run_concurrently
from tests.support.clock import ManualClock
from tests.support.jobs import Work, args_type, job_handlers
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import wait_until
from tests.support.statements import record_statements

LEASE_MS = 60_000
HOURLY = {"hourly": HOUR_MS}

Run = Callable[[Work], None]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """Capture logs instead of printing them: printing the traceback of a failure takes half a second."""
    with structlog.testing.capture_logs() as kept:
        yield kept


class Bench:
    """The job queue as one worker uses it, each operation in its own transaction."""

    def __init__(self, database: Database, clock: ManualClock, owner: str = "worker") -> None:
        self.database, self._clock, self._owner = database, clock, owner

    def enqueue(self, kind: str = "kind", key: str | None = None, in_ms: int = 0, **args: Any) -> None:
        with self.database.write_unlocked() as tx:
            self.enqueue_in(tx, kind, key, in_ms, **args)

    def enqueue_in(self, tx: Tx, kind: str = "kind", key: str | None = None, in_ms: int = 0, **args: Any) -> None:
        now_ms = self._clock.now_ms()
        queue.enqueue(tx, now_ms, args_type(kind)(key=key, **args), run_at_ms=now_ms + in_ms if in_ms else None)

    def claim(self) -> Job | None:
        with self.database.write_unlocked() as tx:
            return queue.claim(tx, self._clock.now_ms(), self._owner, LEASE_MS)

    def take(self) -> Job:
        job = self.claim()
        assert job is not None
        return job

    def renew(self, job: Job) -> bool:
        with self.database.write_unlocked() as tx:
            return queue.renew(tx, job, self._clock.now_ms() + LEASE_MS)

    def finish(self, job: Job) -> None:
        with self.database.write_unlocked() as tx:
            queue.finish(tx, job)

    def fail(self, job: Job, error: str = "Error") -> None:
        with self.database.write_unlocked() as tx:
            queue.fail(tx, job, self._clock.now_ms(), error)

    def fail_repeatedly(self, attempts: int = LAST_ATTEMPT) -> None:
        """Take the only job and fail it, this many times."""
        for _ in range(attempts):
            self.fail(self.take_later())

    def take_later(self) -> Job:
        """Take the next job an hour later, when it is due again."""
        self._clock.move(HOUR_MS)
        return self.take()

    def retry(self, job_id: int | None = None) -> int:
        with self.database.write_unlocked() as tx:
            return queue.retry(tx, self._clock.now_ms(), job_id)

    def jobs(self, state: str | None = None) -> list[Job]:
        with self.database.read() as tx:
            return queue.list_jobs(tx, state)

    def states(self) -> list[str]:
        return [job.state for job in self.jobs()]

    def is_due(self) -> bool:
        with self.database.read() as tx:
            return queue.is_due(tx, self._clock.now_ms())

    def overdue_ms(self) -> int:
        with self.database.read() as tx:
            return queue.overdue_ms(tx, self._clock.now_ms())

    def runner(self, runs: Mapping[str, Run], periods_ms: Mapping[str, int] | None = None, **settings: int) -> Runner:
        return Runner(self.database, self._clock, job_handlers(runs, periods_ms), **settings)


@pytest.fixture
def bench(database: Database, clock: ManualClock) -> Bench:
    return Bench(database, clock, "one")


@pytest.fixture
def other_bench(other: Database, clock: ManualClock) -> Bench:
    """The job queue as another worker uses it."""
    return Bench(other, clock, "other")


@contextmanager
def working(*runners: Runner) -> Iterator[None]:
    """Run these runners in the background during the block."""
    for runner in runners:
        runner.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()


class Gate:
    """A job that signals its start and ends when the gate opens."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self._can_end = threading.Event(), threading.Event()
        self.runs = 0
        self._error = error

    def __call__(self, args: Work) -> None:
        self.runs += 1
        self.begun.set()
        assert self._can_end.wait(30)
        if self._error is not None:
            raise self._error

    @contextmanager
    def open_at_end(self) -> Iterator[None]:
        """Open the gate after the block."""
        try:
            yield
        finally:
            self._can_end.set()


Start = Callable[[Callable[[], object]], threading.Thread]


@contextmanager
def background_threads() -> Iterator[Start]:
    """Yield a function that starts threads; at the end assert that all ended without an error."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  any error fails the test
            errors.append(error)

    def start(act: Callable[[], object]) -> threading.Thread:
        threads.append(threading.Thread(target=run, args=(act,)))
        threads[-1].start()
        return threads[-1]

    try:
        yield start
    finally:
        for thread in threads:
            thread.join(30)
    assert [False] * len(threads) == [thread.is_alive() for thread in threads]
    assert [] == errors


def fail_with(error: Exception) -> Run:
    def handler(args: Work) -> None:
        raise error

    return handler


def wait_until_blocked(database: Database) -> None:
    """Wait until another transaction waits for a lock, if the database reports that."""
    with database.read() as tx:
        is_postgres = tx.dialect.name == "postgresql"
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def is_blocked() -> bool:
        with database.read() as tx:
            return tx.execute(waiting).scalar_one() > 0

    if is_postgres:
        wait_until(is_blocked)


# 1: jobs are part of the transaction that queues them.


def test_a_job_is_visible_after_its_transaction_commits(bench: Bench, other_bench: Bench) -> None:
    """Invariant 1: other workers see the job only after the commit, with its arguments."""
    with bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, "kind", number=7, words=("é",))
        assert [] == other_bench.jobs()
        assert not other_bench.is_due()
    (job,) = other_bench.jobs()
    assert ("kind", '{"number":7,"words":["é"]}', READY) == (job.kind, job.args_json, job.state)
    assert job.id == other_bench.take().id


def test_a_job_is_rolled_back_with_its_transaction(bench: Bench, other_bench: Bench) -> None:
    """Invariant 1: a rolled back job does not run and does not block an equal job."""
    with expect_error(ZeroDivisionError), bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        raise ZeroDivisionError
    assert [] == other_bench.jobs()
    other_bench.enqueue(key="key")
    assert [READY] == bench.states()


@pytest.mark.parametrize("error", [None, ZeroDivisionError], ids=["commits", "rolls back"])
def test_concurrent_equal_jobs_are_merged(bench: Bench, other_bench: Bench, error: type[Exception] | None) -> None:
    """Invariants 1 and 5: a concurrent equal job is reused, or queued again if the first is rolled back."""
    ending = nullcontext() if error is None else expect_error(error)
    with ending, background_threads() as start, bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        start(lambda: other_bench.enqueue(key="key"))
        wait_until_blocked(bench.database)
        if error is not None:
            raise error
    assert [READY] == bench.states()


# 5: of equal jobs only one waits.


def test_only_one_of_equal_jobs_waits(bench: Bench, other_bench: Bench) -> None:
    """Invariant 5: concurrent jobs with the same key become one; jobs with other keys or without a key do not."""
    run_concurrently(
        [lambda each=each: [each.enqueue(key="key") for _ in range(25)] for each in (bench, other_bench) * 2]
    )
    assert [READY] == bench.states()
    bench.enqueue(key="other key")
    bench.enqueue()
    bench.enqueue()
    assert [READY] * 4 == bench.states()


def test_an_equal_job_can_wait_while_one_runs(bench: Bench, other_bench: Bench) -> None:
    """Invariant 5: a running job may not cover later requests, so one more waits."""
    bench.enqueue(key="key")
    running = bench.take()
    for _ in range(3):
        other_bench.enqueue(key="key")
    assert [RUNNING, READY] == bench.states()
    bench.finish(running)
    assert [READY] == bench.states()


def test_a_job_does_not_start_before_its_transaction_ends(place: Place, bench: Bench, clock: ManualClock) -> None:
    """Invariants 1 and 5: a reused waiting job is not taken before the transaction ends, or another one waits."""
    bench.enqueue(key="key")
    impatient = Bench(place.open(timeout_ms=40), clock, "impatient")
    with bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        with suppress(Unavailable):
            impatient.claim()
    assert READY in bench.states()
    assert impatient.take().state == RUNNING


def test_queueing_while_the_equal_job_is_taken_adds_one(bench: Bench, other_bench: Bench, clock: ManualClock) -> None:
    """Invariant 5: a job queued while its equal is being taken is a new job."""
    bench.enqueue(key="key")
    with background_threads() as start, bench.database.write_unlocked() as tx:
        assert queue.claim(tx, clock.now_ms(), "one", LEASE_MS) is not None
        start(lambda: other_bench.enqueue(key="key"))
        wait_until_blocked(bench.database)
    assert [RUNNING, READY] == bench.states()


@pytest.mark.parametrize("how", ["fail", "retry"])
def test_a_returning_job_is_merged_with_a_new_equal_job(bench: Bench, other_bench: Bench, how: str) -> None:
    """Invariants 4 and 5: a failed or retried job whose equal is being queued is no error; only one waits."""
    bench.enqueue(key="key")
    if how == "retry":
        bench.fail_repeatedly()
    job = bench.take() if how == "fail" else bench.jobs()[0]
    with background_threads() as start, bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        start(lambda: other_bench.fail(job) if how == "fail" else other_bench.retry())
        wait_until_blocked(bench.database)
    assert [READY] == bench.states()


# 6: equal jobs are due at the earliest of their times.


@pytest.mark.parametrize("in_ms", [0, 1_000])
def test_queueing_again_moves_the_waiting_job_to_the_earlier_time(bench: Bench, clock: ManualClock, in_ms: int) -> None:
    """Invariant 6: a job that waits for a later time is due at the new, earlier time."""
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="key", in_ms=in_ms)
    assert [clock.now_ms() + in_ms] == [job.run_at_ms for job in bench.jobs()]


def test_queueing_again_never_delays_a_job(bench: Bench, clock: ManualClock) -> None:
    """Invariant 6: a later time does not change the waiting job."""
    bench.enqueue(key="key")
    bench.enqueue(key="key", in_ms=HOUR_MS)
    assert [clock.now_ms()] == [job.run_at_ms for job in bench.jobs()]


def test_a_failed_job_is_due_when_it_is_queued_again(bench: Bench, other_bench: Bench) -> None:
    """Invariant 6: a job that failed eight times waits for minutes; queueing it again ends the wait."""
    bench.enqueue(key="key")
    bench.fail_repeatedly(8)
    assert bench.claim() is None
    other_bench.enqueue(key="key")
    assert 9 == bench.take().attempt


def test_a_job_queued_with_a_clock_ahead_is_due_when_it_is_queued_again(bench: Bench, clock: ManualClock) -> None:
    """Invariant 6: after the correction it does not wait until the clock has caught up."""
    clock.move(9_000 * HOUR_MS)
    bench.enqueue(key="key")
    clock.move(-9_000 * HOUR_MS)
    assert bench.claim() is None
    bench.enqueue(key="key")
    assert bench.claim() is not None


def test_a_failed_job_passes_its_earlier_time_to_the_equal_job(bench: Bench, clock: ManualClock) -> None:
    """Invariant 6: the failed job is deleted; the equal job is due at the earlier of the two times."""
    bench.enqueue(key="key")
    failed = bench.take()
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="other key", in_ms=HOUR_MS)
    bench.fail(failed)
    assert [clock.now_ms() + 1_000, clock.now_ms() + HOUR_MS] == [job.run_at_ms for job in bench.jobs()]
    clock.move(1_000)
    bench.enqueue(key="key")
    second = bench.take()
    bench.enqueue(key="key")
    bench.fail(second)
    assert bench.claim() is not None, "the earlier time of the waiting job counts as well"


def test_a_retried_job_makes_the_equal_job_due(bench: Bench) -> None:
    """Invariant 6: retrying a failed job does not wait for the later time of its equal."""
    bench.enqueue(key="key")
    bench.fail_repeatedly()
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="other key", in_ms=HOUR_MS)
    assert 1 == bench.retry()
    assert bench.claim() is not None
    assert bench.claim() is None


def test_a_failed_job_is_deleted_if_an_equal_one_waits(bench: Bench) -> None:
    """Invariant 5: the waiting job does the same work; a job after its last attempt is kept until it is retried."""
    bench.enqueue(key="key")
    failed = bench.take()
    bench.enqueue(key="key")
    bench.fail(failed)
    (waiting,) = bench.jobs()
    assert waiting.id != failed.id
    bench.fail_repeatedly(LAST_ATTEMPT - 1)
    last = bench.take_later()
    bench.enqueue(key="key")
    bench.fail(last)
    assert [FAILED, READY] == bench.states()
    assert 1 == bench.retry()
    assert [READY] == bench.states()


# 2: a lease, at least once.


def test_a_job_is_taken_by_one_worker(bench: Bench, other_bench: Bench) -> None:
    """Invariant 2: concurrent claims get different jobs, and all jobs are taken."""
    for _ in range(6):
        bench.enqueue()
    claimed = run_concurrently([each.claim for each in (bench, other_bench) * 4])
    ids = sorted(job.id for job in claimed if job is not None)
    assert [job.id for job in bench.jobs()] == ids
    assert [RUNNING] * 6 == bench.states()
    assert {1} == {job.attempt for job in bench.jobs()}


def test_jobs_are_taken_in_due_order(bench: Bench, clock: ManualClock) -> None:
    """The longest due job comes first, and none before its time."""
    for kind, in_ms in (("late", 3_000), ("now", 0), ("soon", 1_000), ("next", 0)):
        bench.enqueue(kind, in_ms=in_ms)
    assert ["now", "next", None] == [job and job.kind for job in (bench.claim(), bench.claim(), bench.claim())]
    clock.move(999)
    assert not bench.is_due()
    assert bench.claim() is None
    clock.move(2_001)
    assert 2_000 == bench.overdue_ms()
    assert ["soon", "late"] == [bench.take().kind, bench.take().kind]
    assert 0 == bench.overdue_ms()


def test_concurrent_workers_run_every_job_once(bench: Bench, other_bench: Bench) -> None:
    """Invariant 2: without crashes, two workers with three threads each run each of fifty jobs once."""
    done: Counter[int] = Counter()
    lock = threading.Lock()

    def work(args: Work) -> None:
        with lock:
            done[args.number] += 1

    for number in range(50):
        bench.enqueue(number=number)
    with working(*(each.runner({"kind": work}, threads=3) for each in (bench, other_bench))):
        wait_until(lambda: not bench.jobs())
    assert dict.fromkeys(range(50), 1) == done


def test_a_job_with_an_expired_lease_is_taken_by_another_worker(
    bench: Bench, other_bench: Bench, clock: ManualClock
) -> None:
    """Invariants 2 and 3: not earlier and only once; the first worker can then neither renew nor finish it."""
    bench.enqueue()
    first = bench.take()
    clock.move(LEASE_MS - 1)
    assert not other_bench.is_due()
    assert other_bench.claim() is None
    clock.move(1)
    assert other_bench.is_due()
    second = other_bench.take()
    assert (first.id, 2) == (second.id, second.attempt)
    assert bench.claim() is None
    assert not bench.renew(first)
    bench.finish(first)
    bench.fail(first, "too late")
    assert [second] == bench.jobs()
    other_bench.finish(second)
    assert [] == bench.jobs()


def test_an_attempt_ends_once(bench: Bench) -> None:
    """Invariant 3: after an attempt has ended, its worker cannot change the job."""
    bench.enqueue()
    failed = bench.take()
    bench.fail(failed, "first")
    for act in (bench.finish, bench.fail, bench.renew):
        act(failed)
    (waiting,) = bench.jobs()
    assert (READY, "first") == (waiting.state, waiting.error)


def test_a_renewed_lease_is_extended(bench: Bench, other_bench: Bench, clock: ManualClock) -> None:
    """Invariant 2: a worker that renews in time keeps the job for any duration."""
    bench.enqueue()
    job = bench.take()
    for _ in range(5):
        clock.move(LEASE_MS - 1)
        assert bench.renew(job)
        assert other_bench.claim() is None
    clock.move(LEASE_MS)
    assert job.id == other_bench.take().id


def test_a_worker_renews_while_the_job_runs(bench: Bench, other_bench: Bench, clock: ManualClock) -> None:
    """Invariant 1 of the runner: a job that runs longer than a lease is not taken by another worker."""
    lease_ms = 150
    gate = Gate()
    other_runner = other_bench.runner({"kind": gate})

    def is_renewed() -> bool:
        with bench.database.read() as tx:
            return tx.execute(select(jobs.c.lease_until)).scalar_one() == clock.now_ms() + lease_ms

    bench.enqueue()
    with background_threads() as start, gate.open_at_end():
        start(bench.runner({"kind": gate}, lease_ms=lease_ms).run_due)
        assert gate.begun.wait(30)
        for _ in range(5):
            clock.move(lease_ms - 1)
            assert 0 == other_runner.run_due()
            wait_until(is_renewed)
    assert (1, []) == (gate.runs, bench.jobs())


def test_a_lease_is_renewed_after_a_database_failure(bench: Bench, clock: ManualClock, logs: list[Any]) -> None:
    """Invariant 1 of the runner: a failed renewal is repeated well before the lease ends."""
    lease_ms = 150
    away = threading.Event()

    def fail(_connection: object) -> None:
        if away.is_set():
            raise Unavailable("The database is unavailable.")

    def is_renewed() -> bool:
        with bench.database.read() as tx:
            until_ms: int = tx.execute(select(jobs.c.lease_until)).scalar_one()
        return until_ms == clock.now_ms() + lease_ms

    gate = Gate()
    bench.enqueue()
    event.listen(bench.database.engine, "commit", fail)
    with background_threads() as start, gate.open_at_end():
        start(bench.runner({"kind": gate}, lease_ms=lease_ms).run_due)
        assert gate.begun.wait(30)
        away.set()
        wait_until(lambda: any(line["event"] == "job.lease_not_renewed" for line in logs))
        away.clear()
        clock.move(lease_ms - 1)
        wait_until(is_renewed)
    event.remove(bench.database.engine, "commit", fail)
    assert [] == bench.jobs()


def test_a_job_of_a_killed_worker_is_run_by_another(place: Place, bench: Bench, clock: ManualClock) -> None:
    """Invariant 2 of the runner: a killed process keeps its job only until the lease ends."""
    script = f"""
from seaway.jobs.queue import JobArgs
from seaway.jobs.runner import JobHandler, Runner

class Kind(JobArgs, frozen=True):
    kind = "kind"

class Clock:
    def now_ms(self):
        return {clock.now_ms()}

def work(args):
    send("began")
    input()

Runner(database, Clock(), [JobHandler(Kind, work)], lease_ms={LEASE_MS}).run_due()
"""
    done: list[int] = []
    runner = bench.runner({"kind": lambda args: done.append(args.number)})
    bench.enqueue(number=1)
    with place.process(script) as process:
        process.wait_for("began")
        assert 0 == runner.run_due()
        process.kill()
    clock.move(LEASE_MS - 1)
    assert 0 == runner.run_due()
    clock.move(1)
    assert 1 == runner.run_due()
    assert ([1], []) == (done, bench.jobs())


def test_an_old_attempt_cannot_end_a_retried_job(bench: Bench, clock: ManualClock) -> None:
    """Invariant 3: a thread that resumes after its job failed and was retried does not end the new attempt."""
    stuck, second = Gate(), Gate()
    gates = iter([stuck, second])

    def work(args: Work) -> None:
        next(gates)(args)

    runner = bench.runner({"kind": work})
    bench.enqueue()
    with background_threads() as start_second, second.open_at_end():
        with background_threads() as start, stuck.open_at_end():
            start(runner.run_due)
            assert stuck.begun.wait(30)
            bench.fail_repeatedly(LAST_ATTEMPT - 1)
            assert 1 == bench.retry()
            start_second(runner.run_due)
            assert second.begun.wait(30)
        assert [RUNNING] == bench.states()
    assert [] == bench.jobs()


# 4: failures.


def test_a_failed_job_is_retried_with_growing_pauses(bench: Bench, clock: ManualClock) -> None:
    """Invariant 4: after a second, then after twice as long each time, and not earlier."""
    bench.enqueue()
    pauses = []
    for attempt in range(1, LAST_ATTEMPT):
        job = bench.take()
        assert attempt == job.attempt
        bench.fail(job)
        (waiting,) = bench.jobs(READY)
        pauses.append(waiting.run_at_ms - clock.now_ms())
        clock.move(pauses[-1] - 1)
        assert bench.claim() is None
        clock.move(1)
    assert [1_000 << number for number in range(LAST_ATTEMPT - 1)] == pauses
    assert 10 * MINUTE_MS == queue.pause_ms(40)


def test_a_job_is_not_retried_after_its_last_attempt(bench: Bench, other_bench: Bench, clock: ManualClock) -> None:
    """Invariant 4: it is kept with its error until it is retried; then it has all its attempts again."""
    for number in range(2):
        bench.enqueue(number=number)
    runner = bench.runner({"kind": fail_with(ValueError("wrong"))})
    for _ in range(LAST_ATTEMPT):
        assert 2 == runner.run_due()
        clock.move(HOUR_MS)
    assert 0 == runner.run_due()
    assert [(FAILED, LAST_ATTEMPT, "ValueError: wrong")] * 2 == [(j.state, j.attempt, j.error) for j in bench.jobs()]
    with bench.database.read() as tx:
        assert {READY: 0, RUNNING: 0, FAILED: 2} == queue.count_jobs(tx)
    first, second = (job.id for job in bench.jobs())
    assert 0 == other_bench.retry(first + second)
    assert 1 == other_bench.retry(second)
    assert [first] == [job.id for job in bench.jobs(FAILED)]
    assert 1 == runner.run_due()
    assert [1] == [job.attempt for job in bench.jobs(READY)]
    assert 1 == other_bench.retry()
    clock.move(HOUR_MS)
    assert 2 == other_bench.runner({"kind": lambda args: None}).run_due()
    assert [] == bench.jobs()


def test_only_the_last_of_equal_failed_jobs_is_kept(bench: Bench) -> None:
    """A job that always fails and is queued repeatedly does not fill the table; other jobs are not affected."""
    for _ in range(3):
        bench.enqueue(key="key")
        bench.fail_repeatedly()
    bench.enqueue(key="other key")
    bench.fail_repeatedly()
    bench.enqueue()
    bench.fail_repeatedly()
    assert [FAILED] * 3 == bench.states()


def test_many_failed_jobs_are_retried_in_few_statements(bench: Bench) -> None:
    """At most one of equal jobs waits; the number of statements is constant, also for retrying a single job."""
    failed = {"kind": "kind", "args": "{}", "state": FAILED, "run_at": 1, "attempt": 10, "error": "", "created_at": 1}
    keys = [None, "lost", "lost", "waits"] * 300
    with bench.database.write_unlocked() as tx:
        tx.execute(insert(jobs), [{**failed, "dedup_key": key} for key in keys])
    bench.enqueue(key="waits")
    first, *_ = bench.jobs(FAILED)
    with record_statements(bench.database) as statements:
        assert 1 == bench.retry(first.id)
        assert len(statements) < 10
    with record_statements(bench.database) as statements:
        assert len(keys) - 1 == bench.retry()
        assert len(statements) < 30
    with bench.database.read() as tx:
        waiting = Counter(tx.execute(select(jobs.c.dedup_key)).scalars())
        assert {None: 300, "lost": 1, "waits": 1} == waiting
        assert {READY: 302, RUNNING: 0, FAILED: 0} == queue.count_jobs(tx)


def test_a_job_that_kills_its_workers_fails_finally(bench: Bench, clock: ManualClock) -> None:
    """Invariant 4: an attempt whose worker died counts, and the job is not run after the last attempt."""
    bench.enqueue("deadly")
    bench.enqueue("harmless", in_ms=HOUR_MS)
    for _ in range(LAST_ATTEMPT):
        assert "deadly" == bench.take().kind
        clock.move(LEASE_MS)
    assert bench.claim() is None
    (failed,) = bench.jobs(FAILED)
    assert ("deadly", "Its worker died in every attempt.") == (failed.kind, failed.error)
    clock.move(HOUR_MS)
    assert "harmless" == bench.take().kind


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("it is é", "ValueError: it is é"),
        ("a\0b", "ValueError: a?b"),
        ("a\udcffb", "ValueError: a?b"),
        ("x" * 20_000, "ValueError: " + "x" * 9_988),
        ("", "ValueError: "),
    ],
    ids=["text", "a zero byte", "a lone surrogate", "too long", "empty"],
)
def test_the_error_of_a_failed_attempt_is_kept(bench: Bench, message: str, kept: str) -> None:
    """Invariant 4: `seaway jobs` can show any error message, and the job is retried like any other."""
    bench.enqueue()
    assert 1 == bench.runner({"kind": fail_with(ValueError(message))}).run_due()
    (job,) = bench.jobs()
    assert (READY, 1, None, kept) == (job.state, job.attempt, job.lease_owner, job.error)


def test_a_job_of_an_unknown_kind_fails_normally(bench: Bench, clock: ManualClock) -> None:
    """Invariant 4: a job of a newer Seaway is not lost on an older worker and does not stop it."""
    bench.enqueue("unknown")
    bench.enqueue("known")
    assert 2 == bench.runner({"known": lambda args: None}).run_due()
    (job,) = bench.jobs()
    assert ("unknown", READY) == (job.kind, job.state)
    assert "InvalidJob: This version of Seaway has no jobs of the kind 'unknown'." == job.error
    clock.move(HOUR_MS)
    assert 1 == bench.runner({"unknown": lambda args: None}).run_due()
    assert [] == bench.jobs()


@pytest.mark.parametrize("args", ["", "{", "[]", '{"number": "1"}'])
def test_a_job_with_malformed_arguments_fails_normally(bench: Bench, clock: ManualClock, args: str) -> None:
    """Invariant 4: it does not stop the worker, can be listed, and its final error names the problem."""
    row = {"kind": "kind", "args": args, "state": READY, "run_at": 1, "attempt": 0, "error": "", "created_at": 1}
    with bench.database.write_unlocked() as tx:
        tx.execute(insert(jobs), row)
    runner = bench.runner({"kind": lambda args: None})
    for _ in range(LAST_ATTEMPT):
        assert 1 == runner.run_due()
        clock.move(HOUR_MS)
    assert 0 == runner.run_due()
    (job,) = bench.jobs(FAILED)
    assert job.error.startswith("InvalidJob: The arguments of this job are malformed: ")


def test_a_job_is_deleted_after_it_succeeds(bench: Bench, clock: ManualClock) -> None:
    """Invariants 2 and 4: failed attempts do not matter after a successful one."""
    errors: list[Exception] = [Unavailable("Away."), ValueError("wrong")]

    def work(args: Work) -> None:
        if errors:
            raise errors.pop()

    bench.enqueue()
    runner = bench.runner({"kind": work})
    for _ in range(3):
        assert 1 == runner.run_due()
        clock.move(HOUR_MS)
    assert [] == bench.jobs()


# Periodic jobs.


def test_a_periodic_job_runs_once_per_period(bench: Bench, other_bench: Bench, clock: ManualClock) -> None:
    """Of many threads of two workers one runs the due job; the next period begins then."""
    runs: list[int] = []
    handlers = {"hourly": lambda args: runs.append(clock.now_ms()), "often": lambda args: None}
    runners = [each.runner(handlers, {"hourly": HOUR_MS, "often": 1_000}) for each in (bench, other_bench)]
    expected = []
    for pause_ms in (0, HOUR_MS - 1, 1, HOUR_MS // 2, HOUR_MS):
        clock.move(pause_ms)
        run_concurrently([runner.run_due for runner in runners * 3])
        if pause_ms not in (HOUR_MS - 1, HOUR_MS // 2):
            expected.append(clock.now_ms())
        assert expected == runs


def test_missed_periods_are_run_once(bench: Bench, clock: ManualClock) -> None:
    """After a pause of days the job runs once, and then at its usual period."""
    runs: list[int] = []
    runner = bench.runner({"hourly": lambda args: runs.append(clock.now_ms())}, HOURLY)
    assert 1 == runner.run_due()
    clock.move(77 * HOUR_MS + 5)
    assert 1 == runner.run_due()
    clock.move(HOUR_MS - 1)
    assert 0 == runner.run_due()
    clock.move(1)
    assert 1 == runner.run_due()
    assert 3 == len(runs)


@pytest.mark.parametrize("back_ms", [2 * HOUR_MS, 9_000 * HOUR_MS])
def test_a_clock_set_back_does_not_stop_periodic_jobs(bench: Bench, clock: ManualClock, back_ms: int) -> None:
    """A next time more than a period away was written by a clock that was ahead."""
    runs: list[int] = []
    runner = bench.runner({"hourly": lambda args: runs.append(clock.now_ms())}, HOURLY)
    assert 1 == runner.run_due()
    clock.move(-back_ms)
    assert 1 == runner.run_due()
    assert 0 == runner.run_due()
    clock.move(HOUR_MS)
    assert 1 == runner.run_due()
    assert 3 == len(runs)


@pytest.mark.parametrize(("ahead_ms", "due"), [(CLOCK_TOLERANCE_MS, 0), (CLOCK_TOLERANCE_MS + 1, 1)])
def test_clocks_of_machines_can_differ(bench: Bench, clock: ManualClock, ahead_ms: int, due: int) -> None:
    """A periodic job run by a machine whose clock is minutes ahead is not run again by one behind."""
    runner = bench.runner({"hourly": lambda args: None}, HOURLY)
    assert 1 == runner.run_due()
    clock.move(-ahead_ms)
    assert due == runner.run_due()


def test_a_clock_set_back_leaves_no_job_waiting(bench: Bench, clock: ManualClock) -> None:
    """Jobs queued, failed or lost while the clock was ahead run within minutes, without being queued again."""
    done: Counter[str] = Counter()
    runner = bench.runner({"kind": lambda args: done.update([args.name]), "hourly": lambda args: None}, HOURLY)
    bench.enqueue(name="failed")
    bench.enqueue(name="lost")
    clock.move(9_000 * HOUR_MS)
    bench.fail(bench.take())
    bench.take()
    bench.enqueue(name="queued")
    bench.enqueue(name="later", in_ms=3 * HOUR_MS)
    with bench.database.write_unlocked() as tx:
        queue.enqueue_due(tx, clock.now_ms(), {args_type("hourly", "hourly")(): HOUR_MS})
    clock.move(-9_000 * HOUR_MS)
    for _ in range(2):
        runner.run_due()
        clock.move(10 * MINUTE_MS)
        runner.run_due()
    assert {"failed": 1, "lost": 1, "queued": 1} == done
    clock.move(3 * HOUR_MS)
    runner.run_due()
    assert {"failed": 1, "lost": 1, "queued": 1, "later": 1} == done


def test_periodic_jobs_do_not_pile_up(bench: Bench, clock: ManualClock) -> None:
    """Without running workers, at most one job of each kind waits."""
    for _ in range(5):
        clock.move(HOUR_MS)
        with bench.database.write_unlocked() as tx:
            queue.enqueue_due(tx, clock.now_ms(), {args_type("hourly", "hourly")(): HOUR_MS})
    assert [READY] == bench.states()


# Stops and database failures.


def test_a_stop_takes_no_new_job(bench: Bench) -> None:
    """Invariant 2 of the runner: the running job ends normally, and waiting jobs are left to other workers."""
    gate = Gate()
    runner = bench.runner({"kind": gate})
    bench.enqueue(number=1)
    bench.enqueue(number=2)
    with background_threads() as start, gate.open_at_end():
        start(runner.run_due)
        assert gate.begun.wait(30)
        runner.stop()
    assert [(READY, '{"number":2}')] == [(job.state, job.args_json) for job in bench.jobs()]
    assert 0 == runner.run_due()


def test_a_stop_waits_for_the_running_job(bench: Bench) -> None:
    """Invariant 2 of the runner: after `stop` returns no job runs, and the running job is finished."""
    gate = Gate()
    runner = bench.runner({"kind": gate}, threads=3)
    bench.enqueue()
    with working(runner), background_threads() as start, gate.open_at_end():
        assert gate.begun.wait(30)
        stopping = start(runner.stop)
        stopping.join(0.1)  # a waiting stop gives no event to wait for
        assert stopping.is_alive()
    assert [] == bench.jobs()


def test_a_worker_that_was_never_started_can_be_stopped(bench: Bench) -> None:
    """A command opens and closes the server parts without starting the runner."""
    bench.runner({}).stop()


@pytest.mark.parametrize("error", [None, ValueError("wrong")], ids=["done", "failed"])
def test_a_job_whose_end_cannot_be_recorded_is_run_again(
    proxied_place: Place, proxy: FaultProxy, clock: ManualClock, error: Exception | None
) -> None:
    """Invariant 2: if the database is unavailable at the end of a job, it runs again after the lease."""
    bench, watcher = Bench(proxied_place.open(), clock), Bench(proxied_place.open(), clock)
    gate = Gate(error)
    runner = bench.runner({"kind": gate}, threads=1)
    bench.enqueue()
    with working(runner), gate.open_at_end():
        assert gate.begun.wait(30)
        proxy.mode = Refuse()
        proxy.cut()
    proxy.mode = Pass()
    with suppress(Unavailable):
        watcher.states()
    assert [RUNNING] == watcher.states()
    clock.move(LEASE_MS)
    assert 1 == watcher.runner({"kind": lambda args: None}).run_due()
    assert [] == watcher.jobs()


def test_a_restart_of_the_server_loses_no_job(fragile: Postgres, fragile_place: Place, clock: ManualClock) -> None:
    """Invariants 1 and 2: workers recover by themselves and run the running job, the waiting one and new ones."""
    done: Counter[str] = Counter()
    gate = Gate()
    bench = Bench(fragile_place.open(), clock)

    def enqueue_new() -> bool:
        try:
            bench.enqueue("new", key="new")
        except Unavailable:
            return False
        return True

    handlers = {"running": gate} | {kind: lambda args, kind=kind: done.update([kind]) for kind in ("waiting", "new")}
    bench.enqueue("running")
    bench.enqueue("waiting", in_ms=LEASE_MS)
    runner = Bench(fragile_place.open(), clock).runner(handlers)
    with working(runner):
        with gate.open_at_end():
            assert gate.begun.wait(30)
            fragile.restart()
        wait_until(enqueue_new)
        clock.move(LEASE_MS)
        wait_until(lambda: not bench.jobs())
    assert {"waiting": 1, "new": 1} == done
    assert gate.runs in (1, 2)
