"""
The newest file of a package: it represents the package on every page and in every list, and its row describes it.

1. `rank` chooses the newest file: a listed one if there is any, of the newest version, a .conda file if the version has
   one, and of these the latest upload.
2. When a transaction commits, the row of a package names its newest file and has its summary and license, and
   `updated_at` is the time of the latest upload among the listed files, or among the yanked ones if none is listed. So
   lists are searched, filtered and sorted without reading files. `seaway check` compares, `seaway reindex` corrects it.
3. An upload reads one file of its package, whatever the number of files (`describe_uploads`). Other changes read all of
   them (`describe`).
4. What an index holds is cut to a length that every database accepts (`stored_license`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, select, update

from seaway.conda import filename, version
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow, in_batches
from seaway.database.tables import files, packages, subdirs
from seaway.indexing.file_rows import FileState
from seaway.indexing.package_index import UNREADABLE
from seaway.search_terms import fold

PACKAGES_AT_ONCE = 500
_MAX_SUMMARY = 500
_MAX_LICENSE = 200  # characters; an index of PostgreSQL holds 2,704 bytes
_LISTED = FileState.LISTED.value

Rank = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that was just uploaded, as written to its row."""

    package_id: int
    id: int
    version: str
    file_name: str
    record: bytes
    about: bytes


def rank(*, is_listed: bool, version_text: str, file_name: str, indexed_at_ms: int, id_: int) -> Rank:
    """Return the sort key of a file; the newest file of a package has the largest (1)."""
    return is_listed, version.order(version_text), file_name.endswith(filename.CONDA), indexed_at_ms, id_


def rank_of_row(row: AnyRow) -> Rank:
    """Return the sort key of a file row."""
    return rank(
        is_listed=row.state == _LISTED,
        version_text=row.version,
        file_name=row.file_name,
        indexed_at_ms=row.indexed_at,
        id_=row.id,
    )


def stored_license(text: str) -> str:
    """Return a license as package rows have it, and as filters must compare it (4)."""
    return text[:_MAX_LICENSE]


def describe(tx: Tx, package_ids: Collection[int]) -> None:
    """Describe these packages by their newest files (2), after a change other than an upload."""
    for batch in in_batches(sorted(package_ids), PACKAGES_AT_ONCE):
        _write(tx, _descriptions(tx, batch))


def describe_uploads(tx: Tx, now_ms: int, uploads: Sequence[UploadedFile]) -> None:
    """Describe the packages of these uploads, which were just written (3)."""
    by_package = {
        package_id: list(found)
        for package_id, found in groupby(sorted(uploads, key=attrgetter("package_id")), key=attrgetter("package_id"))
    }
    if not by_package:
        return
    described, others = [], []
    for row in tx.execute(_DESCRIBED, {"ids": list(by_package)}):
        # After a step back of the clock, other files can be newer than the current one and these.
        if row.updated_at > now_ms:
            others.append(row.package_id)
        else:
            described.append(_described_with(row, now_ms, by_package[row.package_id]))
    _write(tx, described)
    describe(tx, others)


def wrong_packages(tx: Tx) -> Iterator[int]:
    """Yield the ids of the packages whose row does not describe their newest file."""
    ids = tx.execute(select(packages.c.id).order_by(packages.c.id)).scalars().all()
    columns = [packages.c[name] for name in _DESCRIPTION]
    for batch in in_batches(ids, PACKAGES_AT_ONCE):
        stored = {row.id: row for row in tx.execute(select(packages.c.id, *columns).where(packages.c.id.in_(batch)))}
        for right in _descriptions(tx, batch):
            if any(getattr(stored[right["package_id"]], name) != right[name] for name in _DESCRIPTION):
                yield right["package_id"]


_DESCRIPTION = ("newest_file_id", "summary", "license", "search_text", "updated_at")
# Built once for all uploads: building a statement takes longer than running it in SQLite.
_DESCRIBED = (
    select(
        packages.c.id.label("package_id"), packages.c.name, *(packages.c[name] for name in _DESCRIPTION),
        files.c.id, files.c.state, files.c.version, files.c.file_name, files.c.indexed_at,
    )
    .outerjoin(files, files.c.id == packages.c.newest_file_id)
    .where(packages.c.id.in_(bindparam("ids", expanding=True)))
)  # fmt: skip
_DESCRIBE = (
    update(packages)
    .where(packages.c.id == bindparam("package_id"))
    .values({name: bindparam(f"new_{name}") for name in _DESCRIPTION})
)


def _described_with(row: AnyRow, now_ms: int, uploads: Sequence[UploadedFile]) -> dict[str, Any]:
    """Return the description of a package after these uploads at this time."""
    newest, best = max(((upload, _rank_of_upload(upload, now_ms)) for upload in uploads), key=lambda found: found[1])
    is_older = row.id is not None and row.id not in {upload.id for upload in uploads} and rank_of_row(row) > best
    if is_older:
        kept = {name: getattr(row, name) for name in _DESCRIPTION}
        return {"package_id": row.package_id, **kept, "updated_at": now_ms}
    return _description(row.package_id, row.name, newest, now_ms)


def _rank_of_upload(upload: UploadedFile, now_ms: int) -> Rank:
    return rank(
        is_listed=True,
        version_text=upload.version,
        file_name=upload.file_name,
        indexed_at_ms=now_ms,
        id_=upload.id,
    )


def _descriptions(tx: Tx, package_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the right descriptions of these packages."""
    newest: dict[int, tuple[Rank, AnyRow]] = {}
    updated: dict[tuple[int, str], int] = {}
    for row in tx.execute(_files_of(package_ids)):
        candidate = rank_of_row(row), row
        newest[row.package_id] = max(newest.get(row.package_id, candidate), candidate, key=lambda found: found[0])
        by_state = row.package_id, row.state
        updated[by_state] = max(updated.get(by_state, 0), row.indexed_at)
    texts = _texts(tx, [row.id for _, row in newest.values()])
    names = select(packages.c.id, packages.c.name).where(packages.c.id.in_(package_ids))
    found = []
    for package_id, name in tx.execute(names):
        if package_id in newest:
            _, file = newest[package_id]
            found.append(_description(package_id, name, texts[file.id], updated[package_id, file.state]))
        else:
            found.append(_description(package_id, name, None, 0))
    return found


def _files_of(package_ids: Sequence[int]) -> Any:
    return (
        select(
            files.c.id, files.c.package_id, files.c.state, files.c.version, files.c.file_name, files.c.indexed_at,
        )
        .select_from(packages)
        .join(subdirs, subdirs.c.channel_id == packages.c.channel_id)
        .join(files, and_(files.c.subdir_id == subdirs.c.id, files.c.package_id == packages.c.id))
        .where(packages.c.id.in_(package_ids), files.c.state != FileState.DELETED.value)
    )  # fmt: skip


def _texts(tx: Tx, file_ids: Sequence[int]) -> Mapping[int, AnyRow]:
    query = select(files.c.id, files.c.record, files.c.about).where(files.c.id.in_(file_ids))
    return {row.id: row for row in tx.execute(query)} if file_ids else {}


def _description(package_id: int, name: str, file: UploadedFile | AnyRow | None, updated_at: int) -> dict[str, Any]:
    """Return the description of a package by its newest file; of one without files, nothing is known but its name."""
    license_ = "" if file is None else _text(file.record, "license")
    summary = "" if file is None else " ".join(_text(file.about, "summary").split())[:_MAX_SUMMARY]
    return {
        "package_id": package_id,
        "newest_file_id": None if file is None else file.id,
        "summary": summary,
        "license": stored_license(license_),
        "search_text": f"{filename.normalize_name(name)} {fold(summary)}",
        "updated_at": updated_at,
    }


def _text(content: bytes, field: str) -> str:
    """Return a text in stored JSON; an empty one if there is none, or if the JSON is damaged."""
    try:
        value = msgspec.json.decode(content, type=dict[str, Any]).get(field)
    except UNREADABLE:
        return ""
    return value if isinstance(value, str) else ""


def _write(tx: Tx, descriptions: Iterable[Mapping[str, Any]]) -> None:
    rows = [
        {"package_id": found["package_id"], **{f"new_{name}": found[name] for name in _DESCRIPTION}}
        for found in descriptions
    ]
    if rows:
        tx.execute(_DESCRIBE, rows)
