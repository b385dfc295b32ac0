"""
Strict reader of the outer ZIP of a .conda file (CEP 35).

Two readers that disagree on the position of a member see two different packages, so every ambiguity is refused: the
members must fill the file from byte 0 to the directory without a gap, the local headers must match the directory, all
members must be STORED, and comments and bytes before or after the ZIP are not allowed.
conda's writers use ZIP64 extra fields, and some write data descriptors; both are supported.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from seaway.conda.refusals import RefusalReason, Refused

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

_STORED = 0
_FLAG_ENCRYPTED = 0x1
_FLAG_DESCRIPTOR = 0x8
_FLAG_UTF8 = 0x800
_COMPRESSION_LEVEL = 0x6  # without meaning for stored members
_ALLOWED_FLAGS = _FLAG_DESCRIPTOR | _FLAG_UTF8 | _COMPRESSION_LEVEL
_MAX_32 = 0xFFFFFFFF
_ZIP64_EXTRA = 0x0001
_HARMLESS_EXTRAS = frozenset({_ZIP64_EXTRA, 0x000A, 0x5455, 0x5855, 0x7855, 0x7875})  # times and owners
_MAX_DIRECTORY_BYTES = 64 * 1024
_MADE_BY_UNIX = 3
_UNIX_KIND_MASK = 0o170000
_UNIX_REGULAR = 0o100000
_UNIX_FOLDER = 0o040000

_CHUNK_BYTES = 1024 * 1024

# For a file that was unpacked and zipped again: -0 stores, -X omits owners, -j removes folders.
REPACK = "Upload the file that the build tool wrote, or zip its parts again: zip -0 -X -j NAME.conda metadata.json info-*.tar.zst pkg-*.tar.zst"


@dataclass(frozen=True, slots=True)
class Span:
    """Position of a stored member's bytes in the file."""

    name: str
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    flags: int
    crc32: int
    size: int
    header_offset: int


def read_spans(file: BinaryIO, file_size: int) -> dict[str, Span]:
    """Return the members of the ZIP by name; raise `Refused` unless they fill the file without gap or overlap."""
    directory_offset, entries = _read_directory(file, file_size)
    spans = {}
    expected_offset = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset != expected_offset:
            raise _bad("there are bytes before or between its members, or members overlap")
        span, expected_offset = _locate(file, entry)
        if entry.name in spans:
            raise Refused(RefusalReason.DUPLICATE_MEMBER, f"The ZIP contains {entry.name!r} twice.")
        spans[entry.name] = span
    if expected_offset != directory_offset:
        raise _bad("there are bytes between its last member and its directory")
    return spans


def stream_span(file: BinaryIO, span: Span) -> Iterator[bytes]:
    """Yield the bytes of a member in pieces; raise `Refused` at the end if the checksum differs."""
    file.seek(span.offset)
    left, crc32 = span.size, 0
    while left:
        chunk = file.read(min(_CHUNK_BYTES, left))
        if not chunk:
            raise _bad(f"{span.name!r} is cut short")
        left -= len(chunk)
        crc32 = zlib.crc32(chunk, crc32)
        yield chunk
    if crc32 != span.crc32:
        raise Refused(
            RefusalReason.ZIP_CHECKSUM,
            f"{span.name!r} in the ZIP is damaged: its checksum differs.",
            "Check the original file and upload it again, or build the package again.",
        )


def _read_directory(file: BinaryIO, file_size: int) -> tuple[int, list[_Entry]]:
    if file_size < _END.size:
        raise _bad("it is too short")
    end_offset = file_size - _END.size
    file.seek(end_offset)
    magic, disk, start_disk, here, total, length, offset, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06":
        raise _bad("it does not end with a ZIP directory")
    if comment or disk or start_disk or here != total:
        raise _bad("it has a comment or more than one part")
    if length > _MAX_DIRECTORY_BYTES or offset + length != end_offset:
        raise _bad("its directory is not directly before the end record")
    file.seek(offset)
    directory = file.read(length)
    entries, position = [], 0
    while position < length:
        entry, position = _read_entry(directory, position)
        if max(entry.size, entry.header_offset) > file_size:
            raise _bad(f"{entry.name!r} starts or ends after the end of the file")
        entries.append(entry)
    if len(entries) != total:
        raise _bad("its directory states a wrong number of members")
    return offset, entries


def _read_entry(directory: bytes, position: int) -> tuple[_Entry, int]:
    if position + _ENTRY.size > len(directory):
        raise _bad("its directory is cut short")
    (magic, made_by, _, flags, method, _, _, crc32, packed, size, name_length, extra_length, comment_length,
     disk, _, attributes, header_offset) = _ENTRY.unpack_from(directory, position)  # fmt: skip
    name_at = position + _ENTRY.size
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment_length
    if magic != b"PK\x01\x02" or end > len(directory) or comment_length or disk:
        raise _bad("its directory is damaged, or a member has a comment")
    name = _decode(directory[name_at:extra_at])
    unix_kind = (attributes >> 16) & _UNIX_KIND_MASK if made_by >> 8 == _MADE_BY_UNIX else 0
    if name.endswith("/") or unix_kind == _UNIX_FOLDER:
        raise Refused(
            RefusalReason.ZIP_MEMBERS,
            f"The ZIP contains the folder {name[:120]!r}; a .conda contains three files and no folders.",
            REPACK,
        )
    if flags & _FLAG_ENCRYPTED or method != _STORED:
        raise Refused(
            RefusalReason.ZIP_COMPRESSED,
            f"{name[:120]!r} in the ZIP is compressed or encrypted; members of a .conda must be stored uncompressed.",
            REPACK,
        )
    if flags & ~_ALLOWED_FLAGS:
        raise _bad(f"{name!r} uses ZIP features that are not allowed in a .conda")
    if unix_kind not in (0, _UNIX_REGULAR):
        raise Refused(RefusalReason.SPECIAL_MEMBER, f"{name[:120]!r} in the ZIP is a link or a special file.", REPACK)
    extra = directory[extra_at : extra_at + extra_length]
    size, packed, header_offset = _apply_zip64(name, extra, [size, packed, header_offset])
    if size != packed:
        raise _bad(f"{name!r} has two sizes")
    return _Entry(name, flags, crc32, size, header_offset), end


def _locate(file: BinaryIO, entry: _Entry) -> tuple[Span, int]:
    """Return a member's span and the offset after it; refuse a local header that does not match the directory."""
    file.seek(entry.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        raise _bad("a local header is cut short")
    magic, _, flags, method, _, _, crc32, packed, size, name_length, extra_length = _LOCAL.unpack(header)
    tail = file.read(name_length + extra_length)
    if magic != b"PK\x03\x04" or len(tail) < name_length + extra_length:
        raise _bad("a local header is damaged")
    name = _decode(tail[:name_length])
    if name != entry.name or method != _STORED or flags != entry.flags:
        raise _bad(f"the local header of {entry.name!r} does not match the directory")
    offset = entry.header_offset + _LOCAL.size + len(tail)
    span = Span(entry.name, offset, entry.size, entry.crc32)
    streamed = bool(flags & _FLAG_DESCRIPTOR)
    size, packed = _apply_zip64(name, tail[name_length:], [size, packed])
    stated = (crc32, size, packed)
    if stated == (entry.crc32, entry.size, entry.size) and not streamed:
        return span, offset + entry.size
    if not streamed or stated not in ((0, 0, 0), (entry.crc32, entry.size, entry.size)):
        raise _bad(f"the local header of {entry.name!r} has another size or checksum than the directory")
    return span, offset + entry.size + _descriptor_length(file, span)


def _descriptor_length(file: BinaryIO, span: Span) -> int:
    """Return the length of a streamed member's data descriptor: 32 or 64 bit sizes, with or without signature."""
    file.seek(span.offset + span.size)
    found = file.read(24)
    for layout, size in (("<3L", min(span.size, _MAX_32)), ("<L2Q", span.size)):
        body = struct.pack(layout, span.crc32, size, size)
        for descriptor in (b"PK\x07\x08" + body, body):
            if found.startswith(descriptor):
                return len(descriptor)
    raise _bad(f"the data descriptor of {span.name!r} does not match the directory")


def _apply_zip64(name: str, extra: bytes, fields: list[int]) -> list[int]:
    """Replace the fields that refer to ZIP64 (all bits set) with their 64 bit values, in the order of APPNOTE 4.5.3."""
    wide = _zip64_extra(name, extra)
    position, widened = 0, []
    for field in fields:
        if field != _MAX_32:
            widened.append(field)
            continue
        if position + 8 > len(wide):
            raise _bad(f"the ZIP64 field of {name!r} is missing or too short")
        widened.append(int.from_bytes(wide[position : position + 8], "little"))
        position += 8
    return widened


def _zip64_extra(name: str, extra: bytes) -> bytes:
    position, found = 0, b""
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if position + 4 + length > len(extra):
            raise _bad(f"an extra field of {name!r} is cut short")
        if kind not in _HARMLESS_EXTRAS:
            # One of the other fields gives the member another name, which only some readers use.
            raise _bad(f"{name!r} has the extra field {kind:#06x}")
        if kind == _ZIP64_EXTRA:
            if found:
                raise _bad(f"{name!r} has two ZIP64 fields")
            found = extra[position + 4 : position + 4 + length]
        position += 4 + length
    return found


def _decode(name: bytes) -> str:
    try:
        return name.decode("ascii")
    except UnicodeDecodeError:
        raise _bad("a member's name is not plain ASCII") from None


def _bad(what: str) -> Refused:
    return Refused(
        RefusalReason.BAD_ZIP,
        f"The file is not a well-formed .conda: {what}.",
        "Build the package again with a current tool.",
    )
