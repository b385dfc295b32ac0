"""What is different between two builds of a package: what they need, what they install, how large they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seaway.packages.contents import Entry, Listing
from seaway.packages.overview import name_of_spec

_NOT_OF_THE_RECIPE = frozenset(
    {"md5", "sha256", "size", "timestamp", "indexed_timestamp", "build", "version", "depends", "constrains"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs; empty before where it is new, empty after where it is gone."""

    name: str
    before: str
    after: str
    grown_bytes: int = 0  # of a path

    @property
    def kind(self) -> str:
        """The word for it."""
        return "added" if not self.before else "removed" if not self.after else "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two builds compared, each list by name."""

    depends: tuple[Change, ...]
    constrains: tuple[Change, ...]
    fields: tuple[Change, ...]
    paths: tuple[Change, ...]
    grown_bytes: int  # of the package file
    installed_grown_bytes: int


def between(
    before: Mapping[str, Any], after: Mapping[str, Any], listing_before: Listing, listing_after: Listing
) -> Difference:
    """What changed from one record and its listing to another."""
    return Difference(
        depends=_of_specs(before.get("depends", ()), after.get("depends", ())),
        constrains=_of_specs(before.get("constrains", ()), after.get("constrains", ())),
        fields=_changes(_shown_fields(before), _shown_fields(after)),
        paths=_of_paths(listing_before.entries, listing_after.entries),
        grown_bytes=after.get("size", 0) - before.get("size", 0),
        installed_grown_bytes=listing_after.size - listing_before.size,
    )


def _of_specs(before: Iterable[str], after: Iterable[str]) -> tuple[Change, ...]:
    return _changes(_by_name(before), _by_name(after))


def _by_name(specs: Iterable[str]) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for spec in specs:
        joined.setdefault(name_of_spec(spec), []).append(spec)
    return {name: ", ".join(sorted(several)) for name, several in joined.items()}


def _shown_fields(record: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in record.items() if key not in _NOT_OF_THE_RECIPE and value not in ("", {})}


def _of_paths(before: Sequence[Entry], after: Sequence[Entry]) -> tuple[Change, ...]:
    old, new = ({entry.path: entry for entry in entries} for entries in (before, after))
    changed = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    changes = (_of_path(path, old.get(path), new.get(path)) for path in changed)
    return tuple(change for change in changes if change.before != change.after)


def _of_path(path: str, before: Entry | None, after: Entry | None) -> Change:
    return Change(path, _shown_entry(before), _shown_entry(after), _size_of(after) - _size_of(before))


def _size_of(entry: Entry | None) -> int:
    return (entry.size_in_bytes or 0) if entry else 0


def _shown_entry(entry: Entry | None) -> str:
    """What tells two contents of a path apart: the hash, or what there is instead of one."""
    if entry is None:
        return ""
    return entry.sha256 or f"{entry.path_type or 'file'} {entry.size_in_bytes or ''}".strip()


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(Change(name, before.get(name, ""), after.get(name, "")) for name in names)
