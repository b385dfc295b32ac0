"""
Differences between two builds of a package: dependencies, installed files and sizes.

The cost is bounded: paths are compared only if each build has at most `MAX_COMPARED`, and only the first
`MAX_CHANGES` changes are returned.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seaway.packages.file_listings import ListedPath, Listing
from seaway.packages.overview import name_of_spec

_IGNORED_FIELDS = frozenset(
    {"md5", "sha256", "size", "timestamp", "indexed_timestamp", "build", "version", "depends", "constrains"}
)
MAX_COMPARED = 50_000
MAX_CHANGES = 1_000


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `before` is empty for an addition, `after` for a removal."""

    name: str
    before: str
    after: str
    size_change: int = 0  # for paths

    @property
    def kind(self) -> str:
        """One of "added", "removed" and "changed"."""
        return "added" if not self.before else "removed" if not self.after else "changed"


@dataclass(frozen=True, slots=True)
class BuildDifferences:
    """The differences between two builds, each list sorted by name."""

    depends: tuple[Change, ...]
    constrains: tuple[Change, ...]
    fields: tuple[Change, ...]
    paths: tuple[Change, ...]  # the first `MAX_CHANGES`
    path_count: int  # number of all paths that differ
    problem: str  # why paths were not compared
    size_change: int  # of the package file
    installed_size_change: int


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], listing_before: Listing, listing_after: Listing
) -> BuildDifferences:
    """Compare two records and their listings."""
    problem = listing_before.problem or listing_after.problem
    if max(len(listing_before.entries), len(listing_after.entries)) > MAX_COMPARED:
        problem = f"One of the packages has more than {MAX_COMPARED:,} files, too many to compare here."
    changed = [] if problem else _changed_paths(listing_before.entries, listing_after.entries)
    return BuildDifferences(
        depends=_changed_specs(before.get("depends", ()), after.get("depends", ())),
        constrains=_changed_specs(before.get("constrains", ()), after.get("constrains", ())),
        fields=_changes(_shown_fields(before), _shown_fields(after)),
        paths=tuple(
            _path_change(*change) for change in heapq.nsmallest(MAX_CHANGES, changed, key=lambda change: change[0])
        ),
        path_count=len(changed),
        problem=problem,
        size_change=after.get("size", 0) - before.get("size", 0),
        installed_size_change=listing_after.size - listing_before.size,
    )


def _changed_specs(before: Iterable[str], after: Iterable[str]) -> tuple[Change, ...]:
    return _changes(_by_name(before), _by_name(after))


def _by_name(specs: Iterable[str]) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for spec in specs:
        joined.setdefault(name_of_spec(spec), []).append(spec)
    return {name: ", ".join(sorted(specs_of_name)) for name, specs_of_name in joined.items()}


def _shown_fields(record: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in record.items() if key not in _IGNORED_FIELDS and value not in ("", {})}


def _changed_paths(
    before: Sequence[ListedPath], after: Sequence[ListedPath]
) -> list[tuple[str, ListedPath | None, ListedPath | None]]:
    """Return each path that differs with its entries before and after, unordered."""
    old = {entry.path: entry for entry in before}
    changed: list[tuple[str, ListedPath | None, ListedPath | None]] = []
    for entry in {entry.path: entry for entry in after}.values():
        earlier = old.pop(entry.path, None)
        # Only the hashes, if there are any: this line is most of the cost of a comparison.
        if earlier is None or (earlier.sha256 or _shown_entry(earlier)) != (entry.sha256 or _shown_entry(entry)):
            changed.append((entry.path, earlier, entry))
    changed += [(path, earlier, None) for path, earlier in old.items()]
    return changed


def _path_change(path: str, before: ListedPath | None, after: ListedPath | None) -> Change:
    return Change(path, _shown_entry(before), _shown_entry(after), _size_of(after) - _size_of(before))


def _size_of(entry: ListedPath | None) -> int:
    return (entry.size_in_bytes or 0) if entry else 0


def _shown_entry(entry: ListedPath | None) -> str:
    """Return what distinguishes two contents of a path: the hash, or type and size if there is no hash."""
    if entry is None:
        return ""
    return entry.sha256 or f"{entry.path_type or 'file'} {entry.size_in_bytes or ''}".strip()


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(Change(name, before.get(name, ""), after.get(name, "")) for name in names)
