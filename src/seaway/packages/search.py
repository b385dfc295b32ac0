"""
Search for packages by name, summary or match spec, in the channels that the caller can read.

1. A channel that the caller cannot read is not searched: it changes no result, no order and no page (P4).
2. A page costs two statements, whatever the number of channels and results. The first reads the names and summaries of
   all packages, because no index that both databases support finds a word in the middle of a text; the second reads
   the versions of the packages on the page.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, exists, func, or_, select, tuple_

from seaway.callers.caller import Caller
from seaway.channels import channels as channel_access
from seaway.conda import filename, match_specs, version
from seaway.conda.match_specs import SpecQuery
from seaway.database.engine import Tx
from seaway.database.tables import channels, files, packages, shards, subdirs
from seaway.errors import Malformed
from seaway.indexing.file_rows import FileState
from seaway.search_terms import MAX_TERMS

MAX_QUERY_LENGTH = 200
# Only match specs contain these: a comparison, or a version after a name.
_SPEC = re.compile(r"[<>=!~\[\]*|]|\s\d")


@dataclass(frozen=True, slots=True)
class Hit:
    """A package in the results of a search."""

    channel: str
    package: str
    summary: str
    version: str  # the newest version, or the newest that the match spec accepts
    subdirs: tuple[str, ...]


def search(
    tx: Tx, by: Caller, query: str, *, channel: str | None = None, after: str = "", limit: int
) -> tuple[list[Hit], str | None]:
    """
    Return a page of packages, best first: exact name, prefix of the name, part of the name, summary.

    The second value is `after` for the next page, or None after the last page. A package without a file that a match
    spec accepts is left out, so such a page can be shorter than its limit.
    """
    wanted = match_specs.parse_query(query) if _SPEC.search(query) else None
    matches, rank = _of_spec(wanted) if wanted is not None else _of_words(query)
    rows = tx.execute(_page(by, matches, rank, channel, after).limit(limit + 1)).all()
    shown = rows[:limit]
    listed = _listed(tx, shown)
    hits = [hit for row in shown if (hit := _hit(row, listed.get(row.id, []), wanted)) is not None]
    return hits, _cursor(shown[-1]) if len(rows) > limit else None


_Conditions = tuple[ColumnElement[bool], ColumnElement[int]]


def _of_spec(wanted: SpecQuery) -> _Conditions:
    return packages.c.name == wanted.name, case((packages.c.name == wanted.name, 0), else_=1)


def _of_words(query: str) -> _Conditions:
    """Return the condition that a package contains every word, and its rank (lower is better)."""
    words = query.split()
    if not words or len(words) > MAX_TERMS:
        raise Malformed(f"A search must have 1 to {MAX_TERMS} words.", "Change the search terms.")
    folded = filename.normalize_name("-".join(words))
    rank = case(
        (packages.c.folded_name == folded, 0),
        (packages.c.folded_name.startswith(folded, autoescape=True), 1),
        (packages.c.folded_name.contains(folded, autoescape=True), 2),
        else_=3,
    )
    return and_(*(contains_word(word) for word in words)), rank


def contains_word(word: str) -> ColumnElement[bool]:
    """Return the condition that the name, in any spelling, or the summary of a package contains the word."""
    in_summary = func.lower(packages.c.summary).contains(word.lower(), autoescape=True)
    folded = filename.normalize_name(word)
    return or_(packages.c.folded_name.contains(folded, autoescape=True), in_summary) if folded else in_summary


def _page(
    by: Caller, matches: ColumnElement[bool], rank: ColumnElement[int], channel: str | None, after: str
) -> Select[Any]:
    is_listed = exists().where(
        subdirs.c.channel_id == packages.c.channel_id,
        shards.c.subdir_id == subdirs.c.id,
        shards.c.name == packages.c.name,
        shards.c.sha256.is_not(None),
    )
    sort_key = (rank, packages.c.name, channels.c.name)
    query = (
        select(packages.c.id, packages.c.name, packages.c.summary, channels.c.name.label("channel"), rank.label("rank"))
        .join(channels, channels.c.id == packages.c.channel_id)
        .where(channels.c.id.in_(channel_access.visible_ids(by)), matches, is_listed)
        .order_by(*sort_key)
    )
    if channel is not None:
        query = query.where(channels.c.name == channel)
    return query.where(tuple_(*sort_key) > tuple_(*_parse_cursor(after))) if after else query


def _listed(tx: Tx, rows: Sequence[Any]) -> dict[int, list[Any]]:
    """Return the listed files of the packages on a page, by package id."""
    found: dict[int, list[Any]] = {}
    if rows:
        for row in tx.execute(
            select(files.c.package_id, files.c.file_name, subdirs.c.name.label("subdir"))
            .join(subdirs, subdirs.c.id == files.c.subdir_id)
            .join(packages, (packages.c.id == files.c.package_id) & (packages.c.channel_id == subdirs.c.channel_id))
            .where(packages.c.id.in_([row.id for row in rows]), files.c.state == FileState.LISTED.value)
        ):
            found.setdefault(row.package_id, []).append(row)
    return found


def _hit(row: Row[Any], listed: Sequence[Any], wanted: SpecQuery | None) -> Hit | None:
    files_there = [(filename.parse(file.file_name), file.subdir) for file in listed]
    if wanted is not None:
        files_there = [
            (name, subdir) for name, subdir in files_there if wanted.matches(name.version, name.build, subdir)
        ]
    if not files_there:
        return None
    return Hit(
        channel=row.channel,
        package=row.name,
        summary=row.summary,
        version=max((name.version for name, _ in files_there), key=lambda text: (version.parse(text),)),
        subdirs=tuple(sorted({subdir for _, subdir in files_there})),
    )


def _cursor(row: Row[Any]) -> str:
    return f"{row.rank} {row.name} {row.channel}"


def _parse_cursor(cursor: str) -> tuple[int, str, str]:
    parts = cursor.split(" ")
    if len(parts) != 3 or parts[0] not in ("0", "1", "2", "3"):
        raise Malformed(
            "`after` is not the `next` value of an earlier response.", "Send `next` unchanged, or leave `after` out."
        )
    return int(parts[0]), parts[1], parts[2]
