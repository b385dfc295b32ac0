"""
Rebuild the index, and with `from_blobs` first the file rows.

What cannot be rebuilt is reported; everything else is rebuilt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.counted_nouns import counted
from seaway.database.damage import tolerating_damage
from seaway.database.rows import in_batches
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import packages, subdirs
from seaway.errors import DamagedDatabase
from seaway.indexing import rebuild
from seaway.indexing.file_rows import get_subdir
from seaway.indexing.package_index import UNREADABLE
from seaway.packages import newest_file
from seaway.publishing import reexamine
from seaway.server.wiring import Seaway
from seaway.site import Site


@dataclass(frozen=True, slots=True)
class Failure:
    """A row or subdir that could not be rebuilt, and why."""

    where: str
    what: str


@dataclass(slots=True)
class ReindexResult:
    """Result of a run."""

    subdirs: int
    names_changed: int = 0
    files_rebuilt: int = 0
    failed: list[Failure] = field(default_factory=list)

    def value(self, *, from_blobs: bool) -> dict[str, Any]:
        """Return the result as a JSON object."""
        value: dict[str, Any] = {"subdirs": self.subdirs, "names_changed": self.names_changed}
        if from_blobs:
            value["files_rebuilt"] = self.files_rebuilt
        return {**value, "failed": [asdict(failure) for failure in self.failed]}

    def lines(self, *, from_blobs: bool) -> Iterator[str]:
        """Yield the result in sentences."""
        yield from (f"{failure.where} {failure.what}" for failure in self.failed)
        if from_blobs:
            yield f"Rebuilt {counted(self.files_rebuilt, 'file row')} from package files."
        yield f"Reindexed {counted(self.subdirs, 'subdir')}; {counted(self.names_changed, 'name')} differed from the file rows."
        if self.failed:
            yield f"{len(self.failed)} could not be rebuilt and are listed above."


def reindex(seaway: Seaway, channel: str | None, *, from_blobs: bool) -> ReindexResult:
    """Rebuild one channel or all of them."""
    with seaway.site.database.read() as tx, tolerating_damage(tx):
        channel_id = None if channel is None else channels.get(tx, channel).id
        subdir_ids = rebuild.all_subdirs(tx, channel_id)
        places = {
            row.id: f"{row.channel}/{row.name}"
            for row in tx.execute(
                select(subdirs.c.id, subdirs.c.name, channel_rows.c.name.label("channel")).join(
                    channel_rows, channel_rows.c.id == subdirs.c.channel_id
                )
            )
        }
    result = ReindexResult(len(subdir_ids))
    if from_blobs:
        for subdir_id in subdir_ids:
            _rebuild_files(seaway.site, subdir_id, places.get(subdir_id, str(subdir_id)), result)
        with seaway.site.database.write_site() as tx:
            reexamine.repair_packages(tx)
    if channel is None:
        with seaway.site.database.write_site() as tx:
            rebuild.forget_orphans(tx)
    _describe_packages(seaway.site, channel_id, result)
    for subdir_id in subdir_ids:
        _rebuild_index(seaway, subdir_id, places.get(subdir_id, str(subdir_id)), result)
    return result


def _describe_packages(site: Site, channel_id: int | None, result: ReindexResult) -> None:
    """Describe packages by their newest files again; the change needs no new revision, since no index contains it."""
    of_channel = [] if channel_id is None else [packages.c.channel_id == channel_id]
    with site.database.read() as tx:
        ids = tx.execute(select(packages.c.id).where(*of_channel)).scalars().all()
    for batch in in_batches(ids, newest_file.PACKAGES_AT_ONCE):
        try:
            _describe(site, batch)
        except (DamagedDatabase, *UNREADABLE):
            for package_id in batch:
                _describe_or_report(site, package_id, result)


def _describe_or_report(site: Site, package_id: int, result: ReindexResult) -> None:
    try:
        _describe(site, [package_id])
    except DamagedDatabase as error:
        result.failed.append(Failure(f"package {package_id}", f"cannot be described: {error.cause}"))
    except UNREADABLE as error:
        result.failed.append(Failure(f"package {package_id}", f"cannot be described: {error}"))


def _describe(site: Site, package_ids: Sequence[int]) -> None:
    with site.database.write_site() as tx, tolerating_damage(tx):
        newest_file.describe(tx, package_ids)


def _rebuild_files(site: Site, subdir_id: int, where: str, result: ReindexResult) -> None:
    try:
        for outcome in reexamine.rebuild(site, subdir_id, OPERATOR.actor):
            result.files_rebuilt += bool(outcome.changed)
            if outcome.reason:
                result.failed.append(Failure(outcome.where, outcome.reason))
    except DamagedDatabase as error:
        result.failed.append(Failure(where, f"has rows that cannot be read: {error.cause}"))


def _rebuild_index(seaway: Seaway, subdir_id: int, where: str, result: ReindexResult) -> None:
    try:
        with seaway.site.database.write_site() as tx, tolerating_damage(tx):
            subdir = get_subdir(tx, subdir_id)
            if subdir is None:
                return
            site = seaway.site
            rebuilt = rebuild.rebuild(tx, subdir, site.clock.now_ms(), site.whole_document_limit)
    except DamagedDatabase as error:
        result.failed.append(Failure(where, f"cannot be indexed: {error.cause}"))
        return
    result.names_changed += rebuilt.changed
    result.failed += [Failure(f"{where} {damaged.name}", damaged.description) for damaged in rebuilt.damaged]
