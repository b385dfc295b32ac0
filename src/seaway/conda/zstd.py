"""zstd as the index documents use it: always exactly one frame, always with its content size."""

import sys
from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression.zstd import (
        CompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
        compress,
        decompress,
    )
else:
    from backports.zstd import (
        CompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
        compress,
        decompress,
    )

__all__ = ["LEVEL", "ZstdError", "pack", "pack_checked", "pack_pieces", "unpack", "unpack_at_most"]

# Faster than 2 to 12 and smaller than they are, on real records: docs/decisions/zstd-level.md.
LEVEL = 1


def pack(content: bytes) -> bytes:
    """One frame of known size: conda caps frames that do not state it."""
    return compress(content, LEVEL)


def unpack(content: bytes) -> bytes:
    """The content of a frame that we packed; a stranger's could be of any size (`conda.archive` reads those)."""
    return decompress(content)


def pack_checked(content: bytes) -> bytes:
    """One frame that ends with a checksum of its content: whoever unpacks it notices damage."""
    return compress(
        content, options={CompressionParameter.compression_level: LEVEL, CompressionParameter.checksum_flag: 1}
    )


def unpack_at_most(content: bytes, limit: int) -> bytes:
    """The content of one frame from anywhere; `ZstdError` if it is damaged, cut off or larger than the limit."""
    decompressor = ZstdDecompressor()
    found = decompressor.decompress(content, limit + 1)
    if len(found) > limit or not decompressor.eof or decompressor.unused_data:
        raise ZstdError("it is not one whole frame within the limit")
    return found


def pack_pieces(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """One frame for `size` bytes that come in pieces; py-rattler reads only the first frame of a document."""
    compressor = ZstdCompressor(options={CompressionParameter.compression_level: LEVEL})
    compressor.set_pledged_input_size(size)
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()
