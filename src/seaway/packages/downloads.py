"""Download counts of package files, kept per file and day."""

from collections.abc import Collection, Mapping

from sqlalchemy import exists, select
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import in_batches
from seaway.database.tables import downloads, files, subdirs

RECENT_DAYS = 30
_EXAMINED_FILES = 1_000  # per call of `any_in`: the number of files in a channel has no limit
_BATCH_ROWS = 1_000  # rows per statement; SQLite allows 32,766 values


def day_of(at_ms: int) -> int:
    """Return the day of a time (days since 1970 UTC)."""
    return at_ms // DAY_MS


def recent_since(now_ms: int) -> int:
    """Return the first day of the last 30 days, which lists show the downloads of."""
    return day_of(now_ms) - RECENT_DAYS + 1


def add(tx: Tx, counted: Mapping[tuple[int, int], int]) -> None:
    """Add counts by (file, day). Skip deleted files. All workers add in sorted order, or they would deadlock."""
    for batch in in_batches(sorted(counted), _BATCH_ROWS):
        existing = set(
            tx.execute(select(files.c.id).where(files.c.id.in_({file_id for file_id, _ in batch}))).scalars()
        )
        rows = [{"file_id": key[0], "day": key[1], "count": counted[key]} for key in batch if key[0] in existing]
        if rows:
            dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(downloads).values(rows)
            tx.execute(
                statement.on_conflict_do_update(
                    index_elements=["file_id", "day"], set_={"count": downloads.c.count + statement.excluded.count}
                )
            )


def any_in(tx: Tx, channel_ids: Collection[int]) -> bool:
    """Return whether a file of these channels was downloaded, by at most 1,000 of their files."""
    some_files = (
        select(files.c.id)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(subdirs.c.channel_id.in_(channel_ids))
        .limit(_EXAMINED_FILES)
        .subquery()
    )
    found = exists(select(downloads.c.day).join(some_files, some_files.c.id == downloads.c.file_id))
    return bool(tx.execute(select(found)).scalar())
