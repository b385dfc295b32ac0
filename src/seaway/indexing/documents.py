"""
Whole documents of a subdir: repodata.json, run_exports.json and their compressed forms.

1. All kinds of one subdir are built from one state and switched together, so they never disagree at a revision.
2. A document row names a blob that exists; a reader sees either the old or the new documents.
3. Documents of a subdir of at most `limit` records are never outdated: a request that finds an old one builds the new
   one and waits. Larger ones are built by a job, which the change enqueued, while readers get the last complete
   documents. Readers also get those if a build fails because nothing can be written (`serving.resolve`).
4. One build of a subdir runs at a time among all workers; waiting requests use its result or build the next.
5. Documents are derived: if the bytes of one are lost or damaged, all document rows of its subdir are deleted
   (`forget`), and the next request builds them again.
6. Damaged fragments get into no document: a build compares the fragments of each name with their checksum, and derives
   the name again from its file rows if they differ.
"""

import hashlib
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import structlog
from sqlalchemy import Select, bindparam, delete, insert, select

from seaway.clock import SECOND_MS, Clock
from seaway.conda import zstd
from seaway.conda.record import Section
from seaway.conda.repodata import repodata_pieces, run_exports_pieces
from seaway.database.damage import as_stored, tolerating_damage
from seaway.database.engine import Database, Tx
from seaway.database.tables import channels, documents, fragments, shards, subdirs
from seaway.errors import SeawayError, Unavailable
from seaway.indexing.blob_references import BlobSwept, discard, referencing
from seaway.indexing.file_rows import Subdir, get_subdir, records_of
from seaway.indexing.package_index import (
    CHECKSUM_MODULUS,
    RECORDS,
    REMOVED,
    RUN_EXPORTS,
    checksum_of_fragment,
    derive,
    fragment_kind,
)
from seaway.indexing.shard_index import info_of
from seaway.indexing.updates import enqueue_document_build, rebuild_name
from seaway.storage import keys
from seaway.storage.blobs import BlobStore, DamagedBlob
from seaway.storage.spool import Spool

log = structlog.get_logger()

REPODATA = "repodata.json"
REPODATA_ZST = "repodata.json.zst"
REPODATA_GZ = "repodata.json.gz"
RUN_EXPORTS_JSON = "run_exports.json"
RUN_EXPORTS_ZST = "run_exports.json.zst"

_PIECE_BYTES = 1024 * 1024
_ROWS_AT_ONCE = 500
_GZIP_LEVEL = 6
_REQUEST_INTERVAL_MS = 10 * SECOND_MS
_REQUESTS_KEPT = 4096
_TRIES = 3
_LOGGED_NAMES = 10


@dataclass(frozen=True, slots=True)
class Document:
    """A built document; its bytes are the blob with this sha256."""

    kind: str
    revision: int
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A document in the spool, not stored yet."""

    kind: str
    path: Path
    sha256: bytes
    size: int


class Documents:
    """Builder and registry of whole documents."""

    def __init__(self, database: Database, blobs: BlobStore, spool: Spool, clock: Clock, *, limit: int) -> None:
        self._database = database
        self._blobs = blobs
        self._spool = spool
        self.whole_document_limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._requested_ms: dict[int, int] = {}
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")

    def current(self, tx: Tx, subdir: Subdir, kind: str) -> Document | None:
        """Return the document to serve for the state that `tx` sees, or None if it must be built first (`build`)."""
        document = _find(tx, subdir.id, kind)
        if document is None or document.revision >= subdir.revision:
            return document
        if subdir.record_count <= self.whole_document_limit:
            return None
        self._request_build(subdir.id)
        return document

    def build(self, subdir_id: int, kind: str) -> Document | None:
        """Return the current document, built if another request has not just done so; None if the subdir is gone."""
        with self._database.exclusive(f"documents/{subdir_id}"):
            with self._database.read() as tx:
                subdir, document = _look_up(tx, subdir_id, kind)
            if subdir is not None and (document is None or document.revision < subdir.revision):
                self._build(subdir_id, kind)
        with self._database.read() as tx:
            return _find(tx, subdir_id, kind)

    def last(self, subdir_id: int, kind: str) -> Document | None:
        """Return the last complete document, however old it is."""
        with self._database.read() as tx:
            return _find(tx, subdir_id, kind)

    def forget(self, sha256: bytes) -> int:
        """Delete the document rows of every subdir that names a lost or damaged blob; return the number of subdirs."""
        with self._database.read() as tx:
            named_in = sorted(tx.execute(_subdirs_naming(sha256)).scalars())
        for subdir_id in named_in:
            with self._database.write_unlocked() as tx:
                self._database.lock(tx, f"documents/{subdir_id}")
                # All kinds, since they are built together (1); skipped if they were replaced meanwhile.
                if subdir_id in set(tx.execute(_subdirs_naming(sha256)).scalars()):
                    tx.execute(delete(documents).where(documents.c.subdir_id == subdir_id))
                    log.warning("documents.dropped", subdir_id=subdir_id, sha256=sha256.hex())
        return len(named_in)

    def drafts(self, tx: Tx, subdir: Subdir) -> list["Draft"]:
        """Build the documents of the state that `tx` sees without storing them, for `seaway check`."""
        with ExitStack() as stack:
            return self._draft_all(stack, _Fragments(tx, subdir.id), subdir)

    def close(self) -> None:
        """Wait for the running background request to end; cancel the others."""
        self._background.shutdown(wait=True, cancel_futures=True)

    def _request_build(self, subdir_id: int) -> None:
        """
        Enqueue another build, at most every 10 seconds for a subdir.

        The change that made the documents outdated has enqueued one, but its job may have failed or be waiting for a
        retry, or the limit may have been lowered since.
        """
        now_ms = self._clock.now_ms()
        with self._lock:
            # A negative age means that the clock was set back.
            if 0 <= now_ms - self._requested_ms.get(subdir_id, -_REQUEST_INTERVAL_MS) < _REQUEST_INTERVAL_MS:
                return
            if len(self._requested_ms) >= _REQUESTS_KEPT:
                self._requested_ms.clear()
            self._requested_ms[subdir_id] = now_ms
        self._background.submit(self._enqueue_build, subdir_id)

    def _enqueue_build(self, subdir_id: int) -> None:
        try:
            with self._database.write_unlocked() as tx:
                enqueue_document_build(tx, self._clock.now_ms(), subdir_id)
        except SeawayError as error:
            log.warning("documents.not_enqueued", subdir_id=subdir_id, error=error.full_message)

    def _build(self, subdir_id: int, wanted: str) -> None:
        for _ in range(_TRIES):
            try:
                lost = self._build_once(subdir_id, wanted)
            except _DamagedFragments as found:
                self._derive(subdir_id, found.names)
                continue
            if lost is None:
                return
            self.forget(lost)
        raise _store_failure()

    def _derive(self, subdir_id: int, names: Sequence[str]) -> None:
        """Derive names again from their file rows; raise `DamagedRecord`, before any lock, if a row is damaged."""
        log.error("fragments.damaged", subdir_id=subdir_id, names=names[:_LOGGED_NAMES])
        for name in names:
            with self._database.read() as tx:
                channel = tx.execute(_CHANNEL, {"subdir_id": subdir_id}).scalar()
                derive(records_of(tx, subdir_id, name))
            if channel is None:
                return
            with self._database.write_channel(channel) as tx:
                subdir = get_subdir(tx, subdir_id)
                if subdir is not None:
                    rebuild_name(tx, subdir, name, self._clock.now_ms(), self.whole_document_limit)

    def _build_once(self, subdir_id: int, wanted: str) -> bytes | None:
        """Build the missing documents; return the hash of a required document if its bytes are lost."""
        with ExitStack() as stack:
            with self._database.read() as tx:
                subdir, current = _look_up(tx, subdir_id, REPODATA)
                if subdir is None:
                    return None
                drafts = self._verified_drafts(stack, tx, subdir) if self._must_draft(subdir, current, wanted) else []
            if drafts:
                self._switch(subdir_id, subdir.revision, drafts)
            return self._add_gzip(stack, subdir_id) if wanted == REPODATA_GZ else None

    def _must_draft(self, subdir: Subdir, current: Document | None, wanted: str) -> bool:
        """Return whether to build the plain documents; gzip of a large subdir uses the last complete ones."""
        if current is None:
            return True
        is_large = subdir.record_count > self.whole_document_limit
        return current.revision < subdir.revision and not (is_large and wanted == REPODATA_GZ)

    def _verified_drafts(self, stack: ExitStack, tx: Tx, subdir: Subdir) -> list[Draft]:
        stored = _Fragments(tx, subdir.id)
        with tolerating_damage(tx):
            drafts = self._draft_all(stack, stored, subdir)
            damaged = stored.damaged()
        if damaged:
            raise _DamagedFragments(damaged)
        return drafts

    def _draft_all(self, stack: ExitStack, stored: "_Fragments", subdir: Subdir) -> list[Draft]:
        v3, relations = info_of(stored.tx, subdir.id)
        drafts = []
        for kind, packed_kind, pieces in (
            (
                REPODATA,
                REPODATA_ZST,
                repodata_pieces(subdir.name, partial(stored.of, RECORDS), stored.of_kind(REMOVED), v3, relations),
            ),
            (RUN_EXPORTS_JSON, RUN_EXPORTS_ZST, run_exports_pieces(subdir.name, partial(stored.of, RUN_EXPORTS), v3)),
        ):
            plain = _write(stack.enter_context(self._spool.file()), kind, pieces)
            content = stack.enter_context(plain.path.open("rb"))
            packed = zstd.compress_pieces(iter(partial(content.read, _PIECE_BYTES), b""), plain.size)
            drafts += [plain, _write(stack.enter_context(self._spool.file()), packed_kind, packed)]
        return drafts

    def _add_gzip(self, stack: ExitStack, subdir_id: int) -> bytes | None:
        """
        Add the gzip document, built on request for the newest repodata.json only; most clients use zstd.

        Return the hash of repodata.json if its blob is missing.
        """
        with self._database.read() as tx:
            plain = _look_up(tx, subdir_id, REPODATA)[1]
        if plain is None:
            return None
        file = stack.enter_context(self._spool.file())
        try:
            with self._blobs.open(keys.blob(plain.sha256)) as content:
                draft = _write(file, REPODATA_GZ, _gzip(_verified(content, plain.sha256)))
        except FileNotFoundError:
            return plain.sha256
        self._switch(subdir_id, plain.revision, [draft])
        return None

    def _switch(self, subdir_id: int, revision: int, drafts: list[Draft]) -> None:
        """Store the drafts, then switch to all of them in one transaction, unless newer documents exist."""
        for _ in range(_TRIES):
            for draft in drafts:
                self._blobs.put_file(keys.blob(draft.sha256), draft.path)
            try:
                with referencing(self._database, self._blobs, [draft.sha256 for draft in drafts]) as (tx, missing):
                    if missing:
                        raise BlobSwept
                    self._database.lock(tx, f"documents/{subdir_id}")
                    replaced = _name(tx, subdir_id, revision, drafts)
            except BlobSwept:
                continue
            # Delete the old documents at once: a large channel writes tens of megabytes at every build. A reader that
            # has opened an old document can read it to its end; other readers find the new one.
            discard(self._database, self._blobs, replaced)
            return
        raise _store_failure()


def _store_failure() -> Unavailable:
    return Unavailable("The blob store does not keep the documents written to it.", "Try again in a moment.")


class _DamagedFragments(Exception):
    """The fragments of these names do not match their checksums."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = names


class _Fragments:
    """Reader of the stored fragments of a subdir; each kind is read once, as the document writers request it."""

    def __init__(self, tx: Tx, subdir_id: int) -> None:
        self.tx, self._subdir_id = tx, subdir_id
        self._sums: dict[str, int] = {}

    def of(self, what: str, section: Section) -> Iterable[bytes]:
        return self.of_kind(fragment_kind(what, section))

    def of_kind(self, kind: str) -> Iterator[bytes]:
        rows = self.tx.execute(
            select(fragments.c.name, as_stored(fragments.c.content))
            .where(fragments.c.subdir_id == self._subdir_id, fragments.c.kind == kind)
            .order_by(fragments.c.name)
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        sums, start = self._sums, checksum_of_fragment(kind, b"")
        for name, content in rows:
            if isinstance(name, str) and isinstance(content, bytes):  # otherwise `damaged` finds that it is missing
                sums[name] = sums.get(name, 0) + crc32(content, start)
                yield content

    def damaged(self) -> list[str]:
        """Return the names whose fragments do not match their checksum (6); call it after all kinds were read."""
        found = dict(self._sums)
        rows = self.tx.execute(
            select(shards.c.name, as_stored(shards.c.checksum)).where(shards.c.subdir_id == self._subdir_id)
        )
        damaged = []
        for name, checksum in rows:
            total = found.pop(name, 0)
            # None: the row is older than the column. The fragments of a name that is damaged in the shard row remain
            # in `found`.
            if isinstance(name, str) and checksum not in (None, total % CHECKSUM_MODULUS):
                damaged.append(name)
        return sorted([*damaged, *found])


def _subdirs_naming(sha256: bytes) -> Select[tuple[int]]:
    return select(documents.c.subdir_id).where(documents.c.sha256 == sha256).distinct()


def _look_up(tx: Tx, subdir_id: int, kind: str) -> tuple[Subdir | None, Document | None]:
    return get_subdir(tx, subdir_id), _find(tx, subdir_id, kind)


_CHANNEL = (
    select(channels.c.name)
    .join(subdirs, subdirs.c.channel_id == channels.c.id)
    .where(subdirs.c.id == bindparam("subdir_id"))
)
_FIND = select(documents.c.kind, documents.c.revision, documents.c.sha256, documents.c.size).where(
    documents.c.subdir_id == bindparam("subdir_id"), documents.c.kind == bindparam("kind")
)


def _find(tx: Tx, subdir_id: int, kind: str) -> Document | None:
    found = tx.execute(_FIND, {"subdir_id": subdir_id, "kind": kind}).one_or_none()
    return None if found is None else Document(*found)


def _name(tx: Tx, subdir_id: int, revision: int, drafts: list[Draft]) -> list[bytes]:
    """
    Switch the rows to the drafts, unless newer documents exist.

    Return the hashes that are no longer needed: the old documents, or the drafts if they are too late.
    """
    subdir, newest = _look_up(tx, subdir_id, REPODATA)
    if subdir is None or (newest is not None and newest.revision > revision):
        return [draft.sha256 for draft in drafts]
    kinds = {draft.kind for draft in drafts}
    if REPODATA in kinds:
        kinds.add(REPODATA_GZ)  # built again on the next request
    replaced = (documents.c.subdir_id == subdir_id, documents.c.kind.in_(kinds))
    old = list(tx.execute(select(documents.c.sha256).where(*replaced)).scalars())
    tx.execute(delete(documents).where(*replaced))
    tx.execute(
        insert(documents),
        [
            {
                "subdir_id": subdir_id,
                "kind": draft.kind,
                "revision": revision,
                "sha256": draft.sha256,
                "size": draft.size,
            }
            for draft in drafts
        ],
    )
    return old


def _write(file: BinaryIO, kind: str, pieces: Iterable[bytes]) -> Draft:
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
        file.write(piece)
    file.flush()
    return Draft(kind, Path(file.name), sha256.digest(), size)


def _verified(content: BinaryIO, sha256: bytes) -> Iterator[bytes]:
    """Yield the bytes of a blob; raise `DamagedBlob` at the end if the hash differs."""
    found = hashlib.sha256()
    while piece := content.read(_PIECE_BYTES):
        found.update(piece)
        yield piece
    if found.digest() != sha256:
        raise DamagedBlob(sha256.hex())


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()
