"""
Consistent backup of a site while its servers run.

1. All rows are from one state: they are read in one transaction.
2. Every blob that a row names is in the backup, intact: no sweep runs meanwhile, and each blob is hashed while it is
   copied. A missing or damaged blob makes the backup fail.
3. The secret key of the store is included: without it, the encrypted values in the rows are lost.
4. An interrupted backup is never mistaken for a complete one: a file gets its name, and a folder its manifest, only
   after everything else is written.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Select, Table, func, select, union_all

from seaway import __version__
from seaway.backup import tables
from seaway.backup.blob_copy import BlobEntry
from seaway.backup.manifest import CONTENTS, FORMAT, SECRET_KEY, BackupManifest, read_contents, rows_part
from seaway.backup.rows import BackupPart, by_key, streamed, write_part
from seaway.clock import Clock
from seaway.database import migrate
from seaway.database.engine import Database, Tx
from seaway.encryption import secret_key
from seaway.errors import BadSetting
from seaway.indexing.file_rows import FileState
from seaway.packages.sweep import SWEEP_LOCK
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of one state, as parts in the spool."""

    manifest: BackupManifest
    parts: dict[str, Path]

    def blobs(self) -> Iterator[BlobEntry]:
        """Yield the blobs that the rows name, sorted by hash."""
        return read_contents(self.parts[CONTENTS])


class BackupTarget(Protocol):
    """Destination of a backup."""

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        """Write the snapshot and its blobs, and last what completes the backup; return how many blobs were sent."""
        ...


@dataclass(frozen=True, slots=True)
class BackupResult:
    """Result of a backup: its manifest, and how many blobs its location did not have before."""

    manifest: BackupManifest
    sent: int


def backup(database: Database, blobs: BlobStore, spool: Spool, clock: Clock, target: BackupTarget) -> BackupResult:
    """Back up the database and the blobs to the target."""
    with database.exclusive(SWEEP_LOCK), ExitStack() as stack:
        with database.read() as tx:
            snapshot = _take_snapshot(tx, clock.now_ms(), secret_key.for_backup(blobs), spool, stack)
        sent = target.write(snapshot, blobs, spool)
        return BackupResult(snapshot.manifest, sent)


def _take_snapshot(tx: Tx, now_ms: int, secret: bytes | None, spool: Spool, stack: ExitStack) -> Snapshot:
    revision = migrate.current(tx)
    if revision is None:
        raise BadSetting("There is nothing to back up: the database is empty.", "Set the data folder with --data.")
    migrate.require_known(revision, "database")
    parts: dict[str, BackupPart] = {}
    paths: dict[str, Path] = {}

    def write_rows(name: str, columns: list[str], query: Select[Any]) -> None:
        file = stack.enter_context(spool.file())
        with streamed(tx, query) as rows:
            parts[name] = write_part(file, columns, rows)
        paths[name] = Path(file.name)

    carried_tables = tables.tables_to_back_up(tx)
    for table in carried_tables:
        write_rows(rows_part(table.name), [str(column.name) for column in table.c], by_key(tx, table))
    write_rows(CONTENTS, ["sha256", "size"], blobs_query(carried_tables))
    file = stack.enter_context(spool.private_file())
    parts[SECRET_KEY] = write_part(file, ["secret"], [] if secret is None else [(secret,)])
    paths[SECRET_KEY] = Path(file.name)
    manifest = BackupManifest(
        format=FORMAT,
        seaway=__version__,
        schema=revision,
        time=keys.backup_time(now_ms),
        parts=parts,
        blob_bytes=sum(blob.size for blob in read_contents(paths[CONTENTS])),
        last_ids=tables.last_ids(tx),
    )
    return Snapshot(manifest, paths)


def blobs_query(carried_tables: Sequence[Table]) -> Select[Any]:
    """Return a query of the blobs that rows of these tables name, each once; older schemas have no logos."""
    by_name = {table.name: table for table in carried_tables}
    files = by_name["files"]
    queries = [select(files.c.sha256, files.c.size).where(files.c.state != FileState.DELETED.value)]
    if "logos" in by_name:
        queries.append(select(by_name["logos"].c.sha256, by_name["logos"].c.size))
    blobs = union_all(*queries).subquery()
    return select(blobs.c.sha256, func.max(blobs.c.size)).group_by(blobs.c.sha256).order_by(blobs.c.sha256)
