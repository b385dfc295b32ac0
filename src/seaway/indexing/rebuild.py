"""Compare the index of a subdir with its file rows, and rebuild it from them."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import LargeBinary, ScalarSelect, cast, delete, exists, func, select, update

from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Tx
from seaway.database.tables import (
    documents,
    files,
    fragments,
    packages,
    retired_shards,
    shards,
    subdirs,
)
from seaway.errors import DamagedRecord
from seaway.indexing.file_rows import FileState, Subdir, get_subdir, records_of
from seaway.indexing.package_index import UNREADABLE, PackageIndex, derive, matches_sha256
from seaway.indexing.updates import rebuild_name

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class IndexDifference:
    """Difference between the index and the file rows."""

    name: str
    description: str
    has_damaged_record: bool = False  # the index cannot be derived before the record is repaired


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """Result of a rebuild: the number of repaired names, and the differences that could not be repaired."""

    changed: int
    damaged: list[IndexDifference]


def differences(tx: Tx, subdir: Subdir) -> Iterator[IndexDifference]:
    """Yield the differences between the stored index of a subdir and its file rows."""
    total = 0
    for name in _names(tx, subdir.id):
        if not isinstance(name, str):
            yield IndexDifference(repr(name), "is not a package name")
            continue
        try:
            expected = derive(records_of(tx, subdir.id, name))
            total += expected.record_count
            found = list(_compare(tx, subdir, name, expected))
        except DamagedRecord as error:
            yield IndexDifference(name, f"cannot be derived: {error.message} {error.cause}", has_damaged_record=True)
        except UNREADABLE as error:
            yield IndexDifference(name, f"has an index that cannot be read: {error}")
        else:
            yield from (IndexDifference(name, what) for what in found)
    if total != subdir.record_count:
        yield IndexDifference("", f"the subdir counts {subdir.record_count} records but has {total}")
    counted, size = tx.execute(
        select(as_stored(subdirs.c.size), as_stored(_size_of_files(subdir.id))).where(subdirs.c.id == subdir.id)
    ).one()
    if counted != size:
        yield IndexDifference("", f"the subdir counts {counted} bytes but its files have {size}")


def rebuild(tx: Tx, subdir: Subdir, now_ms: int, whole_document_limit: int) -> RebuildResult:
    """
    Rebuild every name that differs, and delete the whole documents and the damaged retired shards.

    A name with an unreadable file row keeps its index and is listed in the result.
    """
    found = list(differences(tx, subdir))
    damaged = [difference for difference in found if difference.has_damaged_record]
    skipped = {difference.name for difference in damaged}
    wrong = sorted({difference.name for difference in found if difference.name} - skipped)
    _delete_foreign_names(tx, subdir.id)
    for name in wrong:
        current = get_subdir(tx, subdir.id)
        assert current is not None
        tx.execute(delete(fragments).where(fragments.c.subdir_id == subdir.id, fragments.c.name == name))
        rebuild_name(tx, current, name, now_ms, whole_document_limit)
    tx.execute(
        update(subdirs)
        .where(subdirs.c.id == subdir.id)
        .values(record_count=_listed_files(subdir.id), size=_size_of_files(subdir.id))
    )
    tx.execute(delete(documents).where(documents.c.subdir_id == subdir.id))
    _delete_damaged_retired(tx, subdir.id)
    return RebuildResult(len(wrong), damaged)


def forget_orphans(tx: Tx) -> None:
    """Delete index rows of subdirs that do not exist."""
    for table in (shards, fragments, retired_shards, documents):
        of_subdir = exists().where(subdirs.c.id == table.c.subdir_id)
        tx.execute(delete(table).where(~of_subdir))


def _delete_damaged_retired(tx: Tx, subdir_id: int) -> None:
    key = cast(retired_shards.c.sha256, LargeBinary)
    of_subdir = retired_shards.c.subdir_id == subdir_id
    rows = tx.execute(
        select(
            as_stored(key).label("key"), as_stored(retired_shards.c.sha256).label("sha256"),
            as_stored(retired_shards.c.content).label("content"), as_stored(retired_shards.c.retired_at).label("retired_at"),
        )
        .where(of_subdir)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )  # fmt: skip
    damaged = [
        row.key for row in rows if not matches_sha256(row.sha256, row.content) or not isinstance(row.retired_at, int)
    ]
    for sha256 in damaged:
        tx.execute(delete(retired_shards).where(of_subdir, key == sha256))


def _delete_foreign_names(tx: Tx, subdir_id: int) -> None:
    """Delete rows whose name is not text; only SQLite can store such rows."""
    for name in _names(tx, subdir_id):
        if isinstance(name, bytes):
            for table in (shards, fragments):
                tx.execute(delete(table).where(table.c.subdir_id == subdir_id, cast(table.c.name, LargeBinary) == name))


def all_subdirs(tx: Tx, channel_id: int | None = None) -> list[int]:
    """Return the ids of all subdirs, or of those of one channel."""
    query = select(subdirs.c.id).order_by(subdirs.c.id)
    if channel_id is not None:
        query = query.where(subdirs.c.channel_id == channel_id)
    return list(tx.execute(query).scalars())


def _listed_files(subdir_id: int) -> ScalarSelect[int]:
    return (
        select(func.count())
        .select_from(files)
        .where(files.c.subdir_id == subdir_id, files.c.state == FileState.LISTED.value)
        .scalar_subquery()
    )


def _size_of_files(subdir_id: int) -> ScalarSelect[int]:
    return (
        select(func.coalesce(func.sum(files.c.size), 0))
        .where(files.c.subdir_id == subdir_id, files.c.state != FileState.DELETED.value)
        .scalar_subquery()
    )


def _names(tx: Tx, subdir_id: int) -> list[str | bytes]:
    with_files = (
        select(packages.c.name).join(files, files.c.package_id == packages.c.id).where(files.c.subdir_id == subdir_id)
    )
    with_shard = select(shards.c.name).where(shards.c.subdir_id == subdir_id)
    with_fragment = select(fragments.c.name).where(fragments.c.subdir_id == subdir_id)
    with tolerating_damage(tx):
        return sorted(set(tx.execute(with_files.union(with_shard, with_fragment)).scalars()), key=repr)


def _compare(tx: Tx, subdir: Subdir, name: str, expected: PackageIndex) -> Iterator[str]:
    row = tx.execute(
        select(
            shards.c.revision,
            as_stored(shards.c.sha256).label("sha256"),
            as_stored(shards.c.content).label("content"),
            shards.c.record_count,
            shards.c.v3_count,
            shards.c.v3_newest,
            shards.c.v3_oldest,
            shards.c.checksum,
        ).where(shards.c.subdir_id == subdir.id, shards.c.name == name)
    ).one_or_none()
    if row is None:
        yield "has no shard"
        return
    if row.revision > subdir.revision:
        yield f"has a shard of revision {row.revision}, but the subdir is at {subdir.revision}"
    if row.sha256 != expected.sha256 or row.content != expected.shard:
        yield "has a shard that differs from its file rows"
    times = expected.v3_times_ms
    counted = (row.record_count, row.v3_count, row.v3_newest, row.v3_oldest)
    if counted != (expected.record_count, len(times), max(times, default=0), min(times, default=0)):
        yield "has wrong record counts"
    of_name = (fragments.c.subdir_id == subdir.id, fragments.c.name == name)
    stored = tx.execute(select(fragments.c.kind, as_stored(fragments.c.content)).where(*of_name))
    if dict(stored.all()) != expected.fragments:
        yield "has fragments of whole documents that differ from its file rows"
    if row.checksum not in (None, expected.checksum):
        yield "has a fragment checksum that differs from its file rows"
