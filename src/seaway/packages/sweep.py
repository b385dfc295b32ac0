"""
Delete unused data: blobs that no row names, replaced shards, and orphaned spool files.

1. A blob that a row names is never deleted. The rows are queried while the blob is locked exclusively, so that no
   upload can name it before it is deleted (`indexing.blob_references`).
2. A blob younger than a day is never deleted: an upload may have stored it and be about to name it. An upload that
   relies on an older blob checks that it exists while holding its lock, and stores it again if the sweep was first.
   The partial file of a put is a day old by the clock of the store too, since a put cannot go on without it.
3. Objects in the store that are not our blobs belong to someone else, and stay.
4. A replaced shard that a served index named is kept for a week (CEP 16); others are dropped when they are replaced.
5. Nothing is deleted unless the database and the store have the same identity, whose counter was raised just before
   (`pairing.pairing`).
6. A sweep that would delete more than a share of the store deletes no blob and needs a confirmation: that many files
   without a row are more likely a mistake (a wrong database) than a cleanup.
7. The result of a sweep is stored for admins (`last`): finding unnamed blobs requires a listing of the whole store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
from sqlalchemy import delete, update

from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS
from seaway.counted_nouns import counted
from seaway.database import site_values
from seaway.database.engine import Database, Tx
from seaway.database.rows import in_batches
from seaway.database.tables import kept_blobs, retired_shards
from seaway.errors import SeawayError
from seaway.indexing.blob_references import deleting, named
from seaway.pairing.pairing import Pairing
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore

BLOB_GRACE_MS = DAY_MS
SHARD_GRACE_MS = 7 * DAY_MS
_BLOBS_AT_ONCE = 100
_LAST_SWEEP_KEY = "last-sweep"
SWEEP_LOCK = "sweep"  # lock: one process at a time, and not while a backup copies blobs that rows named a moment ago


class SweepStopped(SeawayError):
    """A sweep deleted no blob, because an operator has to decide first."""

    code = "sweep-stopped"


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Result of one sweep."""

    blobs: int
    bytes: int
    shards: int
    spool_files: int
    kept_blobs: int = 0  # unnamed blobs that are too young to be deleted
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LastSweep:
    """Time and result of the last sweep, and the reason if it was blocked."""

    at_ms: int
    swept: SweepResult
    blocked_reason: str = ""


@dataclass(slots=True)
class _Found:
    """Result of listing the store: its size, and the blobs that no row names."""

    blobs: int = 0
    bytes: int = 0
    old: list[BlobStat] = field(default_factory=list)
    waiting: list[BlobStat] = field(default_factory=list)


def sweep(
    site: Site, pairing: Pairing, *, max_percent: int, grace_ms: int = BLOB_GRACE_MS, wait: bool = True
) -> SweepResult:
    """
    Sweep once; reads and uploads continue meanwhile.

    Wait for a running sweep or backup to finish, or without `wait`, delete no blobs then. Raise `SweepStopped` if an
    operator has to decide before blobs are deleted (5, 6); `max_percent` is the share of the store for 6.
    """
    database, now_ms = site.database, site.clock.now_ms()
    refusal = pairing.prepare_sweep()
    with database.exclusive(SWEEP_LOCK, wait=wait) as is_acquired:
        found, deleted = _Found(), []
        if is_acquired and refusal is None:
            found = _list_unnamed(site, now_ms, grace_ms)
            refusal = _share_exceeded(found, max_percent)
        if is_acquired and refusal is None:
            deleted = _delete_all(site, pairing, found.old)
        shards, spool_files = forget_shards(database, now_ms), site.spool.clear_orphans()
        waiting = found.waiting
        swept = SweepResult(len(deleted), _bytes_of(deleted), shards, spool_files, len(waiting), _bytes_of(waiting))
        stopped = None if refusal is None else SweepStopped(*refusal)
        if is_acquired:
            _store(database, LastSweep(now_ms, swept, "" if stopped is None else stopped.full_message))
    if stopped is not None:
        raise stopped
    return swept


def _list_unnamed(site: Site, now_ms: int, grace_ms: int) -> _Found:
    """List the store and find the blobs that no row names now."""
    found = _Found()
    identity = site.blobs.stat(keys.IDENTITY)  # written just now, with the raised counter
    store_now_ms = now_ms if identity is None else min(now_ms, identity.modified_ms)
    ours = (stat for stat in site.blobs.list() if keys.is_swept(stat.key))
    while batch := list(islice(ours, _BLOBS_AT_ONCE)):
        found.blobs += len(batch)
        found.bytes += _bytes_of(batch)
        for stat in _unnamed(site.database, batch):
            age_ms = (store_now_ms if keys.is_unfinished(stat.key) else now_ms) - stat.modified_ms
            (found.old if age_ms >= grace_ms else found.waiting).append(stat)
    return found


def _share_exceeded(found: _Found, max_percent: int) -> tuple[str, str] | None:
    """Return the message and hint for the operator if the sweep would delete more than its share (6)."""
    blobs, size = len(found.old), _bytes_of(found.old)
    if blobs * 100 <= max_percent * found.blobs and size * 100 <= max_percent * found.bytes:
        return None
    return (
        (
            f"The sweep would delete {blobs:,} of {counted(found.blobs, 'blob')} ({size:,} of "
            f"{counted(found.bytes, 'byte')}), more than sweep_max_percent ({max_percent} %) allows."
        ),
        "If this is intended, run `seaway sweep --yes`.",
    )


def _delete_all(site: Site, pairing: Pairing, stats: Sequence[BlobStat]) -> list[BlobStat]:
    deleted: list[BlobStat] = []
    for batch in in_batches(stats, _BLOBS_AT_ONCE):
        if not pairing.can_delete(checks_again=True):
            break
        deleted += _delete_batch(site.database, site.blobs, batch)
    return deleted


def release_kept(database: Database) -> int:
    """Let the next sweep delete the blobs that a rebuild found without a manifest; return their number."""
    with database.write_unlocked() as tx:
        return tx.execute(delete(kept_blobs)).rowcount


def last(tx: Tx) -> LastSweep | None:
    """Return the result of the last sweep; None before the first one."""
    stored = site_values.get(tx, _LAST_SWEEP_KEY)
    return None if stored is None else msgspec.json.decode(stored, type=LastSweep)


def forget_shards(database: Database, now_ms: int) -> int:
    """Delete shards whose retention is over; return the count. A replacement time in the future becomes now."""
    is_ahead = retired_shards.c.retired_at > now_ms + CLOCK_TOLERANCE_MS
    with database.write_unlocked() as tx:
        tx.execute(update(retired_shards).where(is_ahead).values(retired_at=now_ms))
        return tx.execute(delete(retired_shards).where(retired_shards.c.retired_at <= now_ms - SHARD_GRACE_MS)).rowcount


def _store(database: Database, last_sweep: LastSweep) -> None:
    with database.write_unlocked() as tx:
        site_values.put(tx, _LAST_SWEEP_KEY, msgspec.json.encode(last_sweep))


def _unnamed(database: Database, batch: Sequence[BlobStat]) -> list[BlobStat]:
    """Return the objects that no row names, including objects that are not blobs, such as partly copied files."""
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    known = [digest for digest in digests.values() if digest is not None]
    if not known:
        return list(batch)
    with database.read() as tx:
        by_rows = named(tx, known)
    return [stat for stat in batch if digests[stat.key] not in by_rows]


def _bytes_of(stats: Iterable[BlobStat]) -> int:
    return sum(stat.size for stat in stats)


def _delete_batch(database: Database, blobs: BlobStore, batch: Sequence[BlobStat]) -> Iterable[BlobStat]:
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    with deleting(database, [digest for digest in digests.values() if digest is not None]) as unnamed:
        for stat in batch:
            digest = digests[stat.key]
            if digest is not None and digest not in unnamed:
                continue
            current = blobs.stat(stat.key)
            if current is not None and current.modified_ms == stat.modified_ms:  # otherwise it was stored again
                blobs.delete(stat.key)
                yield stat
