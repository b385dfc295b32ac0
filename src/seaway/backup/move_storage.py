"""
Copy every blob that a row names from one store to another while servers run.

1. Each blob that was sent is read back from the new store and hashed.
2. Nothing is deleted from the old store, and no sweep runs meanwhile.
3. The secret key is copied too: encrypted values in the database need it.
4. The identity is copied last, with its value at the end of each run. So if the old store was used after the last run,
   the new store is an older copy, and a server refuses to start with it.
5. Manifests are not copied: older manifests of this store are deleted in the new store, and the next server that is
   started with it writes them all again. Their marks are reset after a running job that writes them has ended.

Existing blobs are not sent again, so an interrupted run can be continued. A second pass copies blobs that were stored
during the first; another run copies blobs that are stored after that.
"""

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from sqlalchemy import select

from seaway.backup.backup import blobs_query
from seaway.backup.blob_copy import (
    STORE_NAME,
    BlobEntry,
    DamagedData,
    MissingBlob,
    copy_blob,
    is_there,
    map_concurrently,
)
from seaway.backup.manifest import read_contents
from seaway.backup.rows import streamed, write_part
from seaway.database.tables import documents, files, kept_blobs, logos
from seaway.encryption import secret_key
from seaway.errors import BadSetting
from seaway.indexing.blob_references import named
from seaway.packages import manifest_writer
from seaway.packages.sweep import SWEEP_LOCK
from seaway.pairing import identity_storage
from seaway.pairing.identity import StoreIdentity
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStore


@dataclass(slots=True)
class StorageMoveResult:
    """Number and bytes of the blobs in the new store, and how many this run sent."""

    blobs: int = 0
    bytes: int = 0
    sent: int = 0


def move_storage(site: Site, target: BlobStore, *, verify: bool) -> StorageMoveResult:
    """Copy all blobs that rows name; with `verify`, existing blobs are read back and hashed too, once."""
    source = site.blobs
    identity = identity_storage.of_store(source)
    _require_usable(target, identity)
    with site.database.exclusive(SWEEP_LOCK):
        first = _copy_pass(site, target, verify=verify)
        second = _copy_pass(site, target, verify=False)  # the first pass has just sent or verified these blobs
        secret = secret_key.for_backup(source)
        if secret is not None:
            secret_key.replace(target, secret)
        identity = identity_storage.of_store(source)
        if identity is not None:
            for stat in target.list(keys.store_manifests(identity.id)):
                target.delete(stat.key)
            identity_storage.put_in_store(target, identity)
        manifest_writer.forget_marks(site.database)
    return StorageMoveResult(second.blobs, second.bytes, first.sent + second.sent)


def _require_usable(target: BlobStore, identity: StoreIdentity | None) -> None:
    target_identity = identity_storage.of_store(target)
    if target_identity is not None and (identity is None or target_identity.id != identity.id):
        raise BadSetting("The new store belongs to another database.", "Use an empty store.")


def _copy_pass(site: Site, target: BlobStore, *, verify: bool) -> StorageMoveResult:
    moved = StorageMoveResult()
    with site.spool.file() as contents:
        with (
            site.database.read() as tx,
            streamed(tx, blobs_query([files, logos])) as carried,
            streamed(tx, select(documents.c.sha256, documents.c.size)) as of_documents,
            streamed(tx, select(kept_blobs.c.sha256, kept_blobs.c.size)) as kept,
        ):
            write_part(contents, ["sha256", "size"], chain(carried, of_documents, kept))
        for size, sent in map_concurrently(
            partial(_copy_blob, site, target, verify), read_contents(Path(contents.name))
        ):
            moved.blobs += size is not None
            moved.bytes += size or 0
            moved.sent += sent
    return moved


def _copy_blob(site: Site, target: BlobStore, verify: bool, blob: BlobEntry) -> tuple[int | None, bool]:
    """Return the size of the blob in the new store, or None if no row names it now; and whether it was sent."""
    try:
        sent = copy_blob(blob, partial(site.blobs.open, blob.key), STORE_NAME, target, site.spool, verify=verify)
    except MissingBlob:
        with site.database.read() as tx:
            if named(tx, [blob.sha256]):
                raise
        return None, False  # a document that has been replaced meanwhile
    if sent and not is_there(target, blob, verify=True):
        raise DamagedData(
            f"The new store did not keep the blob {blob.sha256.hex()}.", "Check the new store and run this again."
        )
    return blob.size, sent
