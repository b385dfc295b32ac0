"""Files of a package: lists, single files, and the package summary. Callers must be able to read the channel."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, Select, func, select

from seaway.conda import corrections
from seaway.conda.corrections import Correction
from seaway.conda.filename import NamedFile
from seaway.database.engine import Tx
from seaway.database.rows import total
from seaway.database.tables import file_downloads, files, packages, subdirs, users
from seaway.errors import DamagedRecord, NotFound
from seaway.indexing.file_rows import FileState
from seaway.packages import newest_file

WARNINGS = "warnings"  # the field of `about` that holds the warnings of the upload

_KEY_NAME = re.compile(r" \(key .*\)$", re.DOTALL)


class About(msgspec.Struct):
    """Fields of `about` that lists show."""

    summary: str = ""
    warnings: tuple[str, ...] = ()  # of the upload


about_decoder = msgspec.json.Decoder(About)


@dataclass(frozen=True, slots=True)
class FileSummary(NamedFile):
    """A file, as shown in lists."""

    id: int
    package: str
    subdir: str
    file_name: str
    state: FileState
    size: int
    sha256: str
    indexed_at_ms: int
    uploaded_by: str
    warnings: tuple[str, ...]  # of its upload
    yank_reason: str


@dataclass(frozen=True, slots=True)
class File:
    """One file with all of its metadata."""

    summary: FileSummary
    record: Mapping[str, Any]  # as in repodata
    about: Mapping[str, Any]
    downloads: int
    correction: Correction | None


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a channel, described by its newest file."""

    name: str
    subdirs: tuple[str, ...]
    files: int
    latest: FileSummary | None
    license: str
    about: Mapping[str, Any]


def of_package(
    tx: Tx, channel_id: int, package: str, *, subdir: str | None = None, before: int | None = None, limit: int
) -> list[FileSummary]:
    """Return the files of a package that are not deleted, newest first, before the id `before`."""
    query = _summaries(channel_id).where(packages.c.name == package).order_by(files.c.id.desc()).limit(limit)
    if subdir is not None:
        query = query.where(subdirs.c.name == subdir)
    if before is not None:
        query = query.where(files.c.id < before)
    return [_summary(row) for row in tx.execute(query)]


def get(tx: Tx, channel_id: int, subdir: str, file_name: str) -> File:
    """Return one file; raise `NotFound` if it is missing or deleted, `DamagedRecord` if its row cannot be read."""
    count = select(file_downloads.c.count).where(file_downloads.c.file_id == files.c.id).scalar_subquery()
    row = tx.execute(
        _summaries(channel_id)
        .add_columns(files.c.record, files.c.correction, func.coalesce(count, 0).label("downloads"))
        .where(subdirs.c.name == subdir, files.c.file_name == file_name)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such file in the channel.", "Check its subdir and its name.")
    record, correction = stored_record(file_name, row.record), stored_correction(file_name, row.correction)
    with _raising_damaged_record(f"The record of {file_name}"):
        return File(_summary(row), record, _about(row), row.downloads, correction)


def stored_record(file_name: str, content: bytes) -> dict[str, Any]:
    """Decode the record of a row; raise `DamagedRecord` if it cannot be read."""
    with _raising_damaged_record(f"The record of {file_name}"):
        return msgspec.json.decode(content, type=dict[str, Any])


def stored_correction(file_name: str, content: bytes | None) -> Correction | None:
    """Decode the correction of a row, if there is one; raise `DamagedRecord` if it cannot be read."""
    # The correction is not in the package file, so `seaway reindex --from-blobs` cannot restore it.
    with _raising_damaged_record(f"The correction of {file_name}", repair_command="seaway restore"):
        return corrections.decode(content)


@contextmanager
def _raising_damaged_record(what: str, **repair: str) -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise DamagedRecord(what, cause=f"{type(error).__name__}: {error}", **repair) from error


def describe(tx: Tx, channel_id: int, package: str) -> Package:
    """Return a package, described by its newest version; raise `NotFound` if it has no files."""
    rows = tx.execute(
        select(
            files.c.id,
            files.c.version,
            files.c.state,
            subdirs.c.name.label("subdir"),
            files.c.indexed_at,
            files.c.file_name,
        )
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(*in_package(channel_id, package), files.c.state != FileState.DELETED.value)
    ).all()
    if not rows:
        raise NotFound("There is no such package in the channel.", "Check its name.")
    listed = [row for row in rows if row.state == FileState.LISTED.value]
    newest = max(rows, key=newest_file.rank_of_row)
    row = tx.execute(_summaries(channel_id).add_columns(files.c.record).where(files.c.id == newest.id)).one()
    record = msgspec.json.decode(row.record)
    return Package(
        name=package,
        subdirs=tuple(sorted({row.subdir for row in listed or rows})),
        files=len(listed),
        latest=_summary(row) if listed else None,
        license=record.get("license") or "",
        about=_about(row),
    )


def total_downloads(tx: Tx, channel_id: int, package: str) -> int:
    """Return the downloads of all files of a package; those of deleted files count too, since they happened."""
    of_package = (
        select(files.c.id).join(subdirs, subdirs.c.id == files.c.subdir_id).where(*in_package(channel_id, package))
    )
    return total(tx, file_downloads.c.count, file_downloads.c.file_id.in_(of_package))


def uploader_name(uploaded_by: str) -> str:
    """Return the name of an uploader without that of the API key, which is shown only to its owner."""
    return _KEY_NAME.sub("", uploaded_by)


def in_package(channel_id: int, package: str) -> tuple[Any, ...]:
    """Return the conditions for the file rows of a package, joined with their subdirs."""
    package_id = select(packages.c.id).where(packages.c.channel_id == channel_id, packages.c.name == package)
    return subdirs.c.channel_id == channel_id, files.c.package_id == package_id.scalar_subquery()


def _summaries(channel_id: int) -> Select[Any]:
    return (
        select(
            files.c.id, packages.c.name.label("package"), subdirs.c.name.label("subdir"), files.c.file_name,
            files.c.state, files.c.size, files.c.sha256, files.c.indexed_at,
            files.c.about, func.coalesce(users.c.name, files.c.uploaded_as).label("uploaded_by"),
            files.c.yank_reason,
        )
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(packages, packages.c.id == files.c.package_id)
        .outerjoin(users, users.c.id == files.c.uploaded_by)
        .where(subdirs.c.channel_id == channel_id, files.c.state != FileState.DELETED.value)
    )  # fmt: skip


def _summary(row: Row[Any]) -> FileSummary:
    return FileSummary(
        row.id, row.package, row.subdir, row.file_name, FileState(row.state), row.size, row.sha256.hex(), row.indexed_at,
        uploader_name(row.uploaded_by), about_decoder.decode(row.about).warnings, row.yank_reason,
    )  # fmt: skip


def _about(row: Row[Any]) -> dict[str, Any]:
    """Return the `about` data of the package, without the fields that the server added."""
    about: dict[str, Any] = msgspec.json.decode(row.about)
    about.pop(WARNINGS, None)
    return about
