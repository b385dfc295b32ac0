"""The outer ZIP of a .conda: ambiguous files are refused, files of real writers are accepted."""

import bz2
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import (
    CONDA,
    STEM,
    STREAMED,
    TAR_BZ2,
    WIDE,
    ZipMember,
    descriptor,
    examine_file,
    zip64,
    zip_file,
)
from tests.support.packages import PackageFile, Tar, index_json, info_files, zstd

INFO_ZST = zstd.compress(Tar(info_files(index_json())).build())
PKG_ZST = zstd.compress(Tar({"share/demo.txt": b"demo"}).build())
METADATA = b'{"conda_pkg_format_version": 2}'

META, PKG, INFO = (
    ZipMember(name="metadata.json", data=METADATA),
    ZipMember(name=f"pkg-{STEM}.tar.zst", data=PKG_ZST),
    ZipMember(name=f"info-{STEM}.tar.zst", data=INFO_ZST),
)
VALID = zip_file(META, PKG, INFO)
DEFLATED = 8
ENCRYPTED = 0x1


def with_info(**fields: Any) -> bytes:
    """A .conda with these fields changed in its last member."""
    return zip_file(META, PKG, replace(INFO, **fields))


def with_meta(**fields: Any) -> bytes:
    """A .conda with these fields changed in its first member."""
    return zip_file(replace(META, **fields), PKG, INFO)


def metadata_json(data: bytes) -> bytes:
    return with_meta(data=data)


def deflated() -> bytes:
    packed = zlib.compress(INFO_ZST, wbits=-15)
    return with_info(data=packed, method=DEFLATED, size=len(INFO_ZST), packed=len(packed), crc32=zlib.crc32(INFO_ZST))


def overlapping() -> bytes:
    """Two directory entries point to the same member."""
    return zip_file(META, PKG, replace(INFO, offset=len(META.body())))


def with_zip64_end() -> bytes:
    """A second end record in 64 bits, which could state another size."""
    end_at = VALID.rindex(b"PK\5\6")
    wide_end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, end_at, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end_at, 1)
    return VALID[:end_at] + wide_end + locator + VALID[end_at:]


def renamed(name: str, true_name: str) -> bytes:
    """The extra field with which newer readers replace the name of a member."""
    body = b"\1" + struct.pack("<L", zlib.crc32(true_name.encode())) + name.encode()
    return struct.pack("<2H", 0x7075, len(body)) + body


def with_streamed_size(size: int) -> bytes:
    """A streamed member that claims more bytes than any file can have."""
    first = replace(META, flags=STREAMED, local_size=0, local_crc32=0, size=WIDE, extra=zip64(size, size))
    return zip_file(first, PKG, INFO)


def with_offset_beyond_any_file() -> bytes:
    """A second member after the first, which claims 8 exbibytes."""
    wide = zip64(1 << 63, 1 << 63)
    first = replace(META, size=WIDE, extra=wide, local_size=WIDE, local_extra=wide)
    offset = len(first.body()) - len(METADATA) + (1 << 63)
    return zip_file(first, replace(PKG, offset=WIDE, extra=zip64(offset)))


REFUSED: dict[str, tuple[RefusalReason, Callable[[], bytes]]] = {
    "no bytes": (RefusalReason.EMPTY_FILE, lambda: b""),
    "ten bytes": (RefusalReason.BAD_ZIP, lambda: b"PK\3\4 and so"),
    "a tar.bz2 under the wrong name": (
        RefusalReason.BAD_ZIP,
        lambda: bz2.compress(Tar({"info/index.json": b"{}"}).build()),
    ),
    "comment": (RefusalReason.BAD_ZIP, lambda: zip_file(META, PKG, INFO, comment=b"hello")),
    "comment on a member": (RefusalReason.BAD_ZIP, lambda: with_info(comment=b"hello")),
    "bytes before, offsets unchanged": (RefusalReason.BAD_ZIP, lambda: b"#!/bin/sh\n" + VALID),
    "bytes before, offsets moved": (RefusalReason.BAD_ZIP, lambda: with_meta(before=b"#!/bin/sh\n")),
    "bytes after the end": (RefusalReason.BAD_ZIP, lambda: VALID + b"\n"),
    "another ZIP after the end": (RefusalReason.BAD_ZIP, lambda: VALID + VALID),
    "gap between members": (RefusalReason.BAD_ZIP, lambda: with_info(before=b"\0")),
    "gap before the directory": (RefusalReason.BAD_ZIP, lambda: zip_file(META, PKG, INFO, gap=b"hidden")),
    "overlapping members": (RefusalReason.BAD_ZIP, overlapping),
    "member without a directory entry": (RefusalReason.BAD_ZIP, lambda: with_info(before=META.body())),
    "fewer members than claimed": (RefusalReason.BAD_ZIP, lambda: zip_file(META, PKG, INFO, count=4)),
    "more members than claimed": (RefusalReason.BAD_ZIP, lambda: zip_file(META, PKG, INFO, count=2)),
    "directory of 64 KiB": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(extra=struct.pack("<2H", 9, 65_531) + bytes(65_531)),
    ),
    "directory in 64 bits": (RefusalReason.BAD_ZIP, with_zip64_end),
    "metadata.json twice": (RefusalReason.DUPLICATE_MEMBER, lambda: zip_file(META, PKG, INFO, META)),
    "info part twice": (RefusalReason.DUPLICATE_MEMBER, lambda: zip_file(META, PKG, INFO, INFO)),
    "deflated member": (RefusalReason.ZIP_COMPRESSED, deflated),
    "zstd by ZIP's own method": (RefusalReason.ZIP_COMPRESSED, lambda: with_info(method=93)),
    "encrypted member": (RefusalReason.ZIP_COMPRESSED, lambda: with_info(flags=ENCRYPTED)),
    "strong encryption": (RefusalReason.BAD_ZIP, lambda: with_info(flags=0x40)),
    "masked local header": (RefusalReason.BAD_ZIP, lambda: with_info(flags=0x2000)),
    "local name differs": (RefusalReason.BAD_ZIP, lambda: with_info(local_name=f"xnfo-{STEM}.tar.zst")),
    "local name is longer": (RefusalReason.BAD_ZIP, lambda: with_info(local_name=f"info-{STEM}.tar.zst.exe")),
    "local size differs": (RefusalReason.BAD_ZIP, lambda: with_info(local_size=7)),
    "local checksum differs": (RefusalReason.BAD_ZIP, lambda: with_info(local_crc32=7)),
    "local flags differ": (RefusalReason.BAD_ZIP, lambda: with_info(local_flags=ENCRYPTED)),
    "local method differs": (RefusalReason.BAD_ZIP, lambda: with_info(local_method=DEFLATED)),
    "size in the directory differs": (RefusalReason.BAD_ZIP, lambda: with_info(size=7, packed=7)),
    "two sizes in the directory": (RefusalReason.BAD_ZIP, lambda: with_info(packed=7)),
    "checksum of metadata.json": (RefusalReason.ZIP_CHECKSUM, lambda: with_meta(crc32=7, local_crc32=7)),
    "checksum of the info part": (RefusalReason.ZIP_CHECKSUM, lambda: with_info(crc32=7, local_crc32=7)),
    "checksum of the pkg part": (
        RefusalReason.ZIP_CHECKSUM,
        lambda: zip_file(META, replace(PKG, crc32=7, local_crc32=7), INFO),
    ),
    "no metadata.json": (RefusalReason.ZIP_MEMBERS, lambda: zip_file(PKG, INFO)),
    "no pkg part": (RefusalReason.ZIP_MEMBERS, lambda: zip_file(META, INFO)),
    "no info part": (RefusalReason.ZIP_MEMBERS, lambda: zip_file(META, PKG)),
    "no member": (RefusalReason.ZIP_MEMBERS, zip_file),
    "extra member": (
        RefusalReason.ZIP_MEMBERS,
        lambda: zip_file(META, PKG, INFO, ZipMember(name="readme.txt", data=b"hi")),
    ),
    "extra part": (
        RefusalReason.ZIP_MEMBERS,
        lambda: zip_file(META, PKG, INFO, ZipMember(name="pkg-other-1.0-0.tar.zst", data=PKG_ZST)),
    ),
    "members in a folder": (RefusalReason.ZIP_MEMBERS, lambda: with_meta(name=f"{STEM}/metadata.json")),
    "member in the parent folder": (RefusalReason.ZIP_MEMBERS, lambda: with_meta(name="../metadata.json")),
    "member name that is not ASCII": (RefusalReason.BAD_ZIP, lambda: with_meta(name="metadata\u2024json")),
    "member name with a NUL": (RefusalReason.ZIP_MEMBERS, lambda: with_meta(name="metadata.json\0.exe")),
    "member renamed by an extra field": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(extra=renamed(f"pkg-{STEM}.tar.zst", INFO.name)),
    ),
    "folder": (RefusalReason.ZIP_MEMBERS, lambda: with_meta(attributes=0o040755 << 16)),
    "symlink": (RefusalReason.SPECIAL_MEMBER, lambda: with_meta(attributes=0o120777 << 16)),
    "device": (RefusalReason.SPECIAL_MEMBER, lambda: with_meta(attributes=0o060777 << 16)),
    "both parts of another package": (
        RefusalReason.STEM_MISMATCH,
        lambda: zip_file(
            META, replace(PKG, name="pkg-other-1.0-0.tar.zst"), replace(INFO, name="info-other-1.0-0.tar.zst")
        ),
    ),
    "info part of another package": (RefusalReason.STEM_MISMATCH, lambda: with_info(name="info-other-1.0-0.tar.zst")),
    "metadata.json is not JSON": (RefusalReason.BAD_FORMAT_VERSION, lambda: metadata_json(b"version 2")),
    "metadata.json is empty": (RefusalReason.BAD_FORMAT_VERSION, lambda: metadata_json(b"")),
    "metadata.json is a list": (RefusalReason.BAD_FORMAT_VERSION, lambda: metadata_json(b"[2]")),
    "metadata.json has no version": (RefusalReason.BAD_FORMAT_VERSION, lambda: metadata_json(b"{}")),
    "metadata.json has version 1": (
        RefusalReason.BAD_FORMAT_VERSION,
        lambda: metadata_json(b'{"conda_pkg_format_version": 1}'),
    ),
    "metadata.json has a text as version": (
        RefusalReason.BAD_FORMAT_VERSION,
        lambda: metadata_json(b'{"conda_pkg_format_version": "2"}'),
    ),
    "metadata.json nests deeply": (RefusalReason.BAD_FORMAT_VERSION, lambda: metadata_json(b"[" * 100_000)),
    "ZIP64 field missing": (RefusalReason.BAD_ZIP, lambda: with_info(size=WIDE)),
    "ZIP64 field too short": (RefusalReason.BAD_ZIP, lambda: with_info(size=WIDE, extra=zip64(len(INFO_ZST)))),
    "two ZIP64 fields": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(size=WIDE, extra=2 * zip64(len(INFO_ZST), len(INFO_ZST))),
    ),
    "extra field cut short": (RefusalReason.BAD_ZIP, lambda: with_info(extra=b"\1\0\x40\0short")),
    "ZIP64 sizes that differ": (RefusalReason.BAD_ZIP, lambda: with_info(size=WIDE, extra=zip64(1, 2))),
    "local ZIP64 size differs": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(local_size=WIDE, local_extra=zip64(7, 7)),
    ),
    "streamed, descriptor missing": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(flags=STREAMED, local_size=0, local_crc32=0),
    ),
    "streamed, descriptor of other bytes": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(flags=STREAMED, local_size=0, local_crc32=0, descriptor=descriptor(b"other")),
    ),
    "streamed, checksum only in the local header": (
        RefusalReason.BAD_ZIP,
        lambda: with_info(flags=STREAMED, local_size=0, descriptor=descriptor(INFO_ZST)),
    ),
    "descriptor without the flag": (RefusalReason.BAD_ZIP, lambda: with_info(descriptor=descriptor(INFO_ZST))),
    "16 exbibytes": (RefusalReason.BAD_ZIP, lambda: with_streamed_size((1 << 64) - 1)),
    "8 exbibytes": (RefusalReason.BAD_ZIP, lambda: with_streamed_size(1 << 63)),
    "4 exbibytes": (RefusalReason.BAD_ZIP, lambda: with_streamed_size(1 << 62)),
    "member at 8 exbibytes": (RefusalReason.BAD_ZIP, with_offset_beyond_any_file),
}

ACCEPTED: dict[str, Callable[[], bytes]] = {
    "plain": lambda: VALID,
    "info part first": lambda: zip_file(INFO, META, PKG),
    "made on DOS": lambda: with_info(made_by=0, attributes=0x20),
    "without attributes": lambda: with_info(attributes=0),
    "names flagged as UTF-8": lambda: with_info(flags=0x800),
    "level of the compressor in the flags": lambda: with_info(flags=0x6),
    "unknown extra field": lambda: with_info(extra=b"UT\5\0\1time", local_extra=b"UT\5\0\1time"),
    "local sizes in 64 bits": lambda: with_info(local_size=WIDE, local_extra=zip64(len(INFO_ZST), len(INFO_ZST))),
    "all sizes in 64 bits": lambda: with_info(
        size=WIDE,
        extra=zip64(len(INFO_ZST), len(INFO_ZST)),
        local_size=WIDE,
        local_extra=zip64(len(INFO_ZST), len(INFO_ZST)),
    ),
    "offset in 64 bits": lambda: zip_file(replace(META, offset=WIDE, extra=zip64(0)), PKG, INFO),
    "streamed": lambda: with_info(flags=STREAMED, local_size=0, local_crc32=0, descriptor=descriptor(INFO_ZST)),
    "streamed, no signature": lambda: with_info(
        flags=STREAMED, local_size=0, local_crc32=0, descriptor=descriptor(INFO_ZST, signed=False)
    ),
    "streamed, 64 bits": lambda: with_info(
        flags=STREAMED, local_size=0, local_crc32=0, descriptor=descriptor(INFO_ZST, wide=True)
    ),
    "streamed, sizes also in the local header": lambda: with_info(flags=STREAMED, descriptor=descriptor(INFO_ZST)),
    "metadata.json with other fields": lambda: metadata_json(b'{"by": "a tool", "conda_pkg_format_version": 2}\n'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_zip_is_refused(case: str, tmp_path: Path) -> None:
    """A .conda that is not a plain ZIP of exactly its three stored members is refused with the reason."""
    reason, build = REFUSED[case]
    with pytest.raises(Refused) as refused:
        examine_file(PackageFile(CONDA, build()), tmp_path)
    assert reason is refused.value.reason


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_valid_zip_is_accepted(case: str, tmp_path: Path) -> None:
    """Differences between real writers that all readers read alike are accepted."""
    candidate = examine_file(PackageFile(CONDA, ACCEPTED[case]()), tmp_path)
    assert CONDA == str(candidate.file_name)


@pytest.mark.parametrize("force_zip64", [False, True], ids=["32 bits", "64 bits"])
def test_a_zip_from_a_writer_that_cannot_seek_is_accepted(force_zip64: bool, tmp_path: Path) -> None:
    """A ZIP that Python's zipfile wrote to a pipe, with data descriptors, is read."""
    sink = Pipe()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as file:
        for member in (META, PKG, INFO):
            with file.open(zipfile.ZipInfo(member.name), "w", force_zip64=force_zip64) as opened:
                opened.write(member.data)
    assert CONDA == str(examine_file(PackageFile(CONDA, sink.content()), tmp_path).file_name)


@pytest.mark.parametrize("length", range(0, len(VALID), 29))
def test_a_zip_cut_short_is_refused(length: int, tmp_path: Path) -> None:
    """Every prefix of a valid .conda is refused."""
    with pytest.raises(Refused) as refused:
        examine_file(PackageFile(CONDA, VALID[:length]), tmp_path)
    assert refused.value.reason in (RefusalReason.BAD_ZIP, RefusalReason.EMPTY_FILE)


def test_a_conda_named_tar_bz2_is_refused(tmp_path: Path) -> None:
    """The extension decides how a file is read; a ZIP is not a bzip2 stream."""
    with pytest.raises(Refused) as refused:
        examine_file(PackageFile(TAR_BZ2, VALID), tmp_path)
    assert RefusalReason.BAD_COMPRESSION is refused.value.reason


class Pipe(io.RawIOBase):
    """A sink that cannot seek."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def content(self) -> bytes:
        return b"".join(self._written)
