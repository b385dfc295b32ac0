"""What the rest of Seaway asks of the table of jobs and of those who work it off, on every database."""

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
from tests.contracts.conftest import Place, failing, together
from tests.support.clock import TurnedClock
from tests.support.jobs import Work, handlers_of, work_of
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import until
from tests.support.statements import counted

LEASE_MS = 60_000
HOURLY = {"hourly": HOUR_MS}

Run = Callable[[Work], None]


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged is kept, not printed: the traceback of each failure would take half a second."""
    with structlog.testing.capture_logs() as kept:
        yield kept


class Bench:
    """A worker's table: what it asks for, takes and ends, each in a transaction of its own."""

    def __init__(self, database: Database, clock: TurnedClock, owner: str = "worker") -> None:
        self.database, self._clock, self._owner = database, clock, owner

    def enqueue(self, kind: str = "kind", key: str | None = None, in_ms: int = 0, **args: Any) -> None:
        with self.database.write_part() as tx:
            self.enqueue_in(tx, kind, key, in_ms, **args)

    def enqueue_in(self, tx: Tx, kind: str = "kind", key: str | None = None, in_ms: int = 0, **args: Any) -> None:
        now_ms = self._clock.now_ms()
        queue.enqueue(tx, now_ms, work_of(kind)(key=key, **args), run_at_ms=now_ms + in_ms if in_ms else None)

    def claim(self) -> Job | None:
        with self.database.write_part() as tx:
            return queue.claim(tx, self._clock.now_ms(), self._owner, LEASE_MS)

    def take(self) -> Job:
        job = self.claim()
        assert job is not None
        return job

    def renew(self, job: Job) -> bool:
        with self.database.write_part() as tx:
            return queue.renew(tx, job, self._clock.now_ms() + LEASE_MS)

    def finish(self, job: Job) -> None:
        with self.database.write_part() as tx:
            queue.finish(tx, job)

    def fail(self, job: Job, error: str = "Error") -> None:
        with self.database.write_part() as tx:
            queue.fail(tx, job, self._clock.now_ms(), error)

    def use_up(self, attempts: int = LAST_ATTEMPT) -> None:
        """Take the only job and fail, as often as this."""
        for _ in range(attempts):
            self.fail(self.take_later())

    def take_later(self) -> Job:
        """Take the next one when it is due again."""
        self._clock.move(HOUR_MS)
        return self.take()

    def retry(self, job_id: int | None = None) -> int:
        with self.database.write_part() as tx:
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
        return Runner(self.database, self._clock, handlers_of(runs, periods_ms), **settings)


@pytest.fixture
def bench(database: Database, clock: TurnedClock) -> Bench:
    return Bench(database, clock, "one")


@pytest.fixture
def other_bench(other: Database, clock: TurnedClock) -> Bench:
    """The table of another worker."""
    return Bench(other, clock, "other")


@contextmanager
def working(*runners: Runner) -> Iterator[None]:
    """They work in the background meanwhile."""
    for runner in runners:
        runner.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()


class Gate:
    """A job that says when it has begun, and ends when it may."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self._may_end = threading.Event(), threading.Event()
        self.runs = 0
        self._error = error

    def __call__(self, args: Work) -> None:
        self.runs += 1
        self.begun.set()
        assert self._may_end.wait(30)
        if self._error is not None:
            raise self._error

    @contextmanager
    def opened_at_the_end(self) -> Iterator[None]:
        """It may end after what happens inside."""
        try:
            yield
        finally:
            self._may_end.set()


Start = Callable[[Callable[[], object]], threading.Thread]


@contextmanager
def in_background() -> Iterator[Start]:
    """Begins things that go on meanwhile; at the end they have ended by themselves, and well."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  whatever goes wrong is the finding
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


def others_wait(database: Database) -> None:
    """Go on when another waits for us, where that can be seen."""
    with database.read() as tx:
        is_postgres = tx.dialect.name == "postgresql"
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def seen() -> bool:
        with database.read() as tx:
            return tx.execute(waiting).scalar_one() > 0

    if is_postgres:
        until(seen)


# 1: in the transaction of who asks.


def test_a_job_is_there_with_its_transaction(bench: Bench, other_bench: Bench) -> None:
    """Invariant 1: nobody finds it before the commit, everybody after it, as it was asked for."""
    with bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, "kind", number=7, words=("é",))
        assert [] == other_bench.jobs()
        assert not other_bench.is_due()
    (job,) = other_bench.jobs()
    assert ("kind", '{"number":7,"words":["é"]}', READY) == (job.kind, job.args_json, job.state)
    assert job.id == other_bench.take().id


def test_a_job_is_not_there_without_its_transaction(bench: Bench, other_bench: Bench) -> None:
    """Invariant 1: what was rolled back asks for nothing, and keeps no equal job from being asked for."""
    with failing(ZeroDivisionError), bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        raise ZeroDivisionError
    assert [] == other_bench.jobs()
    other_bench.enqueue(key="key")
    assert [READY] == bench.states()


@pytest.mark.parametrize("error", [None, ZeroDivisionError], ids=["commits", "rolls back"])
def test_two_that_ask_at_once_get_one_job(bench: Bench, other_bench: Bench, error: type[Exception] | None) -> None:
    """Invariants 1 and 5: who asks while an equal job is being asked for gets it, or his own if that one does not come."""
    ending = nullcontext() if error is None else failing(error)
    with ending, in_background() as start, bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        start(lambda: other_bench.enqueue(key="key"))
        others_wait(bench.database)
        if error is not None:
            raise error
    assert [READY] == bench.states()


# 5: of equal jobs one waits.


def test_of_equal_jobs_one_waits(bench: Bench, other_bench: Bench) -> None:
    """Invariant 5: many that ask at once for the same get one job; others, and those without a key, are not equal."""
    together([lambda each=each: [each.enqueue(key="key") for _ in range(25)] for each in (bench, other_bench) * 2])
    assert [READY] == bench.states()
    bench.enqueue(key="other key")
    bench.enqueue()
    bench.enqueue()
    assert [READY] * 4 == bench.states()


def test_one_may_wait_while_one_runs(bench: Bench, other_bench: Bench) -> None:
    """Invariant 5: what is asked while a job runs is not in it, so one more waits."""
    bench.enqueue(key="key")
    running = bench.take()
    for _ in range(3):
        other_bench.enqueue(key="key")
    assert [RUNNING, READY] == bench.states()
    bench.finish(running)
    assert [READY] == bench.states()


def test_a_job_does_not_begin_before_what_it_is_for(place: Place, bench: Bench, clock: TurnedClock) -> None:
    """Invariants 1 and 5: a job that was found waiting is not taken until that transaction ends, or one more waits then."""
    bench.enqueue(key="key")
    hasty = Bench(place.open(patience_ms=40), clock, "hasty")
    with bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        with suppress(Unavailable):
            hasty.claim()
    assert READY in bench.states()
    assert hasty.take().state == RUNNING


def test_asking_while_the_equal_job_is_taken(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Invariant 5: who asks while the waiting job is being taken gets one more."""
    bench.enqueue(key="key")
    with in_background() as start, bench.database.write_part() as tx:
        assert queue.claim(tx, clock.now_ms(), "one", LEASE_MS) is not None
        start(lambda: other_bench.enqueue(key="key"))
        others_wait(bench.database)
    assert [RUNNING, READY] == bench.states()


@pytest.mark.parametrize("how", ["fail", "retry"])
def test_a_job_that_comes_back_while_an_equal_one_is_asked_for(bench: Bench, other_bench: Bench, how: str) -> None:
    """Invariants 4 and 5: a failed or retried job whose equal is just being asked for is not an error; one waits."""
    bench.enqueue(key="key")
    if how == "retry":
        bench.use_up()
    job = bench.take() if how == "fail" else bench.jobs()[0]
    with in_background() as start, bench.database.write_channel("one") as tx:
        bench.enqueue_in(tx, key="key")
        start(lambda: other_bench.fail(job) if how == "fail" else other_bench.retry())
        others_wait(bench.database)
    assert [READY] == bench.states()


# 6: of the times at which equal jobs are due, the earliest counts.


@pytest.mark.parametrize("in_ms", [0, 1_000])
def test_asking_again_moves_the_waiting_job_to_the_earlier_time(bench: Bench, clock: TurnedClock, in_ms: int) -> None:
    """Invariant 6: one that waits for a later time, an hour or a wrong clock ahead, is due when it is asked for again."""
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="key", in_ms=in_ms)
    assert [clock.now_ms() + in_ms] == [job.run_at_ms for job in bench.jobs()]


def test_asking_again_delays_nothing(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 6: a later time leaves the waiting job as it is."""
    bench.enqueue(key="key")
    bench.enqueue(key="key", in_ms=HOUR_MS)
    assert [clock.now_ms()] == [job.run_at_ms for job in bench.jobs()]


def test_a_job_in_its_pause_is_due_when_it_is_asked_for_again(bench: Bench, other_bench: Bench) -> None:
    """Invariant 6: what failed eight times waits for minutes; a new reason to do it does not wait with it."""
    bench.enqueue(key="key")
    bench.use_up(8)
    assert bench.claim() is None
    other_bench.enqueue(key="key")
    assert 9 == bench.take().attempt


def test_a_job_asked_for_by_a_clock_that_was_ahead_is_due_when_it_is_asked_for_again(
    bench: Bench, clock: TurnedClock
) -> None:
    """Invariant 6: after the correction nobody waits until the clock has caught up."""
    clock.move(9_000 * HOUR_MS)
    bench.enqueue(key="key")
    clock.move(-9_000 * HOUR_MS)
    assert bench.claim() is None
    bench.enqueue(key="key")
    assert bench.claim() is not None


def test_a_failed_job_brings_the_equal_one_forward(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 6: it goes, and leaves the time at which it would have come back."""
    bench.enqueue(key="key")
    failed = bench.take()
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="other key", in_ms=HOUR_MS)
    bench.fail(failed)
    assert [clock.now_ms() + 1_000, clock.now_ms() + HOUR_MS] == [job.run_at_ms for job in bench.jobs()]
    clock.move(1_000)
    bench.enqueue(key="key")
    again = bench.take()
    bench.enqueue(key="key")
    bench.fail(again)
    assert bench.claim() is not None, "the earlier time of the one that waits counts as well"


def test_a_retried_job_brings_the_equal_one_forward(bench: Bench) -> None:
    """Invariant 6: an operator who retries a failed job does not wait for the pause of its equal."""
    bench.enqueue(key="key")
    bench.use_up()
    bench.enqueue(key="key", in_ms=HOUR_MS)
    bench.enqueue(key="other key", in_ms=HOUR_MS)
    assert 1 == bench.retry()
    assert bench.claim() is not None
    assert bench.claim() is None


def test_a_failed_job_goes_when_an_equal_one_waits(bench: Bench) -> None:
    """Invariant 5: the one that waits does the same work; a failed one is kept, until it is retried."""
    bench.enqueue(key="key")
    failed = bench.take()
    bench.enqueue(key="key")
    bench.fail(failed)
    (waiting,) = bench.jobs()
    assert waiting.id != failed.id
    bench.use_up(LAST_ATTEMPT - 1)
    last = bench.take_later()
    bench.enqueue(key="key")
    bench.fail(last)
    assert [FAILED, READY] == bench.states()
    assert 1 == bench.retry()
    assert [READY] == bench.states()


# 2: on a lease, once at least.


def test_a_job_is_taken_by_one(bench: Bench, other_bench: Bench) -> None:
    """Invariant 2: of many that claim at once each gets another job, and none is left over."""
    for _ in range(6):
        bench.enqueue()
    claimed = together([each.claim for each in (bench, other_bench) * 4])
    ids = sorted(job.id for job in claimed if job is not None)
    assert [job.id for job in bench.jobs()] == ids
    assert [RUNNING] * 6 == bench.states()
    assert {1} == {job.attempt for job in bench.jobs()}


def test_jobs_are_taken_in_the_order_in_which_they_are_due(bench: Bench, clock: TurnedClock) -> None:
    """The one that is due for the longest time comes first, and none before its time."""
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


def test_many_workers_do_every_job_once(bench: Bench, other_bench: Bench) -> None:
    """Invariant 2: as long as nobody dies, each of fifty jobs is done once by two workers with three threads each."""
    done: Counter[int] = Counter()
    lock = threading.Lock()

    def work(args: Work) -> None:
        with lock:
            done[args.number] += 1

    for number in range(50):
        bench.enqueue(number=number)
    with working(*(each.runner({"kind": work}, threads=3) for each in (bench, other_bench))):
        until(lambda: not bench.jobs())
    assert dict.fromkeys(range(50), 1) == done


def test_a_job_whose_lease_ended_is_taken_by_another(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Invariants 2 and 3: not before, and once; then the first can neither renew nor end it."""
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


def test_nobody_ends_a_job_twice(bench: Bench) -> None:
    """Invariant 3: after an attempt has failed, or was done, whoever made it has no say any more."""
    bench.enqueue()
    failed = bench.take()
    bench.fail(failed, "first")
    for act in (bench.finish, bench.fail, bench.renew):
        act(failed)
    (waiting,) = bench.jobs()
    assert (READY, "first") == (waiting.state, waiting.error)


def test_a_lease_that_is_renewed_goes_on(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Invariant 2: whoever says a word in time keeps the job for as long as it takes."""
    bench.enqueue()
    job = bench.take()
    for _ in range(5):
        clock.move(LEASE_MS - 1)
        assert bench.renew(job)
        assert other_bench.claim() is None
    clock.move(LEASE_MS)
    assert job.id == other_bench.take().id


def test_a_worker_renews_while_the_job_runs(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Invariant 1 of the runner: a job that takes many times as long as a lease is not taken by another."""
    lease_ms = 150
    gate = Gate()
    other_runner = other_bench.runner({"kind": gate})

    def is_renewed() -> bool:
        with bench.database.read() as tx:
            return tx.execute(select(jobs.c.lease_until)).scalar_one() == clock.now_ms() + lease_ms

    bench.enqueue()
    with in_background() as start, gate.opened_at_the_end():
        start(bench.runner({"kind": gate}, lease_ms=lease_ms).run_due)
        assert gate.begun.wait(30)
        for _ in range(5):
            clock.move(lease_ms - 1)
            assert 0 == other_runner.run_due()
            until(is_renewed)
    assert (1, []) == (gate.runs, bench.jobs())


def test_a_lease_is_renewed_after_the_database_was_away(bench: Bench, clock: TurnedClock, logs: list[Any]) -> None:
    """Invariant 1 of the runner: a renewal that failed is made up for by the next one, well before the lease ends."""
    lease_ms = 150
    away = threading.Event()

    def fail(_connection: object) -> None:
        if away.is_set():
            raise Unavailable("The database is away.")

    def is_renewed() -> bool:
        with bench.database.read() as tx:
            until_ms: int = tx.execute(select(jobs.c.lease_until)).scalar_one()
        return until_ms == clock.now_ms() + lease_ms

    gate = Gate()
    bench.enqueue()
    event.listen(bench.database.engine, "commit", fail)
    with in_background() as start, gate.opened_at_the_end():
        start(bench.runner({"kind": gate}, lease_ms=lease_ms).run_due)
        assert gate.begun.wait(30)
        away.set()
        until(lambda: any(line["event"] == "job.lease_not_renewed" for line in logs))
        away.clear()
        clock.move(lease_ms - 1)
        until(is_renewed)
    event.remove(bench.database.engine, "commit", fail)
    assert [] == bench.jobs()


def test_a_job_of_a_killed_worker_is_done_by_another(place: Place, bench: Bench, clock: TurnedClock) -> None:
    """Invariant 2 of the runner: a process that is killed in the middle keeps its job until the lease ends, not longer."""
    script = f"""
from seaway.jobs.queue import JobArgs
from seaway.jobs.runner import JobHandler, Runner

class Kind(JobArgs, frozen=True):
    kind = "kind"

class Clock:
    def now_ms(self):
        return {clock.now_ms()}

def work(args):
    tell("began")
    input()

Runner(database, Clock(), [JobHandler(Kind, work)], lease_ms={LEASE_MS}).run_due()
"""
    done: list[int] = []
    runner = bench.runner({"kind": lambda args: done.append(args.number)})
    bench.enqueue(number=1)
    with place.process(script) as process:
        process.hear("began")
        assert 0 == runner.run_due()
        process.kill()
    clock.move(LEASE_MS - 1)
    assert 0 == runner.run_due()
    clock.move(1)
    assert 1 == runner.run_due()
    assert ([1], []) == (done, bench.jobs())


def test_an_attempt_is_fenced_from_those_after_a_retry(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 3: a thread that wakes up after its job failed and was retried does not end what another thread now does."""
    stuck, second = Gate(), Gate()
    gates = iter([stuck, second])

    def work(args: Work) -> None:
        next(gates)(args)

    runner = bench.runner({"kind": work})
    bench.enqueue()
    with in_background() as start_second, second.opened_at_the_end():
        with in_background() as start, stuck.opened_at_the_end():
            start(runner.run_due)
            assert stuck.begun.wait(30)
            bench.use_up(LAST_ATTEMPT - 1)
            assert 1 == bench.retry()
            start_second(runner.run_due)
            assert second.begun.wait(30)
        assert [RUNNING] == bench.states()
    assert [] == bench.jobs()


# 4: what failed.


def test_a_failed_job_comes_back_later_each_time(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 4: after a second, then after twice as long each time, and not before."""
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


def test_a_job_has_failed_after_its_last_attempt(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Invariant 4: it is kept with its error and done no more, until somebody retries it: then with all its attempts."""
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


def test_of_equal_failed_jobs_the_last_is_kept(bench: Bench) -> None:
    """What always fails and is asked for again and again does not fill the table; others are not touched."""
    for _ in range(3):
        bench.enqueue(key="key")
        bench.use_up()
    bench.enqueue(key="other key")
    bench.use_up()
    bench.enqueue()
    bench.use_up()
    assert [FAILED] * 3 == bench.states()


def test_many_failed_jobs_are_retried_together(bench: Bench) -> None:
    """Of equal ones one waits at most, and the number of statements does not grow with that of the jobs; for one neither."""
    failed = {"kind": "kind", "args": "{}", "state": FAILED, "run_at": 1, "attempt": 10, "error": "", "created_at": 1}
    keys = [None, "lost", "lost", "waits"] * 300
    with bench.database.write_part() as tx:
        tx.execute(insert(jobs), [{**failed, "dedup_key": key} for key in keys])
    bench.enqueue(key="waits")
    one, *_ = bench.jobs(FAILED)
    with counted(bench.database) as statements:
        assert 1 == bench.retry(one.id)
        assert len(statements) < 10
    with counted(bench.database) as statements:
        assert len(keys) - 1 == bench.retry()
        assert len(statements) < 30
    with bench.database.read() as tx:
        waiting = Counter(tx.execute(select(jobs.c.dedup_key)).scalars())
        assert {None: 300, "lost": 1, "waits": 1} == waiting
        assert {READY: 302, RUNNING: 0, FAILED: 0} == queue.count_jobs(tx)


def test_a_job_that_kills_its_workers_has_failed_in_the_end(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 4: an attempt whose worker died counts, and after the last one nobody tries any more."""
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
    ("said", "kept"),
    [
        ("it is é", "ValueError: it is é"),
        ("a\0b", "ValueError: a?b"),
        ("a\udcffb", "ValueError: a?b"),
        ("x" * 10_000, "ValueError: " + "x" * 488),
        ("", "ValueError: "),
    ],
    ids=["words", "a zero byte", "half a character", "too long", "nothing"],
)
def test_the_error_of_a_failed_attempt_is_kept(bench: Bench, said: str, kept: str) -> None:
    """Invariant 4: whatever an error says, `seaway jobs` can show it, and the job comes back as any other."""
    bench.enqueue()
    assert 1 == bench.runner({"kind": fail_with(ValueError(said))}).run_due()
    (job,) = bench.jobs()
    assert (READY, 1, None, kept) == (job.state, job.attempt, job.lease_owner, job.error)


def test_a_job_of_an_unknown_kind_fails_in_order(bench: Bench, clock: TurnedClock) -> None:
    """Invariant 4: what a newer Seaway has asked for is not lost on an older worker, and does not stop it."""
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
def test_a_job_with_malformed_arguments_fails_in_order(bench: Bench, clock: TurnedClock, args: str) -> None:
    """Invariant 4: it does not stop the worker, can be listed, and says in the end what is wrong."""
    row = {"kind": "kind", "args": args, "state": READY, "run_at": 1, "attempt": 0, "error": "", "created_at": 1}
    with bench.database.write_part() as tx:
        tx.execute(insert(jobs), row)
    runner = bench.runner({"kind": lambda args: None})
    for _ in range(LAST_ATTEMPT):
        assert 1 == runner.run_due()
        clock.move(HOUR_MS)
    assert 0 == runner.run_due()
    (job,) = bench.jobs(FAILED)
    assert job.error.startswith("InvalidJob: The arguments of this job are malformed: ")


def test_a_job_that_succeeds_at_last_leaves_nothing(bench: Bench, clock: TurnedClock) -> None:
    """Invariants 2 and 4: attempts that failed, for whatever reason, do not matter once one has succeeded."""
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


# What is done regularly.


def test_every_period_is_done_once(bench: Bench, other_bench: Bench, clock: TurnedClock) -> None:
    """Of many threads of two workers one does what is due; the next period begins then."""
    runs: list[int] = []
    handlers = {"hourly": lambda args: runs.append(clock.now_ms()), "often": lambda args: None}
    runners = [each.runner(handlers, {"hourly": HOUR_MS, "often": 1_000}) for each in (bench, other_bench)]
    expected = []
    for pause_ms in (0, HOUR_MS - 1, 1, HOUR_MS // 2, HOUR_MS):
        clock.move(pause_ms)
        together([runner.run_due for runner in runners * 3])
        if pause_ms not in (HOUR_MS - 1, HOUR_MS // 2):
            expected.append(clock.now_ms())
        assert expected == runs


def test_missed_periods_are_made_up_for_once(bench: Bench, clock: TurnedClock) -> None:
    """After a pause of days the work is done once, and then as often as always."""
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
def test_a_clock_that_was_set_back_does_not_stop_what_is_done_regularly(
    bench: Bench, clock: TurnedClock, back_ms: int
) -> None:
    """The next time lies further away than a period: it was written by a clock that was ahead."""
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
def test_clocks_of_machines_may_differ(bench: Bench, clock: TurnedClock, ahead_ms: int, due: int) -> None:
    """What a machine whose clock is minutes ahead did just now is not done again by one that is behind."""
    runner = bench.runner({"hourly": lambda args: None}, HOURLY)
    assert 1 == runner.run_due()
    clock.move(-ahead_ms)
    assert due == runner.run_due()


def test_a_clock_that_was_set_back_leaves_no_job_waiting(bench: Bench, clock: TurnedClock) -> None:
    """Jobs that it asked for, that failed or that a worker died with meanwhile are done within minutes, nobody asks again."""
    done: Counter[str] = Counter()
    runner = bench.runner({"kind": lambda args: done.update([args.name]), "hourly": lambda args: None}, HOURLY)
    bench.enqueue(name="failed")
    bench.enqueue(name="lost")
    clock.move(9_000 * HOUR_MS)
    bench.fail(bench.take())
    bench.take()
    bench.enqueue(name="asked")
    bench.enqueue(name="later", in_ms=3 * HOUR_MS)
    with bench.database.write_part() as tx:
        queue.enqueue_due(tx, clock.now_ms(), {work_of("hourly", "hourly")(): HOUR_MS})
    clock.move(-9_000 * HOUR_MS)
    for _ in range(2):
        runner.run_due()
        clock.move(10 * MINUTE_MS)
        runner.run_due()
    assert {"failed": 1, "lost": 1, "asked": 1} == done
    clock.move(3 * HOUR_MS)
    runner.run_due()
    assert {"failed": 1, "lost": 1, "asked": 1, "later": 1} == done


def test_what_is_due_again_does_not_pile_up(bench: Bench, clock: TurnedClock) -> None:
    """While nobody works, or one attempt takes long, of each kind one waits at most."""
    for _ in range(5):
        clock.move(HOUR_MS)
        with bench.database.write_part() as tx:
            queue.enqueue_due(tx, clock.now_ms(), {work_of("hourly", "hourly")(): HOUR_MS})
    assert [READY] == bench.states()


# Stopping, and a database that is away.


def test_a_stop_takes_no_new_job(bench: Bench) -> None:
    """Invariant 2 of the runner: the running job ends as it should, and what waits is left to others."""
    gate = Gate()
    runner = bench.runner({"kind": gate})
    bench.enqueue(number=1)
    bench.enqueue(number=2)
    with in_background() as start, gate.opened_at_the_end():
        start(runner.run_due)
        assert gate.begun.wait(30)
        runner.stop()
    assert [(READY, '{"number":2}')] == [(job.state, job.args_json) for job in bench.jobs()]
    assert 0 == runner.run_due()


def test_a_stop_waits_for_the_running_job(bench: Bench) -> None:
    """Invariant 2 of the runner: when `stop` returns nothing runs any more, and what ran is done."""
    gate = Gate()
    runner = bench.runner({"kind": gate}, threads=3)
    bench.enqueue()
    with working(runner), in_background() as start, gate.opened_at_the_end():
        assert gate.begun.wait(30)
        stopping = start(runner.stop)
        stopping.join(0.1)  # as long as it waits, there is nothing to wait for
        assert stopping.is_alive()
    assert [] == bench.jobs()


def test_a_worker_that_was_never_started_can_be_stopped(bench: Bench) -> None:
    """A house that only a command opened closes without a word."""
    bench.runner({}).stop()


@pytest.mark.parametrize("error", [None, ValueError("wrong")], ids=["done", "failed"])
def test_an_end_that_cannot_be_told_is_not_lost(
    distant: Place, proxy: FaultProxy, clock: TurnedClock, error: Exception | None
) -> None:
    """Invariant 2: when the database is away at the end of a job, it is done again after the lease."""
    bench, watcher = Bench(distant.open(), clock), Bench(distant.open(), clock)
    gate = Gate(error)
    runner = bench.runner({"kind": gate}, threads=1)
    bench.enqueue()
    with working(runner), gate.opened_at_the_end():
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


def test_a_restart_of_the_server_loses_no_job(fragile: Postgres, fragile_place: Place, clock: TurnedClock) -> None:
    """Invariants 1 and 2: workers go on by themselves, with the job that ran, the one that waited and new ones."""
    done: Counter[str] = Counter()
    gate = Gate()
    bench = Bench(fragile_place.open(), clock)

    def ask() -> bool:
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
        with gate.opened_at_the_end():
            assert gate.begun.wait(30)
            fragile.restart()
        until(ask)
        clock.move(LEASE_MS)
        until(lambda: not bench.jobs())
    assert {"waiting": 1, "new": 1} == done
    assert gate.runs in (1, 2)
