"""Folders that the system refuses to list, even for root, to which permissions do not apply."""

import os
from pathlib import Path

_NAME = "deep" * 50


def make_too_deep(folder: Path) -> Path:
    """Nest folders in this one until the last path is longer than the system allows; return the outermost."""
    folder.mkdir(parents=True, exist_ok=True)
    max_length = os.pathconf(folder, "PC_PATH_MAX")
    parent = os.open(folder, os.O_RDONLY)
    for _ in range(max_length // len(_NAME) + 1):
        os.mkdir(_NAME, dir_fd=parent)
        child = os.open(_NAME, os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = child
    os.close(parent)
    return folder / _NAME
