"""The versions of a package with their builds, in the order that clients use."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import func, select

from seaway.conda import filename
from seaway.conda.filename import NamedFile
from seaway.conda.version import parse_published
from seaway.database.engine import Tx
from seaway.database.tables import file_downloads, files, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.packages.files import in_package


@dataclass(frozen=True, slots=True)
class Build(NamedFile):
    """A file, as shown in a list of builds."""

    id: int
    subdir: str
    file_name: str
    state: FileState
    size: int
    indexed_at_ms: int
    downloads: int

    @property
    def is_yanked(self) -> bool:
        """Whether solvers ignore the build."""
        return self.state is FileState.YANKED


@dataclass(frozen=True, slots=True)
class Version:
    """A version and its builds, by subdir and indexed time, latest first."""

    version: str
    builds: tuple[Build, ...]

    @property
    def is_yanked(self) -> bool:
        """Whether solvers ignore all builds of the version."""
        return all(build.is_yanked for build in self.builds)

    @property
    def newest(self) -> Build:
        """The build that represents the version: listed if possible, the latest, and its .conda file if it has one."""
        last = max(self.builds, key=lambda build: (not build.is_yanked, build.indexed_at_ms, build.id))
        preferred = (last.subdir, filename.as_conda(last.file_name), last.state)
        return next((build for build in self.builds if (build.subdir, build.file_name, build.state) == preferred), last)

    @property
    def subdirs(self) -> tuple[str, ...]:
        """Subdirs that have builds of the version."""
        return tuple(sorted({build.subdir for build in self.builds}))


def of_package(tx: Tx, channel_id: int, package: str) -> list[Version]:
    """Return all versions of a package that are not deleted, newest first, in one query."""
    rows = tx.execute(
        select(
            files.c.id, subdirs.c.name.label("subdir"), files.c.file_name, files.c.state, files.c.size, files.c.indexed_at,
            func.coalesce(file_downloads.c.count, 0).label("downloads"),
        )
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .outerjoin(file_downloads, file_downloads.c.file_id == files.c.id)
        .where(*in_package(channel_id, package), files.c.state != FileState.DELETED.value)
    )  # fmt: skip
    return _grouped(
        [
            Build(row.id, row.subdir, row.file_name, FileState(row.state), row.size, row.indexed_at, row.downloads)
            for row in rows
        ]
    )


def newest(found: Sequence[Version]) -> Version | None:
    """Return the version that represents the package: the newest that is not yanked, or the newest."""
    return next((version for version in found if not version.is_yanked), found[0] if found else None)


def named(found: Sequence[Version], text: str) -> Version | None:
    """Return the version with this text: an exact match if there is one, else a match that ignores case (CEP 33)."""
    alike = [version for version in found if version.version.lower() == text.lower()]
    return next((version for version in alike if version.version == text), alike[0] if alike else None)


def names_among(tx: Tx, channel_id: int, names: set[str]) -> set[str]:
    """Return the names that are packages of the channel."""
    found = tx.execute(
        select(shards.c.name)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(subdirs.c.channel_id == channel_id, shards.c.name.in_(names), shards.c.sha256.is_not(None))
    )
    return set(found.scalars())


def _grouped(builds: list[Build]) -> list[Version]:
    builds.sort(key=lambda build: (build.version, build.subdir, -build.indexed_at_ms, -build.id))
    found = [
        Version(text, tuple(builds_of_version))
        for text, builds_of_version in groupby(builds, key=lambda build: build.version)
    ]
    # Versions that are equal for clients (1.0 and 1.0.0) are sorted by their text.
    return sorted(found, key=lambda version: (parse_published(version.version), version.version), reverse=True)
