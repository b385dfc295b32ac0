"""zstd for index documents: always a single frame that states its content size."""

import sys
from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZstdError = zstd.ZstdError

# Faster than levels 2 to 12, with smaller results, on real records: docs/decisions/zstd-level.md.
LEVEL = 1


def compress_frame(content: bytes) -> bytes:
    """Compress to one frame that states its size: conda limits the size of other frames."""
    return zstd.compress(content, LEVEL)


def decompress_frame(content: bytes) -> bytes:
    """Decompress a frame made by this server; untrusted frames can be of any size and need `decompress_limited`."""
    return zstd.decompress(content)


def compress_with_checksum(content: bytes) -> bytes:
    """Compress to one frame with a checksum of its content, so that decompression detects damage."""
    return zstd.compress(
        content,
        options={zstd.CompressionParameter.compression_level: LEVEL, zstd.CompressionParameter.checksum_flag: 1},
    )


def decompress_limited(content: bytes, limit: int) -> bytes:
    """Decompress an untrusted frame; raise `ZstdError` if it is damaged, truncated or larger than the limit."""
    decompressor = zstd.ZstdDecompressor()
    found = decompressor.decompress(content, limit + 1)
    if len(found) > limit or not decompressor.eof or decompressor.unused_data:
        raise ZstdError("it is not a single complete frame within the limit")
    return found


def compress_pieces(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Compress `size` bytes that come in pieces to one frame; py-rattler reads only the first frame of a document."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.compression_level: LEVEL})
    compressor.set_pledged_input_size(size)
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()
