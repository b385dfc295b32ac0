"""How much the store has to hold, by the rows that name it: a bucket of millions of blobs is not listed for that."""

from dataclasses import dataclass

from sqlalchemy import Table, func, select, true

from seaway.database.engine import Tx
from seaway.database.tables import documents, files
from seaway.indexing.rows import State


@dataclass(frozen=True, slots=True)
class Usage:
    """Blobs and their bytes; content that several rows name is there once."""

    blobs: int
    size: int


def of_packages(tx: Tx) -> Usage:
    """Package files that readers may download."""
    return _usage(tx, files, files.c.state != State.DELETED.value)


def of_documents(tx: Tx) -> Usage:
    """Whole index documents."""
    return _usage(tx, documents, true())


def _usage(tx: Tx, table: Table, which) -> Usage:  # type: ignore[no-untyped-def]
    distinct = select(func.max(table.c.size).label("size")).where(which).group_by(table.c.sha256).subquery()
    count, size = tx.execute(select(func.count(), func.coalesce(func.sum(distinct.c.size), 0))).one()
    return Usage(count, int(size))
