"""
Sidecars: the file next to a package with its attestations (CEP 50), and the claims from their certificates.

1. A record has the hash of its sidecar if and only if there is one; both change in one transaction.
2. The bytes of a sidecar never change: a new sidecar replaces it, and the old one stays readable under its hash as long
   as the package exists.
3. When the bytes of a package are replaced, the attestations of the old bytes no longer apply.

Sidecars are rows and not blobs: they are small and change in the transaction of the record, so they need neither the
sweep nor separate handling in backups.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from seaway.attestations.bundles import VerifiedAttestation
from seaway.database.damage import as_stored
from seaway.database.engine import Tx
from seaway.database.tables import attestations, files, subdirs


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A verified attestation that is to be stored for its package."""

    file_name: str
    file_sha256: bytes
    verified: VerifiedAttestation

    @property
    def content(self) -> bytes:
        return self.verified.sidecar


FIELD = "attestations_sha256"  # field of a record
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
    """Add sidecars to packages that have no current one."""
    rows = [
        {
            "subdir_id": subdir_id,
            "file_name": sidecar.file_name,
            "sha256": digest(sidecar.content),
            "content": sidecar.content,
            "file_sha256": sidecar.file_sha256,
            "claims": msgspec.json.encode(sidecar.verified.claims).decode(),
            "accepted_at": now_ms,
            "superseded_at": None,
        }
        for sidecar in sidecars
    ]
    if rows:
        tx.execute(_ADD, rows)


def supersede(tx: Tx, now_ms: int, subdir_id: int, file_name: str, by: Sidecar | None) -> None:
    """Supersede the current sidecar of a package that gets new bytes (invariant 3); delete any row equal to `by`."""
    tx.execute(_SUPERSEDE, {"of_subdir": subdir_id, "of_file": file_name, "now_ms": now_ms})
    if by is not None:
        tx.execute(_DROP_SAME, {"of_subdir": subdir_id, "of_file": file_name, "same": digest(by.content)})


def forget(tx: Tx, subdir_id: int, file_names: Sequence[str]) -> None:
    """Delete the sidecars of deleted files."""
    tx.execute(_DROP_ALL, {"of_subdir": subdir_id, "of_files": list(file_names)})


def current(tx: Tx, channel_id: int, subdir: str, file_name: str) -> bytes | None:
    """Return the current sidecar of a package."""
    return tx.execute(_CURRENT, {"channel_id": channel_id, "subdir": subdir, "of_file": file_name}).scalar()


def by_hash(tx: Tx, channel_id: int, subdir: str, file_name: str, sha256: bytes) -> bytes | None:
    """Return a current or superseded sidecar of a package by its hash."""
    where = {"channel_id": channel_id, "subdir": subdir, "of_file": file_name, "digest": sha256}
    return tx.execute(_BY_HASH, where).scalar()


def broken(tx: Tx, subdir_id: int) -> Iterator[tuple[str, str]]:
    """Yield the files whose record and sidecar disagree in either direction (invariant 1), with a description."""
    query = select(
        files.c.file_name, as_stored(files.c.sha256).label("sha256"), as_stored(files.c.record).label("record")
    ).where(files.c.subdir_id == subdir_id, files.c.state != _DELETED)
    file_rows = {row.file_name: row for row in tx.execute(query)}
    columns = [as_stored(column).label(column.name) for column in attestations.c]
    stored = tx.execute(select(*columns).where(attestations.c.subdir_id == subdir_id)).all()
    for row in stored:
        if row.file_name not in file_rows:
            yield row.file_name, "has attestations but does not exist"
        if not isinstance(row.content, bytes) or digest(row.content) != row.sha256:
            yield row.file_name, f"has attestations {row.sha256!r} but their bytes have another sha256"
    current = {row.file_name: row for row in stored if row.superseded_at is None}
    for file_name, file in file_rows.items():
        sidecar = current.get(file_name)
        try:
            recorded = msgspec.json.decode(file.record).get(FIELD)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
            yield file_name, f"has a record that cannot be read: {error}"
            continue
        if recorded != (None if sidecar is None or not isinstance(sidecar.sha256, bytes) else sidecar.sha256.hex()):
            yield file_name, "has a record without the hash of its attestations"
        if sidecar is not None and sidecar.file_sha256 != file.sha256:
            yield file_name, "has attestations for other bytes"


def digest(content: bytes) -> bytes:
    """Return the sha256 by which records name a sidecar."""
    return hashlib.sha256(content).digest()
