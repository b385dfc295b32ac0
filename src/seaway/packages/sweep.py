"""
Delete what nothing needs any more: blobs that no row names, shards that were replaced, orphans of the spool.

1. A blob that a row names is never deleted. Whether one does is asked while the blob is held alone, so that no
   upload can name it before it is deleted (`indexing.claims`).
2. A blob younger than a day is never deleted: an upload may have put it and be about to name it. An upload that
   relies on an older one looks whether it is there while it holds it, and puts it again if the sweep was first.
3. What is in the store beside our blobs belongs to someone else, and stays.
4. A replaced shard that a served index named is kept for a week (CEP 16); others are dropped when they are replaced.
5. Nothing is deleted unless database and store carry one identity, whose counter was raised just before
   (`pairing.pairing`).
6. A sweep that would delete more than a share of the store deletes no blob and asks: that many files without a row
   are likelier a mistake (a wrong database) than a clean-up.
7. What a sweep found is kept for admins to see (`last`): to know which blobs no row names, the whole store is listed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
from sqlalchemy import delete, update

from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, Clock
from seaway.database import site_values
from seaway.database.engine import Database, Tx
from seaway.database.tables import kept_blobs, retired_shards
from seaway.errors import SeawayError
from seaway.indexing.claims import named, taking
from seaway.pairing.pairing import Pairing
from seaway.storage import keys
from seaway.storage.blobs import Blobs, BlobStat
from seaway.storage.spool import Spool

BLOB_GRACE_MS = DAY_MS
SHARD_GRACE_MS = 7 * DAY_MS
_BLOBS_AT_ONCE = 100
_KEPT = "last-sweep"
SWEEPING = "sweep"  # done by one process at a time, and not while a backup copies what rows named a moment ago


class SweepStopped(SeawayError):
    """A sweep deleted no blob, since an operator has to decide first."""

    code = "sweep-stopped"


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep deleted."""

    blobs: int
    bytes: int
    shards: int
    spool_files: int
    waiting_blobs: int = 0  # that no row names, and that are too young to be deleted
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LastSweep:
    """When the last sweep was, what it did, and why it stopped if it did."""

    at_ms: int
    swept: Swept
    stopped: str = ""


@dataclass(slots=True)
class _Found:
    """What a look through the store found: how much there is, and what no row names."""

    blobs: int = 0
    bytes: int = 0
    old: list[BlobStat] = field(default_factory=list)
    waiting: list[BlobStat] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The parts that a sweep works with; `max_percent` is the share of the store that it may delete unasked."""

    database: Database
    blobs: Blobs
    spool: Spool
    clock: Clock
    pairing: Pairing
    max_percent: int


def sweep(parts: Sweeping, *, grace_ms: int = BLOB_GRACE_MS, wait: bool = True, unlimited: bool = False) -> Swept:
    """
    Sweep once, after another sweep or a backup, or without `wait` not at all; readers and uploads go on meanwhile.

    `SweepStopped` when no blob may be deleted before an operator has decided (5, 6); `unlimited` is the decision on 6.
    """
    database, now_ms = parts.database, parts.clock.now_ms()
    forbidden = parts.pairing.prepare_sweep()
    with database.alone(SWEEPING, wait=wait) as mine:
        found, taken = _Found(), []
        if mine and forbidden is None:
            found = _look_through(parts, now_ms - grace_ms)
            forbidden = None if unlimited else _too_much(found, parts.max_percent)
        if mine and forbidden is None:
            taken = _take_all(parts, found.old)
        shards, spool_files = forget_shards(database, now_ms), parts.spool.clear_orphans()
        waiting = found.waiting
        swept = Swept(len(taken), _bytes_of(taken), shards, spool_files, len(waiting), _bytes_of(waiting))
        stopped = None if forbidden is None else SweepStopped(*forbidden)
        if mine:
            _keep(database, LastSweep(now_ms, swept, "" if stopped is None else stopped.sentence))
    if stopped is not None:
        raise stopped
    return swept


def _look_through(parts: Sweeping, old_ms: int) -> _Found:
    """List the store, and find what no row names now."""
    found = _Found()
    ours = (stat for stat in parts.blobs.list() if keys.is_ours(stat.key))
    while batch := list(islice(ours, _BLOBS_AT_ONCE)):
        found.blobs += len(batch)
        found.bytes += _bytes_of(batch)
        for stat in _unnamed(parts.database, batch):
            (found.old if stat.modified_ms <= old_ms else found.waiting).append(stat)
    return found


def _too_much(found: _Found, max_percent: int) -> tuple[str, str] | None:
    """Return what to tell the operator when the sweep would delete more than its share (6)."""
    blobs, size = len(found.old), _bytes_of(found.old)
    if blobs * 100 <= max_percent * found.blobs and size * 100 <= max_percent * found.bytes:
        return None
    return (
        (
            f"The sweep would delete {blobs:,} of {found.blobs:,} blobs ({size:,} of {found.bytes:,} bytes), more than "
            f"sweep_max_percent ({max_percent} %) allows."
        ),
        "If so much was deleted on purpose, run `seaway sweep --yes`.",
    )


def _take_all(parts: Sweeping, stats: Sequence[BlobStat]) -> list[BlobStat]:
    taken: list[BlobStat] = []
    for start in range(0, len(stats), _BLOBS_AT_ONCE):
        if not parts.pairing.may_delete():
            break
        taken += _take(parts.database, parts.blobs, stats[start : start + _BLOBS_AT_ONCE])
    return taken


def release_kept(database: Database) -> int:
    """Let the next sweep delete the blobs that a rebuild found without a manifest; return how many there were."""
    with database.write_part() as tx:
        return tx.execute(delete(kept_blobs)).rowcount


def last(tx: Tx) -> LastSweep | None:
    """What the last sweep did; None before the first one."""
    kept = site_values.get(tx, _KEPT)
    return None if kept is None else msgspec.json.decode(kept, type=LastSweep)


def forget_shards(database: Database, now_ms: int) -> int:
    """Delete the shards that were replaced long enough ago; return how many. A time that lies ahead becomes now."""
    is_ahead = retired_shards.c.retired_at > now_ms + CLOCK_TOLERANCE_MS
    with database.write_part() as tx:
        tx.execute(update(retired_shards).where(is_ahead).values(retired_at=now_ms))
        return tx.execute(delete(retired_shards).where(retired_shards.c.retired_at <= now_ms - SHARD_GRACE_MS)).rowcount


def _keep(database: Database, last_sweep: LastSweep) -> None:
    with database.write_part() as tx:
        site_values.put(tx, _KEPT, msgspec.json.encode(last_sweep))


def _unnamed(database: Database, batch: Sequence[BlobStat]) -> list[BlobStat]:
    """Those that no row names; also what is no blob at all, such as a half-copied file."""
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    known = [digest for digest in digests.values() if digest is not None]
    if not known:
        return list(batch)
    with database.read() as tx:
        by_rows = named(tx, known)
    return [stat for stat in batch if digests[stat.key] not in by_rows]


def _bytes_of(stats: Iterable[BlobStat]) -> int:
    return sum(stat.size for stat in stats)


def _take(database: Database, blobs: Blobs, batch: Sequence[BlobStat]) -> Iterable[BlobStat]:
    digests = {stat.key: keys.sha256_of(stat.key) for stat in batch}
    with taking(database, [digest for digest in digests.values() if digest is not None]) as unnamed:
        for stat in batch:
            digest = digests[stat.key]
            if digest is not None and digest not in unnamed:
                continue
            fresh = blobs.stat(stat.key)
            if fresh is not None and fresh.modified_ms == stat.modified_ms:  # else it was put again
                blobs.delete(stat.key)
                yield stat
