"""Stored data is synced before anything relies on it: a failed sync fails the operation that needs it."""

import errno
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from seaway.backup.tar import TarTarget
from seaway.errors import DiskFull
from seaway.storage import keys
from seaway.storage.disk import DiskBlobs
from seaway.storage.disk_reserve import Reserve
from tests.support import state
from tests.support.syncs import with_failing_syncs

CONTENT = b"content"
KEY = keys.blob(hashlib.sha256(CONTENT).digest())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def disk(root: Path) -> DiskBlobs:
    return state.folder_store(root)


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    path = tmp_path / "spooled"
    path.write_bytes(CONTENT)
    return path


def require_sync(path: Path, act: Callable[[], object]) -> None:
    """Assert that `act` needs a sync of this file or folder."""
    with pytest.raises(OSError) as raised:
        with_failing_syncs(path, act)
    assert errno.EIO == raised.value.errno


def test_failing_syncs_affect_only_the_chosen_file(disk: DiskBlobs, spooled: Path, tmp_path: Path) -> None:
    """Checks the helper of these tests: if the chosen file is not used, nothing fails."""
    assert with_failing_syncs(tmp_path / "other", lambda: disk.put_file(KEY, spooled))
    assert CONTENT == disk.local_path(KEY).read_bytes()


def test_preparing_a_file_syncs_it(disk: DiskBlobs, spooled: Path) -> None:
    """This sync runs while a package is examined."""
    require_sync(spooled, lambda: disk.prepare_file(spooled))


def test_a_blob_is_synced_before_it_is_named(disk: DiskBlobs, spooled: Path) -> None:
    """A blob under its name is complete, even after a power loss."""
    require_sync(spooled, lambda: disk.put_file(KEY, spooled))
    assert disk.stat(KEY) is None


@pytest.mark.parametrize("is_first", [True, False], ids=["first of its folder", "not the first"])
def test_the_folder_of_a_blob_is_synced(disk: DiskBlobs, root: Path, spooled: Path, is_first: bool) -> None:
    """A row is committed only after the name of its blob is on disk."""
    folder = (root / KEY).parent
    if not is_first:
        folder.mkdir(parents=True)
    require_sync(folder, lambda: disk.put_file(KEY, spooled))


@pytest.mark.parametrize("depth", [1, 2], ids=["of its hash", "of all blobs"])
def test_a_new_folder_is_synced_into_its_parent(disk: DiskBlobs, root: Path, spooled: Path, depth: int) -> None:
    """The first blob with a hash prefix needs the name of its folder too, and the first blob of all that of `blobs`."""
    require_sync((root / KEY).parents[depth], lambda: disk.put_file(KEY, spooled))


def test_the_new_folder_of_an_object_is_synced_into_its_parent(disk: DiskBlobs, root: Path) -> None:
    """Holds for written objects as for blobs."""
    require_sync(root, lambda: disk.write("manifests/demo", b"new"))


def test_a_copied_blob_is_synced_before_it_is_named(disk: DiskBlobs, root: Path) -> None:
    """With a spool on another file system, the copy is synced, not the original."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "spooled"
        path.write_bytes(CONTENT)
        temporary = (root / KEY).with_name(f"{keys.UNFINISHED}*")
        require_sync(temporary, lambda: disk.put_file(KEY, path))
    assert disk.stat(KEY) is None


def test_many_blobs_are_synced_together(disk: DiskBlobs, root: Path, spooled: Path) -> None:
    """One sync of the file system covers the files and their folders."""
    require_sync(root, lambda: disk.put_files({KEY: spooled}))


@pytest.mark.parametrize("place", [f"{keys.UNFINISHED}identity-*", ""], ids=["object", "its folder"])
def test_an_object_is_synced(disk: DiskBlobs, root: Path, place: str) -> None:
    """Covers an object under a fixed key and the folder in which it replaces the older one."""
    disk.write(keys.IDENTITY, b"old")
    require_sync(root / place, lambda: disk.write(keys.IDENTITY, b"new"))
    assert (b"old" if place else b"new") == disk.local_path(keys.IDENTITY).read_bytes()


def test_the_folder_of_a_copy_is_synced(disk: DiskBlobs, root: Path, spooled: Path) -> None:
    """A damaged blob must be in quarantine before it is removed."""
    disk.put_file(KEY, spooled)
    require_sync(root / keys.QUARANTINE, lambda: disk.copy(KEY, f"{keys.QUARANTINE}/copy"))


@pytest.mark.parametrize("place", [".backup.tar.part", ""], ids=["file", "its folder"])
def test_a_backup_in_a_file_is_synced(tmp_path: Path, place: str) -> None:
    """A backup replaces the older one only after it is synced."""
    path = tmp_path / "backup.tar"
    path.write_bytes(b"old")

    def back_up() -> None:
        with TarTarget(path)._replaced() as file:
            file.write(b"new")

    require_sync(tmp_path / place, back_up)
    assert (b"old" if place else b"new") == path.read_bytes()


def test_a_filled_reserve_is_synced(tmp_path: Path) -> None:
    """Nothing depends on the reserve, so a failed sync is only logged."""
    path = tmp_path / "reserve"
    with capture_logs() as lines:
        with_failing_syncs(path, Reserve(path, 1_000_000).fill)
    assert ["reserve.not_filled"] == [line["event"] for line in lines]


def test_an_emptied_reserve_is_synced(tmp_path: Path) -> None:
    """A change is retried only after the space is freed on disk."""
    path, tries = tmp_path / "reserve", []

    def change() -> None:
        tries.append(1)
        raise DiskFull("Full.")

    reserve = Reserve(path, 1_000_000)
    reserve.fill()
    with pytest.raises(DiskFull):
        with_failing_syncs(path, lambda: reserve.retry_with_reserve(change))
    assert [1] == tries
