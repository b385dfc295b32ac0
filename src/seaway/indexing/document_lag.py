"""Lag of whole documents behind their subdirs."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import documents, subdirs
from seaway.indexing.documents import REPODATA


@dataclass(frozen=True, slots=True)
class Lag:
    """Number of subdirs with outdated documents, and the largest lag."""

    subdirs: int
    revisions: int
    since_ms: int | None  # time of the oldest last change among these subdirs


def lags(tx: Tx, limit: int) -> tuple[Lag, Lag]:
    """
    Return the lag of subdirs of at most `limit` records and that of larger ones; subdirs without documents are ignored.

    Documents of small subdirs are built by the request that finds them outdated, so readers never see their lag.
    """
    return _lag(tx, subdirs.c.record_count <= limit), _lag(tx, subdirs.c.record_count > limit)


def _lag(tx: Tx, which: ColumnElement[bool]) -> Lag:
    behind = subdirs.c.revision - documents.c.revision
    found = tx.execute(
        select(
            func.count().label("subdirs"),
            func.coalesce(func.max(behind), 0).label("revisions"),
            func.min(subdirs.c.changed_at).label("since_ms"),
        )
        .select_from(documents)
        .join(subdirs, subdirs.c.id == documents.c.subdir_id)
        .where(documents.c.kind == REPODATA, behind > 0, which)
    ).one()
    return from_row(Lag, found)
