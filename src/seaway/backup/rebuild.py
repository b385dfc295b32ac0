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
from enum import Enum
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
from seaway.backup.rebuild_plan import (
    PlannedName,
    RebuildPlan,
    UnreadableManifest,
    id_of_set,
    read_manifests,
    unreadable_reason,
)
from seaway.backup.unnamed_blobs import UnnamedBlob, identify
from seaway.callers.caller import OPERATOR
from seaway.channels.channel import stored
from seaway.channels.roles import Role
from seaway.conda import filename
from seaway.database.engine import Tx
from seaway.database.rows import in_batches
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
from seaway.packages import newest_file
from seaway.packages.channel_manifests import FileEntry, NameManifest, decode_name, settings_of
from seaway.packages.sweep import SWEEP_LOCK
from seaway.pairing import identity_storage
from seaway.pairing.identity import DatabaseIdentity
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.keys import ManifestIds
from seaway.users import users
from seaway.users.users import User

_NAMES_AT_ONCE = 50
_MIN_CONCURRENCY = 8  # a bucket responds after milliseconds
MISSING, DAMAGED = "missing", "damaged"


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


def rebuild(site: Site, admin: str) -> RebuiltSite:
    """Insert rows for all manifests of this store; channels go to the first site admin, or a new one named `admin`."""
    # A sweep now would delete blobs that the rows are about to name.
    blobs, clock = site.blobs, site.clock
    with site.database.exclusive(SWEEP_LOCK), site.spool.file() as objects:
        with site.database.read() as tx:
            _require_no_channels(tx)
        listed = list(blobs.list(keys.MANIFESTS))
        identity = _identity_of(blobs, listed)
        read_id = id_of_set(listed, identity.id)
        earlier_id = None if read_id == identity.id else read_id
        plan = read_manifests(blobs, listed, read_id, objects, clock.now_ms())
        bad_blobs = dict(filter(None, _verify(blobs, plan)))
        unnamed = list(_find_unnamed(blobs, plan))
        with site.database.write_site() as tx:
            _require_no_channels(tx)
            now_ms = clock.now_ms()
            first_admin = users.first_admin(tx)
            owner = first_admin or users.add_admin(tx, now_ms, OPERATOR, admin)
            rebuilt = RebuiltSite(
                owner.name, first_admin is None, earlier_id, unreadable=plan.unreadable, unnamed=unnamed
            )
            _RowWriter(tx, now_ms, plan, bad_blobs, rebuilt, site.whole_document_limit).fill(owner, objects)
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


# Verifying


def _verify(blobs: BlobStore, plan: RebuildPlan) -> Iterator[tuple[bytes, str] | None]:
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
        unreadable_reason(blobs, error)
        is_missing = False
    return blob.sha256, MISSING if is_missing else DAMAGED


def _find_unnamed(blobs: BlobStore, plan: RebuildPlan) -> Iterator[UnnamedBlob]:
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
        return UnnamedBlob(blob.sha256, blob.size, "", problem=unreadable_reason(blobs, error))


def _concurrency() -> int:
    return max(_MIN_CONCURRENCY, os.cpu_count() or 1)  # hashing runs in parallel threads


# Filling


@dataclass(frozen=True, slots=True)
class _RowWriter:
    """The transaction that inserts all rows."""

    tx: Tx
    now_ms: int
    plan: RebuildPlan
    bad_blobs: dict[bytes, str]
    rebuilt: RebuiltSite
    whole_document_limit: int

    def fill(self, owner: User, objects: BinaryIO) -> None:
        self._insert_channels(owner)
        self._insert_logos()
        self._insert_packages()
        self._insert_subdirs()
        for subdir_id, of_subdir in groupby(self.plan.names, key=lambda name: name.place.subdir_id):
            for names in in_batches(list(of_subdir), _NAMES_AT_ONCE):
                self._insert_names(subdir_id, names, objects)
        newest_file.describe(self.tx, self.plan.packages.by_id)
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
                **_columns(channels, manifest),
                "id": channel_id,
                **stored(settings_of(manifest).columns()),
                "is_public": False,
                "base": manifest.base if manifest.base in names else "",
                "overrides": manifest.overrides if manifest.overrides in names else "",
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
        rows = [
            {"id": package_id, "channel_id": channel_id, "name": name, "folded_name": filename.normalize_name(name)}
            for package_id, (channel_id, name) in self.plan.packages.by_id.items()
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

    def _insert_names(self, subdir_id: int, names: Sequence[PlannedName], objects: BinaryIO) -> None:
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


def _columns(table: Table, entry: msgspec.Struct) -> dict[str, Any]:
    """Return the values of an entry that are columns of the table."""
    values = {name: value for name, value in msgspec.structs.asdict(entry).items() if name in table.c}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def _file_row(place: ManifestIds, file: FileEntry) -> dict[str, Any]:
    return {**_columns(files, file), "subdir_id": place.subdir_id, "package_id": place.package_id}


def _attestation_rows(subdir_id: int, file: FileEntry) -> list[dict[str, Any]]:
    return [
        {
            **_columns(attestations, attestation),
            "subdir_id": subdir_id,
            "file_name": file.file_name,
            "sha256": sidecars.digest(attestation.content),
        }
        for attestation in file.attestations
    ]
