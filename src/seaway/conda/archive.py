"""
Reader of untrusted .conda and .tar.bz2 files: bounded, without unpacking to disk.

1. The info part is read first, so most refusals cost milliseconds.
2. Then every member is read once, at the speed of decompression, so that a damaged or hostile pkg part is refused at
   upload and does not reach the machines of users.
3. Memory is bounded by one piece of the stream, the names of the members, and the few files of info/ that are kept.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from seaway.conda import menus
from seaway.conda.filename import CONDA, FileName
from seaway.conda.limits import ArchiveLimits, limit_hint
from seaway.conda.listed_files import UnpackedMember
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.streams import decompress_bzip2, decompress_zstd
from seaway.conda.tar_reader import BoundedReader, Content, MemberType, TarMember, leaves_its_folder, walk
from seaway.conda.zip_reader import REPACK, Span, read_spans, stream_span

INDEX_JSON = "info/index.json"
ABOUT_JSON = "info/about.json"
RUN_EXPORTS_JSON = "info/run_exports.json"
LINK_JSON = "info/link.json"
PATHS_JSON = "info/paths.json"
FILES = "info/files"
# Lists in old packages; old clients join their paths to the prefix.
HAS_PREFIX = "info/has_prefix"
NO_LINK = "info/no_link"
NO_SOFTLINK = "info/no_softlink"

_LINK_SCRIPT = re.compile(r"(?:bin|Scripts)/\.[^/]*-(pre-link|post-link|pre-unlink)\.(?:sh|bat)")
_CHUNK_BYTES = 256 * 1024
_METADATA_JSON = "metadata.json"
_METADATA_BYTES = 64 * 1024
_FORMAT_VERSION = 2


@dataclass(slots=True)
class ArchiveContents:
    """Contents of an archive: the kept files of info/ by name, all members, accepted oddities, and traits (CEP 38)."""

    info: dict[str, bytes] = field(default_factory=dict)
    members: dict[str, UnpackedMember] = field(default_factory=dict)
    escaping_links: list[str] = field(default_factory=list)
    has_leading_dot_paths: bool = False  # member paths start with `./`
    traits: set[str] = field(default_factory=set)


def read_archive(path: Path, file_name: FileName, limits: ArchiveLimits) -> ArchiveContents:
    """Read a package file; raise `Refused` with the first reason found."""
    size = path.stat().st_size
    if size == 0:
        raise Refused(
            RefusalReason.EMPTY_FILE,
            f"{file_name} is empty.",
            "Check that the build succeeded, then upload the file again.",
        )
    walker = _Walker(limits)
    with path.open("rb") as file:
        if file_name.extension == CONDA:
            _read_conda(file, size, file_name, walker)
        else:
            walker.walk_part(_tar_bz2_reader(file, size, limits), limits.members, inside_info=None)
            walker.require_index_json()
    walker.require_real_folders()
    return walker.contents


def read_info(file: BinaryIO, size: int, file_name: FileName, limits: ArchiveLimits, *, until: str) -> ArchiveContents:
    """
    Read info/ of a package that passed the examination, up to the file `until`.

    Raise `Refused` if that takes more bytes than the limits allow. `file` may be remote, with one request per seek.
    """
    walker = _Walker(limits)
    if file_name.extension == CONDA:
        source = _info_reader(file, read_spans(file, size).get(f"info-{file_name.stem}.tar.zst"), limits)
    else:
        source = _tar_bz2_reader(file, size, limits)
    walker.walk_info(source, until)
    return walker.contents


def _info_reader(file: BinaryIO, span: Span | None, limits: ArchiveLimits) -> BoundedReader:
    what = "The info part of the package"
    pieces = iter(()) if span is None else decompress_zstd(stream_span(file, span), what)
    return BoundedReader(pieces, limit=limits.info_bytes, what=what, setting="archive_info_bytes")


def _tar_bz2_reader(file: BinaryIO, size: int, limits: ArchiveLimits) -> BoundedReader:
    chunks = iter(partial(file.read, _CHUNK_BYTES), b"")
    return _package_reader(decompress_bzip2(chunks, "The .tar.bz2"), size, limits)


def _package_reader(pieces: Iterator[bytes], size: int, limits: ArchiveLimits) -> BoundedReader:
    limit, setting = limits.unpacked_bytes(size), limits.unpacked_setting(size)
    return BoundedReader(pieces, limit=limit, what="The package", setting=setting)


def _read_conda(file: BinaryIO, size: int, file_name: FileName, walker: "_Walker") -> None:
    info, pkg, metadata = _expected_members(file_name, read_spans(file, size))
    _check_metadata(b"".join(stream_span(file, metadata)) if metadata.size <= _METADATA_BYTES else b"")
    limits = walker.limits
    walker.walk_part(_info_reader(file, info, limits), limits.info_members, inside_info=True)
    walker.require_index_json()
    pieces = decompress_zstd(stream_span(file, pkg), "The pkg part of the package")
    walker.walk_part(_package_reader(pieces, size, limits), limits.members, inside_info=False)


def _expected_members(file_name: FileName, spans: dict[str, Span]) -> tuple[Span, Span, Span]:
    """Return the info part, the pkg part and metadata.json, whose names must match the file name."""
    expected = (f"info-{file_name.stem}.tar.zst", f"pkg-{file_name.stem}.tar.zst", _METADATA_JSON)
    if set(expected) == set(spans):
        return spans[expected[0]], spans[expected[1]], spans[expected[2]]
    kinds = sorted(name.split("-")[0] for name in spans if name == _METADATA_JSON or name.endswith(".tar.zst"))
    if kinds == ["info", _METADATA_JSON, "pkg"] and len(spans) == len(expected):
        raise Refused(
            RefusalReason.STEM_MISMATCH,
            f"{file_name} contains parts that are named for another package: {', '.join(sorted(spans))[:200]}.",
            "Upload the file under the name that the build tool gave it.",
        )
    raise Refused(
        RefusalReason.ZIP_MEMBERS,
        f"{file_name} does not contain exactly {expected[0]}, {expected[1]} and {_METADATA_JSON}.",
        REPACK,
    )


def _check_metadata(data: bytes) -> None:
    try:
        metadata = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("conda_pkg_format_version") != _FORMAT_VERSION:
        raise Refused(
            RefusalReason.BAD_FORMAT_VERSION,
            f"metadata.json in the package does not have conda_pkg_format_version {_FORMAT_VERSION}.",
            "Build the package again with a current tool.",
        )


class _Walker:
    """Reader of the members of one or two tars, which refuses duplicate and conflicting paths across both."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self.limits = limits
        self.contents = ArchiveContents()
        self._links: set[str] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._hashable_bytes = limits.hashed_bytes
        self._info_bytes = 0
        self._info_members = 0
        self._metadata_limits = {
            INDEX_JSON: limits.index_json_bytes,
            ABOUT_JSON: limits.other_json_bytes,
            RUN_EXPORTS_JSON: limits.other_json_bytes,
            LINK_JSON: limits.other_json_bytes,
            PATHS_JSON: limits.paths_json_bytes,
            FILES: limits.paths_json_bytes,
            HAS_PREFIX: limits.paths_json_bytes,
            NO_LINK: limits.paths_json_bytes,
            NO_SOFTLINK: limits.paths_json_bytes,
        }

    def walk_part(self, source: BoundedReader, max_members: int, *, inside_info: bool | None) -> None:
        """Walk one tar; `inside_info` is whether its members belong under info/ (None: it contains both kinds)."""
        setting = "archive_info_members" if inside_info else "archive_members"
        members = walk(source, max_members=max_members, max_path_bytes=self.limits.path_bytes, setting=setting)
        for member, content in members:
            self.contents.has_leading_dot_paths |= member.has_leading_dot
            in_info = member.path == "info" or member.path.startswith("info/")
            if inside_info is not None and (not in_info if inside_info else self._is_metadata(member)):
                raise Refused(
                    RefusalReason.MISPLACED_MEMBER,
                    f"{member.path[:120]!a} is in the {'info' if inside_info else 'pkg'} part of the package.",
                    "Build the package with conda-build, rattler-build or conda-package-handling.",
                )
            self._add_member(member)
            if in_info:
                self._read_info_member(member, content)
                self.contents.members[member.path] = UnpackedMember(member.kind, member.size)
                continue
            menu = self._read_menu(member, content)
            self.contents.members[member.path] = self._stored(member, content, menu, inside_info=inside_info)
            self.contents.traits.update(traits_of(member.path))
            if member.kind is MemberType.SYMLINK and leaves_its_folder(member.path, member.target):
                self.contents.escaping_links.append(f"{member.path} -> {member.target}")

    def _is_metadata(self, member: TarMember) -> bool:
        """
        Return whether the member would replace metadata of the info part, also on case-insensitive file systems.

        Other files of info/ may be in the pkg part: conda-package-handling used to put info/licenses/ there.
        """
        path = member.path.casefold()
        return path in self._metadata_limits or path == "info"

    def _stored(
        self, member: TarMember, content: Content, menu: bytes | None, *, inside_info: bool | None
    ) -> UnpackedMember:
        if member.kind is MemberType.HARDLINK:
            return self._resolve_hard_link(member, inside_info=inside_info)
        if member.kind is not MemberType.FILE:
            return UnpackedMember(member.kind, target=member.target)
        if member.size > self._hashable_bytes:
            return UnpackedMember(member.kind, member.size)
        self._hashable_bytes -= member.size
        return UnpackedMember(
            member.kind, member.size, content.sha256() if menu is None else hashlib.sha256(menu).digest()
        )

    def _resolve_hard_link(self, member: TarMember, *, inside_info: bool | None) -> UnpackedMember:
        """Return what a hard link unpacks to. Clients unpack each part in order, so the target must come first."""
        target = self.contents.members.get(member.target)
        in_other_part = inside_info is False and member.target.startswith("info/")
        if target is None or target.kind is MemberType.FOLDER or in_other_part:
            raise Refused(
                RefusalReason.BROKEN_LINK,
                f"{member.path[:120]!a} in the package is a hard link to {member.target[:120]!a}, but no earlier file in the archive has that name.",
                "Store a copy of the file or a symbolic link instead, then build the package again.",
            )
        return target

    def _read_menu(self, member: TarMember, content: Content) -> bytes | None:
        """Check a menu file and return its content; None for other members."""
        is_menu = menus.is_menu(member.path)
        if (member.kind is MemberType.SYMLINK and menus.holds_menus(member.path)) or (
            member.kind is MemberType.HARDLINK and is_menu
        ):
            raise Refused(
                RefusalReason.UNSAFE_PATH,
                f"{member.path[:120]!a} in the package is a link, and clients would read a menu file through it.",
                "Replace the link with a file, then build the package again.",
            )
        if member.kind is not MemberType.FILE or not is_menu:
            return None
        if member.size > self.limits.other_json_bytes:
            raise Refused(
                RefusalReason.INFO_TOO_LARGE,
                f"The menu file {member.path[:120]!a} is larger than {self.limits.other_json_bytes:,} bytes, the limit.",
                "Make it shorter, then build the package again.",
            )
        data = content.read()
        menus.check(member.path, data)
        return data

    def walk_info(self, source: BoundedReader, until: str) -> None:
        """Keep the metadata files of info/; stop after the file `until`."""
        for member, content in walk(source, max_members=self.limits.members, max_path_bytes=self.limits.path_bytes):
            if member.path.startswith("info/"):
                self._read_info_member(member, content)
            if until in self.contents.info:
                return

    def require_index_json(self) -> None:
        """Refuse an archive without info/index.json."""
        if INDEX_JSON not in self.contents.info:
            raise Refused(
                RefusalReason.MISSING_INDEX_JSON,
                "The package has no info/index.json, so its name and version are unknown.",
                "Build the package with conda-build or rattler-build.",
            )

    def _add_member(self, member: TarMember) -> None:
        if member.path in self.contents.members:
            raise Refused(RefusalReason.DUPLICATE_MEMBER, f"The package contains {member.path[:120]!a} twice.")
        if member.kind is MemberType.SYMLINK:
            self._links.add(member.path.casefold())
        elif member.kind is not MemberType.FOLDER:
            self._files.add(member.path)
        for path in (member.path, member.target if member.kind is MemberType.HARDLINK else ""):
            self._add_parent_folders(path)

    def _add_parent_folders(self, path: str) -> None:
        """Record the parent folders of a path; each folder is visited once, however many members it has."""
        folder = path.rpartition("/")[0]
        while folder and folder not in self._folders:
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]

    def require_real_folders(self) -> None:
        """
        Refuse members whose path leads through a link or a file of the package.

        A client would write them through the link, outside the package folder. Links are compared case-insensitively,
        as the file systems of two of three platforms do; the order of members does not matter.
        """
        behind = self._folders & self._files
        behind |= {folder for folder in self._folders if folder.casefold() in self._links}
        if behind:
            raise Refused(
                RefusalReason.UNSAFE_PATH,
                f"The package contains files below {min(behind)[:120]!a}, which is a link or a file.",
            )

    def _read_info_member(self, member: TarMember, content: Content) -> None:
        self._info_members += 1
        self._info_bytes += member.size
        if self._info_members > self.limits.info_members:
            raise Refused(
                RefusalReason.TOO_MANY_MEMBERS,
                f"The info folder of the package contains more than {self.limits.info_members:,} members, the limit.",
                limit_hint("archive_info_members"),
            )
        if member.kind in (MemberType.SYMLINK, MemberType.HARDLINK):
            raise Refused(RefusalReason.LINK_IN_INFO, f"{member.path[:120]!a} in the package is a link.")
        if self._info_bytes > self.limits.info_bytes:
            raise Refused(
                RefusalReason.INFO_TOO_LARGE,
                f"The info folder of the package, up to {member.path[:120]!a}, is larger than {self.limits.info_bytes:,} bytes, the limit.",
                limit_hint("archive_info_bytes"),
            )
        limit = self._metadata_limits.get(member.path, self.limits.info_bytes)
        if member.size > limit:
            raise Refused(
                RefusalReason.INFO_TOO_LARGE,
                f"{member.path[:120]!a} in the package is larger than {limit:,} bytes, the limit for it.",
                "Make it shorter, then build the package again.",
            )
        if member.path in self._metadata_limits and member.kind is MemberType.FILE:
            self.contents.info[member.path] = content.read()


def traits_of(path: str) -> Iterator[str]:
    """Yield the traits that a member's path implies: scripts that run on activation or linking (CEP 34, 38)."""
    for folder in ("activate.d", "deactivate.d"):
        if path.startswith(f"etc/conda/{folder}/"):
            yield folder
    if match := _LINK_SCRIPT.fullmatch(path):
        yield match[1].replace("-", "_")
