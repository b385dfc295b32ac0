"""zstd as the index documents use it: always exactly one frame, always with its content size."""

import sys
from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, ZstdError, compress, decompress
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, ZstdError, compress, decompress

__all__ = ["LEVEL", "ZstdError", "pack", "pack_pieces", "unpack"]

# Faster than 2 to 12 and smaller than they are, on real records: docs/decisions/zstd-level.md.
LEVEL = 1


def pack(content: bytes) -> bytes:
    """One frame of known size: conda caps frames that do not state it."""
    return compress(content, LEVEL)


def unpack(content: bytes) -> bytes:
    """The content of a frame that we packed; a stranger's could be of any size (`conda.archive` reads those)."""
    return decompress(content)


def pack_pieces(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """One frame for `size` bytes that come in pieces; py-rattler reads only the first frame of a document."""
    compressor = ZstdCompressor(options={CompressionParameter.compression_level: LEVEL})
    compressor.set_pledged_input_size(size)
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()
