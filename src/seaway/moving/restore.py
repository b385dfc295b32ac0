"""
A house out of a backup.

1. It is made only in a database without rows, and in a store that is new, the backup's own, or already the
   database's. In the backup's own store the database stays behind until an operator adopts it: what was uploaded
   since the backup is not deleted.
2. The blobs are there before a row names them (S1), each read whole and hashed.
3. All rows come in one transaction, with the counts that the manifest tells. A restore that failed or was killed
   leaves an empty database and some blobs, and can be run again; what is whole is not sent again.
4. An older schema is made first, filled, and then brought up to date.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from seaway.accounts import secret_key
from seaway.database.engine import Database, Tx
from seaway.database.migrate import NEWEST, current, upgrade
from seaway.errors import BadSetting
from seaway.moving import tables
from seaway.moving.content import Damaged, Listed, bring
from seaway.moving.manifest import CONTENTS, SECRET_KEY, Manifest, listed, rows_of
from seaway.moving.rows import put, read_part
from seaway.packages.sweep import SWEEPING
from seaway.pairing import records
from seaway.pairing.identity import DatabaseIdentity, StoreIdentity, new_identity
from seaway.storage.blobs import Blobs
from seaway.storage.spool import Spool

Keep = Callable[[Listed, Callable[[], BinaryIO], str], bool]


class Source(Protocol):
    """A place that a backup is read from."""

    manifest: Manifest

    def fetch_parts(self, spool: Spool, stack: ExitStack) -> dict[str, Path]:
        """Bring all parts into the spool, as the manifest describes them."""
        ...

    def bring_blobs(self, contents: Iterable[Listed], keep: Keep) -> int:
        """Offer each blob to `keep`, which says whether it took it; how many it took."""
        ...


def restore(database: Database, blobs: Blobs, spool: Spool, source: Source) -> int:
    """Make the site of the backup; return how many blobs were sent to the store."""
    # A sweep here would take old blobs of the store that the rows are about to name.
    with database.alone(SWEEPING), ExitStack() as stack:
        with database.read() as tx:
            tables.require_empty(tx)
            ours = None if current(tx) is None else records.of_database(tx)
        parts = source.fetch_parts(spool, stack)
        theirs = records.of_store(blobs)
        identity = _identity(_carried_identity(source.manifest, parts), ours, theirs)
        blobs.create()
        sent = source.bring_blobs(listed(parts[CONTENTS]), partial(_keep, blobs, spool))
        _put_secret_key(blobs, parts)
        with database.write_site() as tx:
            tables.require_empty(tx)
            _fill(tx, source.manifest, parts)
            records.put_in_database(tx, identity)
        return sent


def _identity(
    carried: DatabaseIdentity | None, ours: DatabaseIdentity | None, theirs: StoreIdentity | None
) -> DatabaseIdentity:
    """
    Return what the restored database says of its store: a new identity for a new store.

    The backup's own store keeps its identity. If it is newer than the backup, the database is behind it; if it is
    older, it was mended from the backup just now.
    """
    if theirs is None:
        return new_identity()
    if ours is not None and ours.id == theirs.id:
        return ours
    if carried is not None and carried.id == theirs.id:
        counter = min(carried.counter, theirs.counter)
        return DatabaseIdentity(carried.id, counter, counter)
    raise BadSetting(
        "The store belongs to another database.",
        "Restore into an empty store, or into the one that the backup was made from.",
    )


def _carried_identity(manifest: Manifest, parts: Mapping[str, Path]) -> DatabaseIdentity | None:
    """Return the identity that the backup holds; None for a backup without one."""
    name = rows_of("site_values")
    if name not in manifest.parts:
        return None
    with parts[name].open("rb") as file:
        columns, batches = read_part(file)
        return records.of_rows(dict(zip(columns, row, strict=True)) for batch in batches for row in batch)


def _put_secret_key(blobs: Blobs, parts: Mapping[str, Path]) -> None:
    """What the rows hold encrypted opens with the key of that house, not with one that was made here a moment ago."""
    if SECRET_KEY not in parts:  # an older backup, whose rows hold nothing encrypted
        return
    with parts[SECRET_KEY].open("rb") as file:
        for batch in read_part(file)[1]:
            for (secret,) in batch:
                secret_key.put(blobs, secret)


def _keep(blobs: Blobs, spool: Spool, one: Listed, opened: Callable[[], BinaryIO], place: str) -> bool:
    return bring(one, opened, place, blobs, spool, verify=True)


def _fill(tx: Tx, manifest: Manifest, parts: Mapping[str, Path]) -> None:
    tables.make(tx, manifest.schema)
    found = tables.carried(tx)
    if {table.name for table in found} != manifest.tables.keys():
        raise Damaged("The backup has other tables than its schema.", "Take another backup.")
    for table in found:
        count = 0
        with parts[rows_of(table.name)].open("rb") as file:
            columns, batches = read_part(file)
            for batch in batches:
                put(tx, table, columns, batch)
                count += len(batch)
        if count != manifest.tables[table.name].rows:
            raise Damaged(f"The backup has {count} rows of {table.name}, not as many as it says.", "Take another one.")
    if manifest.schema != NEWEST:
        upgrade(tx, NEWEST)
    tables.put_last_ids(tx, manifest.last_ids)
