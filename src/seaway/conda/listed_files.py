"""
Compare the files that a package lists, in info/paths.json or in info/files of old packages, with its archive.

1. A package that no client can install as listed is refused: a listed file that the archive does not contain, a folder
   listed as a file, one path listed in two ways.
2. A mismatch that some client tolerates is accepted with a warning that names the path.
   docs/decisions/archive-reader.md describes what conda and py-rattler do with each kind of mismatch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, NoReturn

from seaway.conda.metadata import PathEntry, PrefixLine
from seaway.conda.paths import format_paths
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.tar_reader import MemberType

_SHORT_PLACEHOLDER_BYTES = 80  # shorter than the paths of many environments; build tools pad it to 255
_MAX_LINKS = 40  # Linux follows at most this many links in one path


class UnpackedMember(NamedTuple):
    """Result of unpacking a member. Members of info/ and links have no digest; only symbolic links have a target."""

    kind: MemberType
    size: int = 0
    sha256: bytes | None = None
    target: str = ""


class _Mismatch(Enum):
    """A difference between the list of files and the archive that some client tolerates; the value is the warning."""

    REPEATED = "info/paths.json lists {paths} twice; conda reports a conflict."
    FOLDER = "info/paths.json lists {paths} as a folder, which clients built on rattler, such as pixi, fail to install."
    NOT_A_LINK = (
        "info/paths.json lists {paths} as a symbolic link, but the archive contains a file there: conda installs the file,"
        " and clients built on rattler, such as pixi, fail."
    )
    NOT_A_FILE = (
        "info/paths.json lists {paths} as a file, but the archive contains a symbolic link there that leads to a folder or to"
        " nothing in the package, which some clients fail to install; list it as a softlink."
    )
    PREFIX_IN_LINK = (
        "{where} states a prefix placeholder for {paths}, a symbolic link in the archive: clients replace the link with a"
        " modified copy of its target, or fail."
    )
    SHORT_PLACEHOLDER = (
        "{where} states a prefix placeholder of fewer than 80 bytes for the binary file {paths}, which cannot be installed"
        " into an environment whose path is longer; conda-build and rattler-build use 255 bytes."
    )
    PREFIX_LINE = (
        "info/has_prefix has the line {paths}, which only some clients can read; write each line as placeholder mode path,"
        " with text or binary as the mode, without quotes."
    )
    SIZE = (
        "The size of {paths} in the archive differs from info/paths.json, which conda reports as a corrupted package."
    )
    SHA256 = (
        "The sha256 of {paths} in the archive differs from info/paths.json, and clients that verify files reject it."
    )


def check(entries: Sequence[PathEntry], members: Mapping[str, UnpackedMember], *, allow_stripped: bool) -> list[str]:
    """
    Return a warning for each kind of mismatch; raise `Refused` if no client could install the package as listed.

    `allow_stripped`: accept a package that was reduced to info/, as projects do with test data.
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
        elif mismatch := _mismatch(entry, stored, members):
            found[mismatch].append(entry.path)
        if _is_short(entry.file_mode, entry.prefix_placeholder):
            found[_Mismatch.SHORT_PLACEHOLDER].append(entry.path)
    where = "info/paths.json"
    return _warnings(found, where) + _check_missing(missing, members, where, allow_stripped=allow_stripped)


def check_names(paths: Iterable[str], members: Mapping[str, UnpackedMember]) -> list[str]:
    """Check info/files, which contains only names; otherwise like `check`."""
    missing = []
    for path in paths:
        stored = members.get(path)
        if stored is None:
            missing.append(path)
        elif stored.kind is MemberType.FOLDER:
            _refuse_folder(path, "info/files")
    return _check_missing(missing, members, "info/files", allow_stripped=True)


def check_prefixes(lines: Iterable[PrefixLine], members: Mapping[str, UnpackedMember]) -> list[str]:
    """Check info/has_prefix; otherwise like `check`."""
    found: dict[_Mismatch, list[str]] = defaultdict(list)
    for line in lines:
        stored = members.get(line.path)
        if not line.is_readable:
            found[_Mismatch.PREFIX_LINE].append(line.text)
        if stored is not None and stored.kind is MemberType.SYMLINK:
            found[_Mismatch.PREFIX_IN_LINK].append(line.path)
        if _is_short(line.mode, line.placeholder):
            found[_Mismatch.SHORT_PLACEHOLDER].append(line.path)
    return _warnings(found, "info/has_prefix")


def _warnings(found: Mapping[_Mismatch, Sequence[str]], where: str) -> list[str]:
    return [mismatch.value.format(where=where, paths=format_paths(paths)) for mismatch, paths in found.items()]


def _is_short(mode: str | None, placeholder: str | None) -> bool:
    """Return whether the placeholder is shorter than the paths of typical environments."""
    return mode == "binary" and 0 < len((placeholder or "").encode()) < _SHORT_PLACEHOLDER_BYTES


def _mismatch(
    entry: PathEntry, stored: UnpackedMember | None, members: Mapping[str, UnpackedMember]
) -> _Mismatch | None:
    if stored is None or entry.path_type == "directory":
        return _Mismatch.FOLDER
    if stored.kind is MemberType.FOLDER:
        _refuse_folder(entry.path, "info/paths.json")
    if stored.kind is MemberType.SYMLINK:
        return _link_mismatch(entry, members)
    if entry.path_type == "softlink":
        return _Mismatch.NOT_A_LINK
    if entry.size_in_bytes is not None and entry.size_in_bytes != stored.size:
        return _Mismatch.SIZE
    if entry.sha256 is not None and stored.sha256 is not None and bytes.fromhex(entry.sha256) != stored.sha256:
        return _Mismatch.SHA256
    return None


def _link_mismatch(entry: PathEntry, members: Mapping[str, UnpackedMember]) -> _Mismatch | None:
    if entry.prefix_placeholder:
        return _Mismatch.PREFIX_IN_LINK
    is_wrong = entry.path_type == "hardlink" and not _leads_to_file(entry.path, members)
    return _Mismatch.NOT_A_FILE if is_wrong else None


def _check_repeated(earlier: PathEntry, entry: PathEntry) -> None:
    if earlier != entry:
        raise Refused(
            RefusalReason.DUPLICATE_MEMBER,
            f"info/paths.json of the package lists {entry.path[:120]!a} twice, with different properties.",
            "Remove one of the entries; clients differ in which one they use.",
        )


def _leads_to_file(path: str, members: Mapping[str, UnpackedMember]) -> bool:
    """Return whether a symbolic link resolves to a file of the package, by the rules of a kernel."""
    passed: list[str] = []
    left = path.split("/")[::-1]
    links = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not passed:
                return False
            passed.pop()
            continue
        passed.append(part)
        stored = members.get("/".join(passed))
        if stored is not None and stored.kind is MemberType.SYMLINK:
            links += 1
            if links > _MAX_LINKS or stored.target.startswith("/"):
                return False
            passed.pop()
            left += stored.target.split("/")[::-1]
    stored = members.get("/".join(passed))
    return stored is not None and stored.kind is MemberType.FILE


def _refuse_folder(path: str, where: str) -> NoReturn:
    raise Refused(
        RefusalReason.MISSING_FILE,
        f"{where} of the package lists {path[:120]!a} as a file, but the archive contains a folder there.",
        "List the files in the folder instead.",
    )


def _check_missing(
    missing: Sequence[str], members: Mapping[str, UnpackedMember], where: str, *, allow_stripped: bool
) -> list[str]:
    if not missing:
        return []
    if allow_stripped and all(path == "info" or path.startswith("info/") for path in members):
        return [
            f"The archive contains only info/, so the files that {where} lists, such as {format_paths(missing)}, are missing."
        ]
    raise Refused(
        RefusalReason.MISSING_FILE,
        f"{where} of the package lists {format_paths(missing)}, which the archive does not contain.",
        f"Add the file to the archive, or remove it from {where}, then build the package again.",
    )
