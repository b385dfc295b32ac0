"""
Restore a site from a backup.

1. A restore needs a database without rows, and a store that is new, that the backup was made from, or that already
   belongs to the database. In the store of the backup, the database stays behind the store until an operator adopts
   it: files that were uploaded since the backup are not deleted.
2. Blobs are stored before a row names them (S1); each is read to its end and hashed.
3. All rows are inserted in one transaction, and must match the counts in the manifest. A restore that failed or was
   killed leaves an empty database and some blobs, and can be run again; intact blobs are not sent again.
4. An older schema is created first, filled, and then upgraded.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from seaway.backup import tables
from seaway.backup.blob_copy import BlobEntry, DamagedData, copy_blob
from seaway.backup.manifest import CONTENTS, SECRET_KEY, BackupManifest, read_contents, rows_part
from seaway.backup.rows import insert_rows, read_part
from seaway.database.engine import Database, Tx
from seaway.database.migrate import MIGRATIONS, Migrations, current, upgrade
from seaway.encryption import secret_key
from seaway.errors import BadSetting
from seaway.packages.sweep import SWEEP_LOCK
from seaway.pairing import identity_storage
from seaway.pairing.identity import DatabaseIdentity, StoreIdentity, new_identity
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool

CopyBlob = Callable[[BlobEntry, Callable[[], BinaryIO], str], bool]


class BackupSource(Protocol):
    """Source of a backup."""

    manifest: BackupManifest

    def fetch_parts(self, spool: Spool, stack: ExitStack) -> dict[str, Path]:
        """Copy all parts to the spool, checked against the manifest."""
        ...

    def copy_blobs(self, contents: Iterable[BlobEntry], keep: CopyBlob) -> int:
        """Offer each blob to `keep`, which returns whether it stored the blob; return how many it stored."""
        ...


def restore(
    database: Database,
    blobs: BlobStore,
    spool: Spool,
    source: BackupSource,
    migrations: Migrations = MIGRATIONS,
) -> int:
    """Restore the site from the backup; return how many blobs were sent to the store."""
    # A sweep now would delete old blobs of the store that the rows are about to name.
    with database.exclusive(SWEEP_LOCK), ExitStack() as stack:
        with database.read() as tx:
            tables.require_empty(tx)
            database_identity = None if current(tx) is None else identity_storage.of_database(tx)
        parts = source.fetch_parts(spool, stack)
        store_identity = identity_storage.of_store(blobs)
        identity = _identity(_backup_identity(parts), database_identity, store_identity)
        blobs.create()
        sent = source.copy_blobs(
            read_contents(parts[CONTENTS]), partial(copy_blob, target=blobs, spool=spool, verify=True)
        )
        _put_secret_key(blobs, parts)
        with database.write_site() as tx:
            tables.require_empty(tx)
            _fill(tx, source.manifest, parts, migrations)
            identity_storage.put_in_database(tx, identity)
        return sent


def _identity(
    backup_identity: DatabaseIdentity | None,
    database_identity: DatabaseIdentity | None,
    store_identity: StoreIdentity | None,
) -> DatabaseIdentity:
    """
    Return the identity of the restored database: a new one for a new store.

    The store of the backup keeps its identity. If it is newer than the backup, the database is behind it; if it is
    older, it has just been repaired from the backup.
    """
    if store_identity is None:
        return new_identity()
    if database_identity is not None and database_identity.id == store_identity.id:
        return database_identity
    if backup_identity is not None and backup_identity.id == store_identity.id:
        counter = min(backup_identity.counter, store_identity.counter)
        return DatabaseIdentity(backup_identity.id, counter, counter)
    raise BadSetting(
        "The store belongs to another database.",
        "Restore to an empty store, or to the store that the backup was made from.",
    )


def _backup_identity(parts: Mapping[str, Path]) -> DatabaseIdentity | None:
    """Return the identity in the backup, or None if it has none."""
    with parts[rows_part("site_values")].open("rb") as file:
        columns, batches = read_part(file)
        return identity_storage.of_rows(dict(zip(columns, row, strict=True)) for batch in batches for row in batch)


def _put_secret_key(blobs: BlobStore, parts: Mapping[str, Path]) -> None:
    """Store the secret key of the backup: encrypted rows need it, not a key that was created here a moment ago."""
    with parts[SECRET_KEY].open("rb") as file:
        for batch in read_part(file)[1]:
            for (secret,) in batch:
                secret_key.replace(blobs, secret)


def _fill(tx: Tx, manifest: BackupManifest, parts: Mapping[str, Path], migrations: Migrations) -> None:
    tables.create_tables(tx, manifest.schema, migrations)
    carried_tables = tables.tables_to_back_up(tx)
    if {table.name for table in carried_tables} != manifest.tables.keys():
        raise DamagedData("The tables in the backup do not match its schema.", "Use another backup.")
    for table in carried_tables:
        count = 0
        with parts[rows_part(table.name)].open("rb") as file:
            columns, batches = read_part(file)
            for batch in batches:
                insert_rows(tx, table, columns, batch)
                count += len(batch)
        if count != manifest.tables[table.name].rows:
            raise DamagedData(
                f"The backup has {count} rows of {table.name}, a different number than its manifest states.",
                "Use another backup.",
            )
    if manifest.schema != migrations.newest:
        upgrade(tx, migrations.newest, migrations)
    tables.put_last_ids(tx, manifest.last_ids)
