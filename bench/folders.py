"""Temporary folders."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(inside: Path | None) -> Iterator[Path]:
    """Create a temporary folder inside the given one, on the disk to measure; remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="seaway-bench-", dir=inside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
