"""The spool: a process holds its files, and files without a process are deleted."""

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
    """A waiting process with a file in the spool."""
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


def test_a_file_is_removed_at_the_end(folder: Path) -> None:
    """A file that was not moved is removed, whether the upload succeeded or failed."""
    with Spool(folder).file() as file:
        file.write(b"content")
        assert [Path(file.name)] == list(folder.iterdir())
    assert [] == list(folder.iterdir())
    with pytest.raises(ZeroDivisionError), Spool(folder).file():
        raise ZeroDivisionError
    assert [] == list(folder.iterdir())


def test_a_file_can_be_moved_into_the_store(folder: Path, tmp_path: Path) -> None:
    """The spool does not fail if its file is gone."""
    with Spool(folder).file() as file:
        file.write(b"content")
        file.flush()
        Path(file.name).rename(tmp_path / "blob")
    assert b"content" == (tmp_path / "blob").read_bytes()


def test_a_file_can_be_read_while_it_is_written(folder: Path) -> None:
    """The examiner reads the written bytes through the path."""
    with Spool(folder).file() as file:
        file.write(b"content")
        file.flush()
        assert b"content" == Path(file.name).read_bytes()


def test_files_have_unique_names(folder: Path) -> None:
    """Concurrent uploads do not collide, and no user input is part of a name."""
    spool = Spool(folder)
    with spool.file() as first, spool.file() as second:
        assert first.name != second.name
        assert all(set(path.name) <= set("0123456789abcdef") for path in folder.iterdir())


def test_a_file_in_use_is_not_an_orphan(folder: Path) -> None:
    """Sweeping the spool does not affect running uploads of the same process."""
    with Spool(folder).file() as file:
        assert 0 == Spool(folder).clear_orphans()
        assert Path(file.name).exists()


def test_a_file_of_a_running_process_is_not_an_orphan(folder: Path, other_process: subprocess.Popen[str]) -> None:
    """Processes share a folder without deleting each other's uploads; files of killed processes are deleted."""
    spool = Spool(folder)
    assert 0 == spool.clear_orphans()
    assert 1 == len(list(folder.iterdir()))
    other_process.kill()
    other_process.wait()
    assert 1 == spool.clear_orphans()
    assert [] == list(folder.iterdir())


def test_only_orphans_are_deleted(folder: Path) -> None:
    """Files that no process holds are deleted and counted."""
    spool = Spool(folder)
    for name in ("one", "two"):
        (folder / name).write_bytes(b"left by a kill")
    with spool.file() as file:
        assert 2 == spool.clear_orphans()
        assert [Path(file.name)] == list(folder.iterdir())
