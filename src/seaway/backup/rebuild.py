"""
Rebuild the lost database of a store from its manifests and blobs.

1. A rebuild needs a database that has and had no channels. All rows are inserted in one transaction: a rebuild that was
   killed leaves the database unchanged, and can be run again.
2. A file is restored only if its blob exists and all its bytes were read with the right hash. A file whose blob is
   missing or damaged is reported and restored as deleted, so that its name stays taken.
3. Deleted files stay deleted, and their names stay taken.
4. Channels are private, and belong to the first site admin until they are assigned.
5. An object that is not a manifest, conflicts with another one or cannot be read is reported by its key, and the rest
   is restored. If the whole store does not respond, or a folder cannot be listed, nothing is restored: files would be
   reported as lost, and blobs that were not listed would be swept.
6. Blobs that no manifest names are reported, and no sweep deletes them until an operator releases them. Blobs of files
   that manifests list as deleted are left to the sweep.
7. Ids are the ids of the lost database: objects that are written after a rebuild replace the objects it read.
8. After `seaway adopt`, manifests are below the earlier id of the store until all are written below the new id, objects
   of channels last. So a set without channel objects is read only if no other set has any.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import Table, insert, literal, select, update

from seaway import audit
from seaway.attestations import sidecars
from seaway.audit import Event
from seaway.backup import tables
from seaway.backup.blob_copy import BlobEntry, is_there, map_concurrently
from seaway.backup.unnamed_blobs import UnnamedBlob, identify
from seaway.callers.caller import OPERATOR
from seaway.channels.roles import Role
from seaway.clock import Clock
from seaway.conda import filename
from seaway.database.engine import Database, Tx
from seaway.database.tables import (
    attestations,
    channels,
    files,
    kept_blobs,
    logos,
    members,
    packages,
    released_names,
    subdirs,
    uploads,
)
from seaway.errors import BadSetting, Unavailable
from seaway.indexing.file_rows import FileState, IndexedFile, get_subdir
from seaway.indexing.updates import update_names
from seaway.packages.channel_manifests import (
    FORMAT,
    MAX_BYTES,
    BadManifest,
    ChannelManifest,
    FileEntry,
    NameManifest,
    decode_channel,
    decode_name,
    settings_of,
)
from seaway.packages.sweep import SWEEP_LOCK
from seaway.pairing import identity_storage
from seaway.pairing.identity import DatabaseIdentity
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.keys import ManifestIds
from seaway.storage.spool import Spool
from seaway.users import users
from seaway.users.users import User

_NAMES_AT_ONCE = 50
_MIN_CONCURRENCY = 8  # a bucket responds after milliseconds
MISSING, DAMAGED = "missing", "damaged"


@dataclass(frozen=True, slots=True)
class UnreadableManifest:
    """An object that was not used, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file or channel logo that was not restored, because its blob is missing or damaged."""

    where: str
    sha256: str
    reason: str


@dataclass(slots=True)
class RebuiltSite:
    """The result of a rebuild: what was restored, and what was not."""

    admin: str
    is_new_admin: bool
    earlier_store_id: str | None  # the id of the manifests, if the store has another id now (8)
    channels: int = 0
    files: int = 0
    deleted: int = 0
    unreadable: list[UnreadableManifest] = field(default_factory=list)
    lost: list[LostFile] = field(default_factory=list)
    unnamed: list[UnnamedBlob] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Name:
    """A name object: its position in the spool, and the ids of its rows."""

    place: ManifestIds
    offset: int
    length: int
    package: str
    subdir: str
    revision: int
    newest_ms: int
    summary: str


class _Ids:
    """One-to-one mapping of ids and names in channels, for subdirs or packages."""

    def __init__(self) -> None:
        self.by_id: dict[int, tuple[int, str]] = {}
        self._by_name: dict[tuple[int, str], int] = {}

    def require_free(self, id_: int, named: tuple[int, str]) -> None:
        """Raise `BadManifest` unless both belong together or both are unknown."""
        if self.by_id.get(id_, named) != named or self._by_name.get(named, id_) != id_:
            raise BadManifest("its ids conflict with another manifest")

    def add(self, id_: int, named: tuple[int, str]) -> None:
        self.by_id[id_] = named
        self._by_name[named] = id_


@dataclass(slots=True)
class _Plan:
    """The contents of all manifests, without the records."""

    channels: dict[int, ChannelManifest] = field(default_factory=dict)
    names: list[_Name] = field(default_factory=list)
    subdirs: _Ids = field(default_factory=_Ids)
    packages: _Ids = field(default_factory=_Ids)
    blobs: dict[bytes, int] = field(default_factory=dict)  # with their sizes
    deleted: set[bytes] = field(default_factory=set)
    unreadable: list[UnreadableManifest] = field(default_factory=list)
    last_ids: dict[str, int] = field(default_factory=dict)


def rebuild(
    database: Database, blobs: BlobStore, spool: Spool, clock: Clock, admin: str, whole_document_limit: int
) -> RebuiltSite:
    """Insert rows for all manifests of this store; channels go to the first site admin, or a new one named `admin`."""
    # A sweep now would delete blobs that the rows are about to name.
    with database.exclusive(SWEEP_LOCK), spool.file() as objects:
        with database.read() as tx:
            _require_no_channels(tx)
        listed = list(blobs.list(keys.MANIFESTS))
        identity = _identity_of(blobs, listed)
        id_of_set = _id_of_set(listed, identity.id)
        earlier_id = None if id_of_set == identity.id else id_of_set
        plan = _read_manifests(blobs, _in_set(listed, id_of_set), objects, clock.now_ms())
        bad_blobs = dict(filter(None, _verify(blobs, plan)))
        unnamed = list(_find_unnamed(blobs, plan))
        with database.write_site() as tx:
            _require_no_channels(tx)
            now_ms = clock.now_ms()
            first_admin = users.first_admin(tx)
            owner = first_admin or users.add_admin(tx, now_ms, OPERATOR, admin)
            rebuilt = RebuiltSite(
                owner.name, first_admin is None, earlier_id, unreadable=plan.unreadable, unnamed=unnamed
            )
            _RowWriter(tx, now_ms, plan, bad_blobs, rebuilt, whole_document_limit).fill(owner, objects)
            identity_storage.put_in_database(tx, identity)
    return rebuilt


def _require_no_channels(tx: Tx) -> None:
    for table in (channels, released_names, uploads):
        if tx.execute(select(literal(1)).select_from(table).limit(1)).first():
            raise BadSetting(
                "The database has or had channels.", "Rebuild to an empty database: use another data folder."
            )


def _identity_of(blobs: BlobStore, listed: Sequence[BlobStat]) -> DatabaseIdentity:
    """Return the identity for the database: the identity of the store, or of the only set of manifests in it."""
    found = identity_storage.of_store(blobs)
    if found is not None:
        return DatabaseIdentity(found.id, found.counter, found.counter)
    ids = {id_ for stat in listed if (id_ := keys.store_id_of(stat.key)) is not None}
    if len(ids) != 1:
        raise BadSetting(
            f"The store has no identity, and contains manifests of {len(ids)} stores.",
            "Check storage_url, or restore a backup.",
        )
    return DatabaseIdentity(ids.pop(), counter=1, stored=0)


# Reading


def _id_of_set(listed: Sequence[BlobStat], store_id: str) -> str:
    """Return the id of the set of manifests to read: the store's own, or that of the newest complete set (8)."""
    whole: dict[str, int] = {}
    for stat in listed:
        place, id_ = keys.manifest_place(stat.key), keys.store_id_of(stat.key)
        if place is not None and id_ is not None and place.subdir_id == 0:
            whole[id_] = max(whole.get(id_, 0), stat.modified_ms)
    return store_id if store_id in whole or not whole else max(whole, key=lambda id_: whole[id_])


def _in_set(listed: Sequence[BlobStat], store_id: str) -> list[BlobStat]:
    return [stat for stat in listed if stat.key.startswith(f"{keys.store_manifests(store_id)}/")]


def _read_manifests(blobs: BlobStore, stats: Sequence[BlobStat], objects: BinaryIO, now_ms: int) -> _Plan:
    plan = _Plan()
    found: list[tuple[ManifestIds, BlobStat]] = []
    for stat in stats:
        place = keys.manifest_place(stat.key)
        if place is not None:
            found.append((place, stat))
        elif not keys.is_unfinished(stat.key):
            plan.unreadable.append(UnreadableManifest(stat.key, "its key is not that of a manifest"))
    # Channels come before their names.
    found.sort(key=lambda entry: (entry[0].channel_id, entry[0].subdir_id, entry[0].package_id))
    for place, key, content in map_concurrently(partial(_fetch, blobs), found):
        _note_ids(plan, place)
        try:
            if isinstance(content, str):
                raise BadManifest(content)
            if place.subdir_id:
                _add_name(plan, place, decode_name(content), _spool(objects, content), now_ms)
            else:
                _add_channel(plan, place.channel_id, decode_channel(content))
        except BadManifest as error:
            plan.unreadable.append(UnreadableManifest(key, str(error)))
    objects.flush()
    return plan


def _fetch(blobs: BlobStore, entry: tuple[ManifestIds, BlobStat]) -> tuple[ManifestIds, str, bytes | str]:
    """Return an object with its place and key, or the reason why it could not be read."""
    place, stat = entry
    content: bytes | str = "it is too large, or was deleted during the rebuild"
    if stat.size <= MAX_BYTES:
        try:
            with blobs.open(stat.key) as file:
                content = file.read()
        except FileNotFoundError:
            pass
        except (OSError, Unavailable) as error:
            content = _unreadable_reason(blobs, error)
    return place, stat.key, content


def _unreadable_reason(blobs: BlobStore, error: OSError | Unavailable) -> str:
    """Return the reason for one object that the store cannot read; raise if the store does not respond (5)."""
    identity_storage.of_store(blobs)
    return f"it cannot be read: {error}"


def _spool(objects: BinaryIO, content: bytes) -> tuple[int, int]:
    """Spool an object for the transaction: all objects together may not fit in memory."""
    offset = objects.tell()
    objects.write(content)
    return offset, len(content)


def _note_ids(plan: _Plan, place: ManifestIds) -> None:
    for table, id_ in (("channels", place.channel_id), ("subdirs", place.subdir_id), ("packages", place.package_id)):
        plan.last_ids[table] = max(plan.last_ids.get(table, 0), id_)


def _add_channel(plan: _Plan, channel_id: int, manifest: ChannelManifest) -> None:
    if any(other.name == manifest.name for other in plan.channels.values()):
        raise BadManifest(f"another channel is also named {manifest.name}")
    plan.channels[channel_id] = manifest
    if manifest.logo is not None:
        plan.blobs[manifest.logo] = manifest.logo_size


def _add_name(plan: _Plan, place: ManifestIds, manifest: NameManifest, position: tuple[int, int], now_ms: int) -> None:
    if place.channel_id not in plan.channels:  # channel object missing or damaged; each name object has its name
        _add_channel(plan, place.channel_id, _channel_of_name(manifest.channel, now_ms))
    if plan.channels[place.channel_id].name != manifest.channel:
        raise BadManifest(f"it belongs to channel {manifest.channel} but is stored under another one")
    plan.subdirs.require_free(place.subdir_id, (place.channel_id, manifest.subdir))
    plan.packages.require_free(place.package_id, (place.channel_id, manifest.package))
    plan.subdirs.add(place.subdir_id, (place.channel_id, manifest.subdir))
    plan.packages.add(place.package_id, (place.channel_id, manifest.package))
    newest_ms = max((file.indexed_at for file in manifest.files), default=0)
    plan.names.append(
        _Name(place, *position, manifest.package, manifest.subdir, manifest.revision, newest_ms, manifest.summary)
    )
    for file in manifest.files:
        if file.is_there:
            plan.blobs[file.sha256] = file.size
        else:
            plan.deleted.add(file.sha256)


def _channel_of_name(name: str, now_ms: int) -> ChannelManifest:
    return ChannelManifest(
        format=FORMAT,
        name=name,
        settings={},
        owner="",
        quota_bytes=None,
        created_at=now_ms,
        logo=None,
        logo_size=0,
    )


# Verifying


def _verify(blobs: BlobStore, plan: _Plan) -> Iterator[tuple[bytes, str] | None]:
    """Yield each missing or damaged blob with its problem, and None for each intact blob."""
    listed = [BlobEntry(sha256, size) for sha256, size in plan.blobs.items()]
    return map_concurrently(partial(_verify_one, blobs), listed, at_once=_concurrency())


def _verify_one(blobs: BlobStore, blob: BlobEntry) -> tuple[bytes, str] | None:
    try:
        if is_there(blobs, blob, verify=True):
            return None
        is_missing = blobs.stat(blob.key) is None
    except FileNotFoundError:  # deleted between two requests
        is_missing = True
    except (OSError, Unavailable) as error:  # the disk can no longer read it: other files are still intact
        _unreadable_reason(blobs, error)
        is_missing = False
    return blob.sha256, MISSING if is_missing else DAMAGED


def _find_unnamed(blobs: BlobStore, plan: _Plan) -> Iterator[UnnamedBlob]:
    """Yield the blobs that no manifest names, neither as present nor as deleted."""
    listed = (
        BlobEntry(sha256, stat.size)
        for stat in blobs.list(keys.BLOBS)
        if (sha256 := keys.sha256_of(stat.key)) is not None and sha256 not in plan.blobs and sha256 not in plan.deleted
    )
    return map_concurrently(partial(_identify, blobs), listed, at_once=_concurrency())


def _identify(blobs: BlobStore, blob: BlobEntry) -> UnnamedBlob:
    try:
        return identify(blobs, blob)
    except (OSError, Unavailable) as error:
        return UnnamedBlob(blob.sha256, blob.size, "", problem=_unreadable_reason(blobs, error))


def _concurrency() -> int:
    return max(_MIN_CONCURRENCY, os.cpu_count() or 1)  # hashing runs in parallel threads


# Filling


@dataclass(frozen=True, slots=True)
class _RowWriter:
    """The transaction that inserts all rows."""

    tx: Tx
    now_ms: int
    plan: _Plan
    bad_blobs: dict[bytes, str]
    rebuilt: RebuiltSite
    whole_document_limit: int

    def fill(self, owner: User, objects: BinaryIO) -> None:
        self._insert_channels(owner)
        self._insert_logos()
        self._insert_packages()
        self._insert_subdirs()
        for subdir_id, of_subdir in groupby(self.plan.names, key=lambda name: name.place.subdir_id):
            names = list(of_subdir)
            for start in range(0, len(names), _NAMES_AT_ONCE):
                self._insert_names(subdir_id, names[start : start + _NAMES_AT_ONCE], objects)
        kept = [{"sha256": blob.sha256, "size": blob.size} for blob in self.rebuilt.unnamed]
        self._insert(kept_blobs, kept)
        tables.put_last_ids(self.tx, {**tables.last_ids(self.tx), **self.plan.last_ids})

    def _insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self.tx.execute(insert(table), rows)

    def _insert_channels(self, owner: User) -> None:
        names = {manifest.name for manifest in self.plan.channels.values()}
        for channel_id, manifest in self.plan.channels.items():
            values = {
                "id": channel_id,
                "name": manifest.name,
                **settings_of(manifest).columns(),
                "is_public": False,
                "base": manifest.base if manifest.base in names else "",
                "overrides": manifest.overrides if manifest.overrides in names else "",
                "quota_bytes": manifest.quota_bytes,
                "created_at": manifest.created_at,
            }
            self._insert(channels, [values])
            owning = {"user_id": owner.id, "role": Role.OWNER.value, "added_at": self.now_ms}
            self._insert(members, [{"channel_id": channel_id, **owning}])
            audit.write(
                self.tx, self.now_ms, OPERATOR.actor, Event.CHANNEL_REBUILT, channel=manifest.name, target=owner.name
            )
            self.rebuilt.channels += 1

    def _insert_logos(self) -> None:
        for channel_id, manifest in self.plan.channels.items():
            if manifest.logo is None:
                continue
            if manifest.logo in self.bad_blobs:
                self._report(f"{manifest.name} logo", manifest.logo)
            else:
                logo = {"channel_id": channel_id, "sha256": manifest.logo, "size": manifest.logo_size}
                self._insert(logos, [logo])

    def _insert_packages(self) -> None:
        newest: dict[int, _Name] = {}  # each object has the summary of the time when it was written
        for name in self.plan.names:
            known = newest.get(name.place.package_id)
            if known is None or name.newest_ms > known.newest_ms:
                newest[name.place.package_id] = name
        rows = [
            {
                "id": package_id,
                "channel_id": name.place.channel_id,
                "name": name.package,
                "folded_name": filename.normalize_name(name.package),
                "summary": name.summary,
            }
            for package_id, name in newest.items()
        ]
        self._insert(packages, rows)

    def _insert_subdirs(self) -> None:
        # Revisions continue after the ones that readers have seen, so that no revision has two meanings.
        revisions: dict[int, int] = {}
        for name in self.plan.names:
            subdir_id = name.place.subdir_id
            revisions[subdir_id] = max(revisions.get(subdir_id, 0), name.revision)
        rows = [
            {
                "id": subdir_id,
                "channel_id": channel_id,
                "name": name,
                "revision": revisions[subdir_id],
                "changed_at": self.now_ms,
                "record_count": 0,
                "size": 0,
            }
            for subdir_id, (channel_id, name) in self.plan.subdirs.by_id.items()
        ]
        self._insert(subdirs, rows)

    def _insert_names(self, subdir_id: int, names: Sequence[_Name], objects: BinaryIO) -> None:
        """Insert the files of some names of one subdir, and index them."""
        changes: dict[str, list[IndexedFile]] = {}
        rows, sidecar_rows, grown = [], [], 0
        for name in names:
            objects.seek(name.offset)
            manifest = decode_name(objects.read(name.length))
            restored_files = [self._restored(manifest, file) for file in manifest.files]
            rows += [_file_row(name.place, file) for file in restored_files]
            sidecar_rows += [row for file in restored_files for row in _attestation_rows(subdir_id, file)]
            grown += sum(file.size for file in restored_files if file.is_there)
            changes[name.package] = [
                IndexedFile(file.file_name, file.state, file.section, file.indexed_at, file.record)
                for file in restored_files
            ]
        self._insert(files, rows)
        self._insert(attestations, sidecar_rows)
        subdir = get_subdir(self.tx, subdir_id)
        assert subdir is not None
        update_names(self.tx, subdir, changes, self.now_ms, self.whole_document_limit, grown=grown)
        # The lost site may have served these shards.
        self.tx.execute(update(subdirs).where(subdirs.c.id == subdir_id).values(served_revision=subdirs.c.revision))

    def _restored(self, manifest: NameManifest, file: FileEntry) -> FileEntry:
        """Return the file as it is restored: as deleted if its blob is missing or damaged."""
        if file.is_there and file.sha256 in self.bad_blobs:
            self._report(f"{manifest.channel}/{manifest.subdir}/{file.file_name}", file.sha256)
            file = msgspec.structs.replace(file, state=FileState.DELETED)
        elif file.is_there:
            self.rebuilt.files += 1
        else:
            self.rebuilt.deleted += 1
        return file if file.is_there else msgspec.structs.replace(file, attestations=[])

    def _report(self, where: str, sha256: bytes) -> None:
        self.rebuilt.lost.append(LostFile(where, sha256.hex(), self.bad_blobs[sha256]))


def _file_row(place: ManifestIds, file: FileEntry) -> dict[str, Any]:
    return {
        "subdir_id": place.subdir_id,
        "package_id": place.package_id,
        "file_name": file.file_name,
        "state": file.state.value,
        "yank_reason": file.yank_reason,
        "section": file.section.value,
        "version": file.version,
        "size": file.size,
        "sha256": file.sha256,
        "indexed_at": file.indexed_at,
        "uploaded_by": None,
        "uploaded_as": file.uploaded_as,
        "record": file.record,
        "about": file.about,
        "correction": file.correction,
    }


def _attestation_rows(subdir_id: int, file: FileEntry) -> list[dict[str, Any]]:
    return [
        {
            "subdir_id": subdir_id,
            "file_name": file.file_name,
            "sha256": sidecars.digest(attestation.content),
            "content": attestation.content,
            "file_sha256": attestation.file_sha256,
            "claims": attestation.claims,
            "accepted_at": attestation.accepted_at,
            "superseded_at": attestation.superseded_at,
        }
        for attestation in file.attestations
    ]
