"""
Prove the promises of consistency over a whole store.

    S1  every file row names a blob that is there, with its size, its hash, and the record that it makes
    S2  every document row is of one revision, not of a later one than its subdir, and its blob is what it says
    S3  every shard and fragment is what the file rows of its name make, and nothing else is
    S4  every channel has exactly one owner; every replaced shard is still what its address says
    S5  the record of uploads of every channel is one unbroken chain that ends where it is said to end
    S6  a record names the hash of a sidecar of attestations if and only if that sidecar is there, for these bytes
    S7  every logo of a channel is a blob that is there, with its size and its hash

Each subdir is looked at in one read transaction, so a server may run meanwhile.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy import func, select

from seaway.channels.roles import Role
from seaway.conda import filename
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import Hashes
from seaway.conda.refusals import Refused
from seaway.database.engine import Tx
from seaway.database.tables import (
    channels,
    documents,
    files,
    logos,
    members,
    retired_shards,
    subdirs,
)
from seaway.indexing import rebuild
from seaway.indexing.documents import REPODATA, REPODATA_GZ, REPODATA_ZST, RUN_EXPORTS_JSON, RUN_EXPORTS_ZST
from seaway.indexing.rows import State, Subdir, get_subdir
from seaway.publishing.examine import examine
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.trust import sidecars, uploads

_CHUNK_BYTES = 1024 * 1024
_BUILT_TOGETHER = {REPODATA, REPODATA_ZST, RUN_EXPORTS_JSON, RUN_EXPORTS_ZST}


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that does not hold: which, where, and how."""

    promise: str
    where: str
    what: str


def check(seaway: Seaway, *, quick: bool = False) -> Iterator[Broken]:
    """Every broken promise; `quick` compares sizes of blobs without reading them."""
    with seaway.database.read() as tx:
        yield from _owners(tx)
        yield from _logos(seaway, tx, quick=quick)
        pairs = rebuild.all_subdirs(tx)
        for where, what in uploads.broken(tx):
            yield Broken("S5", f"uploads {where}", what)
    for _, subdir_id in pairs:
        with seaway.database.read() as tx:
            subdir = get_subdir(tx, subdir_id)
            if subdir is None:
                continue  # removed since
            where = f"{_channel_of(tx, subdir_id)}/{subdir.name}"
            for difference in rebuild.differences(tx, subdir):
                yield Broken("S3", f"{where} {difference.name}".strip(), difference.what)
            yield from _retired(tx, subdir_id, where)
            yield from _documents(seaway, tx, subdir, where, quick=quick)
            yield from _files(seaway, tx, subdir_id, where, quick=quick)
            for file_name, what in sidecars.broken(tx, subdir_id):
                yield Broken("S6", f"{where}/{file_name}", what)


def _channel_of(tx: Tx, subdir_id: int) -> str:
    name: str = tx.execute(
        select(channels.c.name).join(subdirs, subdirs.c.channel_id == channels.c.id).where(subdirs.c.id == subdir_id)
    ).scalar_one()
    return name


def _owners(tx: Tx) -> Iterator[Broken]:
    owners = (
        select(func.count())
        .where(members.c.channel_id == channels.c.id, members.c.role == Role.OWNER.value)
        .scalar_subquery()
    )
    for name, count in tx.execute(select(channels.c.name, owners).where(owners != 1)):
        yield Broken("S4", name, f"has {count} owners instead of one")


def _logos(seaway: Seaway, tx: Tx, *, quick: bool) -> Iterator[Broken]:
    rows = tx.execute(
        select(channels.c.name, logos.c.sha256, logos.c.size).join(logos, logos.c.channel_id == channels.c.id)
    )
    for name, sha256, size in rows.all():
        for what in _blob(seaway, sha256, size, quick=quick):
            yield Broken("S7", f"{name} logo", what)


def _retired(tx: Tx, subdir_id: int, where: str) -> Iterator[Broken]:
    rows = tx.execute(
        select(retired_shards.c.sha256, retired_shards.c.content).where(retired_shards.c.subdir_id == subdir_id)
    )
    for sha256, content in rows:
        if hashlib.sha256(content).digest() != sha256:
            yield Broken("S4", f"{where}/shards/{sha256.hex()}", "is not what its address says")


def _documents(seaway: Seaway, tx: Tx, subdir: Subdir, where: str, *, quick: bool) -> Iterator[Broken]:
    rows = tx.execute(
        select(documents.c.kind, documents.c.revision, documents.c.sha256, documents.c.size).where(
            documents.c.subdir_id == subdir.id
        )
    ).all()
    built_together = {row.revision for row in rows if row.kind != REPODATA_GZ}
    for missing in sorted(_BUILT_TOGETHER - {row.kind for row in rows}) if rows else ():
        yield Broken("S2", f"{where}/{missing}", "is missing, and other documents of the subdir are there")
    if len(built_together) > 1:
        yield Broken("S2", where, f"has documents of the revisions {sorted(built_together)} side by side")
    for row in rows:
        if row.revision > subdir.revision:
            yield Broken("S2", f"{where}/{row.kind}", f"is of revision {row.revision}, the subdir at {subdir.revision}")
        for what in _blob(seaway, row.sha256, row.size, quick=quick):
            yield Broken("S2", f"{where}/{row.kind}", what)
    expected = {draft.kind: draft.sha256 for draft in seaway.documents.drafts(tx, subdir)} if rows else {}
    for row in rows:
        if row.revision == subdir.revision and row.kind in expected and row.sha256 != expected[row.kind]:
            yield Broken("S2", f"{where}/{row.kind}", "is not what the records of its revision make")


def _files(seaway: Seaway, tx: Tx, subdir_id: int, where: str, *, quick: bool) -> Iterator[Broken]:
    rows = tx.execute(
        select(files.c.file_name, files.c.sha256, files.c.size, files.c.indexed_at, files.c.record)
        .where(files.c.subdir_id == subdir_id, files.c.state != State.DELETED.value)
        .order_by(files.c.file_name)
    ).all()
    for row in rows:
        found = list(_blob(seaway, row.sha256, row.size, quick=quick))
        if not found and not quick:
            found = list(_record(seaway, row.file_name, row.sha256, row.indexed_at, row.record))
        for what in found:
            yield Broken("S1", f"{where}/{row.file_name}", what)


def _blob(seaway: Seaway, sha256: bytes, size: int, *, quick: bool) -> Iterator[str]:
    stat = seaway.blobs.stat(keys.blob(sha256))
    if stat is None:
        yield "names a blob that is not there"
    elif stat.size != size:
        yield f"names a blob of {stat.size:,} bytes, and its row says {size:,}"
    elif not quick:
        with seaway.blobs.open(keys.blob(sha256)) as file:
            if _digest(file) != sha256:
                yield "names a blob whose bytes have another sha256"


def _digest(file: BinaryIO) -> bytes:
    sha256 = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        sha256.update(chunk)
    return sha256.digest()


def _record(seaway: Seaway, file_name: str, sha256: bytes, indexed_at: int, record: bytes) -> Iterator[str]:
    """Make the record again from the blob, and compare."""
    with seaway.blobs.open(keys.blob(sha256)) as blob, seaway.spool.file() as copy:
        hashes = _copy(blob, copy)
        try:
            candidate = examine(
                Path(copy.name), filename.parse(file_name), hashes, ArchiveLimits(), refuse_escaping_links=False
            )
        except Refused as error:
            yield f"would be refused today: {error.sentence}"
            return
    stored = msgspec.json.decode(record)
    stored.pop(sidecars.FIELD, None)  # not of the blob; `sidecars.broken` looks at it
    if {**candidate.record, "indexed_timestamp": indexed_at} != stored:
        yield "has a record that its blob does not make"


def _copy(blob: BinaryIO, copy: BinaryIO) -> Hashes:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while chunk := blob.read(_CHUNK_BYTES):
        copy.write(chunk)
        sha256.update(chunk)
        md5.update(chunk)
        size += len(chunk)
    copy.flush()
    return Hashes(sha256.digest(), md5.digest(), size)
