"""
Keep the manifests in the store up to date with the database, in the background.

1. Nothing is written for it in the transaction of an upload: what changed is found by the revisions of subdirs and
   names, and by comparing the objects of channels with what was written last (`manifest_marks`).
2. An object exists only while `manifest_marks` has a row of its channel. Rows are inserted before the first object is
   written, and deleted after the last one was deleted; so no object outlives its channel for longer than one run.
3. The mark of a subdir moves only after every object that changed up to its revision was written. A run that was
   killed is repeated by the next one.
4. A run costs what changed: one object for each name that did, whatever else the channel holds.
5. Only objects below ids of stores that this database has marks of are deleted. When the id changes, everything is
   written below the new one, and then what is below the old one is deleted.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, and_, bindparam, delete, func, insert, or_, select, update

from seaway.channels.channels import Attestations
from seaway.channels.roles import Role
from seaway.conda.record import Section
from seaway.database.engine import Database, Tx
from seaway.database.tables import (
    attestations,
    channels,
    files,
    logos,
    manifest_marks,
    members,
    packages,
    shards,
    subdirs,
    users,
)
from seaway.indexing.rows import State
from seaway.packages.channel_manifests import FORMAT, Attestation, ChannelManifest, FileEntry, NameManifest, encode
from seaway.storage import keys
from seaway.storage.blobs import Blobs
from seaway.storage.keys import ManifestPlace

WRITING = "manifests"  # done by one process at a time
_NAMES_AT_ONCE = 16  # read in one transaction, and in memory together
_OBJECTS_AT_ONCE = 8  # a bucket answers after milliseconds, and to many at once
_NEVER = -1


@dataclass(slots=True)
class Written:
    """What one run did."""

    objects: int = 0
    bytes: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class _ChangedChannel:
    id: int
    content: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class _ChangedSubdir:
    id: int
    channel_id: int
    known: int  # the revision of the last run


@dataclass(frozen=True, slots=True)
class _Place:
    """A subdir as one transaction sees it."""

    subdir_id: int
    subdir: str
    channel: str
    revision: int


@dataclass(slots=True)
class _Changes:
    """What is not in the store as it is in the database."""

    channels: list[_ChangedChannel] = field(default_factory=list)
    subdirs: list[_ChangedSubdir] = field(default_factory=list)
    unmarked: list[tuple[int, int]] = field(default_factory=list)  # channels and subdirs that have no mark yet
    removed: list[int] = field(default_factory=list)  # channels
    old_stores: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.channels or self.subdirs or self.removed or self.old_stores)


def write_changes(
    database: Database, blobs: Blobs, store_id: str, before_writing: Callable[[], object] = lambda: None
) -> Written:
    """
    Bring the manifests of this store up to date, unless another process is at it.

    `before_writing` is called once, before the first object is written or deleted, if there is anything to do.
    """
    written = Written()
    with database.alone(WRITING, wait=False) as mine:
        if not mine:
            return written
        with database.read() as tx:
            changes = _find_changes(tx, store_id)
        if not changes:
            return written
        before_writing()
        with ThreadPoolExecutor(_OBJECTS_AT_ONCE, thread_name_prefix="manifests") as threads:
            _Run(database, blobs, store_id, threads, written).make(changes)
    return written


def forget_marks(database: Database) -> None:
    """Have the next run write every object again: another store is about to be used."""
    with database.write_part() as tx:
        tx.execute(delete(manifest_marks))


@dataclass(frozen=True, slots=True)
class _Run:
    database: Database
    blobs: Blobs
    store_id: str
    threads: ThreadPoolExecutor
    written: Written

    def make(self, changes: _Changes) -> None:
        self._insert_marks(changes.unmarked)
        if changes.channels:
            self._write_channels(changes.channels)
        for subdir in changes.subdirs:
            self._write_subdir(subdir)
        for channel_id in changes.removed:
            self._delete(keys.channel_manifests(self.store_id, channel_id))
            with self.database.write_part() as tx:
                here = (manifest_marks.c.store_id == self.store_id, manifest_marks.c.channel_id == channel_id)
                tx.execute(delete(manifest_marks).where(*here))
        for store_id in changes.old_stores:
            self._delete(keys.store_manifests(store_id))
            with self.database.write_part() as tx:
                tx.execute(delete(manifest_marks).where(manifest_marks.c.store_id == store_id))

    def _insert_marks(self, unmarked: Sequence[tuple[int, int]]) -> None:
        rows = [
            {"store_id": self.store_id, "channel_id": channel_id, "subdir_id": subdir_id, "revision": _NEVER}
            for channel_id, subdir_id in unmarked
        ]
        if rows:
            with self.database.write_part() as tx:
                tx.execute(insert(manifest_marks), rows)

    def _write_channels(self, changed: Sequence[_ChangedChannel]) -> None:
        self._write([(self._key(one.id), one.content) for one in changed])
        with self.database.write_part() as tx:
            for one in changed:
                tx.execute(_move_mark(self.store_id, one.id, 0).values(revision=0, digest=one.digest))

    def _write_subdir(self, subdir: _ChangedSubdir) -> None:
        with self.database.read() as tx:
            place = _place_of(tx, subdir.id)
            names = [] if place is None else _changed_names(tx, subdir)
        if place is None:
            return  # the channel was deleted a moment ago, and the next run deletes its objects
        for start in range(0, len(names), _NAMES_AT_ONCE):
            with self.database.read() as tx:
                found = _name_manifests(tx, place, names[start : start + _NAMES_AT_ONCE])
            self._write([(self._key(subdir.channel_id, subdir.id, id_), encode(one)) for id_, one in found])
        with self.database.write_part() as tx:
            tx.execute(_move_mark(self.store_id, subdir.channel_id, subdir.id).values(revision=place.revision))

    def _key(self, *ids: int) -> str:
        return keys.manifest(self.store_id, ManifestPlace(*ids))

    def _write(self, objects: Sequence[tuple[str, bytes]]) -> None:
        for size in self.threads.map(self._write_one, objects):
            self.written.objects += 1
            self.written.bytes += size

    def _write_one(self, one: tuple[str, bytes]) -> int:
        key, content = one
        self.blobs.write(key, content)
        return len(content)

    def _delete(self, folder: str) -> None:
        for _ in self.threads.map(self.blobs.delete, [stat.key for stat in self.blobs.list(folder)]):
            self.written.deleted += 1


def _find_changes(tx: Tx, store_id: str) -> _Changes:
    changes = _Changes()
    for row in tx.execute(_channels_with_marks(store_id)):
        content = encode(_channel_manifest(row))
        digest = hashlib.sha256(content).digest()
        if row.known is None:
            changes.unmarked.append((row.id, 0))
        if row.digest != digest:
            changes.channels.append(_ChangedChannel(row.id, content, digest))
    for row in tx.execute(_changed_subdirs(store_id)):
        if row.known is None:
            changes.unmarked.append((row.channel_id, row.id))
        known = _NEVER if row.known is None or row.known > row.revision else row.known
        changes.subdirs.append(_ChangedSubdir(row.id, row.channel_id, known))
    for row in tx.execute(_STALE, {"store_id": store_id}):
        if row.store_id == store_id:
            changes.removed.append(row.channel_id)
        elif row.store_id not in changes.old_stores:
            changes.old_stores.append(row.store_id)
    return changes


_STALE = (
    select(manifest_marks.c.store_id, manifest_marks.c.channel_id)
    .where(
        or_(
            manifest_marks.c.store_id != bindparam("store_id"),
            manifest_marks.c.channel_id.not_in(select(channels.c.id)),
        )
    )
    .distinct()
)


def _mark_of(store_id: str, channel_id: Any, subdir_id: Any) -> ColumnElement[bool]:
    """The mark of a channel (subdir 0) or of a subdir."""
    return and_(
        manifest_marks.c.store_id == store_id,
        manifest_marks.c.channel_id == channel_id,
        manifest_marks.c.subdir_id == subdir_id,
    )


def _move_mark(store_id: str, channel_id: int, subdir_id: int) -> Update:
    return update(manifest_marks).where(_mark_of(store_id, channel_id, subdir_id))


def _changed_subdirs(store_id: str) -> Select[Any]:
    known = manifest_marks.c.revision
    return (
        select(subdirs.c.id, subdirs.c.channel_id, subdirs.c.revision, known.label("known"))
        .outerjoin(manifest_marks, _mark_of(store_id, subdirs.c.channel_id, subdirs.c.id))
        .where(or_(known.is_(None), known != subdirs.c.revision))
        .order_by(subdirs.c.id)
    )


def _channels_with_marks(store_id: str) -> Select[Any]:
    owner = (
        select(users.c.name)
        .join(members, members.c.user_id == users.c.id)
        .where(members.c.channel_id == channels.c.id, members.c.role == Role.OWNER.value)
        .scalar_subquery()
    )
    return (
        select(
            channels,
            func.coalesce(owner, "").label("owner"),
            logos.c.sha256.label("logo"),
            logos.c.size.label("logo_size"),
            manifest_marks.c.revision.label("known"),
            manifest_marks.c.digest,
        )
        .outerjoin(logos, logos.c.channel_id == channels.c.id)
        .outerjoin(manifest_marks, _mark_of(store_id, channels.c.id, 0))
        .order_by(channels.c.id)
    )


def _channel_manifest(row: Row[Any]) -> ChannelManifest:
    return ChannelManifest(
        format=FORMAT,
        name=row.name,
        description=row.description,
        is_public=row.is_public,
        owner=row.owner,
        refuses_lookalikes=row.refuses_lookalikes,
        quota_bytes=row.quota_bytes,
        only_publishers=row.only_publishers,
        attestations=Attestations(row.attestations),
        created_at=row.created_at,
        logo=row.logo,
        logo_size=row.logo_size or 0,
    )


def _place_of(tx: Tx, subdir_id: int) -> _Place | None:
    row = tx.execute(
        select(subdirs.c.id, subdirs.c.name, channels.c.name, subdirs.c.revision)
        .join(channels, channels.c.id == subdirs.c.channel_id)
        .where(subdirs.c.id == subdir_id)
    ).one_or_none()
    return None if row is None else _Place(*row)


def _changed_names(tx: Tx, subdir: _ChangedSubdir) -> list[int]:
    """The packages whose index changed behind the revision that is known: deleted files are such a change too."""
    query = (
        select(packages.c.id)
        .join(shards, shards.c.name == packages.c.name)
        .where(
            packages.c.channel_id == subdir.channel_id,
            shards.c.subdir_id == subdir.id,
            shards.c.revision > subdir.known,
        )
        .order_by(packages.c.id)
    )
    return list(tx.execute(query).scalars())


def _name_manifests(tx: Tx, place: _Place, package_ids: Sequence[int]) -> list[tuple[int, NameManifest]]:
    """The objects of these packages in a subdir, as this transaction sees them."""
    names = tx.execute(
        select(packages.c.id, packages.c.name, packages.c.summary, shards.c.revision)
        .join(shards, and_(shards.c.subdir_id == place.subdir_id, shards.c.name == packages.c.name))
        .where(packages.c.id.in_(package_ids))
    ).all()
    entries = _file_entries(tx, place.subdir_id, package_ids)
    return [
        (
            row.id,
            NameManifest(
                format=FORMAT,
                channel=place.channel,
                subdir=place.subdir,
                package=row.name,
                summary=row.summary,
                revision=row.revision,
                files=entries.get(row.id, []),
            ),
        )
        for row in names
    ]


def _file_entries(tx: Tx, subdir_id: int, package_ids: Sequence[int]) -> dict[int, list[FileEntry]]:
    of_names = (files.c.subdir_id == subdir_id, files.c.package_id.in_(package_ids))
    sidecars: dict[str, list[Attestation]] = {}
    beside = select(attestations).join(
        files, and_(files.c.subdir_id == attestations.c.subdir_id, files.c.file_name == attestations.c.file_name)
    )
    for row in tx.execute(beside.where(*of_names).order_by(attestations.c.accepted_at, attestations.c.sha256)):
        sidecars.setdefault(row.file_name, []).append(
            Attestation(row.content, row.file_sha256, row.claims, row.accepted_at, row.superseded_at)
        )
    entries: dict[int, list[FileEntry]] = {}
    for row in sorted(tx.execute(select(files).where(*of_names)), key=lambda row: row.file_name):
        entries.setdefault(row.package_id, []).append(
            FileEntry(
                file_name=row.file_name,
                state=State(row.state),
                section=Section(row.section),
                version=row.version,
                size=row.size,
                sha256=row.sha256,
                indexed_at=row.indexed_at,
                uploaded_as=row.uploaded_as,
                record=row.record,
                about=row.about,
                attestations=sidecars.get(row.file_name, []),
            )
        )
    return entries
