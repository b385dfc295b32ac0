"""The file that reserves space for deletions: when it exists, when it is used, and what is refused then."""

import errno
import os
from pathlib import Path

import pytest

from seaway.errors import DiskFull, Unavailable
from seaway.storage.disk_reserve import Reserve
from tests.contracts.conftest import run_concurrently

SIZE = 1_000_000
LARGER_THAN_DISK = 1 << 60


class Change:
    """A change that fails a given number of times."""

    def __init__(self, error: Exception, times: int = 1) -> None:
        self._error, self._times = error, times
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self._times:
            raise self._error
        return "done"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reserve"


def test_the_file_allocates_its_space(path: Path) -> None:
    """Invariant 1: allocated and not sparse, readable only by its owner, filled once by concurrent processes."""
    reserves = [Reserve(path, SIZE) for _ in range(4)]
    run_concurrently([reserve.fill for reserve in reserves])
    stat = path.stat()
    assert (SIZE, 0o600) == (stat.st_size, stat.st_mode & 0o777)
    assert stat.st_blocks * 512 >= SIZE
    Reserve(path, 2 * SIZE).fill()
    assert 2 * SIZE == path.stat().st_size


def test_no_file_without_free_space_of_twice_its_size(path: Path, tmp_path: Path) -> None:
    """Invariant 4: holds at the first start and after the reserve was used."""
    reserve = Reserve(path, LARGER_THAN_DISK)
    reserve.fill()
    assert not path.exists()
    reserve.require_room()
    free = os.statvfs(tmp_path)
    Reserve(path, free.f_bavail * free.f_frsize * 2 // 3).fill()
    assert not path.exists()


def test_a_reserve_of_size_zero_is_disabled(path: Path) -> None:
    """No file is created and no change is retried."""
    Reserve(path, SIZE).fill()
    reserve = Reserve(path, 0)
    reserve.fill()
    assert not path.exists()
    change = Change(DiskFull("Full."))
    with pytest.raises(DiskFull):
        reserve.retry_with_reserve(change)
    reserve.require_room()
    assert 1 == change.tries


@pytest.mark.parametrize(
    "error", [DiskFull("Full."), OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "full")], ids=type
)
def test_a_change_without_disk_space_is_retried_once(path: Path, error: Exception) -> None:
    """Invariants 2 and 3: the space is freed first, and the empty file stays."""
    reserve = Reserve(path, SIZE)
    reserve.fill()
    change = Change(error)
    assert ("done", 2, 0) == (reserve.retry_with_reserve(change), change.tries, path.stat().st_size)
    hopeless = Change(error, times=9)
    with pytest.raises(type(error)):
        reserve.retry_with_reserve(hopeless)
    assert 2 == hopeless.tries
    reserve.fill()
    assert SIZE == path.stat().st_size


@pytest.mark.parametrize("error", [Unavailable("Locked."), OSError(errno.EIO, "broken"), ValueError()], ids=type)
def test_a_change_with_another_error_is_not_retried(path: Path, error: Exception) -> None:
    """Invariant 2: the reserve is not used for other errors."""
    reserve = Reserve(path, SIZE)
    reserve.fill()
    change = Change(error)
    with pytest.raises(type(error)):
        reserve.retry_with_reserve(change)
    assert (1, SIZE) == (change.tries, path.stat().st_size)


def test_an_unspecific_error_on_a_full_disk_is_retried(path: Path) -> None:
    """SQLite reports some full disks as I/O errors, so the free space decides."""
    path.write_bytes(b"filled before the disk was")
    change = Change(Unavailable("disk I/O error"))
    assert "done" == Reserve(path, LARGER_THAN_DISK).retry_with_reserve(change)
    assert 0 == path.stat().st_size


def test_uploads_do_not_use_the_freed_reserve(path: Path) -> None:
    """Invariant 3: uploads are refused only after the reserve was used, while less than its size is free."""
    reserve = Reserve(path, LARGER_THAN_DISK)
    reserve.require_room()
    path.write_bytes(b"filled")
    reserve.require_room()
    path.write_bytes(b"")
    with pytest.raises(DiskFull):
        reserve.require_room()
    Reserve(path, SIZE).require_room()
