"""
Repair stored files for `seaway check --repair`.

1. Every blob that a row names is read. Bad blobs are taken out of use in the same way as by the background job
   (`packages.damaged_blobs`, with its invariants), so servers can run meanwhile.
2. A blob from a backup is stored only after its hash has been verified.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import structlog
from sqlalchemy import Column, ColumnElement, select

from seaway.backup.blob_copy import BlobEntry, DamagedData, copy_blob
from seaway.backup.manifest import CONTENTS, read_contents
from seaway.backup.restore import BackupSource
from seaway.database.engine import Tx
from seaway.database.tables import channels, documents, files, subdirs
from seaway.indexing.blob_references import named_after
from seaway.indexing.file_rows import FileState
from seaway.packages.damaged_blobs import (
    VERIFY_LOCK,
    AffectedFile,
    BlobVerifier,
    affected_files,
    examine,
    known_bad_blobs,
)
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool

log = structlog.get_logger()

_BLOBS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Repaired:
    """Result of a repair: files that were repaired, documents to build again, and files still bad or unreadable."""

    verified: int
    repaired: tuple[str, ...]
    dropped: tuple[str, ...]
    broken: tuple[str, ...]
    unread: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Return one sentence for each name."""
        return [
            *(f"{name} was repaired." for name in self.repaired),
            *(f"{name} will be built again at the next request." for name in self.dropped),
            *(f"{name} is still damaged or missing." for name in self.broken),
            *(f"{name} cannot be read." for name in self.unread),
        ]


def repair(keeper: BlobVerifier, spool: Spool, source: BackupSource | None) -> Repaired:
    """Verify every blob, take bad ones out of use, and restore good copies from a backup if there is one."""
    with keeper.database.exclusive(VERIFY_LOCK):
        before = _affected(keeper)
        unread: set[bytes] = set()
        recovered = set(keeper.recheck())
        verified, dropped = _verify_all(keeper, unread)
        bad = _affected(keeper)
        with keeper.database.read() as tx:
            wanted = set(known_bad_blobs(tx))
        if source is not None and wanted:
            _bring_back(keeper.blobs, spool, source, wanted)
        recovered |= set(keeper.recheck())
    repaired = {entry.where for entry in (*before, *bad) if entry.sha256 in recovered}
    broken = {entry.where: None for entry in _affected(keeper)}
    names = _names_of(keeper, unread)
    return Repaired(verified, tuple(sorted(repaired)), tuple(sorted(dropped)), tuple(broken), names)


def _affected(keeper: BlobVerifier) -> list[AffectedFile]:
    with keeper.database.read() as tx:
        return affected_files(tx, None)


def _verify_all(keeper: BlobVerifier, unread: set[bytes]) -> tuple[int, set[str]]:
    """Return how many blobs were read, and which documents were dropped; add unreadable blobs to `unread`."""
    reached, verified, dropped = b"", 0, set[str]()
    while True:
        with keeper.database.read() as tx:
            batch = named_after(tx, reached, _BLOBS_AT_ONCE)
        for sha256 in batch:
            with keeper.skipping_unreadable(sha256, unread):
                dropped.update(_dropped(keeper, sha256))
        if not batch:
            return verified - len(unread), dropped
        verified += len(batch)
        reached = batch[-1]


def _dropped(keeper: BlobVerifier, sha256: bytes) -> list[str]:
    """Verify a blob; return the names of the documents that were dropped because it is bad."""
    finding = examine(keeper.blobs, sha256)
    if finding is None:
        return []
    with keeper.database.read() as tx:
        names = _documents_of(tx, sha256)
    return names if keeper.take_out_of_use(finding) else []


def _names_of(keeper: BlobVerifier, unread: set[bytes]) -> tuple[str, ...]:
    """Return the paths of the files and documents with these blobs, or else the keys of the blobs."""
    names: list[str] = []
    for sha256 in sorted(unread):
        with keeper.database.read() as tx:
            names += (_files_of(tx, sha256) + _documents_of(tx, sha256)) or [keys.blob(sha256)]
    return tuple(names)


def _files_of(tx: Tx, sha256: bytes) -> list[str]:
    return _paths_of(tx, files.c.file_name, files.c.sha256 == sha256, files.c.state != FileState.DELETED.value)


def _documents_of(tx: Tx, sha256: bytes) -> list[str]:
    return _paths_of(tx, documents.c.kind, documents.c.sha256 == sha256)


def _paths_of(tx: Tx, name: Column[str], *conditions: ColumnElement[bool]) -> list[str]:
    """Return the paths of the rows of a table that meet the conditions."""
    rows = tx.execute(
        select(channels.c.name, subdirs.c.name, name)
        .join(subdirs, subdirs.c.channel_id == channels.c.id)
        .join(name.table, name.table.c.subdir_id == subdirs.c.id)
        .where(*conditions)
    )
    return ["/".join(row) for row in rows]


def _bring_back(blobs: BlobStore, spool: Spool, source: BackupSource, wanted: Collection[bytes]) -> None:
    with ExitStack() as stack:
        parts = source.fetch_parts(spool, stack)
        source.copy_blobs(read_contents(parts[CONTENTS]), partial(_keep, blobs, spool, wanted))


def _keep(
    blobs: BlobStore,
    spool: Spool,
    wanted: Collection[bytes],
    entry: BlobEntry,
    opened: Callable[[], BinaryIO],
    place: str,
) -> bool:
    if entry.sha256 not in wanted:
        return False
    try:
        return copy_blob(entry, opened, place, blobs, spool, verify=True)
    except DamagedData as error:  # another copy may be good
        log.warning("blob.not_restored", sha256=entry.sha256.hex(), error=error.message)
        return False
