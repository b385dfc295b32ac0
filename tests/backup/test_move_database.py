"""A moved database has the same rows; a killed move can be repeated; two sites are never mixed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from seaway.backup import rows as backup_rows
from seaway.backup import tables
from seaway.backup.blob_copy import DamagedData
from seaway.backup.move_database import move_database
from seaway.database.engine import Database
from seaway.database.migrate import NEWEST, current, migrate, prepare
from seaway.database.sqlite import SqliteDatabase
from seaway.database.tables import files, metadata
from seaway.errors import BadSetting, Unavailable
from seaway.maintenance.check import check
from seaway.packages import downloads, storage_usage
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import DownloadKey
from seaway.server.wiring import Seaway
from tests.backup.conftest import SampleSite
from tests.backup.helpers import PUBLIC, HookedDatabase, SimulatedKill, kill_at, open_site, responses, rows
from tests.indexing.channel import Channel
from tests.support import postgres, state
from tests.support.packages import conda, index_json
from tests.support.sites import Factory

NO_TABLES: frozenset[str] = frozenset()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = SqliteDatabase(tmp_path / "moved" / "data" / "seaway.db", tmp_path / "moved" / "data" / "locks")
    (tmp_path / "moved" / "data").mkdir(parents=True)
    yield database
    database.close()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_rows, "_BATCH_ROWS", 4)


def assert_moved(source: Seaway, target: Database) -> None:
    assert rows(source.site.database, skip_tables=NO_TABLES) == rows(target, skip_tables=NO_TABLES)
    with target.read() as tx:
        assert NEWEST == current(tx)
        assert [] == compare_metadata(MigrationContext.configure(tx), metadata)


def move_and_kill(source: Seaway, target: Database, at: int) -> None:
    with pytest.raises(SimulatedKill):
        move_database(source.site.database, HookedDatabase(target, kill_at(at)))  # type: ignore[arg-type]


def test_site_continues_in_its_new_database(
    source: Seaway, sample_site: SampleSite, sample_responses: dict[str, bytes], target: Database, tmp_path: Path
) -> None:
    """All rows are copied, responses are the same, and no id is used again."""
    counts = move_database(source.site.database, target)
    assert_moved(source, target)
    assert {
        name: len(found) for name, found in rows(source.site.database, skip_tables=NO_TABLES, skip_rows=()).items()
    } == counts
    with source.site.database.read() as tx, target.read() as other:
        before = tables.last_ids(tx)
        assert before == tables.last_ids(other)

    settings = state.settings(tmp_path / "source") | {
        "storage_url": source.settings.effective_storage_url,
        "database_url": "",
    }
    moved = open_site(tmp_path / "moved", **settings)
    assert sample_responses == responses(moved, sample_site.key)
    Channel(moved, PUBLIC).put(conda(index_json("later")))
    Factory(moved).channel("later")
    assert [] == list(check(moved))
    with moved.site.database.read() as tx:
        assert before["channels"] + 1 == tables.last_ids(tx)["channels"]
    moved.close()


@pytest.mark.usefixtures("small_batches")
def test_killed_move_continues(source: Seaway, target: Database) -> None:
    """Database invariants 2 and 4: a move killed at any write continues after the last commit; no server starts on it."""
    tries = 0
    while tries < 100:
        tries += 1
        try:
            # Each try is killed after the schema and one to nine batches.
            move_database(source.site.database, HookedDatabase(target, kill_at(2 + tries % 9)))  # type: ignore[arg-type]
        except SimulatedKill:
            with target.read() as tx:
                revision = current(tx)
            if revision is not None:
                with pytest.raises(BadSetting, match="unfinished move"):
                    prepare(target)
        else:
            break
    assert 5 < tries < 100
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_move_starts_again_after_changes_of_source(source: Seaway, target: Database) -> None:
    """Database invariant 3: the partial copy of a site that has changed is not used."""
    move_and_kill(source, target, 20)
    Channel(source, PUBLIC).put(conda(index_json("later")))
    Channel(source, PUBLIC).delete(conda(index_json("replaced")))
    move_database(source.site.database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_move_continues_after_start_of_old_site(source: Seaway, target: Database) -> None:
    """A start raises the counter of the identity without an audit entry."""
    move_and_kill(source, target, 60)
    source.pairing.raise_counter()
    move_database(source.site.database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_rows_without_an_audit_entry_are_copied_again(source: Seaway, target: Database) -> None:
    """Database invariant 3: new jobs, documents and download counts have no audit entry and are still copied."""
    with source.site.database.write_site() as tx:
        storage_usage.sample(tx, 40_000)
        file_id = tx.execute(select(files.c.id).limit(1)).scalar_one()
        downloads.add(tx, {DownloadKey(file_id, 20_000, ClientFamily.CONDA): 1}, today=20_000)
    move_and_kill(source, target, 70)
    with source.site.database.write_site() as tx:
        downloads.add(tx, {DownloadKey(file_id, 20_000, ClientFamily.CONDA): 1}, today=20_000)
        tx.execute(text("UPDATE daily_storage SET size = size + 1"))
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
def test_changed_row_in_target_is_detected(source: Seaway, target: Database, statement: str) -> None:
    """Database invariant 5: the hashes differ, the error names the table, and the next try starts again."""

    def tamper(_: int) -> None:
        with target.read() as tx:
            is_copied = current(tx) is not None and tx.execute(text("SELECT count(*) FROM shards")).scalar_one()
        if is_copied:
            with target.write_site() as tx:
                tx.execute(text(statement))

    with pytest.raises(DamagedData, match=statement.replace("FROM ", "").split()[1]):
        move_database(source.site.database, HookedDatabase(target, tamper))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="unfinished move"):
        prepare(target)
    move_database(source.site.database, target)
    assert_moved(source, target)


def test_two_sites_are_not_mixed(source: Seaway, empty: Seaway, target: Database) -> None:
    """Database invariant 3: a target with another site, or with the unfinished move of one, is not changed."""
    move_and_kill(source, target, 8)
    Factory(empty).channel("another", owner="other-owner")
    before = rows(target, skip_tables=NO_TABLES)
    with pytest.raises(BadSetting, match="another site"):
        move_database(empty.site.database, target)
    with pytest.raises(BadSetting, match="not empty"):
        move_database(source.site.database, empty.site.database)

    assert before == rows(target, skip_tables=NO_TABLES)
    assert ["another"] == [row[1] for row in rows(empty.site.database)["channels"]]


def test_database_of_unused_server_is_accepted(source: Seaway, target: Database) -> None:
    """A database on which a server was started, without users, counts as empty."""
    migrate(target)
    with target.write_site() as tx:
        tx.execute(text("INSERT INTO schedules (kind, next_at) VALUES ('other', 1)"))
    move_database(source.site.database, target)
    assert_moved(source, target)


def test_writes_are_refused_during_move(source: Seaway, target: Database, other_process: Database) -> None:
    """Database invariant 1: an upload gets 503, and is not lost."""
    refused = []

    def write(_: int) -> None:
        for transaction in (
            other_process.write_site,
            lambda: other_process.write_channel(PUBLIC),
            other_process.write_unlocked,
        ):
            try:
                with transaction():
                    pass
            except Unavailable:
                refused.append(True)
            else:
                refused.append(False)

    move_database(
        source.site.database, HookedDatabase(target, lambda number: write(number) if number in (1, 4) else None)
    )  # type: ignore[arg-type]

    assert [True] * 6 == refused


@pytest.fixture
def other_process(source: Seaway) -> Iterator[Database]:
    """The database of the source as another process opens it, with short lock timeouts."""
    settings = source.settings
    url = settings.database_url.get_secret_value()
    database: Database
    if url:
        from seaway.database.postgres import PostgresDatabase

        database = PostgresDatabase(url, connections=4, lock_timeout_ms=10)
    else:
        database = SqliteDatabase(settings.database_file, settings.locks_folder, busy_timeout_ms=10)
    yield database
    database.close()


def test_move_to_other_kind_of_database_and_back(source: Seaway, target: Database, new_database: Database) -> None:
    """Between SQLite and PostgreSQL: keys have the same order, and all values are the same."""
    move_database(source.site.database, new_database)
    assert_moved(source, new_database)
    with source.site.database.read() as tx, new_database.read() as other:
        assert tables.last_ids(tx) == tables.last_ids(other)
    move_database(new_database, target)
    assert_moved(source, target)


@pytest.mark.usefixtures("small_batches")
def test_killed_move_to_postgres_continues(source: Seaway, new_database: Database) -> None:
    """Database invariant 4, with primary keys of several columns in another kind of database."""
    for at in (3, 10, 20):
        move_and_kill(source, new_database, at)
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
