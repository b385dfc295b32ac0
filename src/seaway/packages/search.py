"""
Lists of packages: by name, words of the summary or match spec, filtered, sorted, in the channels that a caller can read.

1. A channel that the caller cannot read is not searched: it changes no result, no order, no count and no page (P4).
2. A page costs two statements, three for a match spec, whatever the number of channels and results, and whichever
   page it is: it continues after the last package of the page before it.
3. The packages of one channel by name or by time are read from an index, so a page costs the same in any channel. Words
   read the names and summaries of all packages, because no index that both databases support finds a word in the middle
   of a text. Sorting by downloads reads one number for each match.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from seaway.callers.caller import Caller
from seaway.channels import channels as channel_access
from seaway.conda import filename, match_specs
from seaway.conda.match_specs import SpecQuery
from seaway.conda.subdir import is_known_subdir
from seaway.conda.version import order
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import channels, files, package_downloads, packages, shards, subdirs
from seaway.errors import Malformed
from seaway.indexing.file_rows import FileState
from seaway.packages.newest_file import stored_license
from seaway.search_terms import MAX_TERMS, fold

MAX_QUERY_LENGTH = 200
_MAX_CHOICES = 50
# Only match specs contain these: a comparison, or a version after a name.
_SPEC = re.compile(r"[<>=!~\[\]*|]|\s\d")
_UNFINISHED = " <>=!~,|[("  # the end of a match spec that is still being typed
_PLACE = re.compile(r"\s*([\w.:/-]*)::(.*)", re.DOTALL)  # a channel, by name or URL, before what is searched in it


class Sort(Enum):
    """Order of a list of packages."""

    RELEVANCE = "relevance"
    NAME = "name"
    DOWNLOADS = "downloads"
    UPDATED = "updated"


@dataclass(frozen=True, slots=True)
class PackageQuery:
    """Text, filters and order of a list of packages; an empty value does not filter."""

    text: str = ""
    channel: str = ""
    subdir: str = ""
    license: str = ""
    sort: Sort = Sort.RELEVANCE
    with_yanked: bool = False  # also packages whose files are all yanked

    @property
    def order(self) -> Sort:
        """The order of the results; without a text all packages are equally relevant."""
        return Sort.NAME if self.sort is Sort.RELEVANCE and not self.text.strip() else self.sort


@dataclass(frozen=True, slots=True)
class Hit:
    """A package in a list."""

    channel: str
    package: str
    summary: str  # of the newest file (`packages.newest_file`)
    license: str  # of the newest file
    version: str  # of the newest file, or the newest that the match spec accepts
    subdirs: tuple[str, ...]
    files: int  # listed files; 0 if all are yanked
    size: int  # of these files, in bytes
    updated_at_ms: int  # time of the latest upload
    downloads: int  # in the last 30 days


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """Number of results, and the values that filters can have, most frequent first."""

    total: int
    channels: tuple[str, ...]
    subdirs: tuple[str, ...]
    licenses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """A page of packages, with `after` of the pages before and after it; None if there is none."""

    hits: list[Hit]
    previous: str | None
    next: str | None


def search(tx: Tx, by: Caller, query: PackageQuery, *, after: str = "", limit: int) -> Results:
    """Return a page of packages; the most relevant are exact names, then prefixes, parts of names, and summaries."""
    matches = _matches(tx, by, query)
    cursor = _parse_cursor(after) if after else None
    rows = list(tx.execute(_page(matches, query, cursor).limit(limit + 1)))
    has_more, rows = len(rows) > limit, rows[:limit]
    is_backward = cursor is not None and cursor.is_backward
    if is_backward:
        rows.reverse()
    return Results(
        hits=_hits(tx, rows, matches.spec),
        previous=_cursor(rows[0], _BEFORE) if rows and (has_more if is_backward else cursor is not None) else None,
        next=_cursor(rows[-1]) if rows and (is_backward or has_more) else None,
    )


def named_by_spec(tx: Tx, by: Caller, query: PackageQuery, *, limit: int) -> list[Hit]:
    """Return the packages that the match spec of a query names, in whatever version; none if the query is words."""
    readable, text = _scope(by, query)
    wanted = _spec_of(text)
    if wanted is None:
        return []
    named = _Matches(and_(readable, packages.c.name == wanted.name), literal(0))
    return _hits(tx, list(tx.execute(_page(named, query, None).limit(limit))), None)


def count(tx: Tx, by: Caller, query: PackageQuery) -> int:
    """Return the number of results."""
    found = _select(_matches(tx, by, query), query, packages.c.id).subquery()
    return int(tx.execute(select(func.count()).select_from(found)).scalar_one())


def choices(tx: Tx, by: Caller, query: PackageQuery) -> FilterChoices:
    """Return the number of results, and the choices of each filter for this text, whatever the filters are set to."""
    matches = _matches(tx, by, query)
    scope = PackageQuery(query.text, with_yanked=query.with_yanked)
    columns = (packages.c.id, packages.c.channel_id, packages.c.name, packages.c.license)
    found = _select(matches, scope, *columns).cte("found")
    parts = [
        select(literal("total").label("kind"), literal("").label("value"), func.count().label("number"))
        .select_from(found)
        .where(*_filters(query, found)),
        _most_frequent("channel", channels.c.name, _with_channel(found)),
        _most_frequent("license", found.c.license, select(found.c.id).where(found.c.license != "")),
        _most_frequent("subdir", subdirs.c.name, _with_subdirs(found, query)),
    ]
    values: dict[str, list[tuple[int, str]]] = {}
    for row in tx.execute(union_all(*(select(part.subquery()) for part in parts))):
        values.setdefault(row.kind, []).append((-row.number, row.value))
    kinds = (tuple(value for _, value in sorted(values.get(kind, []))) for kind in ("channel", "subdir", "license"))
    return FilterChoices(-values["total"][0][0], *kinds)


def licenses_of(tx: Tx, channel_id: int) -> list[str]:
    """Return the most frequent licenses of the packages of a channel."""
    query = (
        select(packages.c.license)
        .where(packages.c.channel_id == channel_id, packages.c.license != "")
        .group_by(packages.c.license)
        .order_by(func.count().desc(), packages.c.license)
        .limit(_MAX_CHOICES)
    )
    return list(tx.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class _Matches:
    """The condition that a package matches a text in a readable channel, and its rank (lower is better)."""

    condition: ColumnElement[bool]
    rank: ColumnElement[int]
    spec: SpecQuery | None = None


def _matches(tx: Tx, by: Caller, query: PackageQuery) -> _Matches:
    readable, text = _scope(by, query)
    if not text.strip():
        return _Matches(readable, literal(0))
    wanted = _spec_of(text)
    if wanted is not None:
        accepted = _accepted_by(tx, wanted, and_(readable, packages.c.name == wanted.name))
        return _Matches(packages.c.id.in_(accepted), literal(0), wanted)
    words = (text.rstrip(_UNFINISHED) or text).split()
    if len(words) > MAX_TERMS:
        raise Malformed(f"A search must have 1 to {MAX_TERMS} words.", "Use fewer words.")
    return _Matches(and_(readable, *(_contains_word(word) for word in words)), _rank(words))


def _scope(by: Caller, query: PackageQuery) -> tuple[ColumnElement[bool], str]:
    """Return the condition of packages that the query can find, and its text without the place `channel/subdir::`."""
    readable = packages.c.channel_id.in_(channel_access.visible_ids(by))
    found = _PLACE.fullmatch(query.text)
    if found is None:
        return readable, query.text
    *before, last = found[1].lower().rstrip("/").split("/")
    channel, subdir = (before[-1], last) if before and is_known_subdir(last) else (last, "")
    place = PackageQuery(channel=channel, subdir=subdir, with_yanked=query.with_yanked)
    return and_(readable, _has_files(packages, place), *_filters(place, packages)), found[2]


def _spec_of(text: str) -> SpecQuery | None:
    """Return the match spec in a text, without the end of it that is not typed yet; None for words."""
    for candidate in (text, text.rstrip(_UNFINISHED)):
        if not _SPEC.search(candidate):
            return None
        wanted = match_specs.parse_query(candidate)
        if wanted is not None:
            return wanted
    return None


def _accepted_by(tx: Tx, wanted: SpecQuery, where: ColumnElement[bool]) -> list[int]:
    """Return the ids of the packages with a listed file that a match spec accepts."""
    query = _files(packages.c.id.label("package_id"), files.c.file_name, subdirs.c.name.label("subdir"))
    rows = tx.execute(query.where(where, files.c.state == FileState.LISTED.value))
    return list({row.package_id for row in rows if _accepts(wanted, row.file_name, row.subdir)})


def _accepts(wanted: SpecQuery | None, file_name: str, subdir: str) -> bool:
    if wanted is None:
        return True
    name = filename.parse(file_name)
    return wanted.matches(name.version, name.build, subdir)


def _contains_word(word: str) -> ColumnElement[bool]:
    """Return the condition that the name, in any spelling, or the summary of a package contains the word."""
    spellings = dict.fromkeys(filter(None, (fold(word), filename.normalize_name(word))))
    return or_(*(packages.c.search_text.contains(spelling, autoescape=True) for spelling in spellings))


def _rank(words: Sequence[str]) -> ColumnElement[int]:
    folded = filename.normalize_name("-".join(words))
    return case(
        (packages.c.folded_name == folded, 0),
        (packages.c.folded_name.startswith(folded, autoescape=True), 1),
        (packages.c.folded_name.contains(folded, autoescape=True), 2),
        else_=3,
    )


def _select(matches: _Matches, query: PackageQuery, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select the matching packages that have files, with the filters of the query."""
    return (
        select(*columns)
        .join(channels, channels.c.id == packages.c.channel_id)
        .where(matches.condition, _has_files(packages, query), *_filters(query, packages))
    )


def _filters(query: PackageQuery, of: FromClause) -> list[ColumnElement[bool]]:
    """Return the filters of a query for a relation with the columns of packages."""
    filters: list[ColumnElement[bool]] = []
    if query.channel:
        named = select(channels.c.id).where(channels.c.name == query.channel).scalar_subquery()
        filters.append(of.c.channel_id == named)
    if query.license:
        filters.append(of.c.license == stored_license(query.license))
    if query.subdir and of is not packages:
        filters.append(_has_files(of, query))
    return filters


def _has_files(of: FromClause, query: PackageQuery) -> ColumnElement[bool]:
    """Return the condition that a package has files, in the platform of the query if it has one."""
    return exists().where(
        subdirs.c.channel_id == of.c.channel_id,
        *([subdirs.c.name == query.subdir] if query.subdir else []),
        shards.c.subdir_id == subdirs.c.id,
        shards.c.name == of.c.name,
        shards.c.sha256.is_not(None) if query.with_yanked else shards.c.record_count > 0,
    )


_Key = tuple[ColumnElement[Any], bool]  # a column to sort by, and whether the largest value comes first


def _page(matches: _Matches, query: PackageQuery, cursor: "_Cursor | None") -> Select[Any]:
    """Select the packages on one side of the cursor, nearest first; `value` is what they are sorted by first."""
    columns = (packages.c.id, packages.c.name, packages.c.summary, packages.c.license, packages.c.updated_at)
    recent = func.coalesce(package_downloads.c.recent, 0)
    selected = _select(matches, query, *columns, channels.c.name.label("channel"), recent.label("downloads")).outerjoin(
        package_downloads, package_downloads.c.package_id == packages.c.id
    )
    names: list[_Key] = [(packages.c.name, False), (channels.c.name, False)]
    value: ColumnElement[Any] = literal(0)
    keys = names
    if query.order is Sort.RELEVANCE:
        value, keys = matches.rank, [(matches.rank, False), *names]
    elif query.order is Sort.UPDATED:
        value, keys = packages.c.updated_at, [(packages.c.updated_at, True), *names]
    elif query.order is Sort.DOWNLOADS:
        value, keys = recent, [(recent, True), *names]
    if cursor is not None and cursor.is_backward:
        keys = [(column, not is_descending) for column, is_descending in keys]
    if cursor is not None:
        selected = selected.where(_follows(keys, cursor.values[-len(keys) :]))
    order = [column.desc() if is_descending else column for column, is_descending in keys]
    return selected.add_columns(value.label("value")).order_by(*order)


def _follows(keys: Sequence[_Key], values: Sequence[int | str]) -> ColumnElement[bool]:
    """Return the condition that a row comes after these values."""
    (column, is_descending), value = keys[0], values[0]
    beyond = column < value if is_descending else column > value
    if len(keys) == 1:
        return beyond
    # An index on the first column can use the condition without OR.
    not_before = column <= value if is_descending else column >= value
    return and_(not_before, or_(beyond, _follows(keys[1:], values[1:])))


def _most_frequent(kind: str, value: ColumnElement[str], found: Select[Any]) -> Select[str, str, int]:
    return (
        found.with_only_columns(
            literal(kind).label("kind"), value.label("value"), func.count().label("number"), maintain_column_froms=True
        )
        .group_by(value)
        .order_by(func.count().desc(), value)
        .limit(_MAX_CHOICES)
    )


def _with_channel(found: CTE) -> Select[Any]:
    return select(found.c.id).join(channels, channels.c.id == found.c.channel_id)


def _with_subdirs(found: CTE, query: PackageQuery) -> Select[Any]:
    return (
        select(found.c.id)
        .join(subdirs, subdirs.c.channel_id == found.c.channel_id)
        .join(shards, and_(shards.c.subdir_id == subdirs.c.id, shards.c.name == found.c.name))
        .where(shards.c.sha256.is_not(None) if query.with_yanked else shards.c.record_count > 0)
    )


_newest_files = files.alias("newest")


@dataclass(slots=True)
class _Builds:
    """The listed and the yanked files of a package, or their totals by subdir."""

    listed: list[AnyRow] = field(default_factory=list)
    yanked: list[AnyRow] = field(default_factory=list)


def _builds_of(tx: Tx, package_ids: Sequence[int]) -> Mapping[int, _Builds]:
    """Return the files of the packages on a page, by package id."""
    query = _files(
        files.c.package_id, files.c.file_name, files.c.version, files.c.size, files.c.state,
        subdirs.c.name.label("subdir"),
    ).where(packages.c.id.in_(package_ids), files.c.state != FileState.DELETED.value)  # fmt: skip
    return _by_package(tx.execute(query)) if package_ids else {}


def _by_package(rows: Iterable[AnyRow]) -> dict[int, _Builds]:
    found: dict[int, _Builds] = {}
    for row in rows:
        builds = found.setdefault(row.package_id, _Builds())
        (builds.listed if row.state == FileState.LISTED.value else builds.yanked).append(row)
    return found


def _files(*columns: ColumnElement[Any]) -> Select[Any]:
    """Select files of packages, by the index of files by subdir and package."""
    return (
        select(*columns)
        .select_from(packages)
        .join(subdirs, subdirs.c.channel_id == packages.c.channel_id)
        .join(files, and_(files.c.subdir_id == subdirs.c.id, files.c.package_id == packages.c.id))
    )


def _hits(tx: Tx, rows: Sequence[AnyRow], wanted: SpecQuery | None) -> list[Hit]:
    if wanted is None:
        totals = _totals_of(tx, [row.id for row in rows])
        return [_hit_of_totals(row, totals.get(row.id, _Builds())) for row in rows]
    builds = _builds_of(tx, [row.id for row in rows])
    return [_hit(row, builds.get(row.id, _Builds()), wanted) for row in rows]


def _totals_of(tx: Tx, package_ids: Sequence[int]) -> Mapping[int, _Builds]:
    """Return the number and the size of the files in each subdir, by package id; an index has all that is read."""
    query = (
        _files(
            files.c.package_id, files.c.state, subdirs.c.name.label("subdir"), _newest_files.c.version,
            func.count().label("files"), func.sum(files.c.size).label("size"),
        )
        .join(_newest_files, _newest_files.c.id == packages.c.newest_file_id)
        .where(packages.c.id.in_(package_ids), files.c.state != FileState.DELETED.value)
        .group_by(files.c.package_id, files.c.state, subdirs.c.name, _newest_files.c.version)
    )  # fmt: skip
    return _by_package(tx.execute(query)) if package_ids else {}


def _hit_of_totals(row: AnyRow, totals: _Builds) -> Hit:
    offered = totals.listed or totals.yanked
    return Hit(
        channel=row.channel,
        package=row.name,
        summary=row.summary,
        license=row.license,
        version=offered[0].version if offered else "",
        subdirs=tuple(sorted(total.subdir for total in offered)),
        files=sum(total.files for total in totals.listed),
        size=int(sum(total.size for total in totals.listed)),  # a sum of big integers is a decimal in PostgreSQL
        updated_at_ms=row.updated_at,
        downloads=row.downloads,
    )


def _hit(row: AnyRow, builds: _Builds, wanted: SpecQuery) -> Hit:
    accepted = [file for file in builds.listed if _accepts(wanted, file.file_name, file.subdir)] or builds.yanked
    return Hit(
        channel=row.channel,
        package=row.name,
        summary=row.summary,
        license=row.license,
        version=_newest({file.version for file in accepted}),
        subdirs=tuple(sorted({file.subdir for file in accepted})),
        files=len(builds.listed),
        size=sum(file.size for file in builds.listed),
        updated_at_ms=row.updated_at,
        downloads=row.downloads,
    )


def _newest(versions: Iterable[str]) -> str:
    return max(versions, key=order, default="")


_BEFORE = "-"  # first character of the cursor of a page that ends before the named package


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The package that a page continues after: what it is sorted by first, its name and its channel."""

    values: tuple[int, str, str]
    is_backward: bool


def _cursor(row: AnyRow, direction: str = "") -> str:
    return f"{direction}{row.value} {row.name} {row.channel}"


def _parse_cursor(cursor: str) -> _Cursor:
    value, *names = cursor.removeprefix(_BEFORE).split(" ")
    if len(names) != 2 or not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Malformed(
            "`after` is not the `next` value of an earlier response.", "Send `next` unchanged, or leave `after` out."
        )
    return _Cursor((int(value), names[0], names[1]), cursor.startswith(_BEFORE))
