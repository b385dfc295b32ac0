"""
The latest files and packages.

The index of changes (`ix_shards_changes`) finds the packages, so the cost depends on the number of results, not on the
number of files in a channel.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_, union_all

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.conda.filename import NamedFile
from seaway.database.engine import Tx
from seaway.database.tables import files, packages, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.packages.files import About, about_decoder

_MAX_SUBDIRS = 50


@dataclass(frozen=True, slots=True)
class RecentFile(NamedFile):
    """A recently published file."""

    channel: str
    package: str
    subdir: str
    file_name: str
    size: int
    sha256: str
    indexed_at_ms: int
    uploaded_by: str  # display name of the user or workflow
    summary: str
    warnings: tuple[str, ...]  # of its upload


def packages_for(tx: Tx, by: Caller, limit: int) -> list[RecentFile]:
    """Return the latest file of each of the latest packages in all channels that the caller can read."""
    arrivals = _arrivals(tx, channels.readable_names(tx, by), limit)
    newest: dict[tuple[str, str], RecentFile] = {}
    for arrival in arrivals:
        newest.setdefault((arrival.channel, arrival.package), arrival)
    return list(newest.values())[:limit]


def files_in(tx: Tx, names: Mapping[int, str], limit: int) -> list[RecentFile]:
    """Return the latest files of several channels, given by id and name, newest first."""
    return _arrivals(tx, names, limit)[:limit]


def files_of(tx: Tx, channel_id: int, channel: str, limit: int) -> list[RecentFile]:
    """Return the latest files of a channel, newest first."""
    return files_in(tx, {channel_id: channel}, limit)


def last_changes(tx: Tx, channel_ids: Collection[int]) -> dict[int, int]:
    """Return when the packages of each channel last changed; channels without any are left out."""
    changed = (
        select(subdirs.c.channel_id, func.max(subdirs.c.changed_at).label("at_ms"))
        .where(subdirs.c.channel_id.in_(channel_ids), subdirs.c.revision > 0)
        .group_by(subdirs.c.channel_id)
    )
    return {row.channel_id: row.at_ms for row in tx.execute(changed)}


def _arrivals(tx: Tx, names: Mapping[int, str], limit: int) -> list[RecentFile]:
    changed = _changed_subdirs(tx, names)
    pairs = _changed_names(tx, changed, limit)
    package_ids = _package_ids(tx, {(changed[subdir_id][0], name) for subdir_id, name in pairs})
    query = (
        select(
            packages.c.name, files.c.subdir_id, files.c.file_name, files.c.size, files.c.sha256, files.c.indexed_at,
            files.c.uploaded_as, files.c.id,
        )
        .join(packages, packages.c.id == files.c.package_id)
        .where(
            files.c.subdir_id.in_({subdir_id for subdir_id, _ in pairs}),
            files.c.package_id.in_(package_ids),
            files.c.state == FileState.LISTED.value,
        )
        .order_by(files.c.indexed_at.desc(), files.c.id.desc())
        .limit(4 * limit)
    )  # fmt: skip
    rows = tx.execute(query).all()
    abouts = _abouts_of(tx, [row.id for row in rows])
    return [
        RecentFile(
            names[changed[row.subdir_id][0]], row.name, changed[row.subdir_id][1], row.file_name, row.size,
            row.sha256.hex(), row.indexed_at, row.uploaded_as, abouts[row.id].summary, abouts[row.id].warnings,
        )
        for row in rows
    ]  # fmt: skip


def _changed_subdirs(tx: Tx, names: Mapping[int, str]) -> dict[int, tuple[int, str]]:
    query = select(subdirs.c.id, subdirs.c.channel_id, subdirs.c.name).order_by(subdirs.c.changed_at.desc())
    found = tx.execute(query.where(subdirs.c.channel_id.in_(list(names))).limit(_MAX_SUBDIRS))
    return {row.id: (row.channel_id, row.name) for row in found}


def _changed_names(tx: Tx, subdir_ids: Collection[int], limit: int) -> set[tuple[int, str]]:
    if not subdir_ids:
        return set()
    parts = [
        select(
            select(shards.c.subdir_id, shards.c.name)
            .where(shards.c.subdir_id == subdir_id, shards.c.sha256.is_not(None))
            .order_by(shards.c.revision.desc())
            .limit(limit)
            .subquery()
        )
        for subdir_id in subdir_ids
    ]
    return {(row.subdir_id, row.name) for row in tx.execute(union_all(*parts))}


def _package_ids(tx: Tx, pairs: Collection[tuple[int, str]]) -> list[int]:
    """Return the ids of packages, given by channel and name, so that an index finds their files."""
    found = select(packages.c.id).where(tuple_(packages.c.channel_id, packages.c.name).in_(pairs))
    return list(tx.execute(found).scalars())


def _abouts_of(tx: Tx, ids: Collection[int]) -> dict[int, About]:
    rows = tx.execute(select(files.c.id, files.c.about).where(files.c.id.in_(ids)))
    return {row.id: about_decoder.decode(row.about) for row in rows}
