"""
Keep the manifests in the store up to date with the database, in the background.

1. The transaction of an upload writes nothing for manifests: changes are found by the revisions of subdirs and names,
   and by comparing the objects of channels with the objects that were written last (`manifest_marks`).
2. An object exists only while `manifest_marks` has a row of its channel. Rows are inserted before the first object is
   written, and deleted only after the store was seen to have no objects left; so no object outlives its channel by
   more than one run that can delete.
3. The mark of a subdir moves only after every object that changed up to its revision was written, or noted as skipped
   (6). The next run repeats a run that was killed.
4. The cost of a run depends on the changes: one object for each changed name, whatever else the channel contains.
5. Objects are deleted only below store ids that this database has marks of. When the id changes, everything is written
   below the new id, objects of channels last, and then the objects below the old id are deleted.
6. Only objects that the reader accepts are written. If damaged rows would give another object, the existing object
   stays, all others are still written, and the damage is logged once. Skipped objects are noted with the mark, and
   every run tries them again.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.database import site_values
from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Database, Tx
from seaway.database.rows import AnyRow, in_batches
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
from seaway.errors import DamagedDatabase
from seaway.packages.channel_manifests import (
    FORMAT,
    AttestationEntry,
    BadManifest,
    ChannelManifest,
    FileEntry,
    NameManifest,
    decode_channel,
    decode_name,
    encode,
)
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.keys import ManifestIds

log = structlog.get_logger()

MANIFEST_LOCK = "manifests"  # lock: one process at a time
_NAMES_AT_ONCE = 16  # read in one transaction and held in memory together
_OBJECTS_AT_ONCE = 8  # a bucket responds after milliseconds, and to many requests at once
_NEVER = -1
_SKIPPED = "manifests-left"  # the site value that lists the skipped objects (6)


@dataclass(slots=True)
class WriteResult:
    """Counts of one run."""

    objects: int = 0
    bytes: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class _Object:
    """An object to write, or the reason why it is skipped."""

    place: ManifestIds
    label: str
    content: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _ChangedSubdir:
    id: int
    channel_id: int
    known: int  # revision of the last run
    skipped: frozenset[int]  # packages whose objects earlier runs skipped


@dataclass(frozen=True, slots=True)
class _SubdirPlace:
    """A subdir, as one transaction sees it."""

    channel_id: int
    subdir_id: int
    subdir: str
    channel: str
    revision: int

    def __str__(self) -> str:
        return f"{self.channel}/{self.subdir}"


@dataclass(slots=True)
class _Changes:
    """Differences between the store and the database."""

    skipped: frozenset[ManifestIds] = frozenset()  # skipped by earlier runs
    channels: list[_Object] = field(default_factory=list)
    subdirs: list[_ChangedSubdir] = field(default_factory=list)
    unmarked: list[tuple[int, int]] = field(default_factory=list)  # (channel, subdir) pairs without a mark
    removed: list[int] = field(default_factory=list)  # channels
    old_stores: list[str] = field(default_factory=list)
    has_channels: bool = False  # whether any channel object was written for this store

    def __bool__(self) -> bool:
        return bool(self.skipped or self.channels or self.subdirs or self.removed or self.old_stores)


def write_changes(site: Site, store_id: str, before_writing: Callable[[], object] = lambda: None) -> WriteResult:
    """
    Update the manifests of this store, unless another process is updating them.

    `before_writing` is called once, before the first object is written or deleted, if any is.
    """
    written = WriteResult()
    with site.database.exclusive(MANIFEST_LOCK, wait=False) as is_acquired:
        if not is_acquired:
            return written
        with site.database.read() as tx:
            changes = _find_changes(tx, store_id)
        if not changes:
            return written
        with ThreadPoolExecutor(_OBJECTS_AT_ONCE, thread_name_prefix="manifests") as threads:
            _Run(site, store_id, threads, written, before_writing, changes).run()
    return written


def forget_marks(database: Database) -> None:
    """
    Make the next run write every object again, to the store that is in use then.

    Marks are kept, so that the objects of channels that are deleted meanwhile are found (2).
    """
    with database.exclusive(MANIFEST_LOCK), database.write_unlocked() as tx:
        tx.execute(update(manifest_marks).values(revision=_NEVER, digest=None))


@dataclass(slots=True)
class _Run:
    site: Site
    store_id: str
    threads: ThreadPoolExecutor
    written: WriteResult
    before_writing: Callable[[], object]
    changes: _Changes
    skipped: frozenset[ManifestIds] = field(init=False)
    is_announced: bool = False

    def run(self) -> None:
        changes, self.skipped = self.changes, self.changes.skipped
        self._insert_marks(changes.unmarked)
        # A set without channel objects is incomplete: a rebuild prefers the set below an earlier id.
        if changes.has_channels:
            self._write_channels(changes.channels)
        for subdir in changes.subdirs:
            self._write_subdir(subdir)
        if not changes.has_channels:
            self._write_channels(changes.channels)
        for channel_id in changes.removed:
            of_channel = (manifest_marks.c.store_id == self.store_id, manifest_marks.c.channel_id == channel_id)
            self._delete(keys.channel_manifests(self.store_id, channel_id), *of_channel)
        for store_id in changes.old_stores:
            self._delete(keys.store_manifests(store_id), manifest_marks.c.store_id == store_id)

    def _insert_marks(self, unmarked: Sequence[tuple[int, int]]) -> None:
        rows = [
            {"store_id": self.store_id, "channel_id": channel_id, "subdir_id": subdir_id, "revision": _NEVER}
            for channel_id, subdir_id in unmarked
        ]
        if rows:
            with self.site.database.write_unlocked() as tx:
                tx.execute(insert(manifest_marks), rows)

    def _write_channels(self, found: Sequence[_Object]) -> None:
        written = self._write(found)
        with self.site.database.write_unlocked() as tx:
            for item in written:
                values = {"revision": 0, "digest": _digest(item.content)}
                tx.execute(_move_mark(self.store_id, item.place.channel_id, 0).values(values))
            self._store_skipped(tx, 0, found)

    def _write_subdir(self, subdir: _ChangedSubdir) -> None:
        with self.site.database.read() as tx:
            place = _place_of(tx, subdir.id)
            names = [] if place is None else _changed_names(tx, subdir)
        if place is None:
            return  # the channel was deleted a moment ago, and the next run deletes its objects
        skipped: list[_Object] = []
        for batch in in_batches(names, _NAMES_AT_ONCE):
            found = self._read(place, batch)
            self._write(found)
            skipped += [item for item in found if item.reason]
        with self.site.database.write_unlocked() as tx:
            if place.revision != subdir.known:
                tx.execute(_move_mark(self.store_id, subdir.channel_id, subdir.id).values(revision=place.revision))
            self._store_skipped(tx, subdir.id, skipped)

    def _read(self, place: _SubdirPlace, package_ids: Sequence[int]) -> list[_Object]:
        """Return the objects of these packages; read them one by one if a page of the database is damaged."""
        try:
            with self.site.database.read() as tx:
                return _name_objects(tx, place, package_ids)
        except DamagedDatabase as error:
            if len(package_ids) == 1:
                place_of_package = ManifestIds(place.channel_id, place.subdir_id, *package_ids)
                return [_Object(place_of_package, f"package {package_ids[0]} of {place}", reason=error.cause)]
        return [item for id_ in package_ids for item in self._read(place, [id_])]

    def _store_skipped(self, tx: Tx, subdir_id: int, attempted: Sequence[_Object]) -> None:
        """Store which objects of a subdir, or of channels (subdir 0), were skipped, in place of the earlier list."""
        skipped = {item.place: item for item in attempted if item.reason}
        all_skipped = frozenset(place for place in self.skipped if place.subdir_id != subdir_id) | skipped.keys()
        for place in skipped.keys() - self.skipped:
            log.warning("manifests.skipped", object=skipped[place].label, reason=skipped[place].reason)
        if all_skipped != self.skipped:
            self.skipped = all_skipped
            site_values.put(tx, _SKIPPED, msgspec.json.encode(all_skipped))

    def _write(self, objects: Sequence[_Object]) -> list[_Object]:
        """Write these objects; return the ones that were not skipped."""
        writable = [item for item in objects if not item.reason]
        if writable:
            self._announce()
        for size in self.threads.map(self._write_one, writable):
            self.written.objects += 1
            self.written.bytes += size
        for item in objects:
            if item.reason:
                self._copy_older(item.place)
        return writable

    def _write_one(self, item: _Object) -> int:
        self.site.blobs.write(keys.manifest(self.store_id, item.place), item.content)
        return len(item.content)

    def _copy_older(self, place: ManifestIds) -> None:
        """Copy a skipped object from below earlier ids of the store, which are about to be deleted (5)."""
        for store_id in self.changes.old_stores:
            self._announce()
            with suppress(FileNotFoundError):
                self.site.blobs.copy(keys.manifest(store_id, place), keys.manifest(self.store_id, place))

    def _delete(self, folder: str, *marks: ColumnElement[bool]) -> None:
        """Delete the objects in a folder, and their marks if it is empty then: a store may refuse to delete (2)."""
        found = [stat.key for stat in self.site.blobs.list(folder)]
        if found:
            self._announce()
        list(self.threads.map(self.site.blobs.delete, found))
        remaining = sum(1 for _ in self.site.blobs.list(folder))
        self.written.deleted += len(found) - remaining
        if not remaining:
            with self.site.database.write_unlocked() as tx:
                tx.execute(delete(manifest_marks).where(*marks))

    def _announce(self) -> None:
        if not self.is_announced:
            self.before_writing()
            self.is_announced = True


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _find_changes(tx: Tx, store_id: str) -> _Changes:
    changes = _Changes()
    skipped = _skipped_earlier(tx)
    with tolerating_damage(tx):
        for row in tx.execute(_channels_with_marks(store_id)):
            settings = {setting: getattr(row, setting) for setting in ChannelSettings.model_fields}
            content = encode(_unchecked(ChannelManifest, row, format=FORMAT, settings=settings))
            changes.has_channels |= row.digest is not None
            if row.known is None:
                changes.unmarked.append((row.id, 0))
            if row.digest != _digest(content):
                changes.channels.append(_checked_object(ManifestIds(row.id), row.name, content, decode_channel))
    for row in tx.execute(_changed_subdirs(store_id, {place.subdir_id for place in skipped})):
        if row.is_unmarked:
            changes.unmarked.append((row.channel_id, row.id))
        retried = frozenset(place.package_id for place in skipped if place.subdir_id == row.id)
        changes.subdirs.append(_ChangedSubdir(row.id, row.channel_id, row.known, retried))
    changed_ids = {0, *(subdir.id for subdir in changes.subdirs)}
    changes.skipped = frozenset(place for place in skipped if place.subdir_id in changed_ids)
    for row in tx.execute(_STALE, {"store_id": store_id}):
        if row.store_id == store_id:
            changes.removed.append(row.channel_id)
        elif row.store_id not in changes.old_stores:
            changes.old_stores.append(row.store_id)
    return changes


def _skipped_earlier(tx: Tx) -> frozenset[ManifestIds]:
    try:
        value = site_values.get(tx, _SKIPPED)
        return frozenset() if value is None else msgspec.json.decode(value, type=frozenset[ManifestIds])
    except (msgspec.MsgspecError, TypeError):  # damaged too: skipped objects wait for the next change of their names
        return frozenset()


def _checked_object(place: ManifestIds, label: str, content: bytes, decode: Callable[[bytes], object]) -> _Object:
    """Return the object, with a reason if the reader rejects it: values of damaged rows are unchecked (6)."""
    try:
        decode(content)
    except BadManifest as error:
        return _Object(place, label, reason=str(error))
    return _Object(place, label, content)


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
    """Condition for the mark of a channel (subdir 0) or of a subdir."""
    return and_(
        manifest_marks.c.store_id == store_id,
        manifest_marks.c.channel_id == channel_id,
        manifest_marks.c.subdir_id == subdir_id,
    )


def _move_mark(store_id: str, channel_id: int, subdir_id: int) -> Update:
    return update(manifest_marks).where(_mark_of(store_id, channel_id, subdir_id))


def _changed_subdirs(store_id: str, with_skipped: Collection[int]) -> Select[Any]:
    known = manifest_marks.c.revision
    return (
        select(
            subdirs.c.id,
            subdirs.c.channel_id,
            known.is_(None).label("is_unmarked"),
            # A revision in the future is from a newer database, and one that is not a number is damage.
            case((known <= subdirs.c.revision, known), else_=_NEVER).label("known"),
        )
        .outerjoin(manifest_marks, _mark_of(store_id, subdirs.c.channel_id, subdirs.c.id))
        .where(or_(known.is_(None), known != subdirs.c.revision, subdirs.c.id.in_(with_skipped)))
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
            as_stored(logos.c.sha256).label("logo"),
            func.coalesce(logos.c.size, 0).label("logo_size"),
            manifest_marks.c.revision.label("known"),
            as_stored(manifest_marks.c.digest).label("digest"),
        )
        .outerjoin(logos, logos.c.channel_id == channels.c.id)
        .outerjoin(manifest_marks, _mark_of(store_id, channels.c.id, 0))
        .order_by(channels.c.id)
    )


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _unchecked(kind: type[_Struct], row: AnyRow, **values: Any) -> _Struct:
    """Return a struct with these values, and the columns of the row as its other fields; types are not checked."""
    columns = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
    return kind(**{name: columns[name] for name in kind.__struct_fields__ if name not in values}, **values)


def _place_of(tx: Tx, subdir_id: int) -> _SubdirPlace | None:
    query = (
        select(
            channels.c.id.label("channel_id"), subdirs.c.id.label("subdir_id"), subdirs.c.name.label("subdir"),
            channels.c.name.label("channel"), subdirs.c.revision,
        )
        .join(channels, channels.c.id == subdirs.c.channel_id)
        .where(subdirs.c.id == subdir_id)
    )  # fmt: skip
    with tolerating_damage(tx):
        row = tx.execute(query).one_or_none()
    return None if row is None else _SubdirPlace(row.channel_id, row.subdir_id, row.subdir, row.channel, row.revision)


def _changed_names(tx: Tx, subdir: _ChangedSubdir) -> list[int]:
    """
    Return the ids of packages whose index changed after the known revision, and of skipped ones.

    Deleting a file is a change too.
    """
    query = (
        select(packages.c.id)
        .join(shards, shards.c.name == packages.c.name)
        .where(
            packages.c.channel_id == subdir.channel_id,
            shards.c.subdir_id == subdir.id,
            shards.c.revision > subdir.known,
        )
    )
    return sorted(subdir.skipped.union(tx.execute(query).scalars()))


def _name_objects(tx: Tx, place: _SubdirPlace, package_ids: Sequence[int]) -> list[_Object]:
    """Return the objects of these packages in a subdir, as this transaction sees them."""
    query = (
        select(packages.c.id, packages.c.name, shards.c.revision)
        .join(shards, and_(shards.c.subdir_id == place.subdir_id, shards.c.name == packages.c.name))
        .where(packages.c.id.in_(package_ids))
    )
    with tolerating_damage(tx):
        names = tx.execute(query).all()
        entries = _file_entries(tx, place.subdir_id, package_ids)
    return [
        _checked_object(
            ManifestIds(place.channel_id, place.subdir_id, row.id),
            f"{place}/{row.name}",
            encode(
                NameManifest(
                    format=FORMAT,
                    channel=place.channel,
                    subdir=place.subdir,
                    package=row.name,
                    revision=row.revision,
                    files=entries.get(row.id, []),
                )
            ),
            decode_name,
        )
        for row in names
    ]


def _columns(table: Table, kind: type[msgspec.Struct]) -> list[ColumnElement[Any]]:
    return [as_stored(table.c[name]).label(name) for name in kind.__struct_fields__ if name in table.c]


_FILES = select(files.c.package_id, *_columns(files, FileEntry))
_ATTESTATIONS = (
    select(attestations.c.file_name, *_columns(attestations, AttestationEntry))
    .join(files, and_(files.c.subdir_id == attestations.c.subdir_id, files.c.file_name == attestations.c.file_name))
    .order_by(attestations.c.accepted_at, attestations.c.sha256)
)


def _file_entries(tx: Tx, subdir_id: int, package_ids: Sequence[int]) -> dict[int, list[FileEntry]]:
    """Return the files of these packages by package id, with unchecked values from the rows."""
    of_names = (files.c.subdir_id == subdir_id, files.c.package_id.in_(package_ids))
    sidecars: dict[str, list[AttestationEntry]] = {}
    for attestation in tx.execute(_ATTESTATIONS.where(*of_names)):
        sidecars.setdefault(attestation.file_name, []).append(_unchecked(AttestationEntry, attestation))
    entries: dict[int, list[FileEntry]] = {}
    for row in sorted(tx.execute(_FILES.where(*of_names)), key=lambda row: str(row.file_name)):
        entry = _unchecked(FileEntry, row, attestations=sidecars.get(row.file_name, []))
        entries.setdefault(row.package_id, []).append(entry)
    return entries
