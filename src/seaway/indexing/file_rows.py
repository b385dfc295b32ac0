"""Subdirs and file rows, from which the index is derived."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from sqlalchemy import bindparam, select

from seaway.conda.record import Section
from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import files, packages, subdirs
from seaway.errors import DamagedRecord


class FileState(Enum):
    """Visibility of a file to readers."""

    LISTED = "listed"
    YANKED = "yanked"  # in `removed`, still downloadable
    DELETED = "deleted"  # in no document, not downloadable; its name stays reserved


# Values of a file row that is not yanked.
NOT_YANKED: Mapping[str, str | None] = MappingProxyType(
    {"yank_reason": "", "yank_id": None, "earlier_yank_reason": None, "earlier_yank_id": None}
)


@dataclass(frozen=True, slots=True)
class Subdir:
    """Subdir of a channel, as one transaction sees it."""

    id: int
    name: str
    revision: int
    changed_at_ms: int
    record_count: int
    served_revision: int  # the newest revision whose shard index was served


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """Fields of a file row that the index needs."""

    file_name: str
    state: FileState
    section: Section
    indexed_at_ms: int
    record: bytes


_SUBDIR = select(
    subdirs.c.id,
    subdirs.c.name,
    subdirs.c.revision,
    subdirs.c.changed_at,
    subdirs.c.record_count,
    subdirs.c.served_revision,
)
_SUBDIR_BY_NAME = _SUBDIR.where(subdirs.c.channel_id == bindparam("channel_id"), subdirs.c.name == bindparam("name"))
_SUBDIR_BY_ID = _SUBDIR.where(subdirs.c.id == bindparam("subdir_id"))
_PACKAGE = (
    select(packages.c.id)
    .join(subdirs, subdirs.c.channel_id == packages.c.channel_id)
    .where(subdirs.c.id == bindparam("subdir_id"), packages.c.name == bindparam("name"))
)
# No ORDER BY: SQLite would read all file names of the subdir to order them.
# `raw`: damaged values are detected in `_file_record`, and not by the conversions of a driver.
_RECORDS = select(
    files.c.file_name, files.c.state, files.c.section, files.c.indexed_at, as_stored(files.c.record).label("record")
).where(
    files.c.subdir_id == bindparam("subdir_id"),
    files.c.package_id == _PACKAGE.scalar_subquery(),
    files.c.state != FileState.DELETED.value,
)


def find_subdir(tx: Tx, channel_id: int, name: str) -> Subdir | None:
    """Return the subdir with this name, or None if no file was ever uploaded to it."""
    row = tx.execute(_SUBDIR_BY_NAME, {"channel_id": channel_id, "name": name}).one_or_none()
    return None if row is None else Subdir(*row)


def get_subdir(tx: Tx, subdir_id: int) -> Subdir | None:
    """Return the subdir with this id, or None if its channel is deleted."""
    row = tx.execute(_SUBDIR_BY_ID, {"subdir_id": subdir_id}).one_or_none()
    return None if row is None else Subdir(*row)


def records_of(tx: Tx, subdir_id: int, name: str) -> list[IndexedFile]:
    """Return the listed and yanked files of a package, sorted by file name; raise `DamagedRecord` for a damaged row."""
    with tolerating_damage(tx):
        rows = tx.execute(_RECORDS, {"subdir_id": subdir_id, "name": name}).all()
    return sorted((_file_record(row) for row in rows), key=lambda record: record.file_name)


def _file_record(row: AnyRow) -> IndexedFile:
    file_name, indexed_at, record = row.file_name, row.indexed_at, row.record
    try:
        if isinstance(file_name, str) and isinstance(indexed_at, int) and isinstance(record, bytes):
            return IndexedFile(file_name, FileState(row.state), Section(row.section), indexed_at, record)
        cause = "a value has the wrong type"
    except ValueError as error:
        cause = str(error)
    raise DamagedRecord(f"The row of {file_name}", cause=cause)
