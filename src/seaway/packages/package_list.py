"""
Search and sort the packages of one channel.

Every call queries the database, for names only; the details are read for one page of the list (`overview.lines_of`).
So the first request to a worker costs the same as any other.
"""

from collections.abc import Sequence
from enum import Enum

from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.tables import files, packages, shards, subdirs
from seaway.packages import download_history, search
from seaway.search_terms import search_terms


class PackageSort(Enum):
    """Order of a list of packages."""

    NAME = "name"
    UPDATED = "updated"
    DOWNLOADS = "downloads"


def names(tx: Tx, channel_id: int, words: str, subdir: str, sort: PackageSort) -> list[str]:
    """
    Return the names of the packages whose name or summary contains all of the words, in the given order.

    Sorted by name, the best matches of the first word come first. Downloads are those of the last 30 days.
    """
    terms = search_terms(words)
    matches = _matching_names(tx, channel_id, terms, subdir)
    if sort is PackageSort.UPDATED:
        latest = _latest_ids(tx, channel_id)
        matches.sort(key=lambda name: -latest.get(name, 0))
    elif sort is PackageSort.DOWNLOADS:
        counts = download_history.recent_by_package(tx, channel_id)
        matches.sort(key=lambda name: -counts.get(name, 0))
    elif terms:
        matches.sort(key=lambda name: _rank(name, terms[0]))
    return matches


def _matching_names(tx: Tx, channel_id: int, terms: Sequence[str], subdir: str) -> list[str]:
    listed = select(shards.c.name).where(
        shards.c.subdir_id == subdirs.c.id, subdirs.c.channel_id == channel_id, shards.c.sha256.is_not(None)
    )
    if subdir:
        listed = listed.where(subdirs.c.name == subdir)
    query = select(packages.c.name).where(
        packages.c.channel_id == channel_id,
        packages.c.name.in_(listed),
        *(search.contains_word(word) for word in terms),
    )
    return sorted(tx.execute(query).scalars())


def _latest_ids(tx: Tx, channel_id: int) -> dict[str, int]:
    """Return the id of the latest file of each package: ids follow the order of arrival, and are indexed."""
    # One seek for each package and subdir: grouping would read all files, which takes 0.1 s for 160,000 of them.
    last = select(func.max(files.c.id)).where(files.c.subdir_id == subdirs.c.id, files.c.package_id == packages.c.id)
    query = (
        select(packages.c.name, func.max(last.scalar_subquery()))
        .join(subdirs, subdirs.c.channel_id == packages.c.channel_id)
        .where(packages.c.channel_id == channel_id)
        .group_by(packages.c.name)
    )
    return {name: file_id or 0 for name, file_id in tx.execute(query)}


def _rank(name: str, word: str) -> int:
    """Return a rank, lower is better: exact name, prefix of the name, part of the name, summary only."""
    return 0 if name == word else 1 if name.startswith(word) else 2 if word in name else 3
