"""Damaged rows: they are reported, do not block other operations, and derived data is repaired."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import Table, select, text, update

from seaway.conda import zstd
from seaway.database.tables import documents, files, fragments, packages, retired_shards, shards
from seaway.errors import DamagedRecord, SeawayError
from seaway.maintenance.check import check
from seaway.maintenance.reindex import ReindexResult, reindex
from seaway.storage import keys
from tests.indexing.channel import A2, NEW, OLD, A, B, Channel
from tests.support import packages as built
from tests.support import state
from tests.support.packages import index_json
from tests.support.sites import with_site

GARBAGE = b"\xff\x00{not json"


def damage(channel: Channel, table: Table, column: str, value: object, condition: str = "1 = 1") -> None:
    """Write a value without foreign key checks, as flipped bits would."""
    key = ", ".join(part.name for part in table.primary_key)
    rows = f"({key}) IN (SELECT {key} FROM {table.name} WHERE {condition} ORDER BY {key} LIMIT 1)"
    statement = f'UPDATE {table.name} SET "{column}" = :value WHERE {rows}'
    if not is_sqlite(channel):
        with channel.seaway.site.database.write_site() as tx:
            assert 1 == tx.execute(text(statement), {"value": value}).rowcount
        return
    with closing(sqlite3.connect(channel.seaway.settings.database_file)) as connection, connection:
        assert 1 == connection.execute(statement, {"value": value}).rowcount


def is_sqlite(channel: Channel) -> bool:
    return channel.seaway.site.database.engine.dialect.name == "sqlite"


def repaired(channel: Channel) -> ReindexResult:
    result = reindex(channel.seaway, None, from_blobs=True)
    channel.repodata()
    return result


def test_a_damaged_shard_is_derived_again_by_an_upload(filled: Channel) -> None:
    """An upload to the name of a damaged shard derives the name again; the damaged shard is not retired."""
    with filled.seaway.site.database.write_site() as tx:
        content = tx.execute(select(shards.c.content).where(shards.c.name == "b")).scalar_one()
        changed = zstd.compress_frame(zstd.decompress_frame(content).replace(b"1.0", b"1.1"))
        tx.execute(update(shards).where(shards.c.name == "b").values(content=changed))
    filled.put(built.conda(index_json("b", version="9.0")))
    assert [] == list(check(filled.seaway))


def test_damaged_fragments_are_derived_again_by_an_upload(filled: Channel) -> None:
    """A changed character in a fragment that is still valid JSON is found by the next upload to the name."""
    with filled.seaway.site.database.write_site() as tx:
        condition = (fragments.c.name == "b", fragments.c.kind == "records:packages.conda")
        content = tx.execute(select(fragments.c.content).where(*condition)).scalar_one()
        tx.execute(update(fragments).where(*condition).values(content=content.replace(b'"b"', b'"c"')))
    filled.put(built.conda(index_json("b", version="9.0")))
    assert [] == list(check(filled.seaway))


@pytest.mark.parametrize(
    ("column", "value"), [("content", None), ("content", GARBAGE), ("kind", "records:packagez"), ("name", "c")]
)
@pytest.mark.parametrize("kind", ["records:packages.conda", "run_exports:packages.conda"])
def test_damaged_fragments_are_in_no_document(filled: Channel, kind: str, column: str, value: object) -> None:
    """A build detects any damaged column, derives the name again and returns the correct documents."""
    names = ("repodata.json", "run_exports.json")
    before = [filled.read("noarch", name) for name in names]
    condition = f"name = 'b' AND kind = '{kind}'"
    if value is None:  # still JSON, with another value
        with filled.seaway.site.database.read() as tx:
            query = select(fragments.c.content).where(fragments.c.name == "b", fragments.c.kind == kind)
            value = tx.execute(query).scalar_one().replace(b"b-1.0", b"b-1.1")
    damage(filled, fragments, column, value, condition)
    with filled.seaway.site.database.write_site() as tx:
        tx.execute(documents.delete())
    assert before == [filled.read("noarch", name) for name in names]
    if column == "content":
        assert [] == list(check(filled.seaway))


def test_missing_fragments_are_derived_again(filled: Channel) -> None:
    """A name without its fragments or shard is derived again by the next build."""
    before = filled.repodata()
    for table in (fragments, shards):
        with filled.seaway.site.database.write_site() as tx:
            tx.execute(table.delete().where(table.c.name == "b"))
            tx.execute(documents.delete())
        assert before == filled.repodata()
    reindex(filled.seaway, None, from_blobs=False)  # the record count of the subdir still includes the lost shard
    assert [] == list(check(filled.seaway))


def test_fragments_that_cannot_be_derived_are_not_served(filled: Channel) -> None:
    """If the record is damaged too, documents are refused with a message that names the repair command."""
    with filled.seaway.site.database.write_site() as tx:
        tx.execute(documents.delete())
    damage(filled, fragments, "content", GARBAGE, "name = 'a'")
    damage(filled, files, "record", GARBAGE, f"file_name = '{A.name}'")
    with pytest.raises(DamagedRecord, match="seaway reindex --from-blobs"):
        filled.repodata()
    assert [] == repaired(filled).failed
    assert [] == list(check(filled.seaway))


def test_a_damaged_record_blocks_only_operations_that_read_it(filled: Channel) -> None:
    """Other files and names still work; an operation that needs the record fails and names the repair command."""
    damage(filled, files, "record", GARBAGE, f"file_name = '{A2.name}'")
    filled.put(built.conda(index_json("a", version="3.0")))  # spliced: the damaged row is not read
    damage(filled, shards, "content", GARBAGE, "name = 'a'")
    with pytest.raises(DamagedRecord) as error:
        filled.put(built.conda(index_json("a", version="4.0")))
    assert A2.name in error.value.full_message
    assert "seaway reindex --from-blobs" in error.value.full_message
    with pytest.raises(DamagedRecord):
        filled.yank(A)
    filled.put(built.conda(index_json("b", version="4.0")))
    assert [] == repaired(filled).failed
    filled.yank(A)
    assert [] == list(check(filled.seaway))


def test_a_reindex_skips_only_the_damaged_name(filled: Channel) -> None:
    """A name with an unreadable record is reported and keeps its index; every other name is rebuilt."""
    damage(filled, files, "record", GARBAGE, f"file_name = '{A.name}'")
    before = [row for row in filled.rows(shards) if row[1] == "a"]
    for name in ("b", "new"):
        damage(filled, shards, "content", GARBAGE, f"name = '{name}'")
    result = reindex(filled.seaway, None, from_blobs=False)
    assert (2, ["demo/noarch a"]) == (result.names_changed, [failure.where for failure in result.failed])
    assert before == [row for row in filled.rows(shards) if row[1] == "a"]


@pytest.mark.parametrize("column", ["record", "about", "section", "version", "size"])
@pytest.mark.parametrize("file", [A, OLD, NEW], ids=lambda file: file.name)
def test_a_row_is_rebuilt_from_its_blob(filled: Channel, column: str, file: built.PackageFile) -> None:
    """Columns derived from the blob are restored; state, time and uploader are kept."""
    before = filled.rows(files), filled.repodata()
    value = {"size": 7, "record": GARBAGE, "about": GARBAGE}.get(column, "x")
    damage(filled, files, column, value, f"file_name = '{file.name}'")
    assert [] != list(check(filled.seaway))
    result = repaired(filled)
    assert (1, []) == (result.files_rebuilt, result.failed)
    assert before == (filled.rows(files), filled.repodata())
    assert [] == list(check(filled.seaway))


@pytest.mark.parametrize("lost", [True, False])
def test_a_row_without_its_blob_is_kept_and_reported(filled: Channel, *, lost: bool) -> None:
    """If the blob is missing or damaged, the row is unchanged and the result names it."""
    with filled.seaway.site.database.read() as tx:
        key = keys.blob(tx.execute(select(files.c.sha256).where(files.c.file_name == A.name)).scalar_one())
    if lost:
        filled.seaway.site.blobs.delete(key)
    else:
        state.overwrite_blob(filled.seaway.site.blobs, key, A.content[:-1])
    damage(filled, files, "record", GARBAGE, f"file_name = '{A.name}'")
    before = filled.rows(files)
    result = repaired(filled)
    assert 0 == result.files_rebuilt
    assert f"demo/noarch/{A.name}" in [failure.where for failure in result.failed]
    assert before == filled.rows(files)


def test_a_damaged_shard_is_derived_on_request(filled: Channel) -> None:
    """A shard URL returns the correct bytes or an error; the request repairs the row."""
    digest = filled.shard_index()["shards"]["b"]
    right = filled.read("noarch", "shards", f"{digest.hex()}.msgpack.zst")
    damage(filled, shards, "content", GARBAGE, "name = 'b'")
    assert right == filled.read("noarch", "shards", f"{digest.hex()}.msgpack.zst")
    assert [] == list(check(filled.seaway))


def test_a_damaged_retired_shard_is_not_served(filled: Channel) -> None:
    """It cannot be derived: requests fail until a reindex deletes it."""
    with filled.seaway.site.database.read() as tx:
        digest = tx.execute(select(retired_shards.c.sha256).order_by(retired_shards.c.sha256)).scalars().first()
    assert digest is not None
    damage(filled, retired_shards, "content", GARBAGE)
    for error in (DamagedRecord, SeawayError):
        with pytest.raises(error):
            filled.read("noarch", "shards", f"{digest.hex()}.msgpack.zst")
        reindex(filled.seaway, None, from_blobs=False)
    assert [] == list(check(filled.seaway))


# Columns that are only in their row, or that hold free text.
KEPT = {
    "id", "state", "sha256", "file_name", "subdir_id", "uploaded_by", "uploaded_as", "yank_reason", "yank_id",
    "earlier_yank_id", "earlier_yank_reason", "correction",
}  # fmt: skip
REBUILT = [
    (table, column.name)
    for table in (files, shards, fragments, retired_shards, documents, packages)
    for column in table.c
    if not (table is files and column.name in KEPT) and column.name != "id"
]
UNREPAIRABLE = [(files, name) for name in sorted(KEPT - {"id"})]


def random_bytes(seed: int) -> bytes:
    return random.Random(seed).randbytes(seed % 40)


@pytest.mark.parametrize(("table", "column"), REBUILT, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("seed", [7, 33])
def test_any_bytes_in_a_derived_column_are_reported_and_repaired(
    filled: Channel, table: Table, column: str, seed: int
) -> None:
    """The check reports the damage without failing; after a reindex nothing is broken."""
    if not is_sqlite(filled):
        pytest.skip("PostgreSQL keeps the types of columns")
    filled.repodata()
    damage(filled, table, column, random_bytes(seed))
    assert [] != list(check(filled.seaway))
    reindex(filled.seaway, None, from_blobs=True)
    assert [] == list(check(filled.seaway))


@pytest.mark.parametrize(("table", "column"), UNREPAIRABLE, ids=lambda value: getattr(value, "name", value))
def test_any_bytes_in_another_column_are_reported(filled: Channel, table: Table, column: str) -> None:
    """Data that is only in the row is not repaired: it is reported before and after, and no command fails."""
    if not is_sqlite(filled):
        pytest.skip("PostgreSQL keeps the types of columns")
    damage(filled, table, column, random_bytes(33))
    assert [] != list(check(filled.seaway))
    reindex(filled.seaway, None, from_blobs=True)
    assert [] != list(check(filled.seaway))


@pytest.mark.parametrize(("table", "column"), [(shards, "name"), (files, "section"), (packages, "name")])
def test_text_that_is_not_utf8_is_reported_and_repaired(filled: Channel, table: Table, column: str) -> None:
    """A flipped bit can leave text that no driver decodes."""
    if not is_sqlite(filled):
        pytest.skip("PostgreSQL keeps no such text")
    with filled.seaway.site.database.write_site() as tx:
        tx.exec_driver_sql(f"UPDATE {table.name} SET {column} = CAST(x'ff62' AS TEXT) WHERE rowid = 1")
    assert [] != list(check(filled.seaway))
    reindex(filled.seaway, None, from_blobs=True)
    assert [] == list(check(filled.seaway))


class _Failing:
    """A store in which one method fails for one blob."""

    def __init__(self, blobs: object, key: str, method: str, error: Exception) -> None:
        self._blobs, self._key, self._method, self._error = blobs, key, method, error

    def __getattr__(self, name: str) -> Callable[..., object]:
        real: Callable[..., object] = getattr(self._blobs, name)
        if name != self._method:
            return real

        def fail(key: str, *arguments: object) -> object:
            if key == self._key:
                raise self._error
            return real(key, *arguments)

        return fail


@pytest.mark.parametrize("method", ["open", "stat"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), FileNotFoundError(), SeawayError("It is away.")])
def test_a_check_continues_after_an_unreadable_blob(filled: Channel, method: str, error: Exception) -> None:
    """An unreadable blob is one violation, and other damage is still found."""
    with filled.seaway.site.database.read() as tx:
        key = keys.blob(tx.execute(select(files.c.sha256).where(files.c.file_name == A.name)).scalar_one())
        missing = keys.blob(tx.execute(select(files.c.sha256).where(files.c.file_name == B.name)).scalar_one())
    filled.seaway.site.blobs.delete(missing)
    seaway = with_site(filled.seaway, blobs=_Failing(filled.seaway.site.blobs, key, method, error))
    assert [A.name, B.name] == [entry.where.rpartition("/")[2] for entry in check(seaway)]
