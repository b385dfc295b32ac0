"""What the rest of Seaway asks of a database, asked of every database, as two workers or more have it open."""

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

from seaway.database.engine import Database, Tx, hold_channel, try_hold
from seaway.database.migrate import NEWEST, UNFINISHED, Migrations, current, migrate, prepare
from seaway.database.postgres import PostgresDatabase
from seaway.database.sqlite import SqliteDatabase
from seaway.database.tables import channels, emails, metadata, schedules, site_values, users
from seaway.errors import BadSetting, Unavailable
from tests.contracts.conftest import SQLITE, Place, failing, on_postgres, on_sqlite, together
from tests.support import postgres
from tests.support.migrations import later_migrations
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import until

_SECONDS = 60
SHORT_MS = 40  # the patience of a worker who is to find that he would wait
DIGESTS = [bytes([6 * number]) * 32 for number in range(40)]

Opening = Callable[[Database], AbstractContextManager[Tx]]


@pytest.fixture
def hasty(place: Place) -> Database:
    """A worker who would rather fail than wait."""
    return place.open(patience_ms=SHORT_MS)


def write_house(database: Database) -> AbstractContextManager[Tx]:
    return database.write_site()


def write_channel(database: Database, channel: str = "one") -> AbstractContextManager[Tx]:
    return database.write_channel(channel)


@contextmanager
def write_held_channel(database: Database) -> Iterator[Tx]:
    with database.write_part() as tx:
        hold_channel(database, tx, "one")
        yield tx


def write_nothing_held(database: Database) -> AbstractContextManager[Tx]:
    return database.write_part()


@contextmanager
def holding(database: Database, digests: list[bytes], *, shared: bool) -> Iterator[Tx]:
    with database.write_part() as tx:
        database.hold_blobs(tx, digests, shared=shared)
        yield tx


def add_user(tx: Tx, name: str) -> None:
    tx.execute(insert(users).values(name=name, is_admin=False, created_at=0))


def add_ada(tx: Tx, other: Database) -> None:
    """Add a user whom another adds first."""
    with other.write_part() as beside:
        add_user(beside, "ada")
    add_user(tx, "ada")


def name_ada(tx: Tx, other: Database) -> None:
    """Add an address of a user whom another deletes."""
    user_id = tx.execute(select(users.c.id)).scalar_one()
    with other.write_part() as beside:
        beside.execute(delete(users))
    tx.execute(insert(emails).values(user_id=user_id, address="a", folded="a", is_primary=True, added_at=0))


def write_between(database: Database, other: Database, change: Callable[[Tx, Database], None]) -> None:
    with other.write_part() as tx:
        add_user(tx, "bob")
    with database.write_part() as tx:
        change(tx, other)


def count_users(database: Database) -> int:
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(users)).scalar_one()


def start_counters(database: Database, *names: str) -> None:
    with database.write_site() as tx:
        tx.execute(insert(schedules), [{"kind": name, "next_at": 0} for name in names])


def add_one(tx: Tx, name: str) -> None:
    """Read, then write what follows from it."""
    value = tx.execute(select(schedules.c.next_at).where(schedules.c.kind == name)).scalar_one()
    tx.execute(update(schedules).where(schedules.c.kind == name).values(next_at=value + 1))


def counted(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return {row.kind: row.next_at for row in tx.execute(select(schedules.c.kind, schedules.c.next_at))}


def is_free(database: Database, thing: str) -> bool:
    with database.exclusive(thing, wait=False) as mine:
        return mine


def waits(act: Callable[[], object]) -> bool:
    """Whether a hasty worker finds that he would have to wait."""
    try:
        act()
    except Unavailable:
        return True
    return False


def enter(opened: AbstractContextManager[object]) -> None:
    with opened:
        pass


# 1: a read sees one state.


@pytest.mark.parametrize("begin", [write_house, write_channel, write_held_channel])
def test_a_read_sees_one_state(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 1: what another worker commits during a read is not part of it, and is part of the next one."""
    names = select(users.c.name)
    with database.read() as reading:
        assert [] == reading.execute(names).all()
        with begin(other) as writing:
            add_user(writing, "late")
        assert [] == reading.execute(names).all()
        assert 0 == reading.execute(select(func.count()).select_from(users)).scalar()
    assert 1 == count_users(database)


def test_a_read_sees_whole_transactions(database: Database, other: Database) -> None:
    """Invariant 1: two tables that are always changed together are equal in every read, in whichever order they are read."""
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

    together([write, lambda: read(users, schedules), lambda: read(schedules, users)])


@pytest.mark.parametrize("begin", [write_house, write_channel, write_held_channel, write_nothing_held])
def test_a_write_is_seen_by_nobody_before_it_commits(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 1: no read, of this worker or another, sees half of a transaction; then both see all of it."""
    with begin(database) as tx:
        add_user(tx, "early")
        assert [0, 0] == [count_users(database), count_users(other)]
    assert [1, 1] == [count_users(database), count_users(other)]


# 2: what a write has read cannot change before it commits.


@pytest.mark.parametrize("begin", [write_house, write_channel, write_held_channel, write_nothing_held])
def test_a_failed_write_leaves_nothing(database: Database, other: Database, begin: Opening) -> None:
    """Invariant 2: an exception undoes all of the transaction, comes out as it is, and ends every hold."""
    with failing(ZeroDivisionError), begin(database) as tx:
        add_user(tx, "half")
        raise ZeroDivisionError
    assert 0 == count_users(other)
    with other.write_site() as tx:
        add_user(tx, "whole")
    assert 1 == count_users(database)


def test_counters_add_up(place: Place, database: Database, other: Database) -> None:
    """Invariant 2: what many threads of two workers and a process read and then write is not lost; marks see all of it."""
    start_counters(database, "house", "one", "two")
    script = """
from seaway.database.tables import schedules
from sqlalchemy import select, update
tell("ready")
for number in range(31):
    if number in (0, 1):
        input()
    name = ("house", "one", "two")[number % 3]
    with (database.write_site() if name == "house" else database.write_channel(name)) as tx:
        value = tx.execute(select(schedules.c.next_at).where(schedules.c.kind == name)).scalar_one()
        tx.execute(update(schedules).where(schedules.c.kind == name).values(next_at=value + 1))
    if number in (0, 30):
        tell("done")
"""

    def work(worker: Database, name: str) -> None:
        for _ in range(10):
            with worker.write_site() if name == "house" else worker.write_channel(name) as tx:
                add_one(tx, name)

    with place.process(script) as process:
        process.hear("ready")
        before = database.change_mark()
        process.go_on()
        process.hear("done")
        assert before != database.change_mark()
        process.go_on()
        workers = [(worker, name) for worker in (database, other) for name in ("house", "one", "two", "one")]
        together([lambda each=each: work(*each) for each in workers])
        process.hear("done")
    assert {"house": 31, "one": 50, "two": 30} == counted(database)


def test_a_house_write_and_channel_writes_do_not_mix(database: Database, other: Database) -> None:
    """Invariant 2: a plain write reads what every channel wrote, and channels read what it wrote: one counter adds up."""
    start_counters(database, "both")

    def work(worker: Database, channel: str | None) -> None:
        for _ in range(10):
            with worker.write_site() if channel is None else worker.write_channel(channel) as tx:
                add_one(tx, "both")

    together([lambda each=each: work(*each) for each in ((database, None), (other, "one"), (database, "one"))])
    assert {"both": 30} == counted(database)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (write_house, write_house),
        (write_house, write_channel),
        (write_house, write_held_channel),
        (write_house, write_nothing_held),
        (write_channel, write_house),
        (write_held_channel, write_house),
        (write_nothing_held, write_house),
        (write_channel, write_channel),
        (write_channel, write_held_channel),
        (write_held_channel, write_channel),
    ],
)
def test_writers_of_the_same_wait_for_each_other(
    database: Database, hasty: Database, first: Opening, second: Opening
) -> None:
    """Invariant 2: the house excludes everything, a channel itself; who waits too long is told in a sentence."""
    with first(database) as tx:
        add_user(tx, "first")
        with pytest.raises(Unavailable, match="does not answer"):
            enter(second(hasty))
    with second(hasty) as tx:
        add_user(tx, "second")
    assert 2 == count_users(database)


@pytest.mark.parametrize("second", [lambda worker: write_channel(worker, "two"), write_nothing_held])
def test_writers_of_other_channels(kind: str, database: Database, hasty: Database, second: Opening) -> None:
    """Invariant 2: on PostgreSQL channels are written side by side; SQLite has one writer."""
    with write_channel(database, "one") as tx:
        add_user(tx, "first")
        assert (kind == SQLITE) == waits(lambda: enter(second(hasty)))


@on_postgres
@pytest.mark.parametrize("change", [add_ada, name_ada], ids=["an equal row came", "a row that it names went"])
def test_what_others_do_between_look_and_write_is_told_as_such(
    database: Database, other: Database, change: Callable[[Tx, Database], None]
) -> None:
    """Invariant 2: what a write does not lock may change under it; then it is a 503, to try again, and no 500."""
    with pytest.raises(Unavailable, match="at the same time"):
        write_between(database, other, change)


def test_who_waits_for_the_house_gets_it(database: Database, other: Database) -> None:
    """Invariant 2: a plain write is not starved by channels that are written without a pause."""
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

    together([lambda: keep_writing("one"), lambda: keep_writing("two"), write_all])
    assert 3 == count_users(other)


def test_threads_share_few_connections(place: Place) -> None:
    """Many threads of a worker with two connections all get their turn."""
    few = place.open(connections=2)

    def work(number: int) -> None:
        with few.write_channel(f"channel{number}") as tx:
            add_user(tx, f"user{number}")
        assert 1 <= count_users(few)

    together([lambda number=number: work(number) for number in range(16)])
    assert 16 == count_users(few)


# Holds of blobs.


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
def test_who_takes_a_blob_has_it_alone(database: Database, hasty: Database, first: bool, second: bool) -> None:
    """Blobs that are taken away meanwhile are not named, and the other way round; then the next has its turn."""
    with holding(database, DIGESTS[:3], shared=first), pytest.raises(Unavailable):
        enter(holding(hasty, DIGESTS[2:5], shared=second))
    enter(holding(hasty, DIGESTS[2:5], shared=second))


@on_postgres
@pytest.mark.parametrize(
    ("first", "second", "digests"),
    [(True, True, DIGESTS[:3]), (False, False, DIGESTS[3:])],
    ids=["both name them", "different ones"],
)
def test_who_does_not_take_the_same_blobs_need_not_wait(
    database: Database, hasty: Database, first: bool, second: bool, digests: list[bytes]
) -> None:
    """Uploads of equal bytes run together, and a sweep does not stop what has nothing to do with its blobs."""
    with holding(database, DIGESTS[:3], shared=first), holding(hasty, digests, shared=second) as tx:
        hold_channel(hasty, tx, "one")
        add_user(tx, "second")
    assert 1 == count_users(database)


def test_the_order_of_blobs_does_not_matter(database: Database, other: Database) -> None:
    """Many that hold many blobs, in whichever order they name them, and a channel after that, do not deadlock."""

    def work(worker: Database, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(5):
            digests = chance.sample(DIGESTS, 20)
            with holding(worker, digests, shared=chance.random() < 0.5) as tx:
                hold_channel(worker, tx, chance.choice(["one", "two"]))
                add_user(tx, f"user{seed}.{number}")

    together([lambda each=each: work(*each) for each in zip(cycle([database, other]), range(6), strict=False)])
    assert 30 == count_users(database)


def test_a_blob_may_be_named_twice(database: Database) -> None:
    """A list of blobs may hold one several times, or none at all."""
    for digests in ([], DIGESTS[:1] * 3):
        for shared in (True, False):
            enter(holding(database, digests, shared=shared))


# 4: alone.


@pytest.mark.parametrize("same", [True, False], ids=["the same worker", "another worker"])
def test_a_thing_is_done_by_one(database: Database, other: Database, same: bool) -> None:
    """Invariant 4: who does not want to wait is told that another does it; other things are done meanwhile."""
    second = database if same else other
    with database.exclusive("thing") as mine:
        assert mine
        assert not is_free(second, "thing")
        assert is_free(second, "another")
    assert is_free(second, "thing")


def test_doing_a_thing_alone_stops_nobody_else(database: Database, other: Database) -> None:
    """Invariant 4: reads and writes go on, of who does the thing and of others."""
    with database.exclusive("thing"):
        for number, worker in enumerate((database, other)):
            with worker.write_site() as tx:
                add_user(tx, f"user{number}")
    assert 2 == count_users(database)


def test_who_waits_to_do_a_thing_does_it_alone(database: Database, other: Database) -> None:
    """Invariant 4: of many threads of two workers one is inside at any moment, and all have their turns."""
    inside: list[int] = []
    turns: Counter[int] = Counter()

    def work(worker: Database, number: int) -> None:
        for _ in range(10):
            with worker.exclusive("thing") as mine:
                inside.append(number)
                turns[number] += 1
                assert mine
                assert [number] == inside
                inside.remove(number)

    together([lambda each=each: work(*each) for each in zip(cycle([database, other]), range(6), strict=False)])
    assert dict.fromkeys(range(6), 10) == turns


def test_a_right_ends_with_an_exception(database: Database, other: Database) -> None:
    """Invariant 4: whatever goes wrong inside comes out as it is, and another may do the thing."""
    for error in (ZeroDivisionError, Unavailable, KeyboardInterrupt):
        with failing(error), database.exclusive("thing"):
            raise error("Something.")
        assert is_free(other, "thing")


def test_rights_end_with_their_process(place: Place, database: Database) -> None:
    """Invariants 2 and 4: a process that is killed keeps nobody waiting, and half a write of it is nowhere."""
    script = """
with database.exclusive("thing"), database.write_site() as tx:
    tx.execute(text("INSERT INTO users (name, is_admin, created_at) VALUES ('half', false, 0)"))
    tell("inside")
    input()
"""
    with place.process(script) as process:
        process.hear("inside")
        assert not is_free(database, "thing")
        process.kill()
        with database.exclusive("thing") as mine, database.write_site() as tx:
            assert mine
            add_user(tx, "whole")
    assert 1 == count_users(database)


# 5: what is shared is held by nobody.


def may_hold(database: Database, thing: str = "thing") -> bool:
    with database.write_part() as tx:
        return try_hold(tx, thing)


def test_what_is_shared_is_not_held(database: Database, other: Database) -> None:
    """Invariant 5: any number may share a thing; until the last has left it, no transaction gets it."""
    with database.share("thing"):
        with other.share("thing"), database.share("thing"):
            assert [False, False] == [may_hold(database), may_hold(other)]
        assert [False, True] == [may_hold(other), may_hold(other, "another")]
    assert [True, True] == [may_hold(database), may_hold(other)]


def test_who_shares_waits_for_who_holds(database: Database, other: Database) -> None:
    """Invariant 5: a share begins after the commit of those that hold the thing; they get it as often as they ask."""
    with ThreadPoolExecutor(1) as thread:
        with database.write_part() as tx:
            assert [True, True] == [try_hold(tx, "thing"), try_hold(tx, "thing")]
            add_user(tx, "before")

            def share() -> int:
                with other.share("thing"):
                    return count_users(other)

            sharing = thread.submit(share)
            with pytest.raises(TimeoutError):
                sharing.result(0.2)
        assert 1 == sharing.result(_SECONDS)


def test_who_waits_too_long_to_share_is_told(database: Database, hasty: Database) -> None:
    """Invariant 5: the wait is bounded, and nothing of it is left."""
    with database.write_part() as tx:
        assert try_hold(tx, "thing")
        with pytest.raises(Unavailable):
            enter(hasty.share("thing"))
    assert may_hold(database)


def test_a_share_ends_with_its_process(place: Place, database: Database) -> None:
    """Invariant 5: a process that is killed keeps nobody from holding."""
    with place.process('with database.share("thing"):\n    tell("inside")\n    input()\n') as process:
        process.hear("inside")
        assert not may_hold(database)
        process.kill()
        until(lambda: may_hold(database))  # a server takes a moment to notice


def test_a_brief_write_does_not_wait_long(database: Database, other: Database) -> None:
    """It gives up after a second where others wait twenty, and otherwise writes like any other."""
    with database.write_site() as tx:
        add_user(tx, "first")
        deadline = time.monotonic() + 10
        with pytest.raises(Unavailable):
            enter(other.write_briefly())
        assert time.monotonic() < deadline
    with other.write_briefly() as tx:
        add_user(tx, "second")
    assert 2 == count_users(database)


# The mark of change.


def test_reading_leaves_the_mark(database: Database, other: Database) -> None:
    """The mark stays as long as nobody commits, whatever is read, done alone or marked."""

    def quiet() -> bool:
        before = database.change_mark()
        for worker in (database, other):
            count_users(worker)
            is_free(worker, "thing")
            worker.change_mark()
        return before == database.change_mark()

    until(quiet)  # PostgreSQL tidies up now and then, and that is a commit too


@pytest.mark.parametrize("begin", [write_house, write_channel, write_held_channel, write_nothing_held])
def test_every_commit_changes_the_mark(database: Database, other: Database, begin: Opening) -> None:
    """The mark differs after a commit by this worker and by another, for both of them."""
    for number, worker in enumerate((database, other, database)):
        before = database.change_mark(), other.change_mark()
        with begin(worker) as tx:
            add_user(tx, f"user{number}")
        assert [True, True] == [old != each.change_mark() for old, each in zip(before, (database, other), strict=True)]


def test_a_mark_of_an_open_write_is_not_that_of_its_end(database: Database, other: Database) -> None:
    """A mark taken while another worker writes says nothing of what that one commits."""
    with other.write_channel("one") as tx:
        add_user(tx, "user")
        before = database.change_mark()
        assert 0 == count_users(database)
    assert before != database.change_mark()


@on_postgres
def test_writes_that_overlap_change_the_mark_one_by_one(database: Database, other: Database) -> None:
    """Of two writes side by side each changes the mark when it commits, in whichever order they began."""
    for first, second in ((database, other), (other, database)):
        marks = []
        with ExitStack() as early, ExitStack() as late:
            for worker, stack in ((first, late), (second, early)):
                tx = stack.enter_context(worker.write_part())
                add_user(tx, f"user {id(tx)} {len(marks)} {id(worker)}")
            for stack in (early, late):
                marks.append(database.change_mark())
                stack.close()
            marks.append(database.change_mark())
        assert 3 == len(set(marks))


def test_equal_marks_mean_that_nothing_was_missed(database: Database, other: Database) -> None:
    """What was read between two equal marks holds all that had been committed before the second (P6)."""
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
            answered = committed[0]
            assert before != database.change_mark() or count >= answered

    together([write, read])


# 3, and what the server's operator may have set.


@on_postgres
def test_settings_of_the_server_do_not_weaken_a_promise(empty: Place) -> None:
    """Invariants 2 to 4: commits reach the disk, writes see what came before them, and no session ends by itself."""
    name = urlsplit(empty.address).path.removeprefix("/")
    with psycopg.connect(empty.address.replace("//seaway@", "//postgres@"), autocommit=True) as admin:
        for whose in (f"DATABASE {name}", f"ROLE seaway IN DATABASE {name}"):
            for setting in (
                "synchronous_commit = off",
                "default_transaction_isolation = 'repeatable read'",
                "idle_session_timeout = 60000",
            ):
                admin.execute(f"ALTER {whose} SET {setting}".encode())
    database, other = empty.open(), empty.open()
    migrate(database)
    with closing(psycopg.connect(empty.address)) as plain:
        assert ("off",) == plain.execute("SHOW synchronous_commit").fetchone()
        assert ("repeatable read",) == plain.execute("SHOW transaction_isolation").fetchone()
    for _ in range(2):  # the second time with connections that were used before
        for begin in (database.read, database.write_site, database.write_part):
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

    together([lambda each=each: work(each) for each in (database, other)])
    assert {"one": 20} == counted(database)


@on_sqlite
@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_a_commit_survives_the_loss_of_power(database: Database, pragma: str, value: object) -> None:
    """Invariant 3: WAL with synchronous=FULL (2), in reads and writes alike: a commit that returned is on the disk."""
    for begin in (database.read, database.write_site, database.write_part):
        with begin() as tx:
            assert value == tx.execute(text(f"PRAGMA {pragma}")).scalar()


def test_foreign_keys_are_kept(database: Database) -> None:
    """What belongs to a row goes with it, on every database and connection."""
    with database.write_site() as tx:
        add_user(tx, "owner")
        tx.execute(text("INSERT INTO released_names (name, owner_id, released_at) SELECT 'old', id, 0 FROM users"))
        tx.execute(delete(users))
        assert [(None,)] == tx.execute(text("SELECT owner_id FROM released_names")).all()


# Names are sorted by their bytes.

NAMES = ["-a", "10", "9", "A", "B", "Z-a", "Z_a", "_a", "a", "a-b", "a.b", "aB", "a_b", "ab", "é", "中", "\U0001f980"]


def name_columns() -> list[tuple[str, str]]:
    """The columns that hold names: those whose type the data model makes for them."""
    return [
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name in ("name", "folded_name", "file_name")
    ]


def test_names_are_sorted_and_compared_by_their_bytes(database: Database) -> None:
    """Upper and lower case, digits, signs and other scripts come in byte order, and only equal bytes are equal."""
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
def test_every_name_is_sorted_by_its_bytes_in_every_locale(database: Database) -> None:
    """The columns of names say their collation themselves; that of the database, which may be any, does not count."""
    reflected = MetaData()
    with database.read() as tx:
        reflected.reflect(tx)
    found = {
        (table.name, column.name): column.type.collation
        for table in reflected.sorted_tables
        for column in table.columns
        if isinstance(column.type, String) and not isinstance(column.type, Text)
    }
    assert len(name_columns()) >= 10
    assert {"C"} == {found[column] for column in name_columns()}


# A database that is away.


def every_way(database: Database) -> list[Callable[[], object]]:
    return [
        lambda: count_users(database),
        lambda: enter(database.write_site()),
        lambda: enter(database.write_channel("one")),
        lambda: enter(database.write_part()),
        lambda: enter(database.exclusive("thing")),
        lambda: is_free(database, "thing"),
        database.change_mark,
    ]


def assert_works(database: Database) -> None:
    for act in every_way(database):
        act()
    with database.write_channel("one") as tx:
        add_user(tx, "trial")
    with database.write_site() as tx:
        tx.execute(delete(users).where(users.c.name == "trial"))


def assert_fails_at_most_once(database: Database) -> None:
    """Connections that broke while nobody used them cost one request, and not one each."""
    waits(lambda: count_users(database))
    assert_works(database)


@on_sqlite
def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path, kind: str) -> None:
    """Whatever is asked of it, a sentence says so."""
    with closing(SqliteDatabase(tmp_path / "no folder" / "test.db", tmp_path / "locks")) as database:
        for act in (lambda: count_users(database), lambda: enter(database.write_site()), database.change_mark):
            with pytest.raises(Unavailable, match="cannot be opened"):
                act()


@on_sqlite
def test_commits_outlive_a_file_that_was_away(tmp_path: Path, kind: str) -> None:
    """Whoever opens a connection meanwhile makes no new file, beside which SQLite would delete the log (sqlite 6)."""
    path, away, locks = tmp_path / "test.db", tmp_path / "away.db", tmp_path / "locks"
    with closing(SqliteDatabase(path, locks)) as database:
        prepare(database)
        with database.read():  # a connection that stays in use
            with database.write_site() as tx:
                tx.execute(insert(site_values).values(name="kept", value=b"x"))
            path.rename(away)
            with pytest.raises(Unavailable, match="removed or replaced"):
                enter(database.read())
            with closing(SqliteDatabase(path, locks)) as other, pytest.raises(BadSetting, match="write-ahead log"):
                enter(other.read())
            assert not path.exists()
            away.rename(path)
    with closing(SqliteDatabase(path, locks)) as again, again.read() as tx:
        assert b"x" == tx.execute(select(site_values.c.value).where(site_values.c.name == "kept")).scalar()


def test_a_server_that_is_away_is_unavailable(distant: Place, proxy: FaultProxy) -> None:
    """Everything says so in a sentence, with connections and without; everything works again by itself afterwards."""
    used, new = distant.open(), distant.open()
    assert_works(used)
    proxy.mode = Refuse()
    proxy.cut()
    for database in (used, new):
        for act in every_way(database):
            with pytest.raises(
                Unavailable, match=r"^The (database does not answer|connection to the database was lost)"
            ):
                act()
    proxy.mode = Pass()
    for database in (used, new):
        assert_works(database)


def test_connections_that_broke_are_replaced(distant: Place, proxy: FaultProxy) -> None:
    """After a cut of the network, the connections of many threads are all made anew by the first that notices."""
    database = distant.open()
    meeting = threading.Barrier(6)

    def read() -> None:
        with database.read() as tx:
            tx.execute(select(users.c.id))
            meeting.wait(20)

    together([read] * 6)
    proxy.cut()
    assert_fails_at_most_once(database)


@pytest.mark.parametrize("notices", [True, False], ids=["at a statement", "at the commit"])
@pytest.mark.parametrize("begin", [write_house, write_channel, write_held_channel])
def test_a_write_that_is_cut_leaves_nothing(distant: Place, proxy: FaultProxy, begin: Opening, notices: bool) -> None:
    """A connection that breaks in the middle is Unavailable; nothing is half written, and nothing stays held."""
    database, hasty = distant.open(), distant.open()
    with failing(), begin(database) as tx:
        add_user(tx, "half")
        proxy.cut()
        if notices:
            add_user(tx, "other half")
    until(lambda: not waits(lambda: enter(hasty.write_site())))
    assert 0 == count_users(database)
    assert_works(database)


def test_a_read_that_is_cut_is_unavailable(distant: Place, proxy: FaultProxy) -> None:
    """A connection that breaks in the middle of a read does not look like the end of the rows."""
    database = distant.open()
    with failing(), database.read() as tx:
        tx.execute(select(users.c.id))
        proxy.cut()
        tx.execute(select(users.c.id))
    assert_works(database)


@pytest.mark.parametrize("cause", [None, ZeroDivisionError], ids=["no error", "an error"])
def test_a_stream_that_is_cut_logs_nothing_of_its_own(
    distant: Place, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, cause: type[Exception] | None
) -> None:
    """A reader that stops early closes its cursor on a dead connection: Unavailable, and no line of the library."""
    database = distant.open()
    rows = text("SELECT * FROM generate_series(1, 100000)").execution_options(yield_per=100)
    with failing(), database.read() as tx, tx.execute(rows) as found:
        found.fetchone()
        proxy.cut()
        if cause is not None:
            raise cause
    assert [] == [record.getMessage() for record in caplog.records]
    assert_works(database)


def test_a_right_ends_with_its_connection(distant: Place, proxy: FaultProxy) -> None:
    """Invariant 4: a network that breaks while a thing is done alone keeps nobody from it for ever."""
    database = distant.open()
    with failing(ZeroDivisionError), database.exclusive("thing"):
        proxy.cut()
        raise ZeroDivisionError
    with database.exclusive("thing"):
        proxy.cut()
    assert_fails_at_most_once(database)
    until(lambda: is_free(database, "thing"))


@pytest.mark.parametrize(
    "end", [Postgres.restart, lambda server: (server.kill(), server.start())], ids=["stop", "crash"]
)
def test_a_server_that_starts_again(fragile: Postgres, fragile_place: Place, end: Callable[[Postgres], object]) -> None:
    """What was committed is there, what was open is not and is Unavailable; then everything works by itself."""
    database, other = fragile_place.open(), fragile_place.open()
    with other.write_site() as tx:
        add_user(tx, "committed")
    with failing(), database.write_site() as tx:
        add_user(tx, "open")
        end(fragile)
        add_user(tx, "later")
    for worker in (database, other):
        assert_fails_at_most_once(worker)
        assert 1 == count_users(worker)


@on_postgres
def test_a_session_that_the_operator_ends_is_unavailable(database: Database, other: Database) -> None:
    """What an administrator or a failover ends in the middle is said in a sentence, and works again."""
    with failing(), database.write_site() as tx:
        add_user(tx, "half")
        pid = tx.execute(text("SELECT pg_backend_pid()")).scalar()
        with other.read() as ending:
            ending.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        add_user(tx, "other half")
    assert_works(database)
    assert 0 == count_users(database)


@on_postgres
def test_who_hangs_in_a_write_loses_it(database: Database, other: Database) -> None:
    """A worker that stops in the middle of a transaction keeps the others waiting for a time only, and is told."""
    with failing(), database.write_site() as tx:
        assert "2min" == tx.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
        tx.execute(text("SET idle_in_transaction_session_timeout = 50"))
        add_user(tx, "hanging")
        with other.write_site() as going:
            add_user(going, "going")
        add_user(tx, "late")
    assert_works(database)
    assert 1 == count_users(database)


@on_postgres
def test_the_server_notices_a_machine_that_vanished(database: Database) -> None:
    """Invariant 4: a machine that lost its power says no goodbye, and has to lose its rights within a minute."""
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


def test_an_empty_database_becomes_the_data_model(empty: Place) -> None:
    """Made by the migrations, it does not differ from tables.py in anything that alembic compares."""
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


def test_a_start_makes_the_tables_of_a_new_house(empty: Place) -> None:
    """`prepare` makes what an empty database needs, and later finds it."""
    for _ in range(2):
        database = empty.open()
        prepare(database)
        assert_newest(database)


def test_a_start_refuses_an_older_schema(empty: Place, later: Migrations) -> None:
    """Only the operator knows of the backup: one line says which schema it is and what to do, and nothing is changed."""
    database = empty.open()
    migrate(database)
    with pytest.raises(BadSetting, match=rf"older schema {NEWEST}.*`seaway migrate`") as refusal:
        prepare(database, later)
    assert 1 == len(str(refusal.value).splitlines())
    with database.read() as tx:
        assert NEWEST == current(tx)


def test_an_unknown_schema_is_refused(empty: Place) -> None:
    """What a newer Seaway made is not touched, nor half of a move; one line says which it is."""
    database = empty.open()
    migrate(database)
    for version, words in (("9999", "9999, which is newer"), (UNFINISHED, "an unfinished move")):
        with database.write_site() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        for act in (prepare, migrate):
            with pytest.raises(BadSetting, match=words) as refusal:
                act(database)
            assert 1 == len(str(refusal.value).splitlines())
        with database.read() as tx:
            assert version == current(tx)


def test_workers_that_start_at_once_migrate_once(empty: Place) -> None:
    """Of eight threads, each with the database opened for itself, and two processes none fails, and one makes the tables."""
    script = """
from seaway.database.migrate import migrate, prepare
tell("ready")
input()
prepare(database)
tell("done")
"""
    with empty.process(script) as one, empty.process(script) as two:
        for process in (one, two):
            process.hear("ready")
        for process in (one, two):
            process.go_on()
        workers = [empty.open(connections=2) for _ in range(8)]
        together([lambda each=each: each[0](each[1]) for each in zip(cycle([prepare, migrate]), workers, strict=False)])
        for process in (one, two):
            process.hear("done")
    assert_newest(workers[0])
    with workers[0].read() as tx:
        assert [(NEWEST,)] == tx.execute(text("SELECT version_num FROM alembic_version")).all()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_text_is_refused(encoding: str) -> None:
    """A database of another encoding is an error of the settings, with the cure, and not a traceback."""
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
