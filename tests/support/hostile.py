"""Archives that no build tool writes: ZIPs, tars and compressed streams assembled by byte, each with one error."""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seaway.conda import filename
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest
from seaway.publishing.examine import Candidate, examine
from tests.support.packages import PackageFile

CONTROLS = [*map(chr, [*range(0x20), *range(0x7F, 0xA0)]), "\u2028", "\u2029"]
STEM = "demo-1.0-h1_0"
CONDA = f"{STEM}.conda"
TAR_BZ2 = f"{STEM}.tar.bz2"
BLOCK = 512
END_OF_TAR = bytes(2 * BLOCK)

# ZIP: a flag, and the value that refers to the ZIP64 field.
STREAMED = 0x8
WIDE = 0xFFFFFFFF
_UNIX = 3 << 8
_RLE_BLOCK_BYTES = 128 * 1024


def digest_of(content: bytes) -> FileDigest:
    """Return the hashes and size of these bytes."""
    return FileDigest(
        hashlib.sha256(content).digest(), hashlib.md5(content, usedforsecurity=False).digest(), len(content)
    )


def examine_file(
    file: PackageFile, folder: Path, limits: ArchiveLimits | None = None, *, refuse_escaping_links: bool = False
) -> Candidate:
    """Examine a file in this process."""
    path = file.write_to(folder)
    return examine(
        path,
        filename.parse(file.name),
        digest_of(file.content),
        limits or ArchiveLimits(),
        refuse_escaping_links=refuse_escaping_links,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """A member of a ZIP; fields that are None have the true value; `local_*` are the fields of the local header."""

    name: str
    data: bytes
    flags: int = 0
    method: int = 0
    crc32: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    made_by: int = _UNIX
    attributes: int = 0o100644 << 16
    local_name: str | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc32: int | None = None
    local_size: int | None = None
    local_extra: bytes = b""
    descriptor: bytes = b""
    before: bytes = b""

    def body(self) -> bytes:
        """Return the local header, the data and the data descriptor."""
        name = (self.local_name or self.name).encode()
        size = _first(self.local_size, len(self.data))
        flags, method = _first(self.local_flags, self.flags), _first(self.local_method, self.method)
        crc32 = _first(self.local_crc32, zlib.crc32(self.data))
        head = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 0, crc32, size, size, len(name), len(self.local_extra)
        )
        return self.before + head + name + self.local_extra + self.data + self.descriptor

    def entry(self, offset: int) -> bytes:
        """Return the entry of the central directory."""
        name = self.name.encode()
        size = _first(self.size, len(self.data))
        crc32 = _first(self.crc32, zlib.crc32(self.data))
        return (
            struct.pack(
                "<4s6H3L5H2L", b"PK\1\2", self.made_by, 20, self.flags, self.method, 0, 0, crc32,
                _first(self.packed, size), size, len(name), len(self.extra), len(self.comment), 0, 0, self.attributes,
                _first(self.offset, offset + len(self.before)),
            )
            + name
            + self.extra
            + self.comment
        )  # fmt: skip


def zip_file(*members: ZipMember, comment: bytes = b"", gap: bytes = b"", count: int | None = None) -> bytes:
    """Return a ZIP of these members, with `gap` before the directory, which claims to have `count` entries."""
    bodies, entries = b"", b""
    for member in members:
        entries += member.entry(len(bodies))
        bodies += member.body()
    bodies += gap
    claimed = _first(count, len(members))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, claimed, claimed, len(entries), len(bodies), len(comment))
    return bodies + entries + end + comment


def zip64(*values: int) -> bytes:
    """Return the extra field with the sizes and offsets that do not fit into 32 bits."""
    return struct.pack("<2H", 1, 8 * len(values)) + b"".join(struct.pack("<Q", value) for value in values)


def descriptor(data: bytes, *, wide: bool = False, signed: bool = True) -> bytes:
    """Return the data descriptor that streaming writers put after the data."""
    sizes = struct.pack("<2Q" if wide else "<2L", len(data), len(data))
    return (b"PK\7\10" if signed else b"") + struct.pack("<L", zlib.crc32(data)) + sizes


def header(
    path: str | bytes,
    *,
    size: int = 0,
    kind: bytes = b"0",
    target: str = "",
    prefix: bytes = b"",
    magic: bytes = b"ustar\00000",
    size_field: bytes | None = None,
    checksum: bytes | None = None,
) -> bytes:
    """Return the header block of a member of a tar."""
    name = path if isinstance(path, bytes) else path.encode()
    fields = [
        name.ljust(100, b"\0"),
        b"0000644\0" + 2 * b"0000000\0",
        b"%011o\0" % size if size_field is None else size_field,
        b"00000000000\0",
        b" " * 8,
        kind,
        target.encode().ljust(100, b"\0"),
        magic.ljust(8, b"\0"),
        bytes(80),
        prefix.ljust(155, b"\0"),
    ]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    checksum_field = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + checksum_field + block[156:]


def member(path: str | bytes, content: bytes = b"", **fields: object) -> bytes:
    """Return a member of a tar with padded content; the fields are those of `header`."""
    fields = {"size": len(content), **fields}
    return header(path, **fields) + padded(content)  # type: ignore[arg-type]


def link(path: str, target: str, kind: bytes = b"2") -> bytes:
    """Return a symbolic link, or with kind `1` a hard link."""
    return header(path, kind=kind, target=target)


def pax(records: Mapping[str, str], kind: bytes = b"x") -> bytes:
    """Return the POSIX extension header of the next member, or with kind `g` of all following members."""
    data = b"".join(pax_record(key, value.encode()) for key, value in records.items())
    return member("PaxHeaders/0", data, kind=kind)


def pax_record(key: str, value: bytes) -> bytes:
    """Return one `length key=value` line."""
    rest = b" %b=%b\n" % (key.encode(), value)
    length = len(rest) + 1
    while len(rest) + len(str(length)) != length:
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def gnu_long(path: str, kind: bytes = b"L") -> bytes:
    """Return the GNU tar extension header for a long path, or with kind `K` for a long target."""
    return member("././@LongLink", path.encode() + b"\0", kind=kind)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def members_of(files: Mapping[str, bytes]) -> bytes:
    """Return plain members, without the end of the tar."""
    return b"".join(member(path, content) for path, content in files.items())


def zstd_frame(*blocks: tuple[bytes, int], window: int = 0x68) -> bytes:
    """
    Return a zstd frame (RFC 8878) of (content, times) blocks without compression.

    One repeated byte becomes RLE blocks of 128 KiB in four bytes each: a bomb of any size.
    The default window descriptor requires 8 MiB.
    """
    pieces = [piece for content, times in blocks for piece in _zstd_blocks(content, times)]
    body = b"".join(
        (kind << 1 | size << 3 | (position == len(pieces) - 1)).to_bytes(3, "little") + content
        for position, (kind, size, content) in enumerate(pieces)
    )
    return b"\x28\xb5\x2f\xfd" + bytes([0, window]) + body


def _zstd_blocks(content: bytes, times: int) -> list[tuple[int, int, bytes]]:
    if times == 1:
        starts = range(0, len(content), _RLE_BLOCK_BYTES)
        parts = [content[start : start + _RLE_BLOCK_BYTES] for start in starts]
        return [(0, len(part), part) for part in parts]
    whole, rest = divmod(times, _RLE_BLOCK_BYTES)
    blocks = [(1, _RLE_BLOCK_BYTES, content)] * whole
    return [*blocks, (1, rest, content)] if rest else blocks


def _first(value: int | None, default: int) -> int:
    return default if value is None else value
