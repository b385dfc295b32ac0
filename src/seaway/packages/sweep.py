"""
Take away what nothing needs any more: blobs that no row names, shards that were replaced, orphans of the spool.

1. A blob that a row names is never taken. Whether one does is asked while the blob is held alone, so that no
   upload can name it before it is deleted (`indexing.claims`).
2. A blob younger than a day is never taken: an upload may have put it and be about to name it. An upload that
   relies on an older one looks whether it is there while it holds it, and puts it again if the sweep was first.
3. What lies in the store beside our blobs is somebody else's, and is left alone.
4. A replaced shard is kept for a week (CEP 16).
5. What a sweep found is kept for admins to see (`last`): to know which blobs no row names, the whole store is listed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import msgspec
from sqlalchemy import delete, insert, select

from seaway.clock import DAY_MS, Clock
from seaway.database.engine import Database, Tx
from seaway.database.tables import kept_blobs, retired_shards, site_values
from seaway.indexing.claims import named, taking
from seaway.storage import keys
from seaway.storage.blobs import Blobs, BlobStat
from seaway.storage.spool import Spool

BLOB_GRACE_MS = DAY_MS
SHARD_GRACE_MS = 7 * DAY_MS
_BLOBS_AT_ONCE = 100
_KEPT = "last-sweep"
SWEEPING = "sweep"  # done by one process at a time, and not while a backup copies what rows named a moment ago


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep took."""

    blobs: int
    bytes: int
    shards: int
    spool_files: int
    waiting_blobs: int = 0  # that no row names, and that are too young to be taken
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LastSweep:
    """When the last sweep was, and what it did."""

    at_ms: int
    swept: Swept


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
    ours = (stat for stat in blobs.list() if keys.is_ours(stat.key))
    taken: list[BlobStat] = []
    waiting: list[BlobStat] = []
    with database.alone(SWEEPING, wait=wait) as mine:
        while mine and (batch := list(islice(ours, _BLOBS_AT_ONCE))):
            old = [stat for stat in batch if stat.modified_ms <= now_ms - grace_ms]
            taken += _take(database, blobs, old)
            waiting += _unnamed(database, [stat for stat in batch if stat not in old])
        shards, spool_files = forget_shards(database, now_ms), spool.clear_orphans()
        swept = Swept(len(taken), _bytes_of(taken), shards, spool_files, len(waiting), _bytes_of(waiting))
        if mine:
            _keep(database, now_ms, swept)
    return swept


def release_kept(database: Database) -> int:
    """Let the next sweep take the blobs that a rebuild found without a manifest; how many there were."""
    with database.write_part() as tx:
        return tx.execute(delete(kept_blobs)).rowcount


def last(tx: Tx) -> LastSweep | None:
    """What the last sweep did; None before the first one."""
    kept = tx.execute(select(site_values.c.value).where(site_values.c.name == _KEPT)).scalar()
    return None if kept is None else msgspec.json.decode(kept, type=LastSweep)


def forget_shards(database: Database, now_ms: int) -> int:
    """Delete the shards that were replaced long enough ago; how many."""
    with database.write_part() as tx:
        return tx.execute(delete(retired_shards).where(retired_shards.c.retired_at <= now_ms - SHARD_GRACE_MS)).rowcount


def _keep(database: Database, now_ms: int, swept: Swept) -> None:
    with database.write_part() as tx:
        tx.execute(delete(site_values).where(site_values.c.name == _KEPT))
        tx.execute(insert(site_values).values(name=_KEPT, value=msgspec.json.encode(LastSweep(now_ms, swept))))


def _unnamed(database: Database, batch: list[BlobStat]) -> list[BlobStat]:
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    known = [digest for digest in digests.values() if digest is not None]
    if not known:
        return []
    with database.read() as tx:
        by_rows = named(tx, known)
    return [stat for stat in batch if digests[stat.key] is not None and digests[stat.key] not in by_rows]


def _bytes_of(stats: Iterable[BlobStat]) -> int:
    return sum(stat.size for stat in stats)


def _take(database: Database, blobs: Blobs, batch: list[BlobStat]) -> Iterable[BlobStat]:
    if not batch:
        return
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
