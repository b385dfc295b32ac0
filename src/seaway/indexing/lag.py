"""How far whole documents are behind the subdirs that they are made from."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import documents, subdirs
from seaway.indexing.documents import REPODATA


@dataclass(frozen=True, slots=True)
class Lag:
    """The subdirs whose documents are behind, and the worst of them."""

    subdirs: int
    revisions: int
    since_ms: int | None  # the change that waits for the longest time among the last changes of each


def lags(tx: Tx, limit: int) -> tuple[Lag, Lag]:
    """
    Of the subdirs of at most `limit` records, and of the larger ones; those without documents do not count.

    The documents of the small ones are built by the request that finds them old, so no reader ever sees that lag.
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
