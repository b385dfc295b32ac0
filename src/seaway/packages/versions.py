"""
The versions of a package with their builds, in the order that clients use.

A package can have thousands of builds. Pages read one line for each version (`lines_of`, grouped by the database), and
the builds of the few versions that they show (`with_builds`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, func, select

from seaway.conda import filename
from seaway.conda.version import order
from seaway.database.engine import Tx
from seaway.database.tables import file_downloads, files, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.packages.files import in_package
from seaway.packages.newest_file import Rank, rank


@dataclass(frozen=True, slots=True)
class Build:
    """A file, as shown in a list of builds."""

    id: int
    version: str
    subdir: str
    file_name: str
    state: FileState
    size: int
    indexed_at_ms: int
    downloads: int

    @property
    def build(self) -> str:
        """Build string from the file name."""
        return filename.without_extension(self.file_name).rpartition("-")[2]

    @property
    def path(self) -> str:
        """SUBDIR/FILE."""
        return f"{self.subdir}/{self.file_name}"

    @property
    def is_yanked(self) -> bool:
        """Whether solvers ignore the build."""
        return self.state is FileState.YANKED

    @property
    def rank(self) -> Rank:
        """Sort key; the build that represents its version or its package has the largest."""
        return rank(
            is_listed=not self.is_yanked,
            version_text=self.version,
            file_name=self.file_name,
            indexed_at_ms=self.indexed_at_ms,
            id_=self.id,
        )


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version without its builds."""

    version: str
    builds: int
    listed: int  # builds that are not yanked
    first_upload: tuple[int, int]  # time in ms and file id, for sorting by upload

    @property
    def is_yanked(self) -> bool:
        """Whether solvers ignore all builds of the version."""
        return self.listed == 0


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
    def has_yanked(self) -> bool:
        """Whether solvers ignore any build of the version."""
        return any(build.is_yanked for build in self.builds)

    @property
    def newest(self) -> Build:
        """The build that represents the version."""
        return max(self.builds, key=attrgetter("rank"))

    @property
    def by_subdir(self) -> list[tuple[str, list[Build]]]:
        """The builds of each subdir."""
        return [(subdir, list(builds)) for subdir, builds in groupby(self.builds, key=attrgetter("subdir"))]

    @property
    def subdirs(self) -> tuple[str, ...]:
        """Subdirs that have builds of the version."""
        return tuple(sorted({build.subdir for build in self.builds}))


class _HasVersion(Protocol):
    @property
    def version(self) -> str: ...
    @property
    def is_yanked(self) -> bool: ...


AnyVersion = TypeVar("AnyVersion", bound=_HasVersion)


def lines_of(tx: Tx, channel_id: int, package: str) -> list[VersionLine]:
    """Return the versions of a package that are not deleted, newest first, without their builds."""
    listed = func.count().filter(files.c.state == FileState.LISTED.value)
    rows = tx.execute(
        select(files.c.version, func.count(), listed, func.min(files.c.indexed_at), func.min(files.c.id))
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(*in_package(channel_id, package), files.c.state != FileState.DELETED.value)
        .group_by(files.c.version)
    )
    return _newest_first(
        [VersionLine(version, builds, listed, tuple(first)) for version, builds, listed, *first in rows]
    )


def with_builds(tx: Tx, channel_id: int, package: str, wanted: Collection[str]) -> list[Version]:
    """Return these versions of a package with their builds, newest first."""
    return _read(tx, channel_id, package, files.c.version.in_(wanted))


def of_package(tx: Tx, channel_id: int, package: str) -> list[Version]:
    """Return all versions of a package that are not deleted with their builds, newest first, in one query."""
    return _read(tx, channel_id, package)


def newest(found: Sequence[AnyVersion]) -> AnyVersion | None:
    """Return the version that represents the package: the newest that is not yanked, or the newest."""
    return next((version for version in found if not version.is_yanked), found[0] if found else None)


def named(found: Sequence[AnyVersion], text: str) -> AnyVersion | None:
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


def _read(tx: Tx, channel_id: int, package: str, *conditions: ColumnElement[bool]) -> list[Version]:
    rows = tx.execute(
        select(
            files.c.id, files.c.version, subdirs.c.name.label("subdir"), files.c.file_name, files.c.state, files.c.size,
            files.c.indexed_at, func.coalesce(file_downloads.c.count, 0).label("downloads"),
        )
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .outerjoin(file_downloads, file_downloads.c.file_id == files.c.id)
        .where(*in_package(channel_id, package), files.c.state != FileState.DELETED.value, *conditions)
    )  # fmt: skip
    return _grouped([_build(row) for row in rows])


def _build(row: Any) -> Build:
    # The sum of big integers is a decimal in PostgreSQL.
    return Build(
        row.id, row.version, row.subdir, row.file_name, FileState(row.state), row.size, row.indexed_at,
        int(row.downloads),
    )  # fmt: skip


def _grouped(builds: list[Build]) -> list[Version]:
    builds.sort(key=lambda build: (build.version, build.subdir, -build.indexed_at_ms, -build.id))
    return _newest_first([Version(text, tuple(found)) for text, found in groupby(builds, key=attrgetter("version"))])


def _newest_first(found: Sequence[AnyVersion]) -> list[AnyVersion]:
    return sorted(found, key=lambda version: order(version.version), reverse=True)
