"""
The file beside a package that holds its attestations (CEP 50), and what was read in their certificates.

1. A record names the hash of its sidecar exactly as long as there is one; both change in one transaction.
2. A sidecar never changes its bytes: another one takes its place, and the old one stays readable under its hash for
   as long as the package is there.
3. New bytes of a package come without the attestations of the old ones.

Sidecars are rows and not blobs: they are small, change with the record in its transaction, and so need neither the
sweep nor a place of their own in backups.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from seaway.database.damage import raw
from seaway.database.engine import Tx
from seaway.database.tables import attestations, files, subdirs
from seaway.trust.attestations import Verified


class Claims(msgspec.Struct, frozen=True):
    """Who built a file, by the certificate of a verified attestation."""

    issuer: str
    repository: str
    repository_id: str
    owner_id: str
    workflow: str
    commit: str
    ref: str
    run: str
    issued_at_ms: int


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A verified attestation on its way to the package that it is about."""

    file_name: str
    file_sha256: bytes
    verified: Verified

    @property
    def content(self) -> bytes:
        return self.verified.sidecar


FIELD = "attestations_sha256"  # of a record
_DELETED = "deleted"
_ADD = insert(attestations)
_OF_FILE = (attestations.c.subdir_id == bindparam("of_subdir"), attestations.c.file_name == bindparam("of_file"))
_SUPERSEDE = (
    update(attestations)
    .where(*_OF_FILE, attestations.c.superseded_at.is_(None))
    .values(superseded_at=bindparam("now_ms"))
)
_DROP_SAME = delete(attestations).where(*_OF_FILE, attestations.c.sha256 == bindparam("same"))
_DROP_ALL = delete(attestations).where(
    attestations.c.subdir_id == bindparam("of_subdir"),
    attestations.c.file_name.in_(bindparam("of_files", expanding=True)),
)
_OF_CHANNEL = (subdirs.c.channel_id == bindparam("channel_id"), subdirs.c.name == bindparam("subdir"))
_CURRENT = (
    select(attestations.c.content, attestations.c.sha256)
    .join(subdirs, subdirs.c.id == attestations.c.subdir_id)
    .where(*_OF_CHANNEL, attestations.c.file_name == bindparam("of_file"), attestations.c.superseded_at.is_(None))
)
_BY_HASH = (
    select(attestations.c.content, attestations.c.sha256)
    .join(subdirs, subdirs.c.id == attestations.c.subdir_id)
    .where(*_OF_CHANNEL, attestations.c.file_name == bindparam("of_file"), attestations.c.sha256 == bindparam("digest"))
)


def add(tx: Tx, now_ms: int, subdir_id: int, sidecars: Sequence[Sidecar]) -> None:
    """Put these beside their packages, which have no current ones."""
    rows = [
        {
            "subdir_id": subdir_id,
            "file_name": one.file_name,
            "sha256": digest(one.content),
            "content": one.content,
            "file_sha256": one.file_sha256,
            "claims": msgspec.json.encode(_claims(one.verified)).decode(),
            "accepted_at": now_ms,
            "superseded_at": None,
        }
        for one in sidecars
    ]
    if rows:
        tx.execute(_ADD, rows)


def supersede(tx: Tx, now_ms: int, subdir_id: int, file_name: str, by: Sidecar | None) -> None:
    """Take the current one from a package that gets new bytes (invariant 3), and make room for an equal one."""
    tx.execute(_SUPERSEDE, {"of_subdir": subdir_id, "of_file": file_name, "now_ms": now_ms})
    if by is not None:
        tx.execute(_DROP_SAME, {"of_subdir": subdir_id, "of_file": file_name, "same": digest(by.content)})


def forget(tx: Tx, subdir_id: int, file_names: Sequence[str]) -> None:
    """Delete the sidecars of deleted files."""
    tx.execute(_DROP_ALL, {"of_subdir": subdir_id, "of_files": list(file_names)})


def current(tx: Tx, channel_id: int, subdir: str, file_name: str) -> bytes | None:
    """The sidecar of a package."""
    return tx.execute(_CURRENT, {"channel_id": channel_id, "subdir": subdir, "of_file": file_name}).scalar()


def by_hash(tx: Tx, channel_id: int, subdir: str, file_name: str, sha256: bytes) -> bytes | None:
    """The sidecar that a package has or had, by its hash."""
    where = {"channel_id": channel_id, "subdir": subdir, "of_file": file_name, "digest": sha256}
    return tx.execute(_BY_HASH, where).scalar()


def broken(tx: Tx, subdir_id: int) -> Iterator[tuple[str, str]]:
    """The files whose record and sidecar do not belong together, and how; both ways round (invariant 1)."""
    query = select(files.c.file_name, raw(files.c.sha256).label("sha256"), raw(files.c.record).label("record")).where(
        files.c.subdir_id == subdir_id, files.c.state != _DELETED
    )
    there = {row.file_name: row for row in tx.execute(query)}
    columns = [raw(column).label(column.name) for column in attestations.c]
    stored = tx.execute(select(*columns).where(attestations.c.subdir_id == subdir_id)).all()
    for row in stored:
        if row.file_name not in there:
            yield row.file_name, "has attestations and is not there"
        if not isinstance(row.content, bytes) or digest(row.content) != row.sha256:
            yield row.file_name, f"has attestations {row.sha256!r} whose bytes have another sha256"
    current = {row.file_name: row for row in stored if row.superseded_at is None}
    for file_name, file in there.items():
        beside = current.get(file_name)
        try:
            named = msgspec.json.decode(file.record).get(FIELD)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
            yield file_name, f"has a record that cannot be read: {error}"
            continue
        if named != (None if beside is None or not isinstance(beside.sha256, bytes) else beside.sha256.hex()):
            yield file_name, "has a record that does not name the attestations beside it"
        if beside is not None and beside.file_sha256 != file.sha256:
            yield file_name, "has attestations for other bytes"


def digest(content: bytes) -> bytes:
    """What records name a sidecar by."""
    return hashlib.sha256(content).digest()


def _claims(verified: Verified) -> Claims:
    return Claims(**{name: getattr(verified, name) for name in Claims.__struct_fields__})
