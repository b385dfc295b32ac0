"""
Find packages of a channel or of all channels, by words or by what a solver would be asked for.

Only channels that the asker may read are ever looked at, so no result, count or time tells of another (P4).
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import rattler
from rattler.exceptions import InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionSpecError
from sqlalchemy import case, func, select

from seaway.accounts.principal import Principal
from seaway.channels import channels
from seaway.conda import filename
from seaway.conda.version import of_published
from seaway.database.engine import Tx
from seaway.database.tables import downloads, files, packages, shards, subdirs
from seaway.indexing.rows import State
from seaway.packages.overview import Line, Overviews, lines_of

MOST_WORDS = 200  # characters
_MOST_BUILDS = 5_000


class Sort(Enum):
    """In which order packages stand."""

    NAME = "name"
    UPDATED = "updated"
    DOWNLOADS = "downloads"


@dataclass(frozen=True, slots=True)
class Hit:
    """A package that was found; `version` is the newest that fits what was asked for."""

    channel: str
    name: str
    version: str
    summary: str
    subdirs: tuple[str, ...]
    builds: int  # that fit the match spec; 0 where none was given


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


def search(tx: Tx, overviews: Overviews, principal: Principal, text: str, limit: int) -> list[Hit]:
    """Packages of all channels that the principal may read: by match spec, by name, by words of the summary."""
    text = text[:MOST_WORDS].strip()
    if not text:
        return []
    names = channels.names_visible_to(tx, principal)
    hits = {(hit.channel, hit.name): hit for hit in _by_spec(tx, names, text, limit)}
    for more in (_by_name, _by_summary):
        if len(hits) < limit:
            for hit in more(tx, overviews, names, text, limit):
                hits.setdefault((hit.channel, hit.name), hit)
    return list(hits.values())[:limit]


def _fits(line: Line, wanted: Sequence[str]) -> bool:
    return all(word in line.name or word in line.summary.lower() for word in wanted)


def _rank(name: str, wanted: Sequence[str]) -> int:
    """Less is better: the very name, its beginning, a part of it, the summary only."""
    first = wanted[0]
    return 0 if name == first else 1 if name.startswith(first) else 2 if first in name else 3


def _by_name(tx: Tx, _overviews: Overviews, names: Mapping[int, str], text: str, limit: int) -> list[Hit]:
    words = text.lower().split()
    rank = case((packages.c.name == words[0], 0), (packages.c.name.startswith(words[0], autoescape=True), 1), else_=2)
    query = (
        select(packages.c.id, packages.c.channel_id)
        .where(packages.c.channel_id.in_(list(names)), _is_there())
        .order_by(rank, func.length(packages.c.name), packages.c.name, packages.c.channel_id)
        .limit(limit)
    )
    for word in words:
        query = query.where(packages.c.name.contains(word, autoescape=True))
    return _hits(tx, names, {row[0]: row[1] for row in tx.execute(query)})


def _by_summary(tx: Tx, overviews: Overviews, names: Mapping[int, str], text: str, limit: int) -> list[Hit]:
    wanted = text.lower().split()
    hits = [
        _hit(names[channel_id], line)
        for channel_id, lines in overviews.of_several(tx, names).items()
        for line in lines.values()
        if _fits(line, wanted)
    ]
    hits.sort(key=lambda hit: (_rank(hit.name, wanted), hit.name, hit.channel))
    return hits[:limit]


def _by_spec(tx: Tx, names: Mapping[int, str], text: str, limit: int) -> list[Hit]:
    spec = _spec(text)
    if spec is None:
        return []
    name, fits = spec
    query = select(packages.c.id, packages.c.channel_id)
    query = query.where(packages.c.channel_id.in_(list(names)), packages.c.name == name, _is_there()).limit(limit)
    found = {row[0]: row[1] for row in tx.execute(query)}
    fitting: dict[int, list[str]] = {}
    builds = select(files.c.package_id, files.c.file_name).where(
        files.c.subdir_id.in_(select(subdirs.c.id).where(subdirs.c.channel_id.in_(set(found.values())))),
        files.c.package_id.in_(list(found)),
        files.c.state == State.LISTED.value,
    )
    for package_id, file_name in tx.execute(builds.limit(_MOST_BUILDS)):
        parsed = filename.parse(file_name)
        if fits(parsed.version, parsed.build):
            fitting.setdefault(package_id, []).append(parsed.version)
    newest = {package_id: max(texts, key=of_published) for package_id, texts in fitting.items()}
    lines = lines_of(tx, set(found.values()), newest)
    return [
        Hit(names[found[package_id]], name, newest[package_id], line.summary, line.subdirs, len(fitting[package_id]))
        for package_id, line in lines.items()
    ]


def _spec(text: str) -> tuple[str, Callable[[str, str], bool]] | None:
    """The name that a match spec is about, and whether a version and a build fit; None for what says no more than a name."""
    try:
        spec = rattler.MatchSpec(text)
        if spec.name is None or (spec.version is None and spec.build is None):
            return None
        versions = rattler.VersionSpec(spec.version) if spec.version is not None else None
    except (InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionSpecError):
        return None
    pattern = spec.build or "*"

    def fits(of_file: str, build: str) -> bool:
        return (versions is None or versions.matches(of_published(of_file))) and fnmatch.fnmatchcase(build, pattern)

    return spec.name.normalized, fits


def _is_there() -> Any:
    """Whether a package has a file that was not deleted."""
    there = select(shards.c.name).join(subdirs, subdirs.c.id == shards.c.subdir_id)
    return there.where(
        subdirs.c.channel_id == packages.c.channel_id, shards.c.name == packages.c.name, shards.c.sha256.is_not(None)
    ).exists()


def _hits(tx: Tx, names: Mapping[int, str], found: Mapping[int, int]) -> list[Hit]:
    lines = lines_of(tx, set(found.values()), found)
    return [_hit(names[found[package_id]], lines[package_id]) for package_id in found if package_id in lines]


def _hit(channel: str, line: Line) -> Hit:
    return Hit(channel, line.name, line.version, line.summary, line.subdirs, 0)
