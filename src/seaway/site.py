"""Database, store, spool, clock and URL of a site, used by nearly every part; built once in `server.wiring`."""

from dataclasses import dataclass

from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.storage.blobs import BlobStore
from seaway.storage.disk_reserve import Reserve
from seaway.storage.spool import Spool


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of a site that hold its state, its clock and its URL."""

    database: Database
    blobs: BlobStore
    spool: Spool
    reserve: Reserve
    clock: Clock
    url: str
    whole_document_limit: int  # largest number of records for which whole documents are built when they are requested
