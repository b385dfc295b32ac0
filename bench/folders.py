"""Folders for a while."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(inside: Path | None) -> Iterator[Path]:
    """A new folder that is removed at the end; the disk that it is on is the one that is measured."""
    folder = Path(tempfile.mkdtemp(prefix="seaway-bench-", dir=inside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
