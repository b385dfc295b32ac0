"""The packages of a channel, for lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import select

from seaway.database.engine import Tx
from seaway.database.rows import AnyRow, total
from seaway.database.tables import shards, subdirs

PAGE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class PackageSummary:
    """A package of a channel, its subdirs and the number of its listed files."""

    name: str
    subdirs: tuple[str, ...]
    files: int


def list_packages(tx: Tx, channel_id: int, *, after: str = "", limit: int = PAGE_LENGTH) -> list[PackageSummary]:
    """Return up to `limit` packages of a channel in the order of their names, starting after the name `after`."""
    conditions = (subdirs.c.channel_id == channel_id, shards.c.sha256.is_not(None), shards.c.name > after)
    page = (
        select(shards.c.name)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(*conditions)
        .group_by(shards.c.name)
        .order_by(shards.c.name)
        .limit(limit)
    )
    rows = tx.execute(
        select(shards.c.name, subdirs.c.name.label("subdir"), shards.c.record_count)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(*conditions, shards.c.name.in_(page))
        .order_by(shards.c.name, subdirs.c.name)
    )
    return [_summary(name, list(group)) for name, group in groupby(rows, key=lambda row: row.name)]


def count_files(tx: Tx, channel_id: int) -> int:
    """Return the number of files that solvers see in a channel."""
    return total(tx, subdirs.c.record_count, subdirs.c.channel_id == channel_id)


def _summary(name: str, rows: Sequence[AnyRow]) -> PackageSummary:
    return PackageSummary(name, tuple(row.subdir for row in rows), sum(row.record_count for row in rows))
