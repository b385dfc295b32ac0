"""The spool: a file is held by its process, and what no process holds any more is taken away."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seaway.storage.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a file in the spool and waits."""
    script = """
import sys
from pathlib import Path
from seaway.storage.spool import Spool

with Spool(Path(sys.argv[1])).file() as file:
    file.write(b"half of an upload")
    file.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with process:
        yield process
        process.kill()


def test_a_file_is_gone_at_the_end(folder: Path) -> None:
    """What was not moved into the store is removed, whether the upload ended well or not."""
    with Spool(folder).file() as file:
        file.write(b"content")
        assert [Path(file.name)] == list(folder.iterdir())
    assert [] == list(folder.iterdir())
    with pytest.raises(ZeroDivisionError), Spool(folder).file():
        raise ZeroDivisionError
    assert [] == list(folder.iterdir())


def test_a_file_may_be_moved_away(folder: Path, tmp_path: Path) -> None:
    """A file that the store took is not missed."""
    with Spool(folder).file() as file:
        file.write(b"content")
        file.flush()
        Path(file.name).rename(tmp_path / "blob")
    assert b"content" == (tmp_path / "blob").read_bytes()


def test_a_file_can_be_read_while_it_is_written(folder: Path) -> None:
    """What is examined is what was written, read by its path."""
    with Spool(folder).file() as file:
        file.write(b"content")
        file.flush()
        assert b"content" == Path(file.name).read_bytes()


def test_files_have_names_of_their_own(folder: Path) -> None:
    """Uploads that arrive together do not meet, and nothing that a stranger typed is part of a name."""
    spool = Spool(folder)
    with spool.file() as one, spool.file() as other:
        assert one.name != other.name
        assert all(set(path.name) <= set("0123456789abcdef") for path in folder.iterdir())


def test_a_file_in_use_is_no_orphan(folder: Path) -> None:
    """An upload of this process goes on while the spool is swept, also by another part of the process."""
    with Spool(folder).file() as file:
        assert 0 == Spool(folder).clear_orphans()
        assert Path(file.name).exists()


def test_a_file_of_a_living_process_is_no_orphan(folder: Path, other_process: subprocess.Popen[str]) -> None:
    """Processes share a folder without taking each other's uploads; what a killed one left is taken."""
    spool = Spool(folder)
    assert 0 == spool.clear_orphans()
    assert 1 == len(list(folder.iterdir()))
    other_process.kill()
    other_process.wait()
    assert 1 == spool.clear_orphans()
    assert [] == list(folder.iterdir())


def test_only_orphans_are_taken(folder: Path) -> None:
    """Of files side by side those go that nobody holds, and their number is told."""
    spool = Spool(folder)
    for name in ("one", "two"):
        (folder / name).write_bytes(b"left by a kill")
    with spool.file() as file:
        assert 2 == spool.clear_orphans()
        assert [Path(file.name)] == list(folder.iterdir())
