"""
The files that a package lists, in info/paths.json or the info/files of old packages, compared with its archive.

1. A package that no client can install as listed is refused: a listed file that the archive does not hold, a folder
   listed as a file, one path listed in two ways.
2. What some client installs is accepted with a warning that names the path. docs/decisions/archive-reader.md has what
   conda and py-rattler do with each kind of mismatch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, NoReturn

from seaway.conda.metadata import PathEntry
from seaway.conda.paths import named
from seaway.conda.refusals import Reason, Refused
from seaway.conda.tar_walk import Kind


class Stored(NamedTuple):
    """What a member of the archive unpacks to; members of info/ and links have no digest."""

    kind: Kind
    size: int = 0
    sha256: bytes | None = None


class _Mismatch(Enum):
    """A difference between paths.json and the archive that some client tolerates, as a sentence."""

    REPEATED = "info/paths.json lists {paths} twice; conda reports a conflict."
    FOLDER = "info/paths.json lists {paths} as a folder, which clients built on rattler, such as pixi, fail to install."
    NOT_A_LINK = (
        "info/paths.json lists {paths} as a symbolic link, but the archive holds a file there: conda installs the file,"
        " and clients built on rattler, such as pixi, fail."
    )
    PREFIX_IN_LINK = (
        "info/paths.json states a prefix placeholder for {paths}, a symbolic link in the archive: clients replace the "
        "link with a changed copy of its target, or fail."
    )
    SIZE = (
        "The size of {paths} in the archive differs from info/paths.json, which conda reports as a corrupted package."
    )
    SHA256 = (
        "The sha256 of {paths} in the archive differs from info/paths.json, and clients that verify files reject it."
    )


def check(entries: Sequence[PathEntry], members: Mapping[str, Stored], *, may_be_stripped: bool) -> list[str]:
    """
    Return a warning for each kind of mismatch; `Refused` if no client could install the package as paths.json lists it.

    `may_be_stripped`: accept a package of which only info/ was kept, as projects do with test data.
    """
    found: dict[_Mismatch, list[str]] = defaultdict(list)
    missing: list[str] = []
    first: dict[str, PathEntry] = {}
    for entry in entries:
        earlier = first.setdefault(entry.path, entry)
        if earlier is not entry:
            _check_repeated(earlier, entry)
            found[_Mismatch.REPEATED].append(entry.path)
            continue
        stored = members.get(entry.path)
        if stored is None and entry.path_type != "directory":
            missing.append(entry.path)
        elif mismatch := _mismatch(entry, stored):
            found[mismatch].append(entry.path)
    warnings = [mismatch.value.format(paths=named(paths)) for mismatch, paths in found.items()]
    return warnings + _check_missing(missing, members, "info/paths.json", may_be_stripped=may_be_stripped)


def check_names(paths: Iterable[str], members: Mapping[str, Stored]) -> list[str]:
    """As `check`, for info/files, which states nothing but names."""
    missing = [path for path in paths if path not in members]
    return _check_missing(missing, members, "info/files", may_be_stripped=True)


def _mismatch(entry: PathEntry, stored: Stored | None) -> _Mismatch | None:
    if stored is None or entry.path_type == "directory":
        return _Mismatch.FOLDER
    if stored.kind is Kind.FOLDER:
        _refuse_folder(entry)
    if stored.kind is Kind.SYMLINK:
        return _Mismatch.PREFIX_IN_LINK if entry.prefix_placeholder else None
    if entry.path_type == "softlink":
        return _Mismatch.NOT_A_LINK
    if entry.size_in_bytes is not None and entry.size_in_bytes != stored.size:
        return _Mismatch.SIZE
    if entry.sha256 is not None and stored.sha256 is not None and bytes.fromhex(entry.sha256) != stored.sha256:
        return _Mismatch.SHA256
    return None


def _check_repeated(earlier: PathEntry, entry: PathEntry) -> None:
    if earlier != entry:
        raise Refused(
            Reason.DUPLICATE_MEMBER,
            f"info/paths.json of the package lists {entry.path[:120]!a} twice, with different properties.",
            "Remove one of the entries; clients differ in which one they use.",
        )


def _refuse_folder(entry: PathEntry) -> NoReturn:
    raise Refused(
        Reason.MISSING_FILE,
        f"info/paths.json of the package lists {entry.path[:120]!a} as a file, but the archive holds a folder there.",
        "List the files in the folder instead.",
    )


def _check_missing(
    missing: Sequence[str], members: Mapping[str, Stored], where: str, *, may_be_stripped: bool
) -> list[str]:
    if not missing:
        return []
    if may_be_stripped and all(path == "info" or path.startswith("info/") for path in members):
        return [
            f"The archive holds only info/, so the files that {where} lists, such as {named(missing)}, are missing."
        ]
    raise Refused(
        Reason.MISSING_FILE,
        f"{where} of the package lists {named(missing)}, which the archive does not hold.",
        f"Add the file to the archive, or remove it from {where}, then build the package again.",
    )
