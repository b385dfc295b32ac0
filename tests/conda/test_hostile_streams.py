"""The compressed streams of a package: exactly one complete frame or stream, within the limits."""

import bz2
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seaway.conda.limits import MIB, ArchiveLimits
from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import (
    CONDA,
    END_OF_TAR,
    STEM,
    TAR_BZ2,
    examine_file,
    header,
    member,
    members_of,
    zstd_frame,
)
from tests.support.packages import PackageFile, Tar, conda_bytes, index_json, info_files, zstd

INFO = Tar(info_files(index_json())).build()
PKG = Tar({"share/demo.txt": b"demo"}).build()
INFO_ZST, PKG_ZST = zstd.compress(INFO), zstd.compress(PKG)
WHOLE = members_of({**info_files(index_json()), "share/demo.txt": b"demo"}) + END_OF_TAR
WHOLE_BZ2 = bz2.compress(WHOLE)

SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<L", 5) + b"hello"
# A frame's window descriptor: five bits of exponent above 1 KiB, three of eighths (RFC 8878).
WINDOW_128_KIB = 7 << 3
WINDOW_128_MIB = 17 << 3
WINDOW_144_MIB = 17 << 3 | 1
WINDOW_256_MIB = 18 << 3
_SINGLE_SEGMENT = 0xA0  # no window; the content size in four bytes


def info_part(data: bytes) -> PackageFile:
    return PackageFile(CONDA, conda_bytes(STEM, info_zst=data, pkg_tar=PKG))


def pkg_part(data: bytes) -> PackageFile:
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_zst=data))


def bzip2(data: bytes) -> PackageFile:
    return PackageFile(TAR_BZ2, data)


def single_segment(size: int, blocks: bytes) -> bytes:
    """A frame whose window is its whole content."""
    return b"\x28\xb5\x2f\xfd" + bytes([_SINGLE_SEGMENT]) + struct.pack("<L", size) + blocks


def with_dictionary() -> bytes:
    """A frame that needs a dictionary, which no client has."""
    return b"\x28\xb5\x2f\xfd\x01\x68\x07" + zstd_frame((PKG, 1))[6:]


def with_checksum(damage: int) -> bytes:
    """A frame that ends with a checksum of its content."""
    packed = zstd.compress(PKG, options={zstd.CompressionParameter.checksum_flag: 1})
    return packed[:-1] + bytes([packed[-1] ^ damage])


def zeros_in_tar(path: str, size: int, *before: bytes) -> bytes:
    """A zstd bomb: one member of zeros."""
    return zstd_frame((b"".join(before) + header(path, size=size), 1), (b"\0", size), (END_OF_TAR, 1))


def zeros_after_tar(tar: bytes, size: int) -> bytes:
    """A zstd bomb after the end of the tar, which readers that stop at the end do not see."""
    return zstd_frame((tar, 1), (b"\0", size))


def zeros_in_bz2(size: int) -> bytes:
    """A bzip2 bomb in a member."""
    return bz2.compress(members_of(info_files(index_json())) + header("zeros", size=size) + bytes(size) + END_OF_TAR)


REFUSED: dict[str, tuple[RefusalReason, Callable[[], PackageFile]]] = {
    "zstd: no bytes": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(b"")),
    "zstd: only the magic": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST[:4])),
    "zstd: not zstd": (RefusalReason.BAD_COMPRESSION, lambda: info_part(bz2.compress(INFO))),
    "zstd: plain tar": (RefusalReason.BAD_COMPRESSION, lambda: info_part(INFO)),
    "zstd: info cut short": (RefusalReason.BAD_COMPRESSION, lambda: info_part(INFO_ZST[: len(INFO_ZST) // 2])),
    "zstd: pkg cut short": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST[: len(PKG_ZST) // 2])),
    "zstd: the last byte missing": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST[:-1])),
    "zstd: two frames in info": (RefusalReason.BAD_COMPRESSION, lambda: info_part(INFO_ZST + zstd.compress(b""))),
    "zstd: two frames in pkg": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST + PKG_ZST)),
    "zstd: tar over two frames": (
        RefusalReason.BAD_COMPRESSION,
        lambda: pkg_part(zstd.compress(PKG[:512]) + zstd.compress(PKG[512:])),
    ),
    "zstd: skippable frame before": (RefusalReason.BAD_COMPRESSION, lambda: info_part(SKIPPABLE + INFO_ZST)),
    "zstd: skippable frame after": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST + SKIPPABLE)),
    "zstd: garbage after": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST + b"garbage")),
    "zstd: one NUL after": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST + b"\0")),
    "zstd: a megabyte after": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(PKG_ZST + bytes(MIB))),
    "zstd: damaged content": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(with_checksum(1))),
    "zstd: reserved kind of block": (
        RefusalReason.BAD_COMPRESSION,
        lambda: pkg_part(b"\x28\xb5\x2f\xfd\0\x68\x07\0\0"),
    ),
    "zstd: needs a dictionary": (RefusalReason.BAD_COMPRESSION, lambda: pkg_part(with_dictionary())),
    "zstd: another content size": (
        RefusalReason.BAD_COMPRESSION,
        lambda: pkg_part(single_segment(len(PKG) + 1, zstd_frame((PKG, 1))[6:])),
    ),
    "zstd: window of 144 MiB": (
        RefusalReason.WINDOW_TOO_LARGE,
        lambda: pkg_part(zstd_frame((PKG, 1), window=WINDOW_144_MIB)),
    ),
    "zstd: window of 256 MiB": (
        RefusalReason.WINDOW_TOO_LARGE,
        lambda: info_part(zstd_frame((INFO, 1), window=WINDOW_256_MIB)),
    ),
    "zstd: window of 3 TiB": (RefusalReason.WINDOW_TOO_LARGE, lambda: pkg_part(zstd_frame((PKG, 1), window=0xFF))),
    "zstd: window of its content of 200 MiB": (
        RefusalReason.WINDOW_TOO_LARGE,
        lambda: pkg_part(single_segment(200 * MIB, zstd_frame((b"\0", 200 * MIB))[6:])),
    ),
    "zstd: bomb in a file of info": (
        RefusalReason.INFO_TOO_LARGE,
        lambda: info_part(zeros_in_tar("info/zeros", 65 * MIB, members_of(info_files(index_json())))),
    ),
    "zstd: bomb in index.json": (
        RefusalReason.INFO_TOO_LARGE,
        lambda: info_part(zeros_in_tar("info/index.json", 5 * MIB)),
    ),
    "zstd: bomb in about.json": (
        RefusalReason.INFO_TOO_LARGE,
        lambda: info_part(zeros_in_tar("info/about.json", 2 * MIB)),
    ),
    "zstd: bomb in paths.json": (
        RefusalReason.INFO_TOO_LARGE,
        lambda: info_part(zeros_in_tar("info/paths.json", 65 * MIB)),
    ),
    "zstd: bomb after info": (RefusalReason.UNPACKS_TOO_LARGE, lambda: info_part(zeros_after_tar(INFO, 65 * MIB))),
    "zstd: bomb in pkg": (RefusalReason.UNPACKS_TOO_LARGE, lambda: pkg_part(zeros_in_tar("zeros", 80 * MIB))),
    "zstd: bomb after pkg": (RefusalReason.UNPACKS_TOO_LARGE, lambda: pkg_part(zeros_after_tar(PKG, 80 * MIB))),
    "bzip2: not bzip2": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE)),
    "bzip2: only the magic": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(b"BZh9")),
    "bzip2: cut short": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2[: len(WHOLE_BZ2) // 2])),
    "bzip2: the last byte missing": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2[:-1])),
    "bzip2: two streams": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2 + bz2.compress(b""))),
    "bzip2: tar over two streams": (
        RefusalReason.BAD_COMPRESSION,
        lambda: bzip2(bz2.compress(WHOLE[:512]) + bz2.compress(WHOLE[512:])),
    ),
    "bzip2: garbage after": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2 + b"garbage")),
    "bzip2: one NUL after": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2 + b"\0")),
    "bzip2: a megabyte after": (RefusalReason.BAD_COMPRESSION, lambda: bzip2(WHOLE_BZ2 + bytes(MIB))),
    "bzip2: wrong checksum": (
        RefusalReason.BAD_COMPRESSION,
        lambda: bzip2(WHOLE_BZ2[:10] + bytes([WHOLE_BZ2[10] ^ 1]) + WHOLE_BZ2[11:]),
    ),
    "bzip2: empty stream": (RefusalReason.BAD_TAR, lambda: bzip2(bz2.compress(b""))),
    "bzip2: bomb": (RefusalReason.UNPACKS_TOO_LARGE, lambda: bzip2(zeros_in_bz2(66 * MIB))),
}

SMALL = ArchiveLimits(min_unpacked_bytes=MIB, unpacked_bytes_per_byte=0, info_bytes=MIB)


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_stream_is_refused(case: str, tmp_path: Path) -> None:
    """A stream that is damaged, followed by other bytes or above the limits is refused with the reason."""
    reason, build = REFUSED[case]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path)
    assert reason is refused.value.reason


@pytest.mark.parametrize(
    ("level", "options"),
    [
        pytest.param(1, None, id="level 1"),
        pytest.param(22, None, id="level 22"),
        pytest.param(None, {zstd.CompressionParameter.checksum_flag: 1}, id="with a checksum"),
        pytest.param(None, {zstd.CompressionParameter.content_size_flag: 0}, id="without a content size"),
        pytest.param(None, {zstd.CompressionParameter.window_log: 27}, id="window of 128 MiB"),
    ],
)
def test_a_valid_frame_is_accepted(level: int | None, options: dict[Any, int] | None, tmp_path: Path) -> None:
    """Every form in which zstd writes one frame within the window is read."""
    candidate = examine_file(pkg_part(zstd.compress(PKG, level, options)), tmp_path)
    assert CONDA == str(candidate.file_name)


@pytest.mark.parametrize("window", [WINDOW_128_KIB, WINDOW_128_MIB], ids=["128 KiB", "128 MiB"])
def test_a_window_up_to_the_limit_is_accepted(window: int, tmp_path: Path) -> None:
    """A frame can require 128 MiB, the default limit of decoders."""
    assert CONDA == str(examine_file(pkg_part(zstd_frame((PKG, 1), window=window)), tmp_path).file_name)


def test_a_streamed_frame_is_accepted(tmp_path: Path) -> None:
    """A frame of unknown content size, in several flushed blocks, is one frame."""
    compressor = zstd.ZstdCompressor()
    packed = compressor.compress(PKG[:700], compressor.FLUSH_BLOCK) + compressor.compress(PKG[700:])
    assert CONDA == str(examine_file(pkg_part(packed + compressor.flush()), tmp_path).file_name)


@pytest.mark.parametrize(
    ("size", "is_accepted"),
    [(MIB - len(header("zeros")) - len(END_OF_TAR), True), (MIB - len(END_OF_TAR), False)],
    ids=["at the limit", "above the limit"],
)
def test_the_limit_counts_unpacked_bytes(size: int, is_accepted: bool, tmp_path: Path) -> None:
    """The limit counts all unpacked bytes, including headers, and is inclusive."""
    file = pkg_part(zeros_in_tar("zeros", size))
    if is_accepted:
        assert CONDA == str(examine_file(file, tmp_path, SMALL).file_name)
    else:
        with pytest.raises(Refused) as refused:
            examine_file(file, tmp_path, SMALL)
        assert RefusalReason.UNPACKS_TOO_LARGE is refused.value.reason


def test_a_larger_file_can_unpack_to_more(tmp_path: Path) -> None:
    """The limit grows with the file: here 1,024 unpacked bytes for each uploaded byte."""
    limits = ArchiveLimits(min_unpacked_bytes=0, unpacked_bytes_per_byte=1024)
    body = member("padding", bytes(range(256)) * 64) + header("zeros", size=8 * MIB)
    file = pkg_part(zstd_frame((body, 1), (b"\0", 8 * MIB), (END_OF_TAR, 1)))
    assert CONDA == str(examine_file(file, tmp_path, limits).file_name)


TAR = Tar({**info_files(index_json()), "share/x": bytes(range(256)) * 5_000}).build()
HALF = len(TAR) // 2


@pytest.mark.parametrize("cut", [HALF, len(TAR)])
def test_several_bzip2_streams_are_refused_with_a_hint_that_works(cut: int, tmp_path: Path) -> None:
    """pbzip2 writes a stream per 900 kB, of which py-rattler reads only the first; a single stream is accepted."""
    content = bz2.compress(TAR[:cut]) + bz2.compress(TAR[cut:])
    with pytest.raises(
        Refused, match=r"several bzip2 streams, as pbzip2 .*bzcat OLD\.tar\.bz2 \| bzip2 > NEW"
    ) as refused:
        examine_file(PackageFile(TAR_BZ2, content), tmp_path)
    assert RefusalReason.BAD_COMPRESSION is refused.value.reason
    assert TAR_BZ2 == str(examine_file(PackageFile(TAR_BZ2, bz2.compress(bz2.decompress(content))), tmp_path).file_name)


@pytest.mark.parametrize(("before", "after"), [(b"", zstd.compress(b"")), (SKIPPABLE, b""), (b"", SKIPPABLE)])
def test_several_zstd_frames_are_refused_with_a_hint_that_works(before: bytes, after: bytes, tmp_path: Path) -> None:
    """pzstd begins with a skippable frame; some releases of conda-package-streaming stop after the first frame."""
    pkg = Tar({"share/x": b"x"}).build()
    info = Tar(info_files(index_json())).build()
    content = conda_bytes(STEM, info_tar=info, pkg_zst=before + zstd.compress(pkg) + after)
    with pytest.raises(Refused, match=r"The pkg part .* several zstd frames, as pzstd .*zstdcat OLD") as refused:
        examine_file(PackageFile(CONDA, content), tmp_path)
    assert RefusalReason.BAD_COMPRESSION is refused.value.reason
