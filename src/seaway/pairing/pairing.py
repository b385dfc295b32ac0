"""
Check that the database and the store belong together before anything relies on it.

1. A new identity is created only if both sides are empty, or by an operator (`adopt`, `restore`, `rebuild`).
2. Nothing is put into a store that is not the database's: the store is checked before and after every put.
3. Nothing is deleted from a store unless its identity matches, counter included: an older copy of the database deletes
   nothing, whatever its rows name. A folder is compared before each deletion; a bucket at most two seconds before it,
   and again before each batch of a sweep.
4. For a store that cannot be reached there is no verdict; the check is repeated until the store responds.
"""

import os
import threading
import time
from collections.abc import Callable

import structlog

from seaway.database.engine import Database
from seaway.errors import BadSetting, Unavailable
from seaway.pairing import identity_storage
from seaway.pairing.identity import (
    ACCEPT_UPLOADS,
    MESSAGES,
    PREVENT_START,
    DatabaseIdentity,
    PairingVerdict,
    StoreIdentity,
    compare,
    new_identity,
)
from seaway.storage import keys
from seaway.storage.blobs import BlobStore

log = structlog.get_logger()

_LOCK = "pairing"
_BUCKET_SECONDS = 2.0  # a bucket must be polled; replacing a folder changes the inode of its identity file at once


class NotPaired(Unavailable):
    """The store is not the database's; `condition` is a short description of the store."""

    def __init__(self, verdict: PairingVerdict) -> None:
        super().__init__(*MESSAGES[verdict])
        self.condition = verdict.value


class Pairing:
    """The pairing of one database and one store, as one process sees it."""

    def __init__(self, database: Database, blobs: BlobStore, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._database, self._blobs, self._seconds = database, blobs, seconds
        self._lock = threading.Lock()
        self._database_identity: DatabaseIdentity | None = None
        self._verdict: PairingVerdict | None = None
        self._mark: object = None
        self._checked_at = 0.0
        self._is_start_pending = False  # the store did not respond at the start

    def begin(self) -> None:
        """Pair a new database with a new store; `BadSetting` if the two do not belong together (1, 4)."""
        try:
            verdict = self.check()
        except (Unavailable, OSError) as error:
            log.warning("store.unavailable", error=str(error), cause=getattr(error, "cause", ""))
            self._is_start_pending = True
            return
        if verdict is PairingVerdict.NEW:
            self._pair()
        elif verdict in PREVENT_START:
            raise BadSetting(*MESSAGES[verdict])
        elif verdict is not PairingVerdict.MATCHES:
            log.warning("store.pairing", verdict=verdict.value, message=MESSAGES[verdict][0])

    def check(self) -> PairingVerdict:
        """Read and compare both sides now; `Unavailable` if one of them does not respond."""
        mark, before = self._current_mark(), None
        # Another process may raise the counter between the two reads, so read again until the result is stable.
        while (found := self._compare()) != before and found[0] is not PairingVerdict.MATCHES:
            mark, before = self._current_mark(), found
        verdict, database_identity, _ = found
        with self._lock:
            self._database_identity, self._verdict = database_identity, verdict
            self._mark, self._checked_at = mark, self._seconds()
        return verdict

    def _compare(self) -> tuple[PairingVerdict, DatabaseIdentity | None, StoreIdentity | None]:
        store_identity = identity_storage.of_store(self._blobs)
        with self._database.read() as tx:
            database_identity = identity_storage.of_database(tx)
            names_blobs = (database_identity is None or store_identity is None) and identity_storage.names_blobs(tx)
        has_blobs = database_identity is None and store_identity is None and identity_storage.has_blobs(self._blobs)
        verdict = compare(
            database_identity, store_identity, database_names_blobs=names_blobs, store_has_blobs=has_blobs
        )
        return verdict, database_identity, store_identity

    def verdict(self) -> PairingVerdict:
        """Return the last verdict, or a new one if the store may have been replaced since."""
        with self._lock:
            known, mark, checked_at = self._verdict, self._mark, self._checked_at
        if self._is_start_pending:
            return self._finish_start()
        if known is None:
            return self.check()
        if self._is_folder:
            return known if self._current_mark() == mark else self.check()
        return known if self._seconds() - checked_at < _BUCKET_SECONDS else self.check()

    def require_store(self) -> None:
        """Raise `NotPaired` with the reason unless the store is the database's (2)."""
        verdict = self.verdict()
        if verdict not in ACCEPT_UPLOADS:
            raise NotPaired(verdict)

    def can_delete(self, *, checks_again: bool = False) -> bool:
        """Return whether blobs can be deleted from the store (3), by a new verdict if `checks_again`."""
        try:
            return (self.check() if checks_again else self.verdict()) is PairingVerdict.MATCHES
        except (Unavailable, OSError):
            return False

    def prepare_sweep(self) -> tuple[str, str] | None:
        """Raise the counter of both sides; return a message for the operator if nothing can be swept (3)."""
        verdict = self.raise_counter()
        return None if verdict is PairingVerdict.MATCHES else MESSAGES[verdict]

    def require_match(self) -> None:
        """Raise the counter of both sides; `NotPaired` if they do not match."""
        verdict = self.raise_counter()
        if verdict is not PairingVerdict.MATCHES:
            raise NotPaired(verdict)

    def raise_counter(self) -> PairingVerdict:
        """Raise the counter of both sides if they match; from then on, older copies of the database are `BEHIND`."""
        with self._database.exclusive(_LOCK):
            verdict = self.check()
            if verdict is PairingVerdict.MATCHES and self._database_identity is not None:
                self._set_identity(self._database_identity.raised())
            return verdict

    def adopt(self) -> None:
        """Replace the identities of both sides with a new one (1)."""
        with self._database.exclusive(_LOCK):
            self._blobs.create()
            self._set_identity(new_identity())

    def write_to_store(self) -> None:
        """Write the database's identity to the store, after a transaction (such as a restore) has changed it."""
        if self.check() is PairingVerdict.NEW:
            self._pair()

    def store_id(self) -> str:
        """Return the shared id; `Unavailable` before the two are paired."""
        self.require_store()
        with self._lock:
            assert self._database_identity is not None
            return self._database_identity.id

    @property
    def _is_folder(self) -> bool:
        return self._blobs.local_path(keys.IDENTITY) is not None

    def _finish_start(self) -> PairingVerdict:
        """Do what `begin` could not, once the store responds; nothing is put into the store of another database (2)."""
        if self.check() is PairingVerdict.NEW:
            self._pair()
        self._is_start_pending = False
        return self.check()

    def _pair(self) -> None:
        with self._database.exclusive(_LOCK):
            if self.check() is PairingVerdict.NEW:  # otherwise another process was first
                self._blobs.create()
                self._set_identity(self._database_identity or new_identity())

    def _set_identity(self, identity: DatabaseIdentity) -> None:
        """Write database, store, database: they still match if the process is killed between any two writes."""
        self._save(identity)
        identity_storage.put_in_store(self._blobs, identity.of_store)
        self._save(identity.confirmed())
        self.check()

    def _save(self, identity: DatabaseIdentity) -> None:
        with self._database.write_unlocked() as tx:
            self._database.lock(tx, _LOCK)
            identity_storage.put_in_database(tx, identity)

    def _current_mark(self) -> object:
        """Return a value that changes when the store's folder or its identity file is replaced; None for a bucket."""
        path = self._blobs.local_path(keys.IDENTITY)
        if path is None:
            return None
        try:
            found = os.stat(path)  # noqa: PTH116  called twice for every put, and faster than a Path
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns
