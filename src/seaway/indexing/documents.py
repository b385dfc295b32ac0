"""
Whole documents of a subdir: repodata.json, run_exports.json and their compressed forms.

1. All kinds of one subdir are made from one state and switched together: they never disagree at a revision.
2. A document row names a blob that exists; a reader sees the old documents or the new ones.
3. A subdir of at most `limit` records is never behind: the request that finds it old builds it and waits.
   A larger one is built by a job, which its change asked for, while readers get the last complete documents.
   So they do where a build fails because nothing can be written (`serving.resolve`).
4. One build of a subdir runs at a time among all workers; those who wait take its result or build the next.

5. Documents are derived: when the bytes of one are lost or damaged, those of its subdir are forgotten (`forget`),
   and the next request builds them again.
"""

import hashlib
import threading
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
from sqlalchemy import Select, bindparam, delete, insert, select

from seaway.clock import SECOND_MS, Clock
from seaway.conda import zstd
from seaway.conda.record import Section
from seaway.conda.repodata import repodata_pieces, run_exports_pieces
from seaway.database.engine import Database, Tx
from seaway.database.tables import documents, fragments
from seaway.errors import SeawayError, Unavailable
from seaway.indexing.change import ask_for_documents
from seaway.indexing.claims import BlobSwept, discard, naming
from seaway.indexing.name_index import RECORDS, REMOVED, RUN_EXPORTS, fragment_kind
from seaway.indexing.names import v3_summary
from seaway.indexing.rows import Subdir, get_subdir
from seaway.storage import keys
from seaway.storage.blobs import Blobs, DamagedBlob
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
_ASK_AGAIN_MS = 10 * SECOND_MS
_ASKED_KEPT = 4096
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Document:
    """One built document; its bytes are the blob of `sha256`."""

    kind: str
    revision: int
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was written to the spool."""

    kind: str
    path: Path
    sha256: bytes
    size: int


class Documents:
    """Builds whole documents and knows the newest ones."""

    def __init__(self, database: Database, blobs: Blobs, spool: Spool, clock: Clock, *, limit: int) -> None:
        self._database = database
        self._blobs = blobs
        self._spool = spool
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[int, int] = {}
        self._asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")

    def current(self, tx: Tx, subdir: Subdir, kind: str) -> Document | None:
        """The document to serve for the state that `tx` sees, or None when it must be built first (`build`)."""
        document = _find(tx, subdir.id, kind)
        if document is None or document.revision >= subdir.revision:
            return document
        if subdir.record_count <= self.limit:
            return None
        self._ask_later(subdir.id)
        return document

    def build(self, subdir_id: int, kind: str) -> Document | None:
        """Bring the documents of a subdir up to date, unless another request just did; None when the subdir is gone."""
        with self._database.alone(f"documents/{subdir_id}"):
            with self._database.read() as tx:
                subdir, document = _look_up(tx, subdir_id, kind)
            if subdir is not None and (document is None or document.revision < subdir.revision):
                self._build(subdir_id, kind)
        with self._database.read() as tx:
            return _find(tx, subdir_id, kind)

    def last(self, subdir_id: int, kind: str) -> Document | None:
        """The last complete document, however old it is."""
        with self._database.read() as tx:
            return _find(tx, subdir_id, kind)

    def forget(self, sha256: bytes) -> int:
        """Forget the documents of every subdir that names these bytes, which are lost or damaged; how many subdirs."""
        with self._database.read() as tx:
            subdirs = sorted(tx.execute(_subdirs_naming(sha256)).scalars())
        for subdir_id in subdirs:
            with self._database.write_part() as tx:
                self._database.hold(tx, f"documents/{subdir_id}")
                # All kinds, since they are made together (1); unless others took their place meanwhile.
                if subdir_id in set(tx.execute(_subdirs_naming(sha256)).scalars()):
                    tx.execute(delete(documents).where(documents.c.subdir_id == subdir_id))
                    log.warning("documents.forgotten", subdir_id=subdir_id, sha256=sha256.hex())
        return len(subdirs)

    def drafts(self, tx: Tx, subdir: Subdir) -> list["Draft"]:
        """What the documents of the state that `tx` sees would be, without storing them: for `seaway check`."""
        with ExitStack() as stack:
            return self._draft_all(stack, tx, subdir)

    def close(self) -> None:
        """Let what was begun end."""
        self._asking.shutdown(wait=True, cancel_futures=True)

    def _ask_later(self, subdir_id: int) -> None:
        """
        Ask for a build again, now and then.

        The change that made the documents old has asked already; but its job may be dead or in a pause after it
        failed, or the limit may have been lowered since.
        """
        now_ms = self._clock.now_ms()
        with self._lock:
            # An age below zero: the clock was set back since.
            if 0 <= now_ms - self._asked.get(subdir_id, -_ASK_AGAIN_MS) < _ASK_AGAIN_MS:
                return
            if len(self._asked) >= _ASKED_KEPT:
                self._asked.clear()
            self._asked[subdir_id] = now_ms
        self._asking.submit(self._ask, subdir_id)

    def _ask(self, subdir_id: int) -> None:
        try:
            with self._database.write_part() as tx:
                ask_for_documents(tx, self._clock.now_ms(), subdir_id)
        except SeawayError as error:
            log.warning("documents.not_asked_for", subdir_id=subdir_id, error=error.sentence)

    def _build(self, subdir_id: int, wanted: str) -> None:
        for _ in range(_TRIES):
            lost = self._build_once(subdir_id, wanted)
            if lost is None:
                return
            self.forget(lost)
        raise _loses()

    def _build_once(self, subdir_id: int, wanted: str) -> bytes | None:
        """Build what is missing; the hash of the document that this needed, if its bytes are lost or damaged."""
        with ExitStack() as stack:
            with self._database.read() as tx:
                subdir, current = _look_up(tx, subdir_id, REPODATA)
                if subdir is None:
                    return None
                drafts = self._draft_all(stack, tx, subdir) if self._must_draft(subdir, current, wanted) else []
            if drafts:
                self._switch(subdir_id, subdir.revision, drafts)
            return self._add_gzip(stack, subdir_id) if wanted == REPODATA_GZ else None

    def _must_draft(self, subdir: Subdir, current: Document | None, wanted: str) -> bool:
        """Whether the plain documents are to be made; gzip of a large subdir is made of the last complete ones."""
        if current is None:
            return True
        is_large = subdir.record_count > self.limit
        return current.revision < subdir.revision and not (is_large and wanted == REPODATA_GZ)

    def _draft_all(self, stack: ExitStack, tx: Tx, subdir: Subdir) -> list[Draft]:
        v3 = v3_summary(tx, subdir.id)

        def stored(what: str) -> "_Fragments":
            return _Fragments(tx, subdir.id, what)

        drafts = []
        for kind, packed_kind, pieces in (
            (
                REPODATA,
                REPODATA_ZST,
                repodata_pieces(subdir.name, stored(RECORDS).of, _stored(tx, subdir.id, REMOVED), v3),
            ),
            (RUN_EXPORTS_JSON, RUN_EXPORTS_ZST, run_exports_pieces(subdir.name, stored(RUN_EXPORTS).of, v3)),
        ):
            plain = _write(stack.enter_context(self._spool.file()), kind, pieces)
            packed = zstd.pack_pieces(_chunks(plain.path), plain.size)
            drafts += [plain, _write(stack.enter_context(self._spool.file()), packed_kind, packed)]
        return drafts

    def _add_gzip(self, stack: ExitStack, subdir_id: int) -> bytes | None:
        """gzip is asked for rarely (zstd is what clients know), so it is made on demand and only at the newest revision."""
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
        """Store the drafts, then name them all in one transaction, unless newer ones are there already."""
        for _ in range(_TRIES):
            for draft in drafts:
                self._blobs.put_file(keys.blob(draft.sha256), draft.path)
            try:
                with naming(self._database, self._blobs, [draft.sha256 for draft in drafts]) as (tx, missing):
                    if missing:
                        raise BlobSwept
                    self._database.hold(tx, f"documents/{subdir_id}")
                    replaced = _name(tx, subdir_id, revision, drafts)
            except BlobSwept:
                continue
            # At once: a large channel writes tens of megabytes at every build. A reader that has opened
            # the old document reads it to its end; one that has not finds the new one.
            discard(self._database, self._blobs, replaced)
            return
        raise _loses()


def _loses() -> Unavailable:
    return Unavailable("The store loses what is put into it.", "Try again in a moment.")


class _Fragments:
    """The stored fragments of one sort, map by map, as the writers of documents ask for them."""

    def __init__(self, tx: Tx, subdir_id: int, what: str) -> None:
        self._tx, self._subdir_id, self._what = tx, subdir_id, what

    def of(self, section: Section) -> Iterable[bytes]:
        return _stored(self._tx, self._subdir_id, fragment_kind(self._what, section))


def _stored(tx: Tx, subdir_id: int, kind: str) -> Iterator[bytes]:
    rows = tx.execute(
        select(fragments.c.content)
        .where(fragments.c.subdir_id == subdir_id, fragments.c.kind == kind)
        .order_by(fragments.c.name)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for (content,) in rows:
        yield content


def _subdirs_naming(sha256: bytes) -> Select[tuple[int]]:
    return select(documents.c.subdir_id).where(documents.c.sha256 == sha256).distinct()


def _look_up(tx: Tx, subdir_id: int, kind: str) -> tuple[Subdir | None, Document | None]:
    return get_subdir(tx, subdir_id), _find(tx, subdir_id, kind)


_FIND = select(documents.c.kind, documents.c.revision, documents.c.sha256, documents.c.size).where(
    documents.c.subdir_id == bindparam("subdir_id"), documents.c.kind == bindparam("kind")
)


def _find(tx: Tx, subdir_id: int, kind: str) -> Document | None:
    found = tx.execute(_FIND, {"subdir_id": subdir_id, "kind": kind}).one_or_none()
    return None if found is None else Document(*found)


def _name(tx: Tx, subdir_id: int, revision: int, drafts: list[Draft]) -> list[bytes]:
    """Switch the rows to the drafts; the hashes that nobody may need now: the old documents, or drafts that came late."""
    newest = tx.execute(
        select(documents.c.revision).where(documents.c.subdir_id == subdir_id, documents.c.kind == REPODATA)
    ).scalar()
    if get_subdir(tx, subdir_id) is None or (newest is not None and newest > revision):
        return [draft.sha256 for draft in drafts]
    kinds = {draft.kind for draft in drafts}
    if REPODATA in kinds:
        kinds.add(REPODATA_GZ)  # made again when somebody asks
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


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_PIECE_BYTES):
            yield chunk


def _verified(content: BinaryIO, sha256: bytes) -> Iterator[bytes]:
    """The bytes of a blob; `DamagedBlob` at their end when they have another hash."""
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
