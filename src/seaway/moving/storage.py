"""
Every blob that a row names, from one store to another, while servers run.

1. A blob that was sent is read back from where it went, and hashed.
2. Nothing is taken away from the store, and what a row names is not swept meanwhile.
3. The secret key goes along: what is encrypted in the database opens with it.
4. The identity goes along last, as it is at the end of each run. So a database whose store went on after the last run
   finds its new store to be an older copy, and its start stops.
5. Manifests are not copied: older ones of this store are deleted there, and all are written anew by the server that is
   started on it next. Their marks are reset after a job that writes them has ended.

What is there is not sent again, so a run that was interrupted is gone on with. What comes meanwhile is brought by a
second pass; what comes after that, by another run.
"""

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from sqlalchemy import select

from seaway.accounts import secret_key
from seaway.database.engine import Database
from seaway.database.tables import documents, files, kept_blobs, logos
from seaway.errors import BadSetting
from seaway.indexing.claims import named
from seaway.moving.backup import carried_blobs
from seaway.moving.content import (
    STORE,
    Damaged,
    Listed,
    Missing,
    bring,
    is_there,
    side_by_side,
)
from seaway.moving.manifest import listed
from seaway.moving.rows import streamed, write_part
from seaway.packages import manifest_writer
from seaway.packages.sweep import SWEEPING
from seaway.pairing import records
from seaway.pairing.identity import StoreIdentity
from seaway.storage import keys
from seaway.storage.blobs import Blobs
from seaway.storage.spool import Spool


@dataclass(slots=True)
class Moved:
    """What is in the new store now, and how many of the blobs were sent by this run."""

    blobs: int = 0
    bytes: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class _Move:
    database: Database
    source: Blobs
    target: Blobs
    spool: Spool


def move_storage(database: Database, source: Blobs, target: Blobs, spool: Spool, *, verify: bool) -> Moved:
    """Copy what rows name; with `verify`, what is there already is read back and hashed too, once."""
    move = _Move(database, source, target, spool)
    identity = records.of_store(source)
    _require_free(target, identity)
    with database.alone(SWEEPING):
        first = _pass(move, verify=verify)
        second = _pass(move, verify=False)  # of what the first one sent or verified a moment ago
        secret = secret_key.carried(source)
        if secret is not None:
            secret_key.put(target, secret)
        identity = records.of_store(source)
        if identity is not None:
            for stat in target.list(keys.store_manifests(identity.id)):
                target.delete(stat.key)
            records.put_in_store(target, identity)
        manifest_writer.forget_marks(database)
    return Moved(second.blobs, second.bytes, first.sent + second.sent)


def _require_free(target: Blobs, identity: StoreIdentity | None) -> None:
    theirs = records.of_store(target)
    if theirs is not None and (identity is None or theirs.id != identity.id):
        raise BadSetting("The new store belongs to another database.", "Name an empty store.")


def _pass(move: _Move, *, verify: bool) -> Moved:
    moved = Moved()
    with move.spool.file() as contents:
        with (
            move.database.read() as tx,
            streamed(tx, carried_blobs([files, logos])) as carried,
            streamed(tx, select(documents.c.sha256, documents.c.size)) as of_documents,
            streamed(tx, select(kept_blobs.c.sha256, kept_blobs.c.size)) as kept,
        ):
            write_part(contents, ["sha256", "size"], chain(carried, of_documents, kept))
        for size, sent in side_by_side(partial(_bring, move, verify), listed(Path(contents.name))):
            moved.blobs += size is not None
            moved.bytes += size or 0
            moved.sent += sent
    return moved


def _bring(move: _Move, verify: bool, one: Listed) -> tuple[int | None, bool]:
    """The size of the blob in the new store, None if nobody needs it any more; and whether it was sent."""
    try:
        sent = bring(one, partial(move.source.open, one.key), STORE, move.target, move.spool, verify=verify)
    except Missing:
        with move.database.read() as tx:
            if named(tx, [one.sha256]):
                raise
        return None, False  # a document that was replaced meanwhile
    if sent and not is_there(move.target, one, verify=True):
        raise Damaged(f"The new store did not keep the blob {one.sha256.hex()}.", "Look after it and run this again.")
    return one.size, sent
