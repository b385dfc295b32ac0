"""
Update the index when files of package names change, in the same transaction as the change.

1. Every change that readers can see raises the revision of the subdir by one, in the same commit.
2. Afterwards the shards and the fragments of the changed names match their file rows; other names are not modified.
3. A shard is immutable: new content has a new sha256. The old content stays readable for a week if a served index named
   it, or if a worker holds a share on it because it could not record that (`indexing.served_revisions`); other content is dropped
   at once. Keeping it would cost the square of the builds of a name: 100 times its last shard for 200 successive
   uploads.
4. The cost depends on the number of files of the changed names, not on the size of the channel. It depends little on
   the number of files, because the stored index of a name is spliced: its other records are neither read from their
   rows nor decoded.
5. Damaged bytes are never spliced: a shard that does not match its sha256, or fragments that do not match their
   checksum, are derived again from the file rows. A file row that cannot be read raises `DamagedRecord`.

Whole documents are not updated here: they are built from the fragments on request (`indexing.documents`), and their
revision shows that they are outdated. Where a build takes too long for a request, the same transaction enqueues a job
for it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import structlog
from sqlalchemy import BindParameter, bindparam, delete, exists, insert, select, update

from seaway.database.damage import as_stored
from seaway.database.engine import Tx, try_lock
from seaway.database.tables import fragments, retired_shards, shards, subdirs
from seaway.indexing.file_rows import IndexedFile, Subdir, records_of
from seaway.indexing.package_index import KINDS, DamagedIndex, PackageIndex, Splice, checksum_of, derive, matches_sha256
from seaway.indexing.served_revisions import shards_of
from seaway.jobs import queue
from seaway.jobs.queue import JobArgs

log = structlog.get_logger()


class BuildDocuments(JobArgs, frozen=True):
    """Build the whole documents of a subdir."""

    kind: ClassVar = "documents"
    subdir_id: int


def update_names(
    tx: Tx,
    subdir: Subdir,
    changes: Mapping[str, Sequence[IndexedFile]],
    now_ms: int,
    whole_document_limit: int,
    *,
    grown: int = 0,
    steps: int | None = None,
) -> int:
    """
    Update the index of names whose files just changed; return the new revision.

    `grown` is the change of the subdir's size in bytes, `steps` the number of revisions (by default one per file).
    """
    stored = _read(tx, subdir.id, changes)
    indexes = {
        name: _updated_index(tx, subdir.id, name, stored.get(name), files_of_name)
        for name, files_of_name in changes.items()
    }
    steps = sum(map(len, changes.values())) if steps is None else steps
    return _switch(tx, subdir, stored, indexes, steps, now_ms, whole_document_limit, grown)


def rebuild_name(tx: Tx, subdir: Subdir, name: str, now_ms: int, whole_document_limit: int) -> int:
    """Rebuild the index of a name from all its file rows; return the new revision."""
    indexes = {name: derive(records_of(tx, subdir.id, name))}
    return _switch(tx, subdir, _read(tx, subdir.id, [name]), indexes, 1, now_ms, whole_document_limit)


def raise_revision(tx: Tx, subdir_id: int, names: Collection[str], now_ms: int) -> None:
    """Raise the revision of names after a change that may not be in the index, such as a description."""
    tx.execute(
        update(subdirs)
        .where(subdirs.c.id == subdir_id)
        .values(
            revision=subdirs.c.revision + 1,
            changed_at=now_ms,
            # The unchanged shards now belong to a later revision. Some of them were served, so that revision counts
            # as served.
            served_revision=subdirs.c.revision + 1,
        )
    )
    revision = select(subdirs.c.revision).where(subdirs.c.id == subdir_id).scalar_subquery()
    tx.execute(
        update(shards).where(shards.c.subdir_id == subdir_id, shards.c.name.in_(names)).values(revision=revision)
    )


def raise_revisions(tx: Tx, channel_id: int, now_ms: int, whole_document_limit: int, *, only_v3: bool = False) -> None:
    """Raise the revision of every subdir, or of those with v3 records, after channel data in the documents changed."""
    query = select(subdirs.c.id, subdirs.c.record_count).where(subdirs.c.channel_id == channel_id)
    if only_v3:
        query = query.where(exists().where(shards.c.subdir_id == subdirs.c.id, shards.c.v3_count > 0))
    for subdir_id, record_count in tx.execute(query.order_by(subdirs.c.id)).all():
        raise_revision(tx, subdir_id, (), now_ms)
        if record_count > whole_document_limit:
            enqueue_document_build(tx, now_ms, subdir_id)


def enqueue_document_build(tx: Tx, now_ms: int, subdir_id: int) -> None:
    """Enqueue a background build of the whole documents of a subdir; at most one such job waits."""
    queue.enqueue(tx, now_ms, BuildDocuments(subdir_id))


@dataclass(slots=True)
class _Stored:
    """Stored index of one name; `has_row` is false for fragments without a shard row, which is damage."""

    revision: int
    sha256: bytes | None
    content: bytes | None
    record_count: int
    v3_count: int
    checksum: int | None  # of the fragments; None in rows older than this column
    fragments: dict[str, bytes]
    has_row: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether the shard and the fragments match their hash and checksum."""
        if self.content is None or self.sha256 is None:
            return self.content is None and self.sha256 is None and not self.fragments
        return matches_sha256(self.sha256, self.content) and self.checksum in (None, checksum_of(self.fragments))

    def was_served(self, served_revision: int) -> bool:
        """Return whether a served index can name the shard; true if the revision is damaged."""
        return not isinstance(self.revision, int) or self.revision <= served_revision


# The statements of uploads are built once: building one takes longer than SQLite needs to run it.
_IN_SUBDIR: BindParameter[int] = bindparam("subdir_id")
_NAMES: BindParameter[list[str]] = bindparam("names", expanding=True)
_SHARDS = select(
    shards.c.name,
    shards.c.revision,
    as_stored(shards.c.sha256).label("sha256"),
    as_stored(shards.c.content).label("content"),
    shards.c.record_count,
    shards.c.v3_count,
    shards.c.checksum,
).where(shards.c.subdir_id == _IN_SUBDIR, shards.c.name.in_(_NAMES))
_OF_NAMES = (fragments.c.subdir_id == _IN_SUBDIR, fragments.c.kind.in_(KINDS), fragments.c.name.in_(_NAMES))
_FRAGMENTS = select(fragments.c.name, fragments.c.kind, as_stored(fragments.c.content).label("content")).where(
    *_OF_NAMES
)
_WRITE_FRAGMENTS = insert(fragments)
_FRAGMENT_KEY = (
    fragments.c.subdir_id == bindparam("of_subdir"),
    fragments.c.kind == bindparam("of_kind"),
    fragments.c.name == bindparam("of_name"),
)
_REWRITE_FRAGMENTS = update(fragments).where(*_FRAGMENT_KEY).values(content=bindparam("new_content"))
_DELETE_FRAGMENTS = delete(fragments).where(*_FRAGMENT_KEY)
_WRITE_SHARDS = insert(shards)
_REWRITE_SHARDS = update(shards).where(
    shards.c.subdir_id == bindparam("of_subdir"), shards.c.name == bindparam("of_name")
)
_DELETE_RETIRED = delete(retired_shards).where(
    retired_shards.c.subdir_id == _IN_SUBDIR, retired_shards.c.sha256.in_(bindparam("digests", expanding=True))
)
_RETIRE = insert(retired_shards)
_ADVANCE = (
    update(subdirs)
    .where(subdirs.c.id == bindparam("id_of_subdir"))
    .values(
        revision=bindparam("revision"),
        changed_at=bindparam("changed_at"),
        record_count=bindparam("record_count"),
        size=subdirs.c.size + bindparam("grown"),
    )
    .returning(subdirs.c.served_revision)
)


def _read(tx: Tx, subdir_id: int, names: Collection[str]) -> dict[str, _Stored]:
    which = {"subdir_id": subdir_id, "names": list(names)}
    stored = {
        row.name: _Stored(row.revision, row.sha256, row.content, row.record_count, row.v3_count, row.checksum, {})
        for row in tx.execute(_SHARDS, which)
    }
    for name, kind, content in tx.execute(_FRAGMENTS, which):
        stored.setdefault(name, _Stored(0, None, None, 0, 0, None, {}, has_row=False)).fragments[kind] = content
    return stored


def _updated_index(
    tx: Tx, subdir_id: int, name: str, stored: _Stored | None, files_of_name: Sequence[IndexedFile]
) -> PackageIndex:
    if (stored is not None and stored.v3_count) or any(file.section.is_v3 for file in files_of_name):
        return derive(records_of(tx, subdir_id, name))  # v3 counters cannot be decremented: read all rows
    try:
        splice = Splice.of_nothing() if stored is None else _splice_of(stored)
    except DamagedIndex as error:
        log.warning("index.damaged", subdir_id=subdir_id, name=name, error=str(error))
        return derive(records_of(tx, subdir_id, name))
    for file in files_of_name:
        splice.put(file)
    return splice.index()


def _splice_of(stored: _Stored) -> Splice:
    if not stored.is_whole:
        raise DamagedIndex("its shard or its fragments do not match their checksums")
    return Splice.of(stored.content, stored.fragments, stored.record_count)


def _switch(
    tx: Tx,
    subdir: Subdir,
    stored: Mapping[str, _Stored],
    indexes: Mapping[str, PackageIndex],
    steps: int,
    now_ms: int,
    whole_document_limit: int,
    grown: int = 0,
) -> int:
    """Replace the stored indexes and raise the revision by `steps`; return the new revision."""
    revision = subdir.revision + steps
    record_count = subdir.record_count + sum(index.record_count for index in indexes.values())
    record_count -= sum(old.record_count for old in stored.values() if isinstance(old.record_count, int))
    # Before the shards: this locks the row, so that no reader can record this revision as served meanwhile.
    served_revision = tx.execute(
        _ADVANCE,
        {
            "id_of_subdir": subdir.id,
            "revision": revision,
            "changed_at": now_ms,
            "record_count": record_count,
            "grown": grown,
        },
    ).scalar_one()
    # Not before the last change: with a clock that is behind, the week would end as soon as the clock is corrected.
    retired_ms = max(now_ms, subdir.changed_at_ms)
    _retire(tx, subdir.id, _shards_to_keep(tx, subdir.id, stored, indexes, served_revision), retired_ms)
    _write_shards(tx, subdir.id, stored, indexes, revision)
    _write_fragments(tx, subdir.id, stored, indexes)
    if record_count > whole_document_limit:
        enqueue_document_build(tx, now_ms, subdir.id)
    return revision


def _shards_to_keep(
    tx: Tx, subdir_id: int, stored: Mapping[str, _Stored], indexes: Mapping[str, PackageIndex], served_revision: int
) -> list[_Stored]:
    """Return the replaced shards that must stay readable (3)."""
    old = {
        name: shard
        for name, shard in stored.items()
        if shard.sha256 is not None and matches_sha256(shard.sha256, shard.content)
    }
    served = {name: shard for name, shard in old.items() if shard.was_served(served_revision)}
    others = [shard for name, shard in old.items() if name not in served and shard.sha256 != indexes[name].sha256]
    can_drop = not others or try_lock(tx, shards_of(subdir_id))
    return [*served.values()] if can_drop else [*served.values(), *others]


def _retire(tx: Tx, subdir_id: int, replaced: Sequence[_Stored], now_ms: int) -> None:
    old = [
        {"subdir_id": subdir_id, "sha256": shard.sha256, "content": shard.content, "retired_at": now_ms}
        for shard in replaced
    ]
    if old:
        tx.execute(_DELETE_RETIRED, {"subdir_id": subdir_id, "digests": [row["sha256"] for row in old]})
        tx.execute(_RETIRE, old)


def _write_shards(
    tx: Tx, subdir_id: int, stored: Mapping[str, _Stored], indexes: Mapping[str, PackageIndex], revision: int
) -> None:
    new, known = [], []
    for name, index in indexes.items():
        row = {
            "revision": revision,
            "sha256": index.sha256,
            "content": index.shard,
            "record_count": index.record_count,
            "v3_count": len(index.v3_times_ms),
            "v3_newest": max(index.v3_times_ms, default=0),
            "v3_oldest": min(index.v3_times_ms, default=0),
            "checksum": index.checksum,
        }
        if name in stored and stored[name].has_row:
            known.append({"of_subdir": subdir_id, "of_name": name, **row})
        else:
            new.append({"subdir_id": subdir_id, "name": name, **row})
    if new:
        tx.execute(_WRITE_SHARDS, new)
    if known:
        tx.execute(_REWRITE_SHARDS, known)


def _write_fragments(
    tx: Tx, subdir_id: int, stored: Mapping[str, _Stored], indexes: Mapping[str, PackageIndex]
) -> None:
    new, known, gone = [], [], []
    for name, index in indexes.items():
        old_fragments = stored[name].fragments if name in stored else {}
        for kind, content in index.fragments.items():
            if kind not in old_fragments:
                new.append({"subdir_id": subdir_id, "kind": kind, "name": name, "content": content})
            elif old_fragments[kind] != content:
                which = {"of_subdir": subdir_id, "of_kind": kind, "of_name": name}
                known.append({**which, "new_content": content})
        gone += [
            {"of_subdir": subdir_id, "of_kind": kind, "of_name": name}
            for kind in old_fragments
            if kind not in index.fragments
        ]
    for statement, rows in ((_WRITE_FRAGMENTS, new), (_REWRITE_FRAGMENTS, known), (_DELETE_FRAGMENTS, gone)):
        if rows:
            tx.execute(statement, rows)
