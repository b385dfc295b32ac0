"""
Rebuild file rows from their blobs, for `seaway check` and `seaway reindex --from-blobs`.

1. The columns that derive from the blob are replaced: record, section, version, size, about and package. Data that only
   the row has is kept: its state, its uploader, the time at which it was first indexed, its attestations, its warnings,
   its metadata correction.
2. A row is changed only if its blob has the sha256 that the row names, and passes the current examination.
3. Each row is changed in a short transaction that locks its channel, as a yank does, and only if it was not changed
   since the comparison. Each change writes an audit entry and raises the revision of the row's package names, so that
   documents and manifests are rebuilt.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, delete, exists, insert, select, update

from seaway import audit, os_errors
from seaway.attestations import sidecars
from seaway.audit import Actor, Event
from seaway.conda import corrections, filename
from seaway.conda.corrections import Correction
from seaway.conda.limits import GIB, ArchiveLimits
from seaway.conda.record import encode
from seaway.conda.refusals import Refused
from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Tx
from seaway.database.tables import attestations, channels, files, packages, subdirs
from seaway.errors import DiskFull, SeawayError
from seaway.indexing.file_rows import FileState
from seaway.indexing.updates import raise_revision
from seaway.packages.files import WARNINGS
from seaway.publishing.examine import Candidate, examine
from seaway.publishing.examiner import copy_hashed
from seaway.publishing.record import stored_about
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool

# The largest values that the settings allow, so that files accepted under other limits stay valid.
_LIMITS = ArchiveLimits(
    members=10_000_000,
    max_unpacked_bytes=1024 * GIB,
    unpacked_bytes_per_byte=1_000_000,
    info_members=1_000_000,
    info_bytes=GIB,
    paths_json_bytes=GIB,
)
_COLUMNS = ("file_name", "section", "version", "size", "sha256", "indexed_at", "record", "about", "correction")
_OF_JSON = ("record", "about")
_ROW = (
    select(
        files.c.id,
        files.c.subdir_id,
        channels.c.id.label("channel_id"),
        channels.c.name.label("channel"),
        subdirs.c.name.label("subdir"),
        packages.c.name.label("package"),
        packages.c.channel_id.label("channel_of_package"),
        *(as_stored(files.c[name]).label(name) for name in _COLUMNS),
    )
    .join(subdirs, subdirs.c.id == files.c.subdir_id)
    .join(channels, channels.c.id == subdirs.c.channel_id)
    .outerjoin(packages, packages.c.id == files.c.package_id)
    .where(files.c.state != FileState.DELETED.value)
)

FileRow = Row[Any]


class CannotRebuild(Exception):
    """The row cannot be compared with its blob, for the reason given."""


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The outcome for a differing file row: the changed columns, or the reason why it was not changed."""

    where: str
    changed: tuple[str, ...]
    reason: str = ""


def rows_of_subdir(tx: Tx, subdir_id: int) -> list[FileRow]:
    """Return every file row of a subdir that readers can see, as raw values."""
    with tolerating_damage(tx):
        return list(tx.execute(_ROW.where(files.c.subdir_id == subdir_id).order_by(files.c.file_name)).all())


def differing(blobs: BlobStore, spool: Spool, row: FileRow, attested: str | None) -> dict[str, Any]:
    """
    Return the columns of a row that differ from its blob, with the right values; `attested` is the hash of its sidecar.

    They include `package` if the row belongs to another package. Raise `CannotRebuild` if they cannot be compared.
    """
    candidate = _examined(blobs, spool, row)
    indexed_at = _indexed_at(row)
    expected: dict[str, Any] = {
        "section": candidate.section.value,
        "version": candidate.file_name.version,
        "size": candidate.hashes.size,
        "indexed_at": indexed_at,
        "record": stored_record(candidate, indexed_at, attested, _correction(row)),
        "about": stored_about(candidate, _warnings(row, candidate)),
        "package": candidate.file_name.name,
    }
    wrong = {name: value for name, value in expected.items() if not _equal(name, getattr(row, name), value)}
    if row.channel_of_package != row.channel_id:
        wrong["package"] = candidate.file_name.name
    return wrong


def stored_record(
    candidate: Candidate, indexed_at_ms: int, attested: str | None, correction: Correction | None = None
) -> bytes:
    """Return the record as stored in a row; it has no attestation field if there is no attestation (CEP 50)."""
    attestation_field = {} if attested is None else {sidecars.FIELD: attested}
    return encode(
        {**corrections.apply(candidate.record, correction), "indexed_timestamp": indexed_at_ms, **attestation_field}
    )


def stored_field(record: object) -> str | None:
    """Return the hash of the sidecar in a stored record; None without one, or if it is unreadable."""
    value = _decoded(record).get(sidecars.FIELD)
    return value if isinstance(value, str) else None


def rebuild(site: Site, subdir_id: int, actor: Actor) -> Iterator[RowOutcome]:
    """Rebuild the rows of a subdir that differ from their blobs; yield the outcome for each of them."""
    with site.database.read() as tx:
        rows = rows_of_subdir(tx, subdir_id)
        attested = _attested(tx, subdir_id)
    for row in rows:
        where = f"{row.channel}/{row.subdir}/{row.file_name}"
        try:
            wrong = differing(site.blobs, site.spool, row, attested.get(row.file_name))
            if wrong:
                _change(site, row, wrong, actor)
                yield RowOutcome(where, tuple(wrong))
        except CannotRebuild as error:
            yield RowOutcome(where, (), str(error))


def repair_packages(tx: Tx) -> None:
    """Correct the folded names of packages; delete package rows without files whose name or channel is unusable."""
    with tolerating_damage(tx):
        rows = tx.execute(select(packages.c.id, packages.c.channel_id, packages.c.name, packages.c.folded_name)).all()
        known = set(tx.execute(select(channels.c.id)).scalars())
    for row in rows:
        which = packages.c.id == row.id
        if not isinstance(row.name, str) or row.channel_id not in known:
            tx.execute(delete(packages).where(which, ~exists().where(files.c.package_id == row.id)))
            continue
        folded_name = filename.normalize_name(row.name)
        if row.folded_name != folded_name:
            tx.execute(update(packages).where(which).values(folded_name=folded_name))


def _attested(tx: Tx, subdir_id: int) -> dict[str, str]:
    """Return the hash of each file's current sidecar."""
    current = select(attestations.c.file_name, attestations.c.sha256).where(
        attestations.c.subdir_id == subdir_id, attestations.c.superseded_at.is_(None)
    )
    return {file_name: sha256.hex() for file_name, sha256 in tx.execute(current)}


def _correction(row: FileRow) -> Correction | None:
    try:
        return corrections.decode(row.correction)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise CannotRebuild(f"has a metadata correction that cannot be read: {error}") from None


def _indexed_at(row: FileRow) -> int:
    """Return the index time of the row, or else of its record: it is not in the blob."""
    if isinstance(row.indexed_at, int):
        return row.indexed_at
    stated = _decoded(row.record).get("indexed_timestamp")
    if not isinstance(stated, int):
        raise CannotRebuild("has no readable index time")
    return stated


def _warnings(row: FileRow, candidate: Candidate) -> Sequence[str]:
    """Return the row's warnings, some of which the blob alone does not give; if unreadable, the blob's warnings."""
    about = _decoded(row.about)
    kept = about.get(WARNINGS, [])
    is_readable = isinstance(kept, list) and all(isinstance(text, str) for text in kept)
    return kept if about and is_readable else candidate.warnings


def _decoded(content: object) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(content) if isinstance(content, bytes) else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _equal(name: str, stored: object, expected: object) -> bool:
    if name in _OF_JSON:
        return bool(_decoded(stored) == _decoded(expected))
    return type(stored) is type(expected) and stored == expected


def _examined(blobs: BlobStore, spool: Spool, row: FileRow) -> Candidate:
    if not isinstance(row.sha256, bytes) or len(row.sha256) != hashlib.sha256().digest_size:
        raise CannotRebuild("does not name a blob")
    try:
        file_name = filename.parse(row.file_name) if isinstance(row.file_name, str) else None
        if file_name is None:
            raise CannotRebuild("has a file name that is not text")
        with blobs.open(keys.blob(row.sha256)) as blob, spool.file() as copy:
            hashes = copy_hashed(blob, copy)
            copy.flush()
            if hashes.sha256 != row.sha256:
                raise CannotRebuild("names a blob whose bytes have another sha256")
            path = Path(copy.name)
            candidate = examine(path, file_name, hashes, _LIMITS, refuse_escaping_links=False)
    except FileNotFoundError:
        raise CannotRebuild("names a blob that is not there") from None
    except Refused as error:
        raise CannotRebuild(f"would be refused today: {error.full_message}") from None
    except (OSError, SeawayError) as error:
        if isinstance(os_errors.as_unavailable(error) or error, DiskFull):
            raise  # the spool's disk is full, which says nothing about the blob
        raise CannotRebuild(f"names a blob that cannot be read: {error}") from None
    if candidate.subdir != row.subdir:
        raise CannotRebuild(f"names a blob with a package for {candidate.subdir}")
    return candidate


def _change(site: Site, row: FileRow, wrong: dict[str, Any], actor: Actor) -> None:
    now_ms = site.clock.now_ms()
    with site.database.write_channel(row.channel) as tx:
        with tolerating_damage(tx):
            current = tx.execute(_ROW.where(files.c.id == row.id)).one_or_none()
        if current is None or tuple(current) != tuple(row):
            raise CannotRebuild("was changed meanwhile; run the command again")
        values = {name: value for name, value in wrong.items() if name != "package"}
        if "package" in wrong:
            values["package_id"] = _package_id(tx, row.channel_id, wrong["package"])
        tx.execute(update(files).where(files.c.id == row.id).values(values))
        names = {row.package, wrong.get("package")}
        raise_revision(tx, row.subdir_id, {name for name in names if isinstance(name, str)}, now_ms)
        audit.write(
            tx,
            now_ms,
            actor,
            Event.FILE_REBUILT,
            channel=row.channel,
            target=f"{row.subdir}/{row.file_name}",
            columns=", ".join(wrong),
        )


def _package_id(tx: Tx, channel_id: int, name: str) -> int:
    which = select(packages.c.id).where(packages.c.channel_id == channel_id, packages.c.name == name)
    found: int | None = tx.execute(which).scalar()
    if found is None:
        tx.execute(insert(packages).values(channel_id=channel_id, name=name, folded_name=filename.normalize_name(name)))
        found = tx.execute(which).scalar_one()
    return found
