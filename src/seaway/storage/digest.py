"""The sha256 of a file's content."""

import hashlib
from typing import BinaryIO


def sha256_of(file: BinaryIO) -> bytes:
    """Return the sha256 of the file from its current position to the end; not of a `BytesIO`, which is hashed whole."""
    return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # every file has `readinto`
