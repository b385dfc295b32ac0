"""
References from rows to blobs, and the locks that make them safe against concurrent deletion.

1. Code that deletes a blob locks it exclusively while it checks that no row names it and deletes it (`deleting`).
2. Between a put and the row that names the blob, the blob can be deleted by the sweep (if it existed before and is old)
   or by a refused upload of equal bytes. So the transaction that names a blob holds a shared lock against (1) and
   checks that the blob still exists (`referencing`); if not, it is put again from the spool and named again.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import select, union

from seaway.database.engine import Database, Tx
from seaway.database.tables import documents, files, kept_blobs, logos, resumable_pieces
from seaway.indexing.file_rows import FileState
from seaway.storage import keys
from seaway.storage.blobs import BlobStore

# The hash columns of all tables that name blobs, and the hashes that they name.
_NAMED = (
    (files.c.sha256, select(files.c.sha256).where(files.c.state != FileState.DELETED.value)),
    *((table.c.sha256, select(table.c.sha256)) for table in (documents, resumable_pieces, logos, kept_blobs)),
)


class BlobSwept(Exception):
    """The blob was deleted before a row named it; the caller must put it again."""


@contextmanager
def referencing(database: Database, blobs: BlobStore, digests: Collection[bytes]) -> Iterator[tuple[Tx, set[bytes]]]:
    """
    Open a transaction to name these blobs; yield it with the blobs that no longer exist.

    The caller locks other things that it changes (`Database.lock`) inside. The store is queried before that, so that
    a slow bucket does not keep the channel locked.
    """
    with database.write_unlocked() as tx:
        database.lock_blobs(tx, digests, shared=True)
        yield tx, {digest for digest in digests if blobs.stat(keys.blob(digest)) is None}


@contextmanager
def deleting(database: Database, digests: Collection[bytes]) -> Iterator[set[bytes]]:
    """Lock the blobs exclusively and yield those that no row names; the caller can delete these inside."""
    with database.write_unlocked() as tx:
        database.lock_blobs(tx, digests, shared=False)
        yield set(digests) - named(tx, digests)


def named(tx: Tx, digests: Collection[bytes]) -> set[bytes]:
    """Return the hashes that a row names."""
    return set(tx.execute(union(*(query.where(hashes.in_(digests)) for hashes, query in _NAMED))).scalars())


def named_after(tx: Tx, sha256: bytes, limit: int) -> list[bytes]:
    """Return up to `limit` named hashes greater than `sha256`, in order."""
    found: set[bytes] = set()
    for hashes, query in _NAMED:
        found.update(tx.execute(query.where(hashes > sha256).distinct().order_by(hashes).limit(limit)).scalars())
    return sorted(found)[:limit]


def discard(database: Database, blobs: BlobStore, digests: Collection[bytes]) -> None:
    """Delete blobs that are no longer needed, except those that a row names."""
    with deleting(database, digests) as unnamed:
        for digest in unnamed:
            blobs.delete(keys.blob(digest))
