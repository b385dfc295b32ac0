"""Readiness check: whether database, storage and spool are usable, each within a time limit."""

import asyncio
import errno
import os
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from seaway import os_errors
from seaway.database.engine import Database
from seaway.database.tables import channels
from seaway.errors import DamagedDatabase
from seaway.pairing.pairing import NotPaired
from seaway.single_flight import SingleFlight
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool

log = structlog.get_logger()

TIMEOUT_SECONDS = 5.0
NO_RESPONSE = "does not respond"
DAMAGED = "is damaged: the operator must restore a backup"
_ABSENT_BLOB = keys.blob(bytes(32))  # no content has this hash


class Readiness:
    """Checks the parts that serving requires."""

    def __init__(self, site: Site, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._probes = {
            "database": SingleFlight(partial(_probe_database, site.database)),
            "storage": SingleFlight(partial(_probe_storage, site.blobs)),
            "spool folder": SingleFlight(partial(_probe_spool, site.spool)),
        }

    async def problems(self) -> dict[str, str]:
        """Return the unusable parts, each with its problem; the texts are public and contain nothing confidential."""
        found = await asyncio.gather(*(self._problem(part) for part in self._probes))
        return dict(problem for problem in found if problem is not None)

    async def _problem(self, part: str) -> tuple[str, str] | None:
        """Return the part that fails when `part` is used, and its problem; None if it works."""
        try:
            outcome = asyncio.wrap_future(self._probes[part].start())
            await asyncio.wait_for(outcome, self._timeout_seconds)
        except Exception as error:  # noqa: BLE001  any error means that the part is not ready
            log.warning("readiness.failed", part=part, error=f"{type(error).__name__}: {error}")
            if isinstance(error, NotPaired):
                return part, error.condition
            # The storage check compares the store with its row in the database, so the database can be what fails.
            if isinstance(error, DamagedDatabase):
                return "database", DAMAGED
            failing = "database" if isinstance(error.__cause__, SQLAlchemyError) else part
            return failing, os_errors.condition_of(error) or NO_RESPONSE
        return None


def _probe_database(database: Database) -> None:
    with database.read() as tx:
        tx.execute(select(channels.c.id).limit(1)).first()


def _probe_storage(blobs: BlobStore) -> None:
    blobs.stat(_ABSENT_BLOB)
    path = blobs.local_path(_ABSENT_BLOB)
    # `stat` raises no error if the whole folder is missing.
    if path is not None:
        _require_writable(path.parents[_ABSENT_BLOB.count("/")])


def _require_writable(folder: Path) -> None:
    """Raise the error that a write would raise; `access` alone does not distinguish them."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _probe_spool(spool: Spool) -> None:
    with spool.file():
        pass
