"""Those who index a folder of package files: py-rattler here, conda-index where there is one."""

import asyncio
import shutil
import subprocess
from pathlib import Path

from rattler.index import index_fs

from bench.recipes import SUBDIR
from tests.support.packages import PackageFile


class Folder:
    """A channel as a folder of package files, which is indexed after each change."""

    def __init__(self, folder: Path, files: Path) -> None:
        self.folder = folder
        (folder / "noarch").mkdir(parents=True)
        shutil.copytree(files, folder / SUBDIR)

    def add(self, file: PackageFile) -> None:
        """Put one more file there, as a copy would: without a sync."""
        file.write_to(self.folder / SUBDIR)

    def index_by_rattler(self) -> None:
        """All that py-rattler writes: repodata.json, its .zst and the shards."""
        asyncio.run(index_fs(self.folder, write_zst=True, write_shards=True))

    def index_by_conda(self, command: list[str]) -> None:
        """The same by conda-index."""
        options = ["--zst", "--write-shards", "--no-rss"]
        subprocess.run([*command, *options, str(self.folder)], check=True, capture_output=True)

    def names(self, file: PackageFile) -> bool:
        """Whether the repodata.json that was written names this file."""
        return f'"{file.name}"'.encode() in (self.folder / SUBDIR / "repodata.json").read_bytes()


def conda_index() -> list[str] | None:
    """The command of conda-index, or None where there is none."""
    if shutil.which("conda-index") is not None:
        return ["conda-index"]
    if shutil.which("conda") is not None:
        done = subprocess.run(["conda", "index", "--help"], check=False, capture_output=True)  # noqa: S607
        if done.returncode == 0:
            return ["conda", "index"]
    return None
