"""
Damaged and missing blobs that a row names.

1. A blob is taken out of use only after its bytes were read and had another hash, and only while it is locked
   exclusively and is still the object that was read: bytes that an upload stores meanwhile are never lost.
2. A blob that is taken out of use leaves its key free, so the next put of the right bytes repairs it, however they
   arrive. The damaged bytes are kept below `quarantine/` until the blob is intact again or no row names it.
3. A row of `damaged_blobs` is only a reason to look at the store: a blob that is there again is served.
4. Documents are derived data: a document with a bad blob is forgotten and built again, and gets no row here.
5. If the damaged bytes cannot be removed (the database is behind its store, or the store is read-only), they stay
   under their key, and the row refuses them until they are replaced.
6. A blob that the store cannot read now is skipped and the next one is read, as long as the store itself responds.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import case, delete, func, insert, literal, select, union_all, update
from sqlalchemy.exc import SQLAlchemyError

from seaway import os_errors
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import channels, damaged_blobs, files, logos, subdirs
from seaway.errors import Unavailable
from seaway.indexing.blob_references import named
from seaway.indexing.documents import Documents
from seaway.indexing.file_rows import FileState
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.digest import sha256_of

log = structlog.get_logger()

VERIFY_LOCK = "verify-blobs"  # lock: one process at a time
_LOGGED_FILES = 10
_UNUSED_KEY = keys.blob(bytes(32))  # no content has this hash


class BlobProblem(StrEnum):
    """Kinds of problems with a blob."""

    DAMAGED = "damaged"
    MISSING = "missing"
    IN_PLACE = "in-place"  # damaged, and still under its key; used in rows only, shown as damaged


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged or missing blob; `version` is the version of the object that was read, if there was one."""

    sha256: bytes
    problem: BlobProblem
    version: str | None


@dataclass(frozen=True, slots=True)
class AffectedFile:
    """A file or a logo whose blob is damaged or missing."""

    channel: str
    name: str
    problem: str
    found_at_ms: int
    sha256: bytes

    @property
    def where(self) -> str:
        """Path of the file or logo, as commands and pages show it."""
        return f"{self.channel}/{self.name}"


@dataclass(frozen=True, slots=True)
class BlobVerifier:
    """The parts that verify blobs; every method blocks."""

    site: Site
    documents: Documents

    def verify(self, sha256: bytes) -> Finding | None:
        """Read a blob and take it out of use if it is bad; return the finding; None if it is intact or changed."""
        finding = examine(self.site.blobs, sha256)
        return finding if finding is not None and self.take_out_of_use(finding) else None

    def take_out_of_use(self, finding: Finding) -> bool:
        """Take a bad blob out of use; return False if it was stored again meanwhile or no row names it."""
        sha256, key, problem = finding.sha256, keys.blob(finding.sha256), finding.problem
        forgotten = self.documents.forget(sha256)
        is_copied = False
        if problem is BlobProblem.DAMAGED:
            # Copied before the blob is locked: a bucket takes seconds to copy a large one.
            try:
                is_copied = self._try_change(self.site.blobs.copy, key, keys.quarantine(sha256))
            except FileNotFoundError:
                return False
        with self.site.database.write_unlocked() as tx:
            self.site.database.lock_blobs(tx, [sha256], shared=False)
            is_same = _version(self.site.blobs.stat(key)) == finding.version
            is_named = sha256 in named(tx, [sha256])
            if is_same and problem is BlobProblem.DAMAGED and not (is_copied and self._is_deleted(key)):
                problem = BlobProblem.IN_PLACE
            if is_same and is_named:
                _note(tx, self.site.clock.now_ms(), sha256, problem)
        if is_copied and not (is_same and is_named):
            self._try_change(self.site.blobs.delete, keys.quarantine(sha256))
        return is_same and (is_named or forgotten > 0)

    def recheck(self, unread: set[bytes] | None = None) -> list[bytes]:
        """Delete the rows and damaged bytes of blobs that are intact again or unnamed; return the intact hashes."""
        unread = set() if unread is None else unread
        healed = []
        with self.site.database.read() as tx:
            rows = known_bad_blobs(tx)
        for sha256 in rows:
            with self.skipping_unreadable(sha256, unread):
                if self._is_healed(sha256):
                    log.info("blob.repaired", sha256=sha256.hex())
                    healed.append(sha256)
        self._clear_quarantine()
        return healed

    @contextmanager
    def skipping_unreadable(self, sha256: bytes, unread: set[bytes]) -> Iterator[None]:
        """Add a blob that the store cannot read now to `unread`; raise errors that affect other blobs too (6)."""
        try:
            yield
        except Exception as error:  # system errors have several types, distinguished below
            is_of_the_database = isinstance(error.__cause__, SQLAlchemyError)
            if is_of_the_database or not os_errors.is_server_failure(error):
                raise
            self._require_store()
            log.warning("blob.not_read", sha256=sha256.hex(), error=str(error))
            unread.add(sha256)

    def _is_healed(self, sha256: bytes) -> bool:
        """Delete the row of a blob that is intact again or unnamed; return whether it is intact."""
        with self.site.database.read() as tx:
            is_named = sha256 in named(tx, [sha256])
        if is_named and (self.site.blobs.stat(keys.blob(sha256)) is None or self.verify(sha256) is not None):
            return False
        with self.site.database.write_unlocked() as tx:
            self.site.database.lock_blobs(tx, [sha256], shared=False)
            if is_named and self.site.blobs.stat(keys.blob(sha256)) is None:
                return False
            tx.execute(delete(damaged_blobs).where(damaged_blobs.c.sha256 == sha256))
        return is_named

    def _require_store(self) -> None:
        """Raise unless the store responds and returns its identity, which exists as long as the store does."""
        self.site.blobs.stat(_UNUSED_KEY)  # with pairing, this raises for a different or an unmounted store
        with self.site.blobs.open(keys.IDENTITY) as file:
            file.read()

    def _is_deleted(self, key: str) -> bool:
        return self._try_change(self.site.blobs.delete, key) and self.site.blobs.stat(key) is None

    def _try_change(self, change: Callable[..., None], *names: str) -> bool:
        """Change the store; return False if it accepts no changes now."""
        try:
            change(*names)
        except FileNotFoundError:
            raise
        except Exception as error:  # system errors have several types, distinguished below
            if not os_errors.is_server_failure(error):
                raise
            log.warning("blob.not_moved", key=names[0], error=str(error))
            return False
        return True

    def _clear_quarantine(self) -> None:
        quarantined = {stat.key for stat in self.site.blobs.list(keys.QUARANTINE)}
        if quarantined:
            with self.site.database.read() as tx:
                noted = {keys.quarantine(sha256) for sha256 in tx.execute(select(damaged_blobs.c.sha256)).scalars()}
            for key in quarantined - noted:
                self.site.blobs.delete(key)


def examine(blobs: BlobStore, sha256: bytes) -> Finding | None:
    """Read a blob to its end; return None if it is intact."""
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
        is_whole = False  # the disk can no longer read it
    return None if is_whole else Finding(sha256, BlobProblem.DAMAGED, _version(stat))


def refusal(name: str, problem: str) -> Unavailable:
    """Return the error for a package file whose blob is damaged or missing."""
    what = "is missing on this server" if problem == BlobProblem.MISSING else "is damaged"
    return Unavailable(
        f"The stored copy of {name} {what}.",
        "Upload the same file again with --force, or ask the operator to restore it.",
    )


def is_refused(blobs: BlobStore, sha256: bytes, problem: str, found_at_ms: int) -> bool:
    """
    Return whether a noted blob must not be served (3, 5).

    The clocks of the server and the store are compared only for bytes that stayed in place; if the clocks differ, the
    next `recheck` decides by the hash.
    """
    stat = blobs.stat(keys.blob(sha256))
    return stat is None or (problem == BlobProblem.IN_PLACE and stat.modified_ms <= found_at_ms)


def known_bad_blobs(tx: Tx) -> list[bytes]:
    """Return the hashes of all blobs that are known to be damaged or missing."""
    return list(tx.execute(select(damaged_blobs.c.sha256).order_by(damaged_blobs.c.sha256)).scalars())


def count(tx: Tx) -> int:
    """Return the number of blobs that are known to be damaged or missing."""
    return tx.execute(select(func.count()).select_from(damaged_blobs)).scalar_one()


def affected_files(tx: Tx, limit: int | None, *, sha256: bytes | None = None) -> list[AffectedFile]:
    """Return the files and logos whose blobs are noted, or only those of one blob, by channel and name."""
    in_place = damaged_blobs.c.problem == BlobProblem.IN_PLACE.value
    problem = case((in_place, BlobProblem.DAMAGED.value), else_=damaged_blobs.c.problem).label("problem")
    columns = (problem, damaged_blobs.c.found_at.label("found_at_ms"), damaged_blobs.c.sha256)
    of_files = (
        select(channels.c.name.label("channel"), (subdirs.c.name + "/" + files.c.file_name).label("name"), *columns)
        .join(files, files.c.sha256 == damaged_blobs.c.sha256)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(channels, channels.c.id == subdirs.c.channel_id)
        # Without this SQLite reads all files and looks for each one among the few damaged blobs.
        .where(files.c.sha256.in_(select(damaged_blobs.c.sha256)), files.c.state != FileState.DELETED.value)
    )
    of_logos = (
        select(channels.c.name, literal("logo"), *columns)
        .join(logos, logos.c.sha256 == damaged_blobs.c.sha256)
        .join(channels, channels.c.id == logos.c.channel_id)
    )
    if sha256 is not None:
        of_files, of_logos = (each.where(damaged_blobs.c.sha256 == sha256) for each in (of_files, of_logos))
    both = union_all(of_files, of_logos).subquery()
    found = tx.execute(select(both).order_by(both.c.channel, both.c.name).limit(limit))
    return [from_row(AffectedFile, row) for row in found]


def _note(tx: Tx, now_ms: int, sha256: bytes, problem: BlobProblem) -> None:
    """Write the row; a blob that was quarantined as damaged stays "damaged" when it is found missing later."""
    of_blob = damaged_blobs.c.sha256 == sha256
    values = {"found_at": now_ms, "problem": problem.value}
    if tx.execute(select(damaged_blobs.c.problem).where(of_blob)).first() is not None:
        if problem is not BlobProblem.MISSING:
            tx.execute(update(damaged_blobs).where(of_blob).values(values))
        return
    tx.execute(insert(damaged_blobs).values(sha256=sha256, **values))
    found = affected_files(tx, _LOGGED_FILES, sha256=sha256)
    shown = BlobProblem.MISSING if problem is BlobProblem.MISSING else BlobProblem.DAMAGED
    log.error("blob.damaged", sha256=sha256.hex(), problem=shown.value, files=[item.where for item in found])


def _version(stat: BlobStat | None) -> str | None:
    return None if stat is None else stat.version
