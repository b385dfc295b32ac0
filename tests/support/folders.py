"""Folders that the system refuses to list, whoever asks; permissions do not stop root."""

import os
from pathlib import Path

_NAME = "deep" * 50


def make_too_deep(folder: Path) -> Path:
    """Make folders below this one until the path of the last one is longer than the system takes; return the first."""
    folder.mkdir(parents=True, exist_ok=True)
    longest = os.pathconf(folder, "PC_PATH_MAX")
    parent = os.open(folder, os.O_RDONLY)
    for _ in range(longest // len(_NAME) + 1):
        os.mkdir(_NAME, dir_fd=parent)
        child = os.open(_NAME, os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = child
    os.close(parent)
    return folder / _NAME
