"""
Bounded, sequential reader of untrusted tar archives.

Python's tarfile keeps every header in memory, follows pax headers without comparing them, and ignores bytes after the
end; other readers have similar gaps, each its own. A tar that two readers could read differently is refused: two sizes
for one member, paths that are not plain, members after the end.
A leading `./` of a path is removed, as clients do: `tar cjf FILE .` writes it.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from seaway.conda import paths
from seaway.conda.limits import limit_hint
from seaway.conda.refusals import RefusalReason, Refused

BLOCK_BYTES = 512

_LEADING_DOT = re.compile(r"\A(?:\./)+")
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_MAX_EXTENSION_BYTES = 64 * 1024
_MEANINGLESS_PAX_PREFIXES = ("SCHILY.xattr.", "SCHILY.acl.", "LIBARCHIVE.xattr.", "RHT.security.")
_MEANINGLESS_PAX_KEYS = frozenset(
    [
        "atime",
        "ctime",
        "mtime",
        "uid",
        "gid",
        "uname",
        "gname",
        "comment",
        "charset",
        "hdrcharset",
        "SCHILY.dev",
        "SCHILY.ino",
        "SCHILY.nlink",
        "SCHILY.fflags",
        "LIBARCHIVE.creationtime",
        "LIBARCHIVE.symlinktype",
    ]
)


class MemberType(Enum):
    """Type of a member."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


_KINDS = {
    b"0": MemberType.FILE,
    b"\0": MemberType.FILE,
    b"1": MemberType.HARDLINK,
    b"2": MemberType.SYMLINK,
    b"5": MemberType.FOLDER,
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """Member of a tar; `path` is safe to join to a folder, `target` is unchanged from the archive."""

    path: str
    kind: MemberType
    size: int
    target: str = ""
    has_leading_dot: bool = False  # its path in the archive starts with `./`


class BoundedReader:
    """Sequential reader of unpacked bytes; raises `Refused` beyond `limit` bytes."""

    def __init__(self, pieces: Iterator[bytes], *, limit: int, what: str, setting: str) -> None:
        self._pieces = pieces
        self._piece = b""
        self._position = 0
        self._left = limit
        self._limit = limit
        self._what = what
        self._setting = setting

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes, or fewer at the end of the stream."""
        end = self._position + count
        if end <= len(self._piece):
            taken = self._piece[self._position : end]
            self._position = end
            return taken
        parts, missing = [self._piece[self._position :]], end - len(self._piece)
        while missing and self._next_piece():
            parts.append(self._piece[:missing])
            self._position = len(parts[-1])
            missing -= self._position
        return b"".join(parts)

    def skip(self, count: int, digest: "hashlib._Hash | None" = None) -> int:
        """Skip `count` bytes and feed them to `digest`; return the number of bytes that existed."""
        missing = count
        while missing > 0 and (self._position < len(self._piece) or self._next_piece()):
            start, end = self._position, min(self._position + missing, len(self._piece))
            if digest is not None:
                digest.update(memoryview(self._piece)[start:end])
            self._position = end
            missing -= end - start
        return count - missing

    def rest_is_zero(self) -> bool:
        """Read to the end; return whether all remaining bytes are zero."""
        if self._piece.count(0, self._position) != len(self._piece) - self._position:
            return False
        while self._next_piece():
            if self._piece.count(0) != len(self._piece):
                return False
        return True

    def _next_piece(self) -> bool:
        self._piece, self._position = next(self._pieces, b""), 0
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece = piece
        self._left -= len(self._piece)
        if self._left < 0:
            raise Refused(
                RefusalReason.UNPACKS_TOO_LARGE,
                f"{self._what} unpacks to more than {self._limit:,} bytes, the limit for a file of its size.",
                limit_hint(self._setting),
            )
        return True


def walk(
    source: BoundedReader, *, max_members: int, max_path_bytes: int, setting: str = "archive_members"
) -> Iterator[tuple[TarMember, "Content"]]:
    """Yield each member with its content, which can be read until the next member is requested."""
    walked = 0
    pending = _Pending()
    while True:
        header = source.take(BLOCK_BYTES)
        if header == _ZERO_BLOCK:
            break
        if len(header) < BLOCK_BYTES:
            raise _bad("it is cut short")
        _verify_checksum(header)
        walked += 1
        if walked > max_members:
            raise Refused(
                RefusalReason.TOO_MANY_MEMBERS,
                f"A part of the package contains more than {max_members:,} members, the limit.",
                limit_hint(setting),
            )
        size, kind = _number(header[124:136]), header[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            _read_extension(pending, kind, _extension(source, size))
            continue
        member = _member(header, kind, size, pending, max_path_bytes)
        pending = _Pending()
        if member.path == ".":  # the folder that clients unpack to
            continue
        content = Content(source, member.size)
        yield member, content
        content.finish()
    if pending.path is not None or pending.target is not None or pending.size is not None:
        raise _bad("it ends after an extension header")
    if not source.rest_is_zero():
        raise _bad("it is followed by other bytes")


class Content:
    """Content of one member, which can be read once."""

    def __init__(self, source: BoundedReader, size: int) -> None:
        self._source = source
        self._left = size
        self._padding = -size % BLOCK_BYTES

    def read(self) -> bytes:
        """Return the whole content; the caller has compared the member's size with a limit."""
        content = self._source.take(self._left)
        if len(content) < self._left:
            raise _bad("it is cut short")
        self._left = 0
        return content

    def sha256(self) -> bytes:
        """Return the digest of the whole content without keeping it in memory."""
        digest = hashlib.sha256()
        if self._source.skip(self._left, digest) != self._left:
            raise _bad("it is cut short")
        self._left = 0
        return digest.digest()

    def finish(self) -> None:
        """Skip the unread rest."""
        left = self._left + self._padding
        self._left = self._padding = 0
        if self._source.skip(left) != left:
            raise _bad("it is cut short")


@dataclass(slots=True)
class _Pending:
    """Values of extension headers, for the member that follows them."""

    path: str | None = None
    target: str | None = None
    size: int | None = None


def _member(header: bytes, kind: bytes, size: int, pending: _Pending, max_path_bytes: int) -> TarMember:
    if kind not in _KINDS:
        raise Refused(
            RefusalReason.SPECIAL_MEMBER,
            f"The package contains a member of type {kind!r}, which is not allowed in packages.",
            "Remove it, then build the package again.",
        )
    what = _KINDS[kind]
    if pending.size is not None and size not in (0, pending.size):
        raise _bad("a member has two sizes")
    size = size if pending.size is None else pending.size
    path = _header_path(header) if pending.path is None else pending.path
    target = _text(header[157:257]) if pending.target is None else pending.target
    if what is not MemberType.FILE and size:
        raise _bad("a link or folder has content")
    if what is MemberType.FOLDER:
        path = path.rstrip("/")
        if path == ".":
            return TarMember(path, what, size)
    has_dot = path.startswith("./")
    path = _LEADING_DOT.sub("", path)
    if what is MemberType.HARDLINK:
        target = _LEADING_DOT.sub("", target)
    paths.check(path, max_bytes=max_path_bytes)
    if what in (MemberType.SYMLINK, MemberType.HARDLINK):
        _check_target(path, what, target, max_path_bytes)
    return TarMember(path, what, size, target if what in (MemberType.SYMLINK, MemberType.HARDLINK) else "", has_dot)


def leaves_its_folder(path: str, target: str) -> bool:
    """
    Return whether a symbolic link at `path` can point outside the folder that the package is unpacked to.

    Leading `..` components are counted exactly, since no member is below a link. A `..` after a name cannot be counted,
    because the name can be a link to another folder, so `here/here/../../..` counts as leaving.
    """
    if target.startswith(("/", "\\")) or (len(target) > 1 and target[1] == ":"):
        return True
    parts = [part for part in target.replace("\\", "/").split("/") if part not in ("", ".")]
    climbs = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return climbs > path.count("/") or ".." in parts[climbs:]


def _check_target(path: str, kind: MemberType, target: str, max_path_bytes: int) -> None:
    if not target or not target.isprintable() or len(target.encode()) > max_path_bytes:
        raise Refused(RefusalReason.UNSAFE_PATH, f"The link {path[:120]!a} in the package has no valid target.")
    if kind is MemberType.HARDLINK:
        # A hard link names a path in the archive. With `..` in it, a client would link to a file of the machine.
        paths.check(target, max_bytes=max_path_bytes)


def _extension(source: BoundedReader, size: int) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise _bad("an extension header is too large")
    content = Content(source, size)
    data = content.read()
    content.finish()
    return data


def _read_extension(pending: _Pending, kind: bytes, data: bytes) -> None:
    if kind == b"L":
        pending.path = _set_once(pending.path, _text(data))
    elif kind == b"K":
        pending.target = _set_once(pending.target, _text(data))
    else:
        for key, value in _pax_records(data).items():
            if kind == b"x" and key == "path":
                pending.path = _set_once(pending.path, value)
            elif kind == b"x" and key == "linkpath":
                pending.target = _set_once(pending.target, value)
            elif kind == b"x" and key == "size" and value.isascii() and value.isdigit() and len(value) < 20:
                if pending.size is not None:
                    raise _bad("a member has two sizes")
                pending.size = int(value)
            elif key not in _MEANINGLESS_PAX_KEYS and not key.startswith(_MEANINGLESS_PAX_PREFIXES):
                # Global headers that rename members, sparse maps, and other extensions that readers treat differently.
                raise Refused(
                    RefusalReason.SPECIAL_MEMBER,
                    f"The tar in the package uses the extension {key[:40]!a}, which is not allowed.",
                    "Create the archive without it.",
                )


def _set_once(old: str | None, new: str) -> str:
    if old is not None:
        raise _bad("a member has two names")
    return new


def _pax_records(data: bytes) -> dict[str, str]:
    """Parse the `length key=value` lines of a pax header (POSIX.1-2001)."""
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 7)
        digits = data[position:space] if space > 0 else b""
        if not digits.isdigit():
            raise _bad("a pax header is damaged")
        end = position + int(digits)
        record = data[space + 1 : end]
        if end > len(data) or not record.endswith(b"\n") or b"=" not in record:
            raise _bad("a pax header is damaged")
        key, _, value = record[:-1].partition(b"=")
        name = _utf8(key)
        if name in records:
            raise _bad("a pax header contains a key twice")
        records[name] = _utf8(value) if name in ("path", "linkpath", "size") else ""
        position = end
    return records


def _header_path(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[345] else ""
    if prefix and header[257:263] != b"ustar\0":
        # GNU's format has times there, and V7 nothing; tarfile reads a prefix in both.
        raise _bad("a member has a name that readers assemble differently")
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    # Rust's tar leaves bytes of an earlier header after the NUL; every reader stops at the NUL.
    return _utf8(field.partition(b"\0")[0])


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(RefusalReason.UNSAFE_PATH, f"A path in the package is not UTF-8: {data[:60]!r}.") from None


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base-256: GNU tar writes sizes of 8 GiB and more so
        value = int.from_bytes(field[1:], "big")
        if field[0] != 0x80 or value > 1 << 40:
            raise _bad("a member has an impossible size")
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise _bad("a header contains an invalid number")
    return int(digits, 8)


def _verify_checksum(header: bytes) -> None:
    stated = _number(header[148:156])
    plain = sum(header) - sum(header[148:156]) + 8 * 0x20
    if stated == plain:
        return
    signed = sum(struct.unpack("512b", header)) - sum(struct.unpack("8b", header[148:156])) + 8 * 0x20
    if stated != signed:  # old tar programs summed signed bytes
        raise _bad("a header has a wrong checksum")


def _bad(what: str) -> Refused:
    return Refused(
        RefusalReason.BAD_TAR,
        f"The tar in the package is not well-formed: {what}.",
        "Build the package again with a current tool.",
    )
