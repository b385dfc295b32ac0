"""
Verify the consistency of the database and the store.

    S1  every file row names an existing blob of its size and hash, and holds the values derived from that blob
    S2  every document row is of one revision, not later than that of its subdir, and its blob matches the row
    S3  every shard and fragment is derived from the file rows of its name, and there are no others
    S4  every channel has exactly one owner; every replaced shard still matches its hash
    S5  the upload log of every channel is one unbroken chain with the expected end
    S6  a record names the hash of a sidecar of attestations if and only if that sidecar exists, for these bytes
    S7  every logo of a channel is an existing blob of its size and hash
    S8  every value has the type of its column, and every reference leads to a row

Each part of a subdir is checked in one read transaction, so servers can run meanwhile. A part that cannot be read is
reported like any other violation, and the check continues with the next part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, Table, exists, func, select

from seaway.attestations import sidecars
from seaway.channels import upload_log
from seaway.channels.roles import Role
from seaway.conda import filename
from seaway.counted_nouns import counted
from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Database, Tx
from seaway.database.tables import (
    channels,
    documents,
    logos,
    members,
    metadata,
    packages,
    retired_shards,
    subdirs,
)
from seaway.errors import DamagedDatabase, SeawayError
from seaway.indexing import rebuild
from seaway.indexing.documents import REPODATA, REPODATA_GZ, REPODATA_ZST, RUN_EXPORTS_JSON, RUN_EXPORTS_ZST
from seaway.indexing.file_rows import Subdir, get_subdir
from seaway.indexing.package_index import UNREADABLE, matches_sha256
from seaway.packages import newest_file
from seaway.publishing import reexamine
from seaway.publishing.reexamine import CannotRebuild, FileRow
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.digest import sha256_of

_ROWS_AT_ONCE = 500
_SHA256_BYTES = 32
_BUILT_TOGETHER = {REPODATA, REPODATA_ZST, RUN_EXPORTS_JSON, RUN_EXPORTS_ZST}


@dataclass(frozen=True, slots=True)
class Violation:
    """A violation: which check failed, where, and what is wrong."""

    check: str
    where: str
    what: str


_Part = Callable[[Tx], Iterator[Violation]]
_SubdirPart = Callable[[Seaway, Tx, Subdir, str, bool], Iterator[Violation]]


def check(seaway: Seaway, *, quick: bool = False) -> Iterator[Violation]:
    """Yield every violation; `quick` compares the sizes of blobs without reading them."""
    database = seaway.site.database
    for table in metadata.sorted_tables:
        yield from _guarded(database, "S8", table.name, partial(_values, table))
        yield from _guarded(database, "S8", table.name, partial(_references, table))
    yield from _guarded(database, "S4", "members", _owners)
    yield from _guarded(database, "S8", "packages", _packages)
    yield from _guarded(database, "S7", "logos", partial(_logos, seaway, quick))
    yield from _guarded(database, "S5", "uploads", _uploads)
    with database.read() as tx:
        subdir_ids = rebuild.all_subdirs(tx)
    for subdir_id in subdir_ids:
        for promise, part in _SUBDIR_PARTS:
            yield from _guarded(
                database, promise, f"subdir {subdir_id}", partial(_of_subdir, seaway, subdir_id, quick, part)
            )


def _guarded(database: Database, promise: str, where: str, part: _Part) -> Iterator[Violation]:
    """Check one part; report it if its rows cannot be read, whatever bytes they hold."""
    try:
        with database.read() as tx, tolerating_damage(tx):
            yield from part(tx)
    except DamagedDatabase as error:
        yield Violation(promise, where, f"cannot be read: {error.cause}")
    except UNREADABLE as error:
        yield Violation(promise, where, f"has rows that cannot be read: {type(error).__name__}: {error}")


def _of_subdir(seaway: Seaway, subdir_id: int, quick: bool, part: _SubdirPart, tx: Tx) -> Iterator[Violation]:
    subdir = get_subdir(tx, subdir_id)
    if subdir is not None:  # None: it was deleted meanwhile
        yield from part(seaway, tx, subdir, f"{_channel_of(tx, subdir_id)}/{subdir.name}", quick)


def _values(table: Table, tx: Tx) -> Iterator[Violation]:
    columns = list(table.c)
    key = [columns.index(column) for column in table.primary_key]
    rows = tx.execute(select(*map(as_stored, columns)).execution_options(yield_per=_ROWS_AT_ONCE))
    for row in rows:
        wrong = [column.name for column, value in zip(columns, row, strict=True) if not _fits(column, value)]
        if wrong:
            shown = ", ".join(_shown(row[place]) for place in key)
            yield Violation("S8", f"{table.name} {shown}", f"has values of the wrong type in {', '.join(wrong)}")


def _fits(column: Column[Any], value: object) -> bool:
    if value is None:
        return bool(column.nullable)
    kind = column.type
    if isinstance(kind, Boolean):
        return value in (0, 1)
    if isinstance(kind, Float):
        return isinstance(value, float | int)
    if isinstance(kind, Integer):
        return isinstance(value, int)
    return isinstance(value, bytes if isinstance(kind, LargeBinary) else str)


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _references(table: Table, tx: Tx) -> Iterator[Violation]:
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        column, target = key.parent, key.column
        other = target.table.alias()
        lost = select(*map(as_stored, table.primary_key)).where(
            column.is_not(None), ~exists().where(other.c[target.name] == column)
        )
        for row in tx.execute(lost):
            where = f"{table.name} {', '.join(map(_shown, row))}"
            yield Violation("S8", where, f"names a row of {target.table.name} that does not exist, in {column.name}")


def _packages(tx: Tx) -> Iterator[Violation]:
    rows = tx.execute(
        select(packages.c.id, packages.c.name, packages.c.folded_name, channels.c.name.label("channel")).join(
            channels, channels.c.id == packages.c.channel_id
        )
    ).all()
    for row in rows:
        if isinstance(row.name, str) and row.folded_name != filename.normalize_name(row.name):
            yield Violation("S8", f"{row.channel} {row.name}", "has a wrong folded name")
    names = {row.id: f"{row.channel} {row.name}" for row in rows}
    for package_id in newest_file.wrong_packages(tx):
        if package_id in names:
            yield Violation("S8", names[package_id], "is not described by its newest file")


def _uploads(tx: Tx) -> Iterator[Violation]:
    for where, what in upload_log.broken(tx):
        yield Violation("S5", f"uploads {where}", what)


def _index(_seaway: Seaway, tx: Tx, subdir: Subdir, where: str, _quick: bool) -> Iterator[Violation]:
    for difference in rebuild.differences(tx, subdir):
        yield Violation("S3", f"{where} {difference.name}".strip(), difference.description)


def _attestations(_seaway: Seaway, tx: Tx, subdir: Subdir, where: str, _quick: bool) -> Iterator[Violation]:
    for file_name, what in sidecars.broken(tx, subdir.id):
        yield Violation("S6", f"{where}/{file_name}", what)


def _channel_of(tx: Tx, subdir_id: int) -> str:
    name: str = tx.execute(
        select(channels.c.name).join(subdirs, subdirs.c.channel_id == channels.c.id).where(subdirs.c.id == subdir_id)
    ).scalar_one()
    return name


def _owners(tx: Tx) -> Iterator[Violation]:
    owners = (
        select(func.count())
        .where(members.c.channel_id == channels.c.id, members.c.role == Role.OWNER.value)
        .scalar_subquery()
    )
    for name, count in tx.execute(select(channels.c.name, owners).where(owners != 1)):
        yield Violation("S4", name, f"has {count} owners instead of one")


def _logos(seaway: Seaway, quick: bool, tx: Tx) -> Iterator[Violation]:
    rows = tx.execute(
        select(channels.c.name, as_stored(logos.c.sha256).label("sha256"), as_stored(logos.c.size).label("size")).join(
            logos, logos.c.channel_id == channels.c.id
        )
    )
    for row in rows.all():
        for what in _blob(seaway, row.sha256, row.size, quick=quick):
            yield Violation("S7", f"{row.name} logo", what)


def _retired(_seaway: Seaway, tx: Tx, subdir: Subdir, where: str, _quick: bool) -> Iterator[Violation]:
    rows = tx.execute(
        select(as_stored(retired_shards.c.sha256), as_stored(retired_shards.c.content)).where(
            retired_shards.c.subdir_id == subdir.id
        )
    )
    for sha256, content in rows:
        if not matches_sha256(sha256, content):
            yield Violation("S4", f"{where}/shards/{_shown(sha256)}", "does not match its sha256")


def _documents(seaway: Seaway, tx: Tx, subdir: Subdir, where: str, quick: bool) -> Iterator[Violation]:
    rows = tx.execute(
        select(
            documents.c.kind,
            as_stored(documents.c.revision).label("revision"),
            as_stored(documents.c.sha256).label("sha256"),
            as_stored(documents.c.size).label("size"),
        ).where(documents.c.subdir_id == subdir.id)
    ).all()
    for row in rows:
        if row.kind not in {*_BUILT_TOGETHER, REPODATA_GZ}:
            yield Violation("S2", f"{where}/{_shown(row.kind)}", "is not a known kind of document")
    built_together = {row.revision for row in rows if row.kind != REPODATA_GZ}
    for missing in sorted(_BUILT_TOGETHER - {row.kind for row in rows}) if rows else ():
        yield Violation("S2", f"{where}/{missing}", "is missing, although other documents of the subdir exist")
    if len(built_together) > 1:
        yield Violation("S2", where, f"has documents of different revisions: {sorted(built_together, key=repr)}")
    for row in rows:
        if not isinstance(row.revision, int) or row.revision > subdir.revision:
            yield Violation(
                "S2", f"{where}/{row.kind}", f"is of revision {row.revision}, but the subdir is at {subdir.revision}"
            )
        for what in _blob(seaway, row.sha256, row.size, quick=quick):
            yield Violation("S2", f"{where}/{row.kind}", what)
    expected = {draft.kind: draft.sha256 for draft in seaway.documents.drafts(tx, subdir)} if rows else {}
    for row in rows:
        if row.revision == subdir.revision and row.kind in expected and row.sha256 != expected[row.kind]:
            yield Violation("S2", f"{where}/{row.kind}", "differs from the records of its revision")


def _files(seaway: Seaway, tx: Tx, subdir: Subdir, where: str, quick: bool) -> Iterator[Violation]:
    for row in reexamine.rows_of_subdir(tx, subdir.id):
        found = list(_blob(seaway, row.sha256, row.size, quick=quick))
        if not found and not quick:
            found = list(_row(seaway, row))
        for what in found:
            yield Violation("S1", f"{where}/{_shown(row.file_name)}", what)


def _row(seaway: Seaway, row: FileRow) -> Iterator[str]:
    """Derive the row from its blob again and compare; `sidecars.broken` checks the attestations."""
    try:
        wrong = reexamine.differing(seaway.site.blobs, seaway.site.spool, row, reexamine.stored_field(row.record))
    except CannotRebuild as error:
        yield str(error)
        return
    for name in wrong:
        yield f"has a {name} that differs from its package file"


def _blob(seaway: Seaway, sha256: object, size: object, *, quick: bool) -> Iterator[str]:
    if not isinstance(sha256, bytes) or len(sha256) != _SHA256_BYTES:
        yield "names no blob"
        return
    try:
        yield from _differences_of_blob(seaway, sha256, size, quick=quick)
    except FileNotFoundError:
        yield "names a blob that was lost while it was read"
    except (OSError, SeawayError) as error:
        yield f"names a blob that cannot be read: {error}"


def _differences_of_blob(seaway: Seaway, sha256: bytes, size: object, *, quick: bool) -> Iterator[str]:
    stat = seaway.site.blobs.stat(keys.blob(sha256))
    if stat is None:
        yield "names a blob that does not exist"
    elif stat.size != size:
        yield (
            f"names a blob of {counted(stat.size, 'byte')}, but its row says {size:,}"
            if isinstance(size, int)
            else "has no size"
        )
    elif not quick:
        with seaway.site.blobs.open(keys.blob(sha256)) as file:
            if sha256_of(file) != sha256:
                yield "names a blob with a different sha256"


_SUBDIR_PARTS: tuple[tuple[str, _SubdirPart], ...] = (
    ("S3", _index),
    ("S4", _retired),
    ("S2", _documents),
    ("S1", _files),
    ("S6", _attestations),
)
