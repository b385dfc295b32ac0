"""The hash of what a file holds."""

import hashlib
from typing import BinaryIO

_CHUNK_BYTES = 1024 * 1024


def sha256_of(file: BinaryIO) -> bytes:
    """Read the file to its end."""
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        found.update(chunk)
    return found.digest()
