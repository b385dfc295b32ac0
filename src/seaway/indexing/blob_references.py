"""
References from rows to blobs, and the locks that make them safe against concurrent deletion.

1. Code that deletes a blob locks it exclusively while it checks that no row names it and deletes it (`taking`).
2. Between a put and the row that names the blob, the blob can be deleted by the sweep (if it existed before and is old)
   or by a refused upload of equal bytes. So the transaction that names a blob holds a shared lock against (1) and
   checks that the blob still exists (`naming`); if not, it is put again from the spool and named again.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import select, union

from seaway.database.engine import Database, Tx
from seaway.database.tables import documents, files, kept_blobs, logos, resumable_pieces
from seaway.indexing.file_rows import FileState
from seaway.site import Site
from seaway.storage import keys


class BlobSwept(Exception):
    """The blob was deleted before a row named it; the caller must put it again."""


@contextmanager
def referencing(site: Site, digests: Collection[bytes]) -> Iterator[tuple[Tx, set[bytes]]]:
    """
    Open a transaction to name these blobs; yield it with the blobs that no longer exist.

    The caller locks other things that it changes (`Database.hold`) inside. The store is queried before that, so that
    a slow bucket does not keep the channel locked.
    """
    with site.database.write_unlocked() as tx:
        site.database.lock_blobs(tx, digests, shared=True)
        yield tx, {digest for digest in digests if site.blobs.stat(keys.blob(digest)) is None}


@contextmanager
def deleting(database: Database, digests: Collection[bytes]) -> Iterator[set[bytes]]:
    """Lock the blobs exclusively and yield those that no row names; the caller can delete these inside."""
    with database.write_unlocked() as tx:
        database.lock_blobs(tx, digests, shared=False)
        yield set(digests) - named(tx, digests)


def named(tx: Tx, digests: Collection[bytes]) -> set[bytes]:
    """Return the hashes that a row names."""
    in_files = select(files.c.sha256).where(files.c.sha256.in_(digests), files.c.state != FileState.DELETED.value)
    in_documents = select(documents.c.sha256).where(documents.c.sha256.in_(digests))
    in_pieces = select(resumable_pieces.c.sha256).where(resumable_pieces.c.sha256.in_(digests))
    in_logos = select(logos.c.sha256).where(logos.c.sha256.in_(digests))
    in_kept = select(kept_blobs.c.sha256).where(kept_blobs.c.sha256.in_(digests))
    return set(tx.execute(union(in_files, in_documents, in_pieces, in_logos, in_kept)).scalars())


def named_after(tx: Tx, sha256: bytes, limit: int) -> list[bytes]:
    """Return up to `limit` named hashes greater than `sha256`, in order."""
    found: set[bytes] = set()
    for table in (files, documents, resumable_pieces, logos, kept_blobs):
        query = select(table.c.sha256).where(table.c.sha256 > sha256).distinct().order_by(table.c.sha256).limit(limit)
        if table is files:
            query = query.where(files.c.state != FileState.DELETED.value)
        found.update(tx.execute(query).scalars())
    return sorted(found)[:limit]


def discard(site: Site, digests: Collection[bytes]) -> None:
    """Delete blobs that are no longer needed, except those that a row names."""
    with deleting(site.database, digests) as unnamed:
        for digest in unnamed:
            site.blobs.delete(keys.blob(digest))
