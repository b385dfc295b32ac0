"""The file that keeps room for deletions: when it is there, when it is used, and what is refused then."""

import errno
import os
from pathlib import Path

import pytest

from seaway.errors import DiskFull, Unavailable
from seaway.storage.disk_reserve import Reserve
from tests.contracts.conftest import together

SIZE = 1_000_000
MORE_THAN_THERE_IS = 1 << 60


class Change:
    """Something that fails so many times."""

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


def test_the_file_takes_its_room(path: Path) -> None:
    """Invariant 1: allocated and not sparse, for its owner only, and once by many processes."""
    reserves = [Reserve(path, SIZE) for _ in range(4)]
    together([reserve.fill for reserve in reserves])
    found = path.stat()
    assert (SIZE, 0o600) == (found.st_size, found.st_mode & 0o777)
    assert found.st_blocks * 512 >= SIZE
    Reserve(path, 2 * SIZE).fill()
    assert 2 * SIZE == path.stat().st_size


def test_no_file_where_there_is_no_room_for_it_twice(path: Path, tmp_path: Path) -> None:
    """Invariant 4: neither at the first start nor after it was used."""
    reserve = Reserve(path, MORE_THAN_THERE_IS)
    reserve.fill()
    assert not path.exists()
    reserve.require_room()
    free = os.statvfs(tmp_path)
    Reserve(path, free.f_bavail * free.f_frsize * 2 // 3).fill()
    assert not path.exists()


def test_it_can_be_switched_off(path: Path) -> None:
    """Without a size there is no file, and nothing is tried twice."""
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
def test_what_failed_for_lack_of_room_is_done_once_more(path: Path, error: Exception) -> None:
    """Invariants 2 and 3: the room is given back first, and the empty file stays."""
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
def test_what_failed_for_another_reason_is_not(path: Path, error: Exception) -> None:
    """Invariant 2: the reserve is kept for what it is for."""
    reserve = Reserve(path, SIZE)
    reserve.fill()
    change = Change(error)
    with pytest.raises(type(error)):
        reserve.retry_with_reserve(change)
    assert (1, SIZE) == (change.tries, path.stat().st_size)


def test_an_error_that_does_not_say_full_on_a_full_disk(path: Path) -> None:
    """SQLite tells of some full disks as an I/O error: what is free decides."""
    path.write_bytes(b"filled before the disk was")
    change = Change(Unavailable("disk I/O error"))
    assert "done" == Reserve(path, MORE_THAN_THERE_IS).retry_with_reserve(change)
    assert 0 == path.stat().st_size


def test_uploads_leave_the_room_that_was_given_back(path: Path) -> None:
    """Invariant 3: only once the reserve was used, and while less than its size is free."""
    reserve = Reserve(path, MORE_THAN_THERE_IS)
    reserve.require_room()
    path.write_bytes(b"filled")
    reserve.require_room()
    path.write_bytes(b"")
    with pytest.raises(DiskFull):
        reserve.require_room()
    Reserve(path, SIZE).require_room()
