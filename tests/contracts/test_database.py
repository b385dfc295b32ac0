"""Contract of a database, tested on every kind, opened by two or more workers."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, String, Table, Text, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import ProgrammingError

from seaway.database.engine import Database, Tx, lock_channel, try_lock
from seaway.database.migrate import NEWEST, UNFINISHED, Migrations, current, migrate, prepare
from seaway.database.postgres import PostgresDatabase
from seaway.database.sqlite import SqliteDatabase
from seaway.database.tables import channels, emails, metadata, schedules, site_values, users
from seaway.errors import BadSetting, Unavailable
from tests.contracts.conftest import SQLITE, Place, expect_error, on_postgres, on_sqlite, run_concurrently
from tests.support import postgres
from tests.support.migrations import later_migrations
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import wait_until

_SECONDS = 60
SHORT_MS = 40  # lock timeout of a worker that should find that it would wait
DIGESTS = [bytes([6 * number]) * 32 for number in range(40)]

Opening = Callable[[Database], AbstractContextManager[Tx]]


@pytest.fixture
def impatient(place: Place) -> Database:
    """A worker with a short lock timeout."""
    return place.open(timeout_ms=SHORT_MS)


def write_site(database: Database) -> AbstractContextManager[Tx]:
    return database.write_site()


def write_channel(database: Database, channel: str = "one") -> AbstractContextManager[Tx]:
    return database.write_channel(channel)


@contextmanager
def write_held_channel(database: Database) -> Iterator[Tx]:
    with database.write_unlocked() as tx:
        lock_channel(database, tx, "one")
        yield tx


def write_nothing_held(database: Database) -> AbstractContextManager[Tx]:
    return database.write_unlocked()


@contextmanager
def holding(database: Database, digests: list[bytes], *, shared: bool) -> Iterator[Tx]:
    with database.write_unlocked() as tx:
        database.lock_blobs(tx, digests, shared=shared)
        yield tx


def add_user(tx: Tx, name: str) -> None:
    tx.execute(insert(users).values(name=name, is_admin=False, created_at=0))


def add_ada(tx: Tx, other: Database) -> None:
    """Add a user that another transaction adds first."""
    with other.write_unlocked() as concurrent:
        add_user(concurrent, "ada")
    add_user(tx, "ada")


def name_ada(tx: Tx, other: Database) -> None:
    """Add an email address of a user that another transaction deletes."""
    user_id = tx.execute(select(users.c.id)).scalar_one()
    with other.write_unlocked() as concurrent:
        concurrent.execute(delete(users))
    tx.execute(insert(emails).values(user_id=user_id, address="a", folded="a", is_primary=True, added_at=0))


def write_between(database: Database, other: Database, change: Callable[[Tx, Database], None]) -> None:
    with other.write_unlocked() as tx:
        add_user(tx, "bob")
    with database.write_unlocked() as tx:
        change(tx, other)


def count_users(database: Database) -> int:
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(users)).scalar_one()


def start_counters(database: Database, *names: str) -> None:
    with database.write_site() as tx:
        tx.execute(insert(schedules), [{"kind": name, "next_at": 0} for name in names])


def add_one(tx: Tx, name: str) -> None:
    """Read a counter, then write it plus one."""
    value = tx.execute(select(schedules.c.next_at).where(schedules.c.kind == name)).scalar_one()
    tx.execute(update(schedules).where(schedules.c.kind == name).values(next_at=value + 1))


def counted(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return {row.kind: row.next_at for row in tx.execute(select(schedules.c.kind, schedules.c.next_at))}


def is_free(database: Database, thing: str) -> bool:
    with database.exclusive(thing, wait=False) as is_held:
        return is_held


def waits(act: Callable[[], object]) -> bool:
    """Return whether an impatient worker would have to wait."""
    try:
        act()
    except Unavailable:
        return True
    return False


def enter(opened: AbstractContextManager[object]) -> None:
    with opened:
        pass


# 1: a read sees one state.


@pytest.mark.parametrize("begin", [write_site, write_channel, write_held_channel])
def test_a_read_sees_one_state(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 1: a commit of another worker during a read is visible only to the next read."""
    names = select(users.c.name)
    with database.read() as reading:
        assert [] == reading.execute(names).all()
        with begin(other) as writing:
            add_user(writing, "late")
        assert [] == reading.execute(names).all()
        assert 0 == reading.execute(select(func.count()).select_from(users)).scalar()
    assert 1 == count_users(database)


def test_a_read_sees_complete_transactions(database: Database, other: Database) -> None:
    """Invariant 1: two tables changed in the same transactions agree in every read, in either order."""
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(40):
                with other.write_channel("one") as tx:
                    add_user(tx, f"user{number}")
                    tx.execute(insert(schedules).values(kind=f"kind{number}", next_at=0))
        finally:
            done.set()

    def read(first: Table, second: Table) -> None:
        while not done.is_set():
            with database.read() as tx:
                counts = [tx.execute(select(func.count()).select_from(table)).scalar() for table in (first, second)]
            assert counts[0] == counts[1]

    run_concurrently([write, lambda: read(users, schedules), lambda: read(schedules, users)])


@pytest.mark.parametrize("begin", [write_site, write_channel, write_held_channel, write_nothing_held])
def test_a_write_is_invisible_before_it_commits(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 1: no read of any worker sees an uncommitted transaction; after the commit all see it."""
    with begin(database) as tx:
        add_user(tx, "early")
        assert [0, 0] == [count_users(database), count_users(other)]
    assert [1, 1] == [count_users(database), count_users(other)]


# 2: data read by a write cannot change before it commits.


@pytest.mark.parametrize("begin", [write_site, write_channel, write_held_channel, write_nothing_held])
def test_a_failed_write_is_rolled_back(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 2: an exception rolls back the transaction, is raised unchanged and releases every lock."""
    with expect_error(ZeroDivisionError), begin(database) as tx:
        add_user(tx, "half")
        raise ZeroDivisionError
    assert 0 == count_users(other)
    with other.write_site() as tx:
        add_user(tx, "whole")
    assert 1 == count_users(database)


def test_concurrent_increments_are_not_lost(place: Place, database: Database, other: Database) -> None:
    """Invariant 2: read-modify-write by threads, workers and a process loses nothing; change marks see all of it."""
    start_counters(database, "site", "one", "two")
    script = """
from seaway.database.tables import schedules
from sqlalchemy import select, update
send("ready")
for number in range(31):
    if number in (0, 1):
        input()
    name = ("site", "one", "two")[number % 3]
    with (database.write_site() if name == "site" else database.write_channel(name)) as tx:
        value = tx.execute(select(schedules.c.next_at).where(schedules.c.kind == name)).scalar_one()
        tx.execute(update(schedules).where(schedules.c.kind == name).values(next_at=value + 1))
    if number in (0, 30):
        send("done")
"""

    def work(worker: Database, name: str) -> None:
        for _ in range(10):
            with worker.write_site() if name == "site" else worker.write_channel(name) as tx:
                add_one(tx, name)

    with place.process(script) as process:
        process.wait_for("ready")
        before = database.change_mark()
        process.resume()
        process.wait_for("done")
        assert before != database.change_mark()
        process.resume()
        workers = [(worker, name) for worker in (database, other) for name in ("site", "one", "two", "one")]
        run_concurrently([lambda each=each: work(*each) for each in workers])
        process.wait_for("done")
    assert {"site": 31, "one": 50, "two": 30} == counted(database)


def test_site_writes_and_channel_writes_are_serialized(database: Database, other: Database) -> None:
    """Invariant 2: site writes see channel writes and the other way round: no increment is lost."""
    start_counters(database, "both")

    def work(worker: Database, channel: str | None) -> None:
        for _ in range(10):
            with worker.write_site() if channel is None else worker.write_channel(channel) as tx:
                add_one(tx, "both")

    run_concurrently([lambda each=each: work(*each) for each in ((database, None), (other, "one"), (database, "one"))])
    assert {"both": 30} == counted(database)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (write_site, write_site),
        (write_site, write_channel),
        (write_site, write_held_channel),
        (write_site, write_nothing_held),
        (write_channel, write_site),
        (write_held_channel, write_site),
        (write_nothing_held, write_site),
        (write_channel, write_channel),
        (write_channel, write_held_channel),
        (write_held_channel, write_channel),
    ],
)
def test_writers_of_the_same_scope_wait_for_each_other(
    database: Database, impatient: Database, first: Opening, second: Opening
) -> None:
    """Invariant 2: a site write excludes all writes, a channel write those of its channel; a timeout has a message."""
    with first(database) as tx:
        add_user(tx, "first")
        with pytest.raises(Unavailable, match="does not respond"):
            enter(second(impatient))
    with second(impatient) as tx:
        add_user(tx, "second")
    assert 2 == count_users(database)


@pytest.mark.parametrize("second", [lambda worker: write_channel(worker, "two"), write_nothing_held])
def test_writers_of_different_channels(kind: str, database: Database, impatient: Database, second: Opening) -> None:
    """Invariant 2: on PostgreSQL channels are written concurrently; SQLite has one writer."""
    with write_channel(database, "one") as tx:
        add_user(tx, "first")
        assert (kind == SQLITE) == waits(lambda: enter(second(impatient)))


@on_postgres
@pytest.mark.parametrize("change", [add_ada, name_ada], ids=["an equal row was added", "a referenced row was deleted"])
def test_a_conflict_between_read_and_write_is_reported(
    database: Database, other: Database, change: Callable[[Tx, Database], None]
) -> None:
    """Invariant 2: rows that a write does not lock can change; the result is a 503 to retry, not a 500."""
    with pytest.raises(Unavailable, match="at the same time"):
        write_between(database, other, change)


def test_a_site_write_is_not_starved(database: Database, other: Database) -> None:
    """Invariant 2: a site write succeeds while channels are written without a pause."""
    done = threading.Event()

    def keep_writing(channel: str) -> None:
        start_counters(other, channel)
        while not done.is_set():
            with other.write_channel(channel) as tx:
                add_one(tx, channel)

    def write_all() -> None:
        try:
            for number in range(3):
                with database.write_site() as tx:
                    add_user(tx, f"user{number}")
        finally:
            done.set()

    run_concurrently([lambda: keep_writing("one"), lambda: keep_writing("two"), write_all])
    assert 3 == count_users(other)


def test_many_threads_share_few_connections(place: Place) -> None:
    """All threads of a worker with two connections succeed."""
    few = place.open(connections=2)

    def work(number: int) -> None:
        with few.write_channel(f"channel{number}") as tx:
            add_user(tx, f"user{number}")
        assert 1 <= count_users(few)

    run_concurrently([lambda number=number: work(number) for number in range(16)])
    assert 16 == count_users(few)


# Holds of blobs.


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
def test_an_exclusive_blob_hold_excludes_others(
    database: Database, impatient: Database, first: bool, second: bool
) -> None:
    """Blobs being deleted are not referenced at the same time, and the other way round."""
    with holding(database, DIGESTS[:3], shared=first), pytest.raises(Unavailable):
        enter(holding(impatient, DIGESTS[2:5], shared=second))
    enter(holding(impatient, DIGESTS[2:5], shared=second))


@on_postgres
@pytest.mark.parametrize(
    ("first", "second", "digests"),
    [(True, True, DIGESTS[:3]), (False, False, DIGESTS[3:])],
    ids=["both shared", "different blobs"],
)
def test_compatible_blob_holds_do_not_wait(
    database: Database, impatient: Database, first: bool, second: bool, digests: list[bytes]
) -> None:
    """Uploads of equal bytes run concurrently, and a sweep blocks only transactions with its blobs."""
    with holding(database, DIGESTS[:3], shared=first), holding(impatient, digests, shared=second) as tx:
        lock_channel(impatient, tx, "one")
        add_user(tx, "second")
    assert 1 == count_users(database)


def test_blob_holds_in_any_order_do_not_deadlock(database: Database, other: Database) -> None:
    """Holds for many transactions with many blobs, followed by a channel."""

    def work(worker: Database, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(5):
            digests = chance.sample(DIGESTS, 20)
            with holding(worker, digests, shared=chance.random() < 0.5) as tx:
                lock_channel(worker, tx, chance.choice(["one", "two"]))
                add_user(tx, f"user{seed}.{number}")

    run_concurrently([lambda each=each: work(*each) for each in zip(cycle([database, other]), range(6), strict=False)])
    assert 30 == count_users(database)


def test_a_blob_can_be_listed_twice(database: Database) -> None:
    """A list of blobs can have duplicates or be empty."""
    for digests in ([], DIGESTS[:1] * 3):
        for shared in (True, False):
            enter(holding(database, digests, shared=shared))


# 4: exclusive tasks.


@pytest.mark.parametrize("same", [True, False], ids=["the same worker", "another worker"])
def test_an_exclusive_task_runs_once(database: Database, other: Database, same: bool) -> None:
    """Invariant 4: without waiting, a second worker learns that the task is running; other tasks are free."""
    second = database if same else other
    with database.exclusive("thing") as is_held:
        assert is_held
        assert not is_free(second, "thing")
        assert is_free(second, "another")
    assert is_free(second, "thing")


def test_an_exclusive_task_does_not_block_reads_and_writes(database: Database, other: Database) -> None:
    """Invariant 4: holds for its own worker and for others."""
    with database.exclusive("thing"):
        for number, worker in enumerate((database, other)):
            with worker.write_site() as tx:
                add_user(tx, f"user{number}")
    assert 2 == count_users(database)


def test_waiting_workers_run_an_exclusive_task_in_turn(database: Database, other: Database) -> None:
    """Invariant 4: of many threads of two workers only one runs at a time, and all get their turns."""
    inside: list[int] = []
    turns: Counter[int] = Counter()

    def work(worker: Database, number: int) -> None:
        for _ in range(10):
            with worker.exclusive("thing") as is_held:
                inside.append(number)
                turns[number] += 1
                assert is_held
                assert [number] == inside
                inside.remove(number)

    run_concurrently([lambda each=each: work(*each) for each in zip(cycle([database, other]), range(6), strict=False)])
    assert dict.fromkeys(range(6), 10) == turns


def test_an_exclusive_lock_ends_with_an_exception(database: Database, other: Database) -> None:
    """Invariant 4: the exception is raised unchanged, and another worker can run the task."""
    for error in (ZeroDivisionError, Unavailable, KeyboardInterrupt):
        with expect_error(error), database.exclusive("thing"):
            raise error("Something.")
        assert is_free(other, "thing")


def test_locks_end_with_their_process(place: Place, database: Database) -> None:
    """Invariants 2 and 4: a killed process blocks no other worker, and its uncommitted write is rolled back."""
    script = """
with database.exclusive("thing"), database.write_site() as tx:
    tx.execute(text("INSERT INTO users (name, is_admin, created_at) VALUES ('half', false, 0)"))
    send("inside")
    input()
"""
    with place.process(script) as process:
        process.wait_for("inside")
        assert not is_free(database, "thing")
        process.kill()
        with database.exclusive("thing") as is_held, database.write_site() as tx:
            assert is_held
            add_user(tx, "whole")
    assert 1 == count_users(database)


# 5: a shared lock excludes holds.


def can_hold(database: Database, thing: str = "thing") -> bool:
    with database.write_unlocked() as tx:
        return try_lock(tx, thing)


def test_a_shared_lock_cannot_be_held(database: Database, other: Database) -> None:
    """Invariant 5: any number of workers can share a lock; no transaction can hold it until the last share ends."""
    with database.share("thing"):
        with other.share("thing"), database.share("thing"):
            assert [False, False] == [can_hold(database), can_hold(other)]
        assert [False, True] == [can_hold(other), can_hold(other, "another")]
    assert [True, True] == [can_hold(database), can_hold(other)]


def test_a_share_waits_for_holders(database: Database, other: Database) -> None:
    """Invariant 5: a share begins after the commit of the holders, which can hold the lock repeatedly."""
    with ThreadPoolExecutor(1) as thread:
        with database.write_unlocked() as tx:
            assert [True, True] == [try_lock(tx, "thing"), try_lock(tx, "thing")]
            add_user(tx, "before")

            def share() -> int:
                with other.share("thing"):
                    return count_users(other)

            sharing = thread.submit(share)
            with pytest.raises(TimeoutError):
                sharing.result(0.2)
        assert 1 == sharing.result(_SECONDS)


def test_waiting_for_a_share_has_a_timeout(database: Database, impatient: Database) -> None:
    """Invariant 5: the wait is limited and leaves no lock."""
    with database.write_unlocked() as tx:
        assert try_lock(tx, "thing")
        with pytest.raises(Unavailable):
            enter(impatient.share("thing"))
    assert can_hold(database)


def test_a_share_ends_with_its_process(place: Place, database: Database) -> None:
    """Invariant 5: a killed process does not block later holds."""
    with place.process('with database.share("thing"):\n    send("inside")\n    input()\n') as process:
        process.wait_for("inside")
        assert not can_hold(database)
        process.kill()
        wait_until(lambda: can_hold(database))  # a server takes a moment to notice


def test_a_brief_write_does_not_wait_long(database: Database, other: Database) -> None:
    """It times out after a second instead of twenty, and otherwise works like any other write."""
    with database.write_site() as tx:
        add_user(tx, "first")
        deadline = time.monotonic() + 10
        with pytest.raises(Unavailable):
            enter(other.write_briefly())
        assert time.monotonic() < deadline
    with other.write_briefly() as tx:
        add_user(tx, "second")
    assert 2 == count_users(database)


# The change mark.


def test_reads_do_not_change_the_mark(database: Database, other: Database) -> None:
    """The mark changes only with a commit, not with reads, exclusive tasks or marks."""

    def quiet() -> bool:
        before = database.change_mark()
        for worker in (database, other):
            count_users(worker)
            is_free(worker, "thing")
            worker.change_mark()
        return before == database.change_mark()

    wait_until(quiet)  # autovacuum of PostgreSQL commits too


@pytest.mark.parametrize("begin", [write_site, write_channel, write_held_channel, write_nothing_held])
def test_every_commit_changes_the_mark(database: Database, other: Database, begin: Opening) -> None:
    """A commit by either worker changes the mark of both."""
    for number, worker in enumerate((database, other, database)):
        before = database.change_mark(), other.change_mark()
        with begin(worker) as tx:
            add_user(tx, f"user{number}")
        assert [True, True] == [old != each.change_mark() for old, each in zip(before, (database, other), strict=True)]


def test_a_mark_taken_during_a_write_changes_at_its_commit(database: Database, other: Database) -> None:
    with other.write_channel("one") as tx:
        add_user(tx, "user")
        before = database.change_mark()
        assert 0 == count_users(database)
    assert before != database.change_mark()


@on_postgres
def test_each_overlapping_write_changes_the_mark(database: Database, other: Database) -> None:
    """Each of two concurrent writes changes the mark at its commit, in either order."""
    for first, second in ((database, other), (other, database)):
        marks = []
        with ExitStack() as early, ExitStack() as late:
            for worker, stack in ((first, late), (second, early)):
                tx = stack.enter_context(worker.write_unlocked())
                add_user(tx, f"user {id(tx)} {len(marks)} {id(worker)}")
            for stack in (early, late):
                marks.append(database.change_mark())
                stack.close()
            marks.append(database.change_mark())
        assert 3 == len(set(marks))


def test_equal_marks_mean_that_nothing_was_missed(database: Database, other: Database) -> None:
    """A read between two equal marks sees all commits before the second mark (P6)."""
    committed = [0]
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(60):
                with other.write_channel("one") as tx:
                    add_user(tx, f"user{number}")
                committed[0] = number + 1
        finally:
            done.set()

    def read() -> None:
        while not done.is_set():
            before = database.change_mark()
            count = count_users(database)
            committed_before = committed[0]
            assert before != database.change_mark() or count >= committed_before

    run_concurrently([write, read])


# 3, and settings of the database server.


@on_postgres
def test_settings_of_the_server_do_not_weaken_guarantees(empty: Place) -> None:
    """Invariants 2 to 4: commits reach the disk, writes see earlier commits, and no idle session is closed."""
    name = urlsplit(empty.address).path.removeprefix("/")
    with psycopg.connect(empty.address.replace("//seaway@", "//postgres@"), autocommit=True) as admin:
        for scope in (f"DATABASE {name}", f"ROLE seaway IN DATABASE {name}"):
            for setting in (
                "synchronous_commit = off",
                "default_transaction_isolation = 'repeatable read'",
                "idle_session_timeout = 60000",
            ):
                admin.execute(f"ALTER {scope} SET {setting}".encode())
    database, other = empty.open(), empty.open()
    migrate(database)
    with closing(psycopg.connect(empty.address)) as plain:
        assert ("off",) == plain.execute("SHOW synchronous_commit").fetchone()
        assert ("repeatable read",) == plain.execute("SHOW transaction_isolation").fetchone()
    for _ in range(2):  # the second time with used connections
        for begin in (database.read, database.write_site, database.write_unlocked):
            with begin() as tx:
                shown = [
                    tx.execute(text(f"SHOW {setting}")).scalar()
                    for setting in ("synchronous_commit", "transaction_isolation", "idle_session_timeout")
                ]
            assert ["on", "repeatable read" if begin == database.read else "read committed", "0"] == shown
    start_counters(database, "one")

    def work(worker: Database) -> None:
        for _ in range(10):
            with worker.write_channel("one") as tx:
                add_one(tx, "one")

    run_concurrently([lambda each=each: work(each) for each in (database, other)])
    assert {"one": 20} == counted(database)


@on_sqlite
@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_a_commit_survives_a_power_loss(database: Database, pragma: str, value: object) -> None:
    """Invariant 3: WAL with synchronous=FULL (2) on all connections: a returned commit is on disk."""
    for begin in (database.read, database.write_site, database.write_unlocked):
        with begin() as tx:
            assert value == tx.execute(text(f"PRAGMA {pragma}")).scalar()


def test_foreign_keys_are_enforced(database: Database) -> None:
    """Deleting a row updates its references, on every database and connection."""
    with database.write_site() as tx:
        add_user(tx, "owner")
        tx.execute(text("INSERT INTO released_names (name, owner_id, released_at) SELECT 'old', id, 0 FROM users"))
        tx.execute(delete(users))
        assert [(None,)] == tx.execute(text("SELECT owner_id FROM released_names")).all()


# Names are sorted by their bytes.

NAMES = ["-a", "10", "9", "A", "B", "Z-a", "Z_a", "_a", "a", "a-b", "a.b", "aB", "a_b", "ab", "é", "中", "\U0001f980"]


def name_columns() -> list[tuple[str, str]]:
    """Return the columns that hold names."""
    return [
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name in ("name", "folded_name", "file_name")
    ]


def test_names_are_sorted_and_compared_by_their_bytes(database: Database) -> None:
    """Names in any case and script sort in byte order, and only equal bytes are equal."""
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    with database.write_site() as tx:
        for name in shuffled:
            add_user(tx, name)
            tx.execute(
                insert(channels).values(
                    name=name, description="", is_public=True, refuses_lookalikes=False, created_at=0
                )
            )
    with database.read() as tx:
        for column in (users.c.name, channels.c.name):
            assert NAMES == list(tx.execute(select(column).order_by(column)).scalars())
            assert NAMES[3:] == list(tx.execute(select(column).where(column >= "A").order_by(column)).scalars())
            assert ["a"] == list(tx.execute(select(column).where(column == "a")).scalars())


@on_postgres
def test_name_columns_have_byte_order_in_every_locale(database: Database) -> None:
    """Name columns state their own collation, so that of the database does not matter."""
    reflected = MetaData()
    with database.read() as tx:
        reflected.reflect(tx)
    collations = {
        (table.name, column.name): column.type.collation
        for table in reflected.sorted_tables
        for column in table.columns
        if isinstance(column.type, String) and not isinstance(column.type, Text)
    }
    assert len(name_columns()) >= 10
    assert {"C"} == {collations[column] for column in name_columns()}


# Unavailable databases.


def all_operations(database: Database) -> list[Callable[[], object]]:
    return [
        lambda: count_users(database),
        lambda: enter(database.write_site()),
        lambda: enter(database.write_channel("one")),
        lambda: enter(database.write_unlocked()),
        lambda: enter(database.exclusive("thing")),
        lambda: is_free(database, "thing"),
        database.change_mark,
    ]


def assert_works(database: Database) -> None:
    for act in all_operations(database):
        act()
    with database.write_channel("one") as tx:
        add_user(tx, "trial")
    with database.write_site() as tx:
        tx.execute(delete(users).where(users.c.name == "trial"))


def assert_fails_at_most_once(database: Database) -> None:
    """Assert that broken idle connections fail one request in total, not one each."""
    waits(lambda: count_users(database))
    assert_works(database)


@on_sqlite
def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path, kind: str) -> None:
    """Every operation fails with a message."""
    with closing(SqliteDatabase(tmp_path / "no folder" / "test.db", tmp_path / "locks")) as database:
        for act in (lambda: count_users(database), lambda: enter(database.write_site()), database.change_mark):
            with pytest.raises(Unavailable, match="cannot be opened"):
                act()


@on_sqlite
def test_commits_survive_a_temporarily_missing_file(tmp_path: Path, kind: str) -> None:
    """Opening a connection creates no new file, which would make SQLite delete the write-ahead log (sqlite 6)."""
    path, away, locks = tmp_path / "test.db", tmp_path / "away.db", tmp_path / "locks"
    with closing(SqliteDatabase(path, locks)) as database:
        prepare(database)
        with database.read():  # a connection in use
            with database.write_site() as tx:
                tx.execute(insert(site_values).values(name="kept", value=b"x"))
            path.rename(away)
            with pytest.raises(Unavailable, match="removed or replaced"):
                enter(database.read())
            with closing(SqliteDatabase(path, locks)) as other, pytest.raises(BadSetting, match="write-ahead log"):
                enter(other.read())
            assert not path.exists()
            away.rename(path)
    with closing(SqliteDatabase(path, locks)) as reopened, reopened.read() as tx:
        assert b"x" == tx.execute(select(site_values.c.value).where(site_values.c.name == "kept")).scalar()


def test_an_unreachable_server_is_unavailable(proxied_place: Place, proxy: FaultProxy) -> None:
    """All operations fail with a message, with and without open connections, and recover by themselves."""
    used, new = proxied_place.open(), proxied_place.open()
    assert_works(used)
    proxy.mode = Refuse()
    proxy.cut()
    for database in (used, new):
        for act in all_operations(database):
            with pytest.raises(
                Unavailable, match=r"^The (database does not respond|connection to the database was lost)"
            ):
                act()
    proxy.mode = Pass()
    for database in (used, new):
        assert_works(database)


def test_broken_connections_are_replaced(proxied_place: Place, proxy: FaultProxy) -> None:
    """The first thread that notices a network failure replaces the connections of all threads."""
    database = proxied_place.open()
    barrier = threading.Barrier(6)

    def read() -> None:
        with database.read() as tx:
            tx.execute(select(users.c.id))
            barrier.wait(20)

    run_concurrently([read] * 6)
    proxy.cut()
    assert_fails_at_most_once(database)


@pytest.mark.parametrize("notices", [True, False], ids=["at a statement", "at the commit"])
@pytest.mark.parametrize("begin", [write_site, write_channel, write_held_channel])
def test_an_interrupted_write_is_rolled_back(
    proxied_place: Place, proxy: FaultProxy, begin: Opening, notices: bool
) -> None:
    """A broken connection raises Unavailable; no partial write and no lock remain."""
    database, impatient = proxied_place.open(), proxied_place.open()
    with expect_error(), begin(database) as tx:
        add_user(tx, "half")
        proxy.cut()
        if notices:
            add_user(tx, "other half")
    wait_until(lambda: not waits(lambda: enter(impatient.write_site())))
    assert 0 == count_users(database)
    assert_works(database)


def test_an_interrupted_read_is_unavailable(proxied_place: Place, proxy: FaultProxy) -> None:
    """A broken connection must not look like the end of the rows."""
    database = proxied_place.open()
    with expect_error(), database.read() as tx:
        tx.execute(select(users.c.id))
        proxy.cut()
        tx.execute(select(users.c.id))
    assert_works(database)


@pytest.mark.parametrize("cause", [None, ZeroDivisionError], ids=["no error", "an error"])
def test_an_interrupted_stream_logs_no_library_error(
    proxied_place: Place, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, cause: type[Exception] | None
) -> None:
    """A reader that closes its cursor on a dead connection gets Unavailable, and no library logs an error."""
    database = proxied_place.open()
    rows = text("SELECT * FROM generate_series(1, 100000)").execution_options(yield_per=100)
    with expect_error(), database.read() as tx, tx.execute(rows) as found:
        found.fetchone()
        proxy.cut()
        if cause is not None:
            raise cause
    assert [] == [record.getMessage() for record in caplog.records]
    assert_works(database)


def test_an_exclusive_lock_ends_with_its_connection(proxied_place: Place, proxy: FaultProxy) -> None:
    """Invariant 4: a network failure during an exclusive task does not block the task forever."""
    database = proxied_place.open()
    with expect_error(ZeroDivisionError), database.exclusive("thing"):
        proxy.cut()
        raise ZeroDivisionError
    with database.exclusive("thing"):
        proxy.cut()
    assert_fails_at_most_once(database)
    wait_until(lambda: is_free(database, "thing"))


@pytest.mark.parametrize(
    "end", [Postgres.restart, lambda server: (server.kill(), server.start())], ids=["stop", "crash"]
)
def test_a_server_restart_keeps_commits(
    fragile: Postgres, fragile_place: Place, end: Callable[[Postgres], object]
) -> None:
    """Committed rows stay, open transactions raise Unavailable, and all workers recover by themselves."""
    database, other = fragile_place.open(), fragile_place.open()
    with other.write_site() as tx:
        add_user(tx, "committed")
    with expect_error(), database.write_site() as tx:
        add_user(tx, "open")
        end(fragile)
        add_user(tx, "later")
    for worker in (database, other):
        assert_fails_at_most_once(worker)
        assert 1 == count_users(worker)


@on_postgres
def test_a_terminated_session_is_unavailable(database: Database, other: Database) -> None:
    """A session ended by an administrator or failover raises Unavailable, and the next one works."""
    with expect_error(), database.write_site() as tx:
        add_user(tx, "half")
        pid = tx.execute(text("SELECT pg_backend_pid()")).scalar()
        with other.read() as admin:
            admin.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        add_user(tx, "other half")
    assert_works(database)
    assert 0 == count_users(database)


@on_postgres
def test_a_hanging_write_is_aborted(database: Database, other: Database) -> None:
    """A worker that hangs in a transaction blocks others only for a limited time and gets an error."""
    with expect_error(), database.write_site() as tx:
        assert "2min" == tx.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
        tx.execute(text("SET idle_in_transaction_session_timeout = 50"))
        add_user(tx, "hanging")
        with other.write_site() as going:
            add_user(going, "going")
        add_user(tx, "late")
    assert_works(database)
    assert 1 == count_users(database)


@on_postgres
def test_the_server_detects_a_vanished_client(database: Database) -> None:
    """Invariant 4: the locks of a machine without power must end within a minute."""
    with database.read() as tx:
        idle, interval, count = (
            tx.execute(text(f"SELECT setting::int FROM pg_settings WHERE name = 'tcp_keepalives_{name}'")).scalar_one()
            for name in ("idle", "interval", "count")
        )
    assert 0 < idle + interval * count <= 60


# Migrations.


@pytest.fixture
def later(tmp_path: Path) -> Migrations:
    """Return the migrations of a later version."""
    return later_migrations(tmp_path / "later")


def assert_newest(database: Database) -> None:
    with database.read() as tx:
        assert NEWEST == current(tx)
        assert [] == compare_metadata(MigrationContext.configure(tx), metadata)


def test_migrating_an_empty_database_gives_the_data_model(empty: Place) -> None:
    """Alembic finds no difference between the migrated schema and tables.py."""
    database = empty.open()
    assert migrate(database) is None
    assert_newest(database)
    assert NEWEST == migrate(database)
    assert_newest(database)


def test_an_older_schema_is_migrated(empty: Place, later: Migrations) -> None:
    """All rows are kept, the migration sees them, and `migrate` returns the previous revision."""
    database = empty.open()
    migrate(database)
    with database.write_site() as tx:
        tx.execute(insert(users).values(id=7, name="owner", display_name="Ada", is_admin=True, created_at=1))
    assert NEWEST == migrate(database, later)
    with database.read() as tx:
        assert "later" == current(tx)
        assert [("owner",)] == tx.execute(text("SELECT name FROM later_names")).all()
        row = tx.execute(text("SELECT id, name, display_name, later FROM users")).one()
        assert (7, "owner", "Ada", "") == tuple(row)
    assert "later" == migrate(database, later)


def test_a_migration_that_fails_leaves_the_older_schema(empty: Place, later: Migrations) -> None:
    """The migration is atomic: what prevents its last step undoes its first."""
    database = empty.open()
    migrate(database)
    with database.write_site() as tx:
        tx.execute(text("ALTER TABLE users ADD COLUMN later TEXT"))
    with pytest.raises((Unavailable, ProgrammingError)):
        migrate(database, later)
    with database.write_site() as tx:
        assert NEWEST == current(tx)
        assert not inspect(tx).has_table("later_names")
        tx.execute(text("ALTER TABLE users DROP COLUMN later"))
    assert NEWEST == migrate(database, later)


def test_a_start_creates_the_tables_of_a_new_site(empty: Place) -> None:
    """`prepare` creates the tables in an empty database, and later finds them."""
    for _ in range(2):
        database = empty.open()
        prepare(database)
        assert_newest(database)


def test_a_start_refuses_an_older_schema(empty: Place, later: Migrations) -> None:
    """The operator must have a backup first: one line names the schema and the command; nothing is changed."""
    database = empty.open()
    migrate(database)
    with pytest.raises(BadSetting, match=rf"older schema {NEWEST}.*`seaway migrate`") as refusal:
        prepare(database, later)
    assert 1 == len(str(refusal.value).splitlines())
    with database.read() as tx:
        assert NEWEST == current(tx)


def test_an_unknown_schema_is_refused(empty: Place) -> None:
    """A newer schema or an unfinished move is not changed; one line names it."""
    database = empty.open()
    migrate(database)
    for version, message in (("9999", "9999, which is newer"), (UNFINISHED, "an unfinished move")):
        with database.write_site() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        for act in (prepare, migrate):
            with pytest.raises(BadSetting, match=message) as refusal:
                act(database)
            assert 1 == len(str(refusal.value).splitlines())
        with database.read() as tx:
            assert version == current(tx)


def test_concurrent_starts_migrate_once(empty: Place) -> None:
    """Of eight threads with their own connections and two processes none fails, and one creates the tables."""
    script = """
from seaway.database.migrate import migrate, prepare
send("ready")
input()
prepare(database)
send("done")
"""
    with empty.process(script) as first, empty.process(script) as second:
        for process in (first, second):
            process.wait_for("ready")
        for process in (first, second):
            process.resume()
        workers = [empty.open(connections=2) for _ in range(8)]
        run_concurrently(
            [lambda each=each: each[0](each[1]) for each in zip(cycle([prepare, migrate]), workers, strict=False)]
        )
        for process in (first, second):
            process.wait_for("done")
    assert_newest(workers[0])
    with workers[0].read() as tx:
        assert [(NEWEST,)] == tx.execute(text("SELECT version_num FROM alembic_version")).all()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_with_another_encoding_is_refused(encoding: str) -> None:
    """An encoding that cannot store every text is a settings error that names the solution, without a traceback."""
    server = postgres.shared()
    name = f"in_{encoding.lower()}"
    server._administer(
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    database = PostgresDatabase(f"postgresql://seaway@127.0.0.1:{server.port}/{name}", connections=1)
    with pytest.raises(BadSetting, match=f"{encoding}.*UTF8"), database.read():
        pass
    database.close()
    server._administer(f"DROP DATABASE {name} WITH (FORCE)")
