"""The versions of a package with their builds, in the order that clients give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import func, select

from seaway.conda import filename
from seaway.conda.version import of_published
from seaway.database.engine import Tx
from seaway.database.tables import downloads, files, packages, shards, subdirs
from seaway.indexing.rows import State


@dataclass(frozen=True, slots=True)
class Build:
    """A file as a list of builds shows it."""

    id: int
    subdir: str
    file_name: str
    state: State
    size: int
    indexed_at_ms: int
    downloads: int

    @property
    def version(self) -> str:
        """The version that its name says."""
        return filename.parse(self.file_name).version

    @property
    def build(self) -> str:
        """The build string that its name says."""
        return filename.parse(self.file_name).build

    @property
    def is_yanked(self) -> bool:
        """Whether solvers pass it over."""
        return self.state is State.YANKED


@dataclass(frozen=True, slots=True)
class Version:
    """A version, and its builds by subdir and the time they came, the last first."""

    version: str
    builds: tuple[Build, ...]

    @property
    def is_yanked(self) -> bool:
        """Whether solvers pass all of it over."""
        return all(build.is_yanked for build in self.builds)

    @property
    def newest(self) -> Build:
        """Return the build that represents the version: listed if possible, the latest one, the .conda of two formats."""
        last = max(self.builds, key=lambda build: (not build.is_yanked, build.indexed_at_ms, build.id))
        preferred = (last.subdir, filename.as_conda(last.file_name), last.state)
        return next((one for one in self.builds if (one.subdir, one.file_name, one.state) == preferred), last)

    @property
    def subdirs(self) -> tuple[str, ...]:
        """Where it has builds."""
        return tuple(sorted({build.subdir for build in self.builds}))


def of_package(tx: Tx, channel_id: int, package: str) -> list[Version]:
    """All versions of a package that were not deleted, the newest first, in one query."""
    package_id = select(packages.c.id).where(packages.c.channel_id == channel_id, packages.c.name == package)
    count = select(func.coalesce(func.sum(downloads.c.count), 0)).where(downloads.c.file_id == files.c.id)
    rows = tx.execute(
        select(
            files.c.id, subdirs.c.name.label("subdir"), files.c.file_name, files.c.state, files.c.size, files.c.indexed_at,
            count.scalar_subquery().label("downloads"),
        )
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(
            subdirs.c.channel_id == channel_id,
            files.c.package_id == package_id.scalar_subquery(),
            files.c.state != State.DELETED.value,
        )
    )  # fmt: skip
    return _grouped(
        [
            Build(row.id, row.subdir, row.file_name, State(row.state), row.size, row.indexed_at, int(row.downloads))
            for row in rows
        ]
    )


def newest(found: Sequence[Version]) -> Version | None:
    """The version that stands for the package: the newest that is not yanked, or the newest."""
    return next((version for version in found if not version.is_yanked), found[0] if found else None)


def named(found: Sequence[Version], text: str) -> Version | None:
    """Return the version with this text: written the same if there is one, else in other case (CEP 33)."""
    alike = [version for version in found if version.version.lower() == text.lower()]
    return next((version for version in alike if version.version == text), alike[0] if alike else None)


def names_among(tx: Tx, channel_id: int, names: set[str]) -> set[str]:
    """Which of these packages the channel has."""
    found = tx.execute(
        select(shards.c.name)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(subdirs.c.channel_id == channel_id, shards.c.name.in_(names), shards.c.sha256.is_not(None))
    )
    return set(found.scalars())


def _grouped(builds: list[Build]) -> list[Version]:
    builds.sort(key=lambda build: (build.version, build.subdir, -build.indexed_at_ms, -build.id))
    found = [Version(text, tuple(several)) for text, several in groupby(builds, key=lambda build: build.version)]
    # Versions that clients hold for equal (1.0 and 1.0.0) keep an order of their own.
    return sorted(found, key=lambda one: (of_published(one.version), one.version), reverse=True)
