"""
Blobs that a row names, and that are damaged or missing.

1. A blob is taken out of use only after its bytes were read and had another hash, and only while it is held alone and
   is still the object that was read: bytes that an upload puts meanwhile are never lost.
2. What is taken out of use leaves its key, so the next put of the right bytes mends it, by whichever way they come. The
   damaged bytes are kept below `quarantine/` until the blob is whole again or no row names it.
3. A row of `damaged_blobs` is a reason to look at the store, and no more: a blob that is there again is served.
4. Documents are derived: those with a bad blob are forgotten and built again, and leave no row here.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import delete, func, insert, literal, select, union_all

from seaway.clock import Clock
from seaway.database.engine import Database, Tx
from seaway.database.tables import channels, damaged_blobs, files, logos, subdirs
from seaway.errors import Unavailable
from seaway.indexing.claims import named
from seaway.indexing.documents import Documents
from seaway.indexing.rows import State
from seaway.storage import keys
from seaway.storage.blobs import Blobs, BlobStat
from seaway.storage.digest import sha256_of

log = structlog.get_logger()

VERIFYING = "verify-blobs"  # done by one process at a time
_LOGGED_FILES = 10


class BlobProblem(StrEnum):
    """What is wrong with a blob."""

    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """A blob that is not what it should be; `version` is that of the object that was read, if there was one."""

    sha256: bytes
    problem: BlobProblem
    version: str | None


@dataclass(frozen=True, slots=True)
class Affected:
    """A file or a logo whose blob is damaged or missing."""

    channel: str
    name: str
    problem: str
    found_at_ms: int
    sha256: bytes

    @property
    def where(self) -> str:
        """Its path, as commands and pages name it."""
        return f"{self.channel}/{self.name}"


@dataclass(frozen=True, slots=True)
class Keeper:
    """The parts that verifying works with; every method blocks."""

    database: Database
    blobs: Blobs
    documents: Documents
    clock: Clock

    def verify(self, sha256: bytes) -> Finding | None:
        """Read a blob and take it out of use if it is bad; what was found, unless it changed meanwhile."""
        finding = examine(self.blobs, sha256)
        return finding if finding is not None and self.condemn(finding) else None

    def condemn(self, finding: Finding) -> bool:
        """Take a bad blob out of use; False when it was put again meanwhile, or when no row names it any more."""
        sha256, key = finding.sha256, keys.blob(finding.sha256)
        forgotten = self.documents.forget(sha256)
        if finding.problem is BlobProblem.DAMAGED:
            # Before the blob is held: a bucket takes seconds to copy a large one.
            try:
                self.blobs.copy(key, keys.quarantine(sha256))
            except FileNotFoundError:
                return False
        with self.database.write_part() as tx:
            self.database.hold_blobs(tx, [sha256], shared=False)
            is_same = _version(self.blobs.stat(key)) == finding.version
            is_named = sha256 in named(tx, [sha256])
            if is_same and is_named:
                _note(tx, self.clock.now_ms(), finding)
            if is_same and finding.problem is BlobProblem.DAMAGED:
                self.blobs.delete(key)
        if finding.problem is BlobProblem.DAMAGED and not (is_same and is_named):
            self.blobs.delete(keys.quarantine(sha256))
        return is_same and (is_named or forgotten > 0)

    def recheck(self) -> list[bytes]:
        """Clear what is whole again or not named any more, with the damaged bytes that were kept; what is whole again."""
        healed = []
        with self.database.read() as tx:
            noted = list(tx.execute(select(damaged_blobs.c.sha256).order_by(damaged_blobs.c.sha256)).scalars())
        for sha256 in noted:
            with self.database.read() as tx:
                is_named = sha256 in named(tx, [sha256])
            if is_named and (self.blobs.stat(keys.blob(sha256)) is None or self.verify(sha256) is not None):
                continue
            with self.database.write_part() as tx:
                self.database.hold_blobs(tx, [sha256], shared=False)
                if is_named and self.blobs.stat(keys.blob(sha256)) is None:
                    continue
                tx.execute(delete(damaged_blobs).where(damaged_blobs.c.sha256 == sha256))
            if is_named:
                log.info("blob.healed", sha256=sha256.hex())
                healed.append(sha256)
        self._clear_quarantine()
        return healed

    def _clear_quarantine(self) -> None:
        kept = {stat.key for stat in self.blobs.list(keys.QUARANTINE)}
        if kept:
            with self.database.read() as tx:
                noted = {keys.quarantine(sha256) for sha256 in tx.execute(select(damaged_blobs.c.sha256)).scalars()}
            for key in kept - noted:
                self.blobs.delete(key)


def examine(blobs: Blobs, sha256: bytes) -> Finding | None:
    """Read a blob to its end; None when it is whole."""
    key = keys.blob(sha256)
    stat = blobs.stat(key)
    if stat is None:
        return Finding(sha256, BlobProblem.MISSING, None)
    try:
        with blobs.open(key) as file:
            is_whole = sha256_of(file) == sha256
    except FileNotFoundError:
        return Finding(sha256, BlobProblem.MISSING, None)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        is_whole = False  # the disk cannot read it any more
    return None if is_whole else Finding(sha256, BlobProblem.DAMAGED, _version(stat))


def refusal(name: str, problem: str) -> Unavailable:
    """The sentence about a package file whose blob is bad."""
    what = "is damaged" if problem == BlobProblem.DAMAGED else "is missing on this server"
    return Unavailable(
        f"The stored copy of {name} {what}.",
        "Upload the same file again with --force, or ask the operator to restore it.",
    )


def count(tx: Tx) -> int:
    """How many blobs are known to be damaged or missing."""
    return tx.execute(select(func.count()).select_from(damaged_blobs)).scalar_one()


def affected(tx: Tx, limit: int, *, sha256: bytes | None = None) -> list[Affected]:
    """The files and logos whose blobs are noted, or those of one blob, by channel and name."""
    noted = (damaged_blobs.c.problem, damaged_blobs.c.found_at, damaged_blobs.c.sha256)
    of_files = (
        select(channels.c.name.label("channel"), (subdirs.c.name + "/" + files.c.file_name).label("name"), *noted)
        .join(files, files.c.sha256 == damaged_blobs.c.sha256)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(channels, channels.c.id == subdirs.c.channel_id)
        .where(files.c.state != State.DELETED.value)
    )
    of_logos = (
        select(channels.c.name, literal("logo"), *noted)
        .join(logos, logos.c.sha256 == damaged_blobs.c.sha256)
        .join(channels, channels.c.id == logos.c.channel_id)
    )
    if sha256 is not None:
        of_files, of_logos = (each.where(damaged_blobs.c.sha256 == sha256) for each in (of_files, of_logos))
    every = union_all(of_files, of_logos).subquery()
    return [Affected(*row) for row in tx.execute(select(every).order_by(every.c.channel, every.c.name).limit(limit))]


def _note(tx: Tx, now_ms: int, finding: Finding) -> None:
    """Write the row, unless it is there already: what was moved away as damaged stays damaged when it is missed later."""
    of_blob = damaged_blobs.c.sha256 == finding.sha256
    if tx.execute(select(damaged_blobs.c.problem).where(of_blob)).first() is not None:
        return
    tx.execute(insert(damaged_blobs).values(sha256=finding.sha256, found_at=now_ms, problem=finding.problem.value))
    names = _names(affected(tx, _LOGGED_FILES, sha256=finding.sha256))
    log.error("blob.damaged", sha256=finding.sha256.hex(), problem=finding.problem.value, files=names)


def _names(found: Sequence[Affected]) -> list[str]:
    return [each.where for each in found]


def _version(stat: BlobStat | None) -> str | None:
    return None if stat is None else stat.version
