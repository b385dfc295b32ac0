"""
Bounded decompression of zstd and bzip2 streams.

The uploader controls the stream, so every step is bounded: 208 bytes of bzip2 can unpack to 256 MiB (measured), and a
zstd header can request a window of gigabytes. Only a single stream or frame is accepted, since clients differ in what
they do with a second one: py-rattler 0.28 stops after the first bzip2 stream, and releases of conda-package-streaming
that use python-zstandard stop after the first zstd frame.
"""

import bz2
import sys
from collections.abc import Iterator
from itertools import chain

from seaway.conda.refusals import RefusalReason, Refused

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

MAX_WINDOW_LOG = 27  # 128 MiB, the default limit of zstd itself

_PIECE_BYTES = 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_FIRST, _SKIPPABLE_MAGIC = 0x50, b"\x2a\x4d\x18"  # RFC 8878, 3.1.2: 0x184D2A50 to 0x184D2A5F
_MIN_WINDOW_LOG = 10
_SINGLE_SEGMENT = 0x20
_MIN_FRAME_BYTES = 9  # magic, descriptor, one byte of window or size, one block header


def decompress_zstd(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Yield the content of a single zstd frame in pieces of at most 1 MiB."""
    decompressor = ZstdDecompressor(options={DecompressionParameter.window_log_max: MAX_WINDOW_LOG})
    first = next(chunks, b"")
    _check_window(first, what)
    try:
        yield from _pieces(decompressor, chain((first,), chunks), what)
    except ZstdError as error:
        raise _damaged(what) from error


def decompress_bzip2(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Yield the content of a single bzip2 stream in pieces of at most 1 MiB."""
    try:
        yield from _pieces(bz2.BZ2Decompressor(), chunks, what)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a disk error: errors of bzip2 have no errno
        raise _damaged(what) from error


def _pieces(
    decompressor: bz2.BZ2Decompressor | ZstdDecompressor, chunks: Iterator[bytes], what: str
) -> Iterator[bytes]:
    for chunk in chunks:
        if decompressor.eof:
            raise _trailing_data(what, chunk)
        yield decompressor.decompress(chunk, _PIECE_BYTES)
        while not decompressor.needs_input and not decompressor.eof:
            yield decompressor.decompress(b"", _PIECE_BYTES)
        if decompressor.unused_data:
            raise _trailing_data(what, decompressor.unused_data + next(chunks, b""))
    if not decompressor.eof:
        raise _damaged(what, "is cut short")


def _check_window(head: bytes, what: str) -> None:
    """Refuse a frame whose header requests a window above the limit (RFC 8878, 3.1.1.1)."""
    if _is_skippable(head):
        raise _trailing_data(what, head)
    if not head.startswith(_ZSTD_MAGIC) or len(head) < _MIN_FRAME_BYTES:
        raise _damaged(what)
    if _window_bytes(head) > 1 << MAX_WINDOW_LOG:
        raise Refused(
            RefusalReason.WINDOW_TOO_LARGE,
            f"{what} needs a window of more than {1 << (MAX_WINDOW_LOG - 20)} MiB to unpack.",
            "Compress it with zstd without --long, or with --long=27 at most; clients refuse larger windows too.",
        )


def _window_bytes(head: bytes) -> int:
    descriptor = head[4]
    if not descriptor & _SINGLE_SEGMENT:
        exponent, mantissa = head[5] >> 3, head[5] & 7
        base = 1 << (_MIN_WINDOW_LOG + exponent)
        return base + base // 8 * mantissa
    start = 5 + (0, 1, 2, 4)[descriptor & 3]  # after the dictionary ID
    length = (1, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(head[start : start + length], "little")  # the window is as large as the content


def _damaged(what: str, problem: str = "is damaged") -> Refused:
    return Refused(
        RefusalReason.BAD_COMPRESSION,
        f"{what} {problem}.",
        "Check the original file and upload it again, or build the package again.",
    )


def _is_skippable(head: bytes) -> bool:
    return head[1:4] == _SKIPPABLE_MAGIC and head[0] & 0xF0 == _SKIPPABLE_FIRST


def _trailing_data(what: str, rest: bytes) -> Refused:
    """Return the refusal for a second stream or frame, or for other bytes after the end."""
    if rest.startswith(b"BZh"):
        problem = (
            "consists of several bzip2 streams, as pbzip2 writes them, and clients built on rattler read only the first"
        )
        hint = "Compress it again as one stream: bzcat OLD.tar.bz2 | bzip2 > NEW.tar.bz2"
    elif rest.startswith(_ZSTD_MAGIC) or _is_skippable(rest):
        problem = (
            "consists of several zstd frames, as pzstd writes them, and some releases of conda read only the first"
        )
        hint = "Compress it again as one frame: zstdcat OLD.tar.zst | zstd -19 > NEW.tar.zst"
    else:
        problem, hint = "is followed by other bytes", "Upload the file as the build tool wrote it."
    return Refused(RefusalReason.BAD_COMPRESSION, f"{what} {problem}.", hint)
