"""A database that was moved has the same rows, and the move can be killed and repeated, and mixes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from seaway.backup import rows as moving_rows
from seaway.backup import tables
from seaway.backup.blob_copy import DamagedData
from seaway.backup.move_database import move_database
from seaway.database.engine import Database
from seaway.database.migrate import NEWEST, current, migrate, prepare
from seaway.database.sqlite import SqliteDatabase
from seaway.database.tables import metadata
from seaway.errors import BadSetting, Unavailable
from seaway.maintenance.check import check
from seaway.server.wiring import Seaway
from tests.backup.conftest import Source
from tests.backup.sites import PUBLIC, HookedDatabase, StopError, open_house, rows, served, stop_at
from tests.indexing.channel import Channel
from tests.support import postgres, state
from tests.support.packages import conda, index_json
from tests.support.sites import Factory

ALL: frozenset[str] = frozenset()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = SqliteDatabase(tmp_path / "moved" / "data" / "seaway.db", tmp_path / "moved" / "data" / "locks")
    (tmp_path / "moved" / "data").mkdir(parents=True)
    yield database
    database.close()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_rows, "_BATCH_ROWS", 4)


def assert_moved(source: Seaway, target: Database) -> None:
    assert rows(source.site.database, but=ALL) == rows(target, but=ALL)
    with target.read() as tx:
        assert NEWEST == current(tx)
        assert [] == compare_metadata(MigrationContext.configure(tx), metadata)


def killed(source: Seaway, target: Database, at: int) -> None:
    with pytest.raises(StopError):
        move_database(source.site.database, HookedDatabase(target, stop_at(at)))  # type: ignore[arg-type]


def test_a_house_goes_on_in_its_new_database(
    source: Seaway, furnished: Source, served_there: dict[str, bytes], target: Database, tmp_path: Path
) -> None:
    """Every row is there, readers get the same, and no id is given out again."""
    counts = move_database(source.site.database, target)
    assert_moved(source, target)
    assert {name: len(found) for name, found in rows(source.site.database, but=ALL, left_out=()).items()} == counts
    with source.site.database.read() as tx, target.read() as other:
        before = tables.last_ids(tx)
        assert before == tables.last_ids(other)

    settings = state.settings(tmp_path / "source") | {
        "storage_url": source.settings.effective_storage_url,
        "database_url": "",
    }
    here = open_house(tmp_path / "moved", **settings)
    assert served_there == served(here, furnished.key)
    Channel(here, PUBLIC).put(conda(index_json("later")))
    Factory(here).channel("later")
    assert [] == list(check(here))
    with here.site.database.read() as tx:
        assert before["channels"] + 1 == tables.last_ids(tx)["channels"]
    here.close()


@pytest.mark.usefixtures("small_batches")
def test_a_killed_move_goes_on(source: Seaway, target: Database) -> None:
    """Database invariants 2 and 4: killed wherever it writes, it goes on behind what was committed, and is not served from."""
    tries = 0
    while tries < 100:
        tries += 1
        try:
            # Each try writes less than it must: the beginning, and one to nine batches.
            move_database(source.site.database, HookedDatabase(target, stop_at(2 + tries % 9)))  # type: ignore[arg-type]
        except StopError:
            with target.read() as tx:
                begun = current(tx)
            if begun is not None:
                with pytest.raises(BadSetting, match="unfinished move"):
                    prepare(target)
        else:
            break
    assert 5 < tries < 100
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_a_move_goes_on_with_what_has_changed(source: Seaway, target: Database) -> None:
    """Database invariant 3: of a house that has changed since, the beginning is not used; jobs and documents may change."""
    killed(source, target, 20)
    Channel(source, PUBLIC).put(conda(index_json("later")))
    Channel(source, PUBLIC).delete(conda(index_json("replaced")))
    move_database(source.site.database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_a_move_goes_on_after_a_start_of_the_old_house(source: Seaway, target: Database) -> None:
    """A start raises the counter of the pair, which no audit line tells of."""
    killed(source, target, 60)
    source.pairing.raise_counter()
    move_database(source.site.database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_what_passes_is_copied_anew(source: Seaway, target: Database) -> None:
    """Database invariant 3: a job that came and a document that was built since leave no audit line, and are not missed."""
    killed(source, target, 60)
    with source.site.database.write_site() as tx:
        tx.execute(text("DELETE FROM documents WHERE kind = 'repodata.json'"))
        tx.execute(text("DELETE FROM retired_shards"))
        tx.execute(text("INSERT INTO schedules (kind, next_at) VALUES ('sweep', 1)"))
    move_database(source.site.database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET is_admin = true WHERE name = 'friend'",
        "UPDATE channels SET is_public = true",
        "DELETE FROM key_channels",
    ],
)
def test_a_row_that_was_tampered_with_is_found(source: Seaway, target: Database, statement: str) -> None:
    """Database invariant 5: the hashes differ, the table is named, and the next try begins anew."""

    def tamper(_: int) -> None:
        with target.read() as tx:
            done = current(tx) is not None and tx.execute(text("SELECT count(*) FROM shards")).scalar_one()
        if done:
            with target.write_site() as tx:
                tx.execute(text(statement))

    with pytest.raises(DamagedData, match=statement.replace("FROM ", "").split()[1]):
        move_database(source.site.database, HookedDatabase(target, tamper))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="unfinished move"):
        prepare(target)
    move_database(source.site.database, target)
    assert_moved(source, target)


def test_two_houses_are_not_mixed(source: Seaway, empty: Seaway, target: Database) -> None:
    """Database invariant 3: the beginning of another house, or a house, is left as it is."""
    killed(source, target, 8)
    Factory(empty).channel("another", owner="somebody-else")
    begun = rows(target, but=ALL)
    with pytest.raises(BadSetting, match="another site"):
        move_database(empty.site.database, target)
    with pytest.raises(BadSetting, match="not empty"):
        move_database(source.site.database, empty.site.database)

    assert begun == rows(target, but=ALL)
    assert ["another"] == [row[1] for row in rows(empty.site.database)["channels"]]


def test_an_empty_house_is_filled(source: Seaway, target: Database) -> None:
    """A database that a server was started on once, and in which nobody lives, is empty."""
    migrate(target)
    with target.write_site() as tx:
        tx.execute(text("INSERT INTO schedules (kind, next_at) VALUES ('other', 1)"))
    move_database(source.site.database, target)
    assert_moved(source, target)


def test_nobody_writes_meanwhile(source: Seaway, target: Database, impatient: Callable[[], Database]) -> None:
    """Database invariant 1: an upload is answered with 503, and does not get lost."""
    other = impatient()
    refused = []

    def write(_: int) -> None:
        for transaction in (other.write_site, lambda: other.write_channel(PUBLIC), other.write_unlocked):
            try:
                with transaction():
                    pass
            except Unavailable:
                refused.append(True)
            else:
                refused.append(False)

    move_database(source.site.database, HookedDatabase(target, lambda now: write(now) if now in (1, 4) else None))  # type: ignore[arg-type]

    assert [True] * 6 == refused


@pytest.fixture
def impatient(source: Seaway) -> Iterator[Callable[[], Database]]:
    """The database of the source as another process has it, which does not wait long."""
    made: list[Database] = []

    def make() -> Database:
        settings = source.settings
        url = settings.database_url.get_secret_value()
        if url:
            from seaway.database.postgres import PostgresDatabase

            made.append(PostgresDatabase(url, connections=4, lock_timeout_ms=10))
        else:
            made.append(SqliteDatabase(settings.database_file, settings.locks_folder, busy_timeout_ms=10))
        return made[-1]

    yield make
    for database in made:
        database.close()


def test_to_another_kind_of_database_and_back(source: Seaway, target: Database, new_database: Database) -> None:
    """From SQLite to PostgreSQL or the other way round, and back: keys are sorted alike, and every value is the same."""
    move_database(source.site.database, new_database)
    assert_moved(source, new_database)
    with source.site.database.read() as tx, new_database.read() as other:
        assert tables.last_ids(tx) == tables.last_ids(other)
    move_database(new_database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_a_killed_move_to_postgres_goes_on(source: Seaway, new_database: Database) -> None:
    """Database invariant 4, with keys of several columns in another database."""
    for at in (3, 10, 20):
        killed(source, new_database, at)
    move_database(source.site.database, new_database)
    assert_moved(source, new_database)


@pytest.fixture
def new_database() -> Iterator[Database]:
    """An empty database on a PostgreSQL server."""
    from seaway.database.postgres import PostgresDatabase

    url = postgres.shared().new_database()
    database = PostgresDatabase(url, connections=4)
    yield database
    database.close()
    postgres.shared().drop_database(url)
