"""The packages of one channel that have the words in them, in the order asked for; and how often they were fetched."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.tables import downloads, files, packages, subdirs
from seaway.packages.overview import Line


class Sort(Enum):
    """In which order packages stand."""

    NAME = "name"
    UPDATED = "updated"
    DOWNLOADS = "downloads"


def choose(
    lines: Iterable[Line], words: str, subdir: str, sort: Sort, counts: Callable[[], Mapping[str, int]]
) -> list[Line]:
    """The packages of a channel that have all of the words in name or summary; who has them in the name stands first."""
    wanted = words.lower().split()
    chosen = [line for line in lines if (not subdir or subdir in line.subdirs) and _fits(line, wanted)]
    chosen.sort(key=lambda line: line.name)
    if sort is Sort.UPDATED:
        chosen.sort(key=lambda line: -line.uploaded_at_ms)
    elif sort is Sort.DOWNLOADS:
        by_name = counts()
        chosen.sort(key=lambda line: -by_name.get(line.name, 0))
    elif wanted:
        chosen.sort(key=lambda line: _rank(line.name, wanted))
    return chosen


def downloads_since(tx: Tx, channel_id: int, day: int, names: Sequence[str] | None = None) -> dict[str, int]:
    """How often the files of each package were fetched since a day (counted from 1970), of these packages or all."""
    of_channel = select(packages.c.id).where(packages.c.channel_id == channel_id)
    if names is not None:
        of_channel = of_channel.where(packages.c.name.in_(names))
    # The files first, each a seek: joined plainly, SQLite walks all days of all files of the house.
    counted = select(files.c.id, files.c.package_id).where(
        files.c.subdir_id.in_(select(subdirs.c.id).where(subdirs.c.channel_id == channel_id)),
        files.c.package_id.in_(of_channel),
    )
    found = counted.cte("found")
    query = (
        select(packages.c.name, func.sum(downloads.c.count))
        .select_from(found)
        .join(downloads, downloads.c.file_id == found.c.id)
        .join(packages, packages.c.id == found.c.package_id)
        .where(downloads.c.day >= day)
        .group_by(packages.c.name)
    )
    return {name: int(count) for name, count in tx.execute(query)}


def _fits(line: Line, wanted: Sequence[str]) -> bool:
    return all(word in line.name or word in line.summary.lower() for word in wanted)


def _rank(name: str, wanted: Sequence[str]) -> int:
    """Less is better: the very name, its beginning, a part of it, the summary only."""
    first = wanted[0]
    return 0 if name == first else 1 if name.startswith(first) else 2 if first in name else 3
