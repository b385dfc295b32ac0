"""Peers that index a folder of package files: py-rattler, and conda-index if it is installed."""

import asyncio
import shutil
import subprocess
from pathlib import Path

from rattler.index import index_fs

from bench.synthetic_packages import SUBDIR
from tests.support.packages import PackageFile


class Folder:
    """Channel in a folder of package files, which is indexed after each change."""

    def __init__(self, folder: Path, files: Path) -> None:
        self.folder = folder
        (folder / "noarch").mkdir(parents=True)
        shutil.copytree(files, folder / SUBDIR)

    def add(self, file: PackageFile) -> None:
        """Add a file without a sync, like a copy."""
        file.write_to(self.folder / SUBDIR)

    def index_by_rattler(self) -> None:
        """Write all index documents of py-rattler: repodata.json, its .zst and the shards."""
        asyncio.run(index_fs(self.folder, write_zst=True, write_shards=True))

    def index_by_conda(self, command: list[str]) -> None:
        """Write the same documents with conda-index."""
        options = ["--zst", "--write-shards", "--no-rss"]
        subprocess.run([*command, *options, str(self.folder)], check=True, capture_output=True)

    def contains(self, file: PackageFile) -> bool:
        """Return whether the written repodata.json contains this file."""
        return f'"{file.name}"'.encode() in (self.folder / SUBDIR / "repodata.json").read_bytes()


def conda_index() -> list[str] | None:
    """Return the command that runs conda-index, or None if it is not installed."""
    if shutil.which("conda-index") is not None:
        return ["conda-index"]
    if shutil.which("conda") is not None:
        done = subprocess.run(["conda", "index", "--help"], check=False, capture_output=True)  # noqa: S607
        if done.returncode == 0:
            return ["conda", "index"]
    return None
