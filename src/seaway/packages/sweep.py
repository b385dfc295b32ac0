"""
Take away what nothing needs any more: blobs that no row names, shards that were replaced, orphans of the spool.

1. A blob that a row names is never taken. Whether one does is asked while the blob is held alone, so that no
   upload can name it before it is deleted (`indexing.claims`).
2. A blob younger than a day is never taken: an upload may have put it and be about to name it. An upload that
   relies on an older one looks whether it is there while it holds it, and puts it again if the sweep was first.
3. What lies in the store beside our blobs is somebody else's, and is left alone.
4. A replaced shard is kept for a week (CEP 16).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import delete

from seaway.clock import DAY_MS, Clock
from seaway.database.engine import Database
from seaway.database.tables import retired_shards
from seaway.indexing.claims import taking
from seaway.storage import keys
from seaway.storage.blobs import Blobs, BlobStat
from seaway.storage.spool import Spool

BLOB_GRACE_MS = DAY_MS
SHARD_GRACE_MS = 7 * DAY_MS
_BLOBS_AT_ONCE = 100
SWEEPING = "sweep"  # done by one process at a time, and not while a backup copies what rows named a moment ago


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep took."""

    blobs: int
    bytes: int
    shards: int
    spool_files: int


def sweep(
    database: Database,
    blobs: Blobs,
    spool: Spool,
    clock: Clock,
    *,
    grace_ms: int = BLOB_GRACE_MS,
    wait: bool = True,
) -> Swept:
    """Sweep once, after another sweep or a backup, or without `wait` not at all; readers and uploads go on meanwhile."""
    now_ms = clock.now_ms()
    old = (stat for stat in blobs.list() if stat.modified_ms <= now_ms - grace_ms and keys.is_ours(stat.key))
    taken: list[BlobStat] = []
    with database.alone(SWEEPING, wait=wait) as mine:
        while mine and (batch := list(islice(old, _BLOBS_AT_ONCE))):
            taken += _take(database, blobs, batch)
    shards = forget_shards(database, now_ms)
    return Swept(len(taken), sum(stat.size for stat in taken), shards, spool.clear_orphans())


def forget_shards(database: Database, now_ms: int) -> int:
    """Delete the shards that were replaced long enough ago; how many."""
    with database.write_part() as tx:
        return tx.execute(delete(retired_shards).where(retired_shards.c.retired_at <= now_ms - SHARD_GRACE_MS)).rowcount


def _take(database: Database, blobs: Blobs, batch: list[BlobStat]) -> Iterable[BlobStat]:
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    with taking(database, [digest for digest in digests.values() if digest is not None]) as unnamed:
        for stat in batch:
            digest = digests[stat.key]
            if digest is not None and digest not in unnamed:
                continue  # what is no blob at all, such as a half-copied file, goes too
            fresh = blobs.stat(stat.key)
            if fresh is not None and fresh.modified_ms == stat.modified_ms:  # else somebody put it again
                blobs.delete(stat.key)
                yield stat
