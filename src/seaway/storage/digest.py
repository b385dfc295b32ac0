"""The sha256 of a file's content."""

import hashlib
from typing import BinaryIO

_CHUNK_BYTES = 1024 * 1024


def sha256_of(file: BinaryIO) -> bytes:
    """Return the sha256 of the file from its current position to the end."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
