"""What the builds of a version have in common, and where they differ: license, dependencies, publishers, yank reasons."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.rows import in_batches
from seaway.database.tables import files, users
from seaway.packages import uploaders
from seaway.packages.files import uploader_name
from seaway.packages.overview import name_of_spec
from seaway.packages.uploaders import Origin, UploadedFile
from seaway.packages.versions import Version

_BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class SharedDependency:
    """A dependency of a version: its different specs, and how many builds have it."""

    name: str
    specs: tuple[str, ...]
    builds: int


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """Facts about all builds of a version."""

    licenses: tuple[str, ...]
    sizes: tuple[int, int]  # smallest and largest
    uploaded_ms: tuple[int, int]  # first and last
    uploaders: tuple[str, ...]  # names of users, of files that no workflow uploaded
    origins: tuple[Origin, ...]  # the uploads of workflows, one for each run
    dependencies: tuple[SharedDependency, ...]
    yank_reasons: tuple[str, ...]

    @property
    def repositories(self) -> list[tuple[str, str]]:
        """Repositories whose workflows uploaded builds, and their URLs, which can be empty."""
        return sorted({(origin.repository, origin.repository_url) for origin in self.origins})


def of_version(tx: Tx, channel_id: int, version: Version) -> VersionFacts:
    """Return the facts about a version, in two queries."""
    builds = {build.id: build for build in version.builds}
    query = select(
        files.c.id, files.c.record, files.c.sha256, files.c.yank_reason,
        func.coalesce(users.c.name, files.c.uploaded_as).label("uploaded_by"),
    ).outerjoin(users, users.c.id == files.c.uploaded_by)  # fmt: skip
    rows = [
        row for ids in in_batches(list(builds), _BATCH_ROWS) for row in tx.execute(query.where(files.c.id.in_(ids)))
    ]
    places = {row.id: UploadedFile(builds[row.id].subdir, builds[row.id].file_name, row.sha256) for row in rows}
    origins = uploaders.of_files(tx, channel_id, places.values())
    by_workflow = {place for place, origin in origins.items() if origin.by_workflow}
    records = [_records.decode(row.record) for row in rows]
    return VersionFacts(
        licenses=_distinct(record.license or "" for record in records),
        sizes=_range([build.size for build in version.builds]),
        uploaded_ms=_range([build.indexed_at_ms for build in version.builds]),
        uploaders=_distinct(uploader_name(row.uploaded_by) for row in rows if places[row.id] not in by_workflow),
        origins=_runs(origins.values()),
        dependencies=shared_dependencies([record.depends for record in records]),
        yank_reasons=_distinct(row.yank_reason for row in rows),
    )


def shared_dependencies(builds: Sequence[Sequence[str]]) -> tuple[SharedDependency, ...]:
    """Return the dependencies of builds by name, in the order of the build with the most of them."""
    specs: dict[str, dict[str, None]] = {}
    counts: dict[str, int] = {}
    for depends in sorted(builds, key=len, reverse=True):
        for name in {name_of_spec(spec): None for spec in depends}:
            counts[name] = counts.get(name, 0) + 1
        for spec in depends:
            specs.setdefault(name_of_spec(spec), {})[spec] = None
    return tuple(SharedDependency(name, tuple(different), counts[name]) for name, different in specs.items())


class _Record(msgspec.Struct):
    license: str | None = None
    depends: list[str] = []


_records = msgspec.json.Decoder(_Record)


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts) - {""}))


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)


def _runs(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    """Return one upload of each workflow run."""
    found: Mapping[tuple[str, ...], Origin] = {
        (origin.repository, origin.workflow, origin.commit, origin.run): origin
        for origin in origins
        if origin.by_workflow
    }
    return tuple(found.values())
