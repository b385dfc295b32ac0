"""
Record shard indexes as served before they are sent, so that their shards are kept.

1. Before a shard index is sent, a transaction records that its subdir was served at that revision while it was current
   (`subdirs.served_revision`): one write for each revision, by the first worker that serves it. A change of the subdir
   reads this under the lock of its row (`indexing.updates` 3), so it either sees the note or commits before it; in that
   case the reader gets the newer index instead.
2. If the note cannot be written (disk full, a long write, read-only), the index is sent anyway. Before reading it, the
   worker takes a shared lock on the shards of the subdir (`Database.share`): until the note is written, no process drops
   any of them. The same happens if a change came between reading and noting, so that readers never wait for uploads to
   pause.
3. A reader waits at most a second for the note, and for changes that are currently dropping shards of this subdir.
4. Readers never lock the site or the channel.

Known gap: if a worker ends (or loses its connection to PostgreSQL) before it has noted an index that it served, or if
it could neither note nor lock, later changes can drop shards of that index. Its readers get the newer index with their
next request.
"""

import threading
from contextlib import ExitStack

import structlog
from sqlalchemy import bindparam, select, update

from seaway.database.engine import Database, Tx
from seaway.database.tables import subdirs
from seaway.errors import Unavailable
from seaway.indexing.file_rows import Subdir, get_subdir
from seaway.indexing.shard_index import ShardIndex, ShardIndexCache

log = structlog.get_logger()

_LOCK_COUNT = 64
RETRY_SECONDS = 5.0

_CURRENT = subdirs.c.id == bindparam("subdir_id")
_AT_REVISION = (_CURRENT, subdirs.c.revision == bindparam("known"))
_NOTE = update(subdirs).values(served_revision=subdirs.c.revision).where(subdirs.c.served_revision < subdirs.c.revision)
_NOTE_CURRENT = _NOTE.where(_CURRENT)
_NOTE_REVISION = _NOTE.where(*_AT_REVISION)
_IS_NOTED = select(subdirs.c.id).where(*_AT_REVISION, subdirs.c.served_revision >= subdirs.c.revision)


def shards_of(subdir_id: int) -> str:
    """Return the name of the lock that is held shared while shards of a subdir must not be dropped."""
    return f"shards/{subdir_id}"


class ServedRevisions:
    """Registry of the shard indexes that this process serves; thread-safe."""

    def __init__(self, database: Database, names: ShardIndexCache) -> None:
        self._database, self._names = database, names
        self._subdir_locks = [threading.Lock() for _ in range(_LOCK_COUNT)]
        # Subdirs that were served without a note, with the shared lock on their shards.
        self._unnoted: dict[int, ExitStack] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_stopped = False

    def recorded(self, tx: Tx, subdir: Subdir) -> ShardIndex | None:
        """Return the index that `tx` sees, or None if it is not recorded as served; then call `first`."""
        document = self._names.document(tx, subdir)
        return document if document.revision == subdir.revision <= subdir.served_revision else None

    def first(self, subdir_id: int) -> ShardIndex | None:
        """Record the current index of a subdir as served and return it; None if the subdir is gone."""
        with self._subdir_lock(subdir_id):
            document, is_noted = self._read(subdir_id)
            if document is None or is_noted or subdir_id in self._unnoted:
                return document
            try:
                if self._note(subdir_id, document.revision):
                    return document
            except Unavailable as error:
                log.warning("served.not_recorded", subdir_id=subdir_id, reason=error.message, cause=error.cause)
            return self._shared(subdir_id)

    def flush_notes(self) -> None:
        """Write the notes that failed earlier, and release the locks on the shards."""
        for subdir_id in list(self._unnoted):
            with self._subdir_lock(subdir_id):
                try:
                    self._note_current(subdir_id)
                except Unavailable:
                    break
                self._unnoted.pop(subdir_id, ExitStack()).close()
        if self._unnoted:
            self._settle_later()

    def stop(self) -> None:
        """Write the remaining notes, if possible, and release the locks on the shards."""
        with self._lock:
            self._is_stopped = True
            if self._timer is not None:
                self._timer.cancel()
        self.flush_notes()
        for share in self._unnoted.values():
            share.close()
        self._unnoted.clear()

    def _subdir_lock(self, subdir_id: int) -> threading.Lock:
        return self._subdir_locks[subdir_id % _LOCK_COUNT]

    def _read(self, subdir_id: int) -> tuple[ShardIndex | None, bool]:
        with self._database.read() as tx:
            subdir = get_subdir(tx, subdir_id)
            if subdir is None:
                return None, False
            noted = self.recorded(tx, subdir)
            return (self._names.document(tx, subdir), False) if noted is None else (noted, True)

    def _shared(self, subdir_id: int) -> ShardIndex | None:
        """Return the index, read with its shards locked; the lock is kept until the index is recorded as served."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._database.share(shards_of(subdir_id)))
            except (Unavailable, OSError) as error:
                log.error("served.not_shared", subdir_id=subdir_id, error=str(error))
            document, is_noted = self._read(subdir_id)
            try:
                if not is_noted:
                    self._note_current(subdir_id)
            except Unavailable:
                self._unnoted[subdir_id] = stack.pop_all()
                self._settle_later()
            return document

    def _note(self, subdir_id: int, revision: int) -> bool:
        """Record the revision as served if it is still current; return whether it is."""
        which = {"subdir_id": subdir_id, "known": revision}
        with self._database.write_briefly() as tx:
            return tx.execute(_NOTE_REVISION, which).rowcount > 0 or tx.execute(_IS_NOTED, which).first() is not None

    def _note_current(self, subdir_id: int) -> None:
        with self._database.write_briefly() as tx:
            tx.execute(_NOTE_CURRENT, {"subdir_id": subdir_id})

    def _settle_later(self) -> None:
        with self._lock:
            if self._is_stopped or (self._timer is not None and self._timer.is_alive()):
                return
            self._timer = threading.Timer(RETRY_SECONDS, self._settle_now)
            self._timer.daemon = True
            self._timer.start()

    def _settle_now(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.flush_notes()
        except Exception:
            log.exception("served.recording_failed")  # an exception in a timer thread would be lost
            self._settle_later()
