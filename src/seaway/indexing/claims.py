"""
Which blobs rows name, and how a row names one safely beside those who take blobs away.

1. Whoever deletes a blob asks for rows that name it, and deletes it, while it holds the blob alone (`taking`).
2. Between a put and the row that names the blob, the sweep may take it (if it was there before, and old), or an
   upload of equal bytes that was refused. So the transaction that names a blob holds it against 1 and looks
   whether it is still there (`naming`); if not, it is put again from the spool and named again.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import select, union

from seaway.database.engine import Database, Tx
from seaway.database.tables import documents, files, kept_blobs, logos, resumable_pieces
from seaway.indexing.rows import State
from seaway.storage import keys
from seaway.storage.blobs import Blobs


class BlobSwept(Exception):
    """The blob went before a row could name it: put it again."""


@contextmanager
def naming(database: Database, blobs: Blobs, digests: Collection[bytes]) -> Iterator[tuple[Tx, set[bytes]]]:
    """
    A transaction that names these blobs, and those of them that are not there any more.

    What else it changes it has to hold (`Database.hold`): a bucket is asked before that, so that a slow one
    does not keep others waiting for the channel.
    """
    with database.write_part() as tx:
        database.hold_blobs(tx, digests, shared=True)
        yield tx, {digest for digest in digests if blobs.stat(keys.blob(digest)) is None}


@contextmanager
def taking(database: Database, digests: Collection[bytes]) -> Iterator[set[bytes]]:
    """Those of the blobs that no row names, held so that none can; they may be deleted inside."""
    with database.write_part() as tx:
        database.hold_blobs(tx, digests, shared=False)
        yield set(digests) - named(tx, digests)


def named(tx: Tx, digests: Collection[bytes]) -> set[bytes]:
    """Those of the hashes that a row names."""
    in_files = select(files.c.sha256).where(files.c.sha256.in_(digests), files.c.state != State.DELETED.value)
    in_documents = select(documents.c.sha256).where(documents.c.sha256.in_(digests))
    in_pieces = select(resumable_pieces.c.sha256).where(resumable_pieces.c.sha256.in_(digests))
    in_logos = select(logos.c.sha256).where(logos.c.sha256.in_(digests))
    in_kept = select(kept_blobs.c.sha256).where(kept_blobs.c.sha256.in_(digests))
    return set(tx.execute(union(in_files, in_documents, in_pieces, in_logos, in_kept)).scalars())


def named_after(tx: Tx, sha256: bytes, limit: int) -> list[bytes]:
    """The next hashes behind this one that rows name, in order."""
    found: set[bytes] = set()
    for table in (files, documents, resumable_pieces, logos, kept_blobs):
        query = select(table.c.sha256).where(table.c.sha256 > sha256).distinct().order_by(table.c.sha256).limit(limit)
        if table is files:
            query = query.where(files.c.state != State.DELETED.value)
        found.update(tx.execute(query).scalars())
    return sorted(found)[:limit]


def discard(database: Database, blobs: Blobs, digests: Collection[bytes]) -> None:
    """Delete blobs that are not needed any more now, unless a row names them all the same."""
    with taking(database, digests) as unnamed:
        for digest in unnamed:
            blobs.delete(keys.blob(digest))
