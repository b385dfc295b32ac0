"""
The packages of one channel that have the words in them, in the order asked for; and how often they were fetched.

Asked of the database each time, names only: what a list shows of them is read for one page of it
(`overview.lines_of`). So the first look of a worker costs what every other one does.
"""

from collections.abc import Sequence
from enum import Enum

from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.tables import downloads, files, packages, shards, subdirs
from seaway.packages import search
from seaway.words import wanted


class Sort(Enum):
    """In which order packages stand."""

    NAME = "name"
    UPDATED = "updated"
    DOWNLOADS = "downloads"


def names(tx: Tx, channel_id: int, words: str, subdir: str, sort: Sort, *, since: int) -> list[str]:
    """
    The packages of a channel that have all of the words in name or summary, in the order asked for.

    By name, those stand first that have the first word in it. `since` is the day from which downloads count.
    """
    looked_for = wanted(words)
    found = _matching(tx, channel_id, looked_for, subdir)
    if sort is Sort.UPDATED:
        arrived = _arrivals(tx, channel_id)
        found.sort(key=lambda name: -arrived.get(name, 0))
    elif sort is Sort.DOWNLOADS:
        fetched = downloads_since(tx, channel_id, since)
        found.sort(key=lambda name: -fetched.get(name, 0))
    elif looked_for:
        found.sort(key=lambda name: _rank(name, looked_for[0]))
    return found


def _matching(tx: Tx, channel_id: int, looked_for: Sequence[str], subdir: str) -> list[str]:
    is_there = select(shards.c.name).where(
        shards.c.subdir_id == subdirs.c.id, subdirs.c.channel_id == channel_id, shards.c.sha256.is_not(None)
    )
    if subdir:
        is_there = is_there.where(subdirs.c.name == subdir)
    query = select(packages.c.name).where(
        packages.c.channel_id == channel_id, packages.c.name.in_(is_there), *(search.holds(word) for word in looked_for)
    )
    return sorted(tx.execute(query).scalars())


def _arrivals(tx: Tx, channel_id: int) -> dict[str, int]:
    """The last file of each package: its id, since ids are given in the order of arrival, and are in the index."""
    # One seek for each package and subdir: grouping walks all files, which takes 0.1 s for 160,000 of them.
    last = select(func.max(files.c.id)).where(files.c.subdir_id == subdirs.c.id, files.c.package_id == packages.c.id)
    query = (
        select(packages.c.name, func.max(last.scalar_subquery()))
        .join(subdirs, subdirs.c.channel_id == packages.c.channel_id)
        .where(packages.c.channel_id == channel_id)
        .group_by(packages.c.name)
    )
    return {name: file_id or 0 for name, file_id in tx.execute(query)}


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


def _rank(name: str, word: str) -> int:
    """Less is better: the very name, its beginning, a part of it, the summary only."""
    return 0 if name == word else 1 if name.startswith(word) else 2 if word in name else 3
