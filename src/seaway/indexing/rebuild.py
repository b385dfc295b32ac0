"""Make the index of a subdir again from its file rows, and tell where it differs from them."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from sqlalchemy import delete, func, select, update

from seaway.database.engine import Tx
from seaway.database.tables import (
    documents,
    files,
    fragments,
    packages,
    shards,
    subdirs,
)
from seaway.indexing.change import derive_name
from seaway.indexing.name_index import NameIndex, derive
from seaway.indexing.rows import State, Subdir, get_subdir, records_of


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the index holds and the file rows do not say, or the other way round."""

    name: str
    what: str


def differences(tx: Tx, subdir: Subdir) -> Iterator[Difference]:
    """Where the stored index of a subdir is not what its file rows make."""
    total = 0
    for name in _names(tx, subdir.id):
        try:
            expected = derive(records_of(tx, subdir.id, name))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            yield Difference(name, f"has a record that cannot be read: {error}")
            continue
        total += expected.record_count
        yield from (Difference(name, what) for what in _compare(tx, subdir, name, expected))
    if total != subdir.record_count:
        yield Difference("", f"the subdir counts {subdir.record_count} records and has {total}")
    counted, size = tx.execute(select(subdirs.c.size, _size_of_files(subdir.id)).where(subdirs.c.id == subdir.id)).one()
    if counted != size:
        yield Difference("", f"the subdir counts {counted:,} bytes and its files have {size:,}")


def rebuild(tx: Tx, subdir: Subdir, now_ms: int, whole_document_limit: int) -> int:
    """Bring every name that differs in line, and forget the whole documents; the number of names that changed."""
    wrong = sorted({difference.name for difference in differences(tx, subdir) if difference.name})
    for name in wrong:
        current = get_subdir(tx, subdir.id)
        assert current is not None
        tx.execute(delete(fragments).where(fragments.c.subdir_id == subdir.id, fragments.c.name == name))
        derive_name(tx, current, name, now_ms, whole_document_limit)
    tx.execute(
        update(subdirs)
        .where(subdirs.c.id == subdir.id)
        .values(record_count=_listed_files(subdir.id), size=_size_of_files(subdir.id))
    )
    tx.execute(delete(documents).where(documents.c.subdir_id == subdir.id))
    return len(wrong)


def all_subdirs(tx: Tx, channel_id: int | None = None) -> list[tuple[int, int]]:
    """The (channel, subdir) ids there are, of one channel or of all."""
    query = select(subdirs.c.channel_id, subdirs.c.id).order_by(subdirs.c.id)
    if channel_id is not None:
        query = query.where(subdirs.c.channel_id == channel_id)
    return [(row[0], row[1]) for row in tx.execute(query)]


def _listed_files(subdir_id: int):  # type: ignore[no-untyped-def]
    return (
        select(func.count())
        .select_from(files)
        .where(files.c.subdir_id == subdir_id, files.c.state == State.LISTED.value)
        .scalar_subquery()
    )


def _size_of_files(subdir_id: int):  # type: ignore[no-untyped-def]
    return (
        select(func.coalesce(func.sum(files.c.size), 0))
        .where(files.c.subdir_id == subdir_id, files.c.state != State.DELETED.value)
        .scalar_subquery()
    )


def _names(tx: Tx, subdir_id: int) -> list[str]:
    with_files = (
        select(packages.c.name).join(files, files.c.package_id == packages.c.id).where(files.c.subdir_id == subdir_id)
    )
    with_shard = select(shards.c.name).where(shards.c.subdir_id == subdir_id)
    with_fragment = select(fragments.c.name).where(fragments.c.subdir_id == subdir_id)
    return sorted(set(tx.execute(with_files.union(with_shard, with_fragment)).scalars()))


def _compare(tx: Tx, subdir: Subdir, name: str, expected: NameIndex) -> Iterator[str]:
    row = tx.execute(
        select(
            shards.c.revision,
            shards.c.sha256,
            shards.c.content,
            shards.c.record_count,
            shards.c.v3_count,
            shards.c.v3_newest,
            shards.c.v3_oldest,
        ).where(shards.c.subdir_id == subdir.id, shards.c.name == name)
    ).one_or_none()
    if row is None:
        yield "has no shard"
        return
    if row.revision > subdir.revision:
        yield f"has a shard of revision {row.revision}, and the subdir is at {subdir.revision}"
    if row.sha256 != expected.sha256 or row.content != expected.shard:
        yield "has a shard that its file rows do not make"
    times = expected.v3_times_ms
    counted = (row.record_count, row.v3_count, row.v3_newest, row.v3_oldest)
    if counted != (expected.record_count, len(times), max(times, default=0), min(times, default=0)):
        yield "counts its records wrongly"
    rows = tx.execute(
        select(fragments.c.kind, fragments.c.content).where(
            fragments.c.subdir_id == subdir.id, fragments.c.name == name
        )
    )
    stored = dict(rows.all())
    if stored != expected.fragments:
        yield "has fragments of whole documents that its file rows do not make"
