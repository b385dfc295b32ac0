"""
Backup repository: a bucket or folder with many backups of one site, which share their blobs.

    blobs/ab/abcdef...      each blob once; an existing blob is not sent again
    backups/<time>/...      the parts of one backup, and its manifest, written last (`storage.keys`)
"""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

from seaway.backup import manifest as manifests
from seaway.backup.backup import Snapshot
from seaway.backup.blob_copy import STORE_NAME, BlobEntry, copy_blob, map_concurrently
from seaway.backup.restore import CopyBlob
from seaway.errors import BadSetting, FileExists
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool


class BackupRepository:
    """A backup repository: its blobs, and its folder of backups as a separate store."""

    def __init__(self, blobs: BlobStore, backups: BlobStore, location: str, *, verify: bool = False) -> None:
        self._blobs, self._backups, self._location = blobs, backups, location
        self._verify = verify  # whether existing blobs are read back; otherwise their size is enough

    def create(self) -> None:
        """Create the repository if it does not exist."""
        self._blobs.create()
        self._backups.create()

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        time = snapshot.manifest.time
        manifest = keys.backup_manifest(time)
        if self._backups.stat(manifest) is not None:
            raise FileExists(
                f"{self._location} already has a backup with this time.", "Wait a moment and run this again."
            )
        sent = sum(map_concurrently(partial(self._copy_blob, blobs, spool), snapshot.blobs()))
        for name, path in snapshot.parts.items():
            self._backups.put_file(keys.backup_part(time, name), path)
        with spool.file() as file:
            file.write(manifests.encode(snapshot.manifest))
            file.flush()
            self._backups.put_file(manifest, Path(file.name))
        return sent

    def source(self, at: str | None) -> "RepositorySource":
        """Return one backup of the repository: the newest, or the one of a time."""
        times = {time for stat in self._backups.list() if (time := keys.backup_time_of(stat.key)) is not None}
        if not times:
            raise BadSetting(
                f"There is no backup at {self._location}.", "Use the location that `seaway backup` wrote to."
            )
        if at is not None and at not in times:
            raise BadSetting(
                f"There is no backup from {at} at {self._location}.",
                f"The newest is {max(times)} (backups: {len(times)}).",
            )
        return RepositorySource(self._blobs, self._backups, at or max(times), self._location)

    def _copy_blob(self, source: BlobStore, spool: Spool, blob: BlobEntry) -> bool:
        return copy_blob(blob, partial(source.open, blob.key), STORE_NAME, self._blobs, spool, verify=self._verify)


class RepositorySource:
    """One backup in a backup repository."""

    def __init__(self, blobs: BlobStore, backups: BlobStore, time: str, location: str) -> None:
        self._blobs, self._backups, self._time, self._location = blobs, backups, time, location
        with backups.open(keys.backup_manifest(time)) as file:
            self.manifest = manifests.decode(file.read(manifests.MAX_BYTES), location)

    def fetch_parts(self, spool: Spool, stack: ExitStack) -> dict[str, Path]:
        paths = {}
        for name, part in self.manifest.parts.items():
            with self._open_part(name) as file:
                paths[name] = stack.enter_context(manifests.fetched_part(file, part, self._location, spool))
        return paths

    def copy_blobs(self, contents: Iterable[BlobEntry], keep: CopyBlob) -> int:
        return sum(map_concurrently(partial(self._offer, keep), contents))

    def _open_part(self, name: str) -> BinaryIO:
        try:
            return self._backups.open(keys.backup_part(self._time, name))
        except FileNotFoundError:
            raise manifests.damaged(self._location) from None

    def _offer(self, keep: CopyBlob, blob: BlobEntry) -> bool:
        return keep(blob, partial(self._blobs.open, blob.key), self._location)
