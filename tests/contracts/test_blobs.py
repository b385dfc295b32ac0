"""Contract of a blob store, tested on every store."""

import functools
import hashlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import obstore
import pytest

from seaway.errors import BadSetting, Unavailable
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.bucket import BucketBlobs
from seaway.storage.disk import DiskBlobs
from seaway.storage.memory import MemoryBlobs
from seaway.storage.open_store import BucketAccess, open_blobs
from tests.support import folders, s3, state
from tests.support.proxy import FaultProxy, Flip, Pass, Refuse, Respond
from tests.support.requests import wait_until

STORES: dict[str, Callable[[Path], BlobStore]] = {
    "disk": lambda folder: state.folder_store(folder / "store"),
    "memory": lambda _: MemoryBlobs(),
    "s3": lambda _: bucket(),
}


def bucket() -> BlobStore:
    """A folder of a real bucket, opened through the settings of an operator."""
    server = s3.shared()
    access = BucketAccess(server.endpoint, server.region, server.access_key, server.secret_key)
    return open_blobs(f"s3://{_bucket()}/{secrets.token_hex(8)}", access)


@functools.cache
def _bucket() -> str:
    return s3.shared().new_bucket()


@pytest.fixture(params=STORES)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return STORES[request.param](tmp_path)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def key_of(content: bytes) -> str:
    return keys.blob(hashlib.sha256(content).digest())


def put(blobs: BlobStore, spool: Path, content: bytes) -> bool:
    """Put bytes through a file, as uploads do."""
    path = spool / os.urandom(8).hex()
    path.write_bytes(content)
    return blobs.put_file(key_of(content), path)


def read(blobs: BlobStore, key: str) -> bytes:
    with blobs.open(key) as file:
        return file.read()


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 20_000], ids=["empty", "a byte", "5 MB"])
def test_stored_bytes_are_read_back(blobs: BlobStore, spool: Path, content: bytes) -> None:
    """A blob has exactly the bytes that were put, and their size."""
    assert put(blobs, spool, content)
    assert content == read(blobs, key_of(content))
    stat = blobs.stat(key_of(content))
    assert stat is not None
    assert (key_of(content), len(content)) == (stat.key, stat.size)


def test_putting_an_existing_blob_changes_nothing(blobs: BlobStore, spool: Path) -> None:
    """The second put of a key reports an existing blob and keeps it unchanged, including its age."""
    assert put(blobs, spool, b"content")
    before = blobs.stat(key_of(b"content"))
    assert not put(blobs, spool, b"content")
    assert before == blobs.stat(key_of(b"content"))
    assert b"content" == read(blobs, key_of(b"content"))


def test_put_files_equals_single_puts(blobs: BlobStore, spool: Path) -> None:
    """`put_files` gives the result of `put_file` for each file and returns the new keys."""
    contents = [os.urandom(1 + 100 * number) for number in range(40)]
    paths = {key_of(content): spool / str(number) for number, content in enumerate(contents)}
    for path, content in zip(paths.values(), contents, strict=True):
        path.write_bytes(content)
    existing = [key_of(content) for content in contents[:5]]
    for content in contents[:5]:
        put(blobs, spool, content)
    before = [blobs.stat(key) for key in existing]
    assert set(paths) - set(existing) == blobs.put_files(paths)
    assert contents == [read(blobs, key) for key in paths]
    assert before == [blobs.stat(key) for key in existing]
    assert set() == blobs.put_files(paths)
    assert sorted(paths) == sorted(stat.key for stat in blobs.list())
    assert set() == blobs.put_files({})


def flipped(content: bytes) -> bytes:
    """Flip one bit in the middle of the bytes."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "truncated": lambda content: content[:-1],
    "empty": lambda _: b"",
}


def damage(blobs: BlobStore, key: str, content: bytes) -> None:
    """Store other bytes under a key, as a failing disk or a broken tool does."""
    if isinstance(blobs, MemoryBlobs):
        blobs.write(key, content)
    else:
        state.overwrite_blob(blobs, key, content)


@pytest.mark.parametrize("size", [1_000, 9_000_000], ids=["small", "large"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_blob_is_replaced_by_the_next_put(blobs: BlobStore, spool: Path, kind: str, size: int) -> None:
    """Presence and size are not trusted: after every put the bytes match the hash in the key (3)."""
    content = os.urandom(size)
    put(blobs, spool, content)
    damage(blobs, key_of(content), DAMAGES[kind](content))
    before = blobs.stat(key_of(content))
    assert put(blobs, spool, content)
    after = blobs.stat(key_of(content))
    assert content == read(blobs, key_of(content))
    assert before is not None
    assert after is not None
    assert before.version != after.version
    assert not put(blobs, spool, content)


@pytest.mark.parametrize("kind", DAMAGES)
def test_put_files_replaces_damaged_blobs(blobs: BlobStore, spool: Path, kind: str) -> None:
    """`put_files` returns the keys of the replaced blobs."""
    contents = [os.urandom(1_000) for _ in range(6)]
    for content in contents:
        put(blobs, spool, content)
    for content in contents[:3]:
        damage(blobs, key_of(content), DAMAGES[kind](content))
    paths = {key_of(content): spool / str(number) for number, content in enumerate(contents)}
    for path, content in zip(paths.values(), contents, strict=True):
        path.write_bytes(content)
    assert {key_of(content) for content in contents[:3]} == blobs.put_files(paths)
    assert contents == [read(blobs, key) for key in paths]


def test_a_copy_outlives_its_original(blobs: BlobStore, spool: Path) -> None:
    """`copy` stores the bytes under another key and replaces older ones; a missing blob cannot be copied."""
    put(blobs, spool, b"content")
    blobs.write("folder/name", b"older")
    blobs.copy(key_of(b"content"), "folder/name")
    blobs.delete(key_of(b"content"))
    assert b"content" == read(blobs, "folder/name")
    with pytest.raises(FileNotFoundError):
        blobs.copy(key_of(b"content"), "folder/other")
    assert ["folder/name"] == [stat.key for stat in blobs.list()]


def test_an_object_under_a_fixed_key_is_replaced_atomically(blobs: BlobStore) -> None:
    """`write` stores the newest content; a reader of the older content reads it to its end."""
    assert blobs.stat("folder/name") is None
    blobs.write("folder/name", b"one")
    assert b"one" == read(blobs, "folder/name")
    with blobs.open("folder/name") as reader:
        blobs.write("folder/name", b"another")
        assert b"one" == reader.read()
    assert b"another" == read(blobs, "folder/name")
    assert ["folder/name"] == [stat.key for stat in blobs.list()]


def test_a_folder_of_the_store_can_be_listed(blobs: BlobStore) -> None:
    """Only objects below the folder are listed, not those of names with the same prefix."""
    for key in ("one/a", "one/b/c", "one-more/a", "two/a"):
        blobs.write(key, b"content")
    assert {"one/a", "one/b/c"} == {stat.key for stat in blobs.list("one")}
    assert {"one/b/c"} == {stat.key for stat in blobs.list("one/b")}
    assert [] == list(blobs.list("three"))
    assert 4 == len(list(blobs.list()))


def test_a_missing_blob_is_not_found(blobs: BlobStore) -> None:
    """A missing blob has no stat, cannot be opened and is not listed."""
    assert blobs.stat(key_of(b"missing")) is None
    with pytest.raises(FileNotFoundError):
        blobs.open(key_of(b"missing"))
    assert [] == list(blobs.list())


def test_a_blob_can_be_read_from_any_position(blobs: BlobStore, spool: Path) -> None:
    """Ranges are read from their first byte; nothing follows the last byte."""
    content = os.urandom(3_000_000)
    put(blobs, spool, content)
    for start in (0, 1, 7, 1_500_000, 2_999_999):
        with blobs.open(key_of(content), start) as file:
            assert content[start : start + 10] == file.read(10)
            assert content[start + 10 :] == file.read()


def test_the_list_has_every_blob(blobs: BlobStore, spool: Path) -> None:
    """The list has each blob once, with its stat."""
    contents = [str(number).encode() for number in range(50)]
    for content in contents:
        put(blobs, spool, content)
    listed = sorted(blobs.list(), key=lambda stat: stat.key)
    assert [blobs.stat(key) for key in sorted(map(key_of, contents))] == listed


def test_a_blob_has_the_time_of_its_put(blobs: BlobStore, spool: Path) -> None:
    """The sweep skips young blobs; their age starts at the put."""
    before = time.time() * 1000
    put(blobs, spool, b"content")
    stat = blobs.stat(key_of(b"content"))
    assert stat is not None
    assert before - 2_000 <= stat.modified_ms <= time.time() * 1000 + 2_000


def test_a_deleted_blob_is_gone_and_can_be_put_again(blobs: BlobStore, spool: Path) -> None:
    """Deleting a missing blob has no effect."""
    put(blobs, spool, b"content")
    for _ in range(2):
        blobs.delete(key_of(b"content"))
        assert blobs.stat(key_of(b"content")) is None
    assert [] == list(blobs.list())
    assert put(blobs, spool, b"content")
    assert b"content" == read(blobs, key_of(b"content"))


def test_deleting_does_not_disturb_a_reader(blobs: BlobStore, spool: Path) -> None:
    """A running download completes even if the sweep deletes the blob."""
    content = bytes(range(256)) * 4_000
    put(blobs, spool, content)
    with blobs.open(key_of(content)) as file:
        first = file.read(1_000)
        blobs.delete(key_of(content))
        assert content == first + file.read()


def test_a_local_path_has_the_bytes_of_the_blob(blobs: BlobStore, spool: Path) -> None:
    """Only stores with local files have local paths."""
    put(blobs, spool, b"content")
    path = blobs.local_path(key_of(b"content"))
    assert path is None or path.read_bytes() == b"content"


def test_a_partial_blob_is_never_read(blobs: BlobStore, spool: Path) -> None:
    """A reader that finds a key during its put gets all its bytes."""
    content = os.urandom(4_000_000)
    done = threading.Event()

    def wait_and_read() -> bytes:
        while not done.is_set():
            if blobs.stat(key_of(content)) is not None:
                break
        return read(blobs, key_of(content))

    with ThreadPoolExecutor(3) as readers:
        waiting = [readers.submit(wait_and_read) for _ in range(3)]
        put(blobs, spool, content)
        done.set()
        assert [content] * 3 == [reader.result() for reader in waiting]


def test_concurrent_puts_of_the_same_blob_succeed(blobs: BlobStore, spool: Path) -> None:
    """They result in one blob."""
    content = os.urandom(100_000)
    with ThreadPoolExecutor(8) as uploads:
        are_new = list(uploads.map(lambda _: put(blobs, spool, content), range(8)))
    assert any(are_new)
    assert content == read(blobs, key_of(content))
    assert [key_of(content)] == [stat.key for stat in blobs.list()]


def test_put_during_delete_never_fails(blobs: BlobStore, spool: Path) -> None:
    """A put that races with the sweep reports a new or existing blob, and no error."""
    stop = threading.Event()

    def keep_putting() -> None:
        while not stop.is_set():
            put(blobs, spool, b"content")

    with ThreadPoolExecutor(4) as uploads:
        futures = [uploads.submit(keep_putting) for _ in range(4)]
        for _ in range(50 if isinstance(blobs, BucketBlobs) else 2_000):
            blobs.delete(key_of(b"content"))
        stop.set()
        assert [None] * 4 == [future.result() for future in futures]
    put(blobs, spool, b"content")
    assert b"content" == read(blobs, key_of(b"content"))


def test_list_during_delete_never_fails(blobs: BlobStore, spool: Path) -> None:
    """A list that races with deletes does not fail on deleted blobs."""
    contents = [str(number).encode() for number in range(200)]
    for content in contents:
        put(blobs, spool, content)
    listed = blobs.list()
    first = next(listed)
    for content in contents:
        blobs.delete(key_of(content))
    assert first.key in map(key_of, contents)
    assert all(isinstance(stat, BlobStat) for stat in listed)


# Buckets only.


@pytest.fixture
def in_bucket() -> BlobStore:
    return bucket()


def test_a_large_blob_is_put_in_parts(in_bucket: BlobStore, spool: Path) -> None:
    """A blob too large for one request is sent in parts, is complete afterwards and is not sent again."""
    content = os.urandom(20_000_000)
    assert put(in_bucket, spool, content)
    assert content == read(in_bucket, key_of(content))
    assert not put(in_bucket, spool, content)


@pytest.mark.parametrize("size", [1_000, 9_000_000], ids=["one request", "parts"])
def test_a_damaged_blob_is_put_again(in_bucket: BlobStore, spool: Path, size: int) -> None:
    """A stored blob of the wrong size is replaced."""
    content = os.urandom(size)
    state.overwrite_blob(in_bucket, key_of(content), b"half")
    assert put(in_bucket, spool, content)
    assert content == read(in_bucket, key_of(content))


def test_a_complete_blob_of_another_tool_is_not_sent_again(in_bucket: BlobStore, spool: Path) -> None:
    """An ETag from other part sizes proves nothing: the bytes are read back and compared."""
    assert isinstance(in_bucket, BucketBlobs)
    content = os.urandom(12_000_000)
    for parts in (5 * 1024 * 1024, 6 * 1024 * 1024):
        obstore.put(in_bucket._store, key_of(content), content, use_multipart=True, chunk_size=parts)
        assert not put(in_bucket, spool, content)
        obstore.put(in_bucket._store, key_of(content), flipped(content), use_multipart=True, chunk_size=parts)
        assert put(in_bucket, spool, content)
        assert content == read(in_bucket, key_of(content))


@pytest.mark.parametrize("size", [200_000, 9_000_000], ids=["one request", "parts"])
def test_bytes_corrupted_in_transit_are_refused(spool: Path, size: int) -> None:
    """The server compares the received bytes with the hash in the request and stores nothing."""
    server = s3.shared()
    content = os.urandom(size)
    with FaultProxy("127.0.0.1", server.port) as proxy:
        access = BucketAccess(proxy.through(server.endpoint), server.region, server.access_key, server.secret_key)
        blobs = open_blobs(f"s3://{_bucket()}/{secrets.token_hex(8)}", access)
        proxy.mode = Flip()
        with pytest.raises(Unavailable):
            put(blobs, spool, content)
        proxy.mode = Pass()
        assert blobs.stat(key_of(content)) is None


def test_a_signed_url_is_for_one_blob_and_a_limited_time(in_bucket: BlobStore, spool: Path) -> None:
    """It allows reads of that blob, including ranges, without a key; no other blob or method, and not after expiry."""
    for content in (b"content", b"other"):
        put(in_bucket, spool, content)
    url = in_bucket.signed_url(key_of(b"content"), 60)
    assert url is not None
    assert b"content" == httpx.get(url).content
    assert b"onte" == httpx.get(url, headers={"Range": "bytes=1-4"}).content
    other_url = url.replace(key_of(b"content"), key_of(b"other"))
    refused = [httpx.get(other_url), httpx.put(url, content=b"x"), httpx.delete(url), httpx.get(url.partition("?")[0])]
    assert {403} == {response.status_code for response in refused}
    short = in_bucket.signed_url(key_of(b"content"), 1)
    assert short is not None
    wait_until(lambda: httpx.get(short).status_code == 403)
    assert b"content" == read(in_bucket, key_of(b"content"))


@pytest.mark.parametrize("mode", [Refuse(), Respond(500), Respond(503)], ids=["refuses", "answers 500", "answers 503"])
def test_a_bucket_that_fails_is_unavailable(mode: Refuse | Respond, spool: Path) -> None:
    """Any failure of the store is a 503 with a message; the store works again after recovery."""
    server = s3.shared()
    with FaultProxy("127.0.0.1", server.port) as proxy:
        access = BucketAccess(proxy.through(server.endpoint), server.region, server.access_key, server.secret_key)
        blobs = open_blobs(f"s3://{_bucket()}/{secrets.token_hex(8)}", access)
        put(blobs, spool, b"content")
        proxy.mode = mode
        proxy.cut()
        for act in (
            lambda: put(blobs, spool, b"other"),
            lambda: blobs.open(key_of(b"content")),
            lambda: blobs.stat(key_of(b"content")),
            lambda: blobs.delete(key_of(b"content")),
            lambda: list(blobs.list()),
        ):
            with pytest.raises(Unavailable, match="storage does not respond"):
                act()
        proxy.mode = Pass()
        assert b"content" == read(blobs, key_of(b"content"))


def test_an_interrupted_read_is_an_error(spool: Path) -> None:
    """A connection lost during a read must not look like the end of the blob."""
    server = s3.shared()
    content = os.urandom(30_000_000)
    with FaultProxy("127.0.0.1", server.port) as proxy:
        access = BucketAccess(proxy.through(server.endpoint), server.region, server.access_key, server.secret_key)
        blobs = open_blobs(f"s3://{_bucket()}/{secrets.token_hex(8)}", access)
        put(blobs, spool, content)
        with blobs.open(key_of(content)) as file:
            first = file.read(1_000)
            proxy.mode = Refuse()
            proxy.cut()
            with pytest.raises(Unavailable):
                first += file.read()


def test_a_bad_store_url_is_refused() -> None:
    """An invalid store URL is a settings error with examples."""
    for url in ("ftp://host/x", "s3://", "nonsense"):
        with pytest.raises(BadSetting, match="s3://bucket"):
            open_blobs(url, BucketAccess())


# Folders only.


@pytest.fixture
def disk(tmp_path: Path) -> DiskBlobs:
    return state.folder_store(tmp_path / "store")


def test_a_spool_file_is_linked_as_the_blob(disk: DiskBlobs, spool: Path) -> None:
    """On the same file system an upload is not copied: the blob is a hard link to the spool file."""
    put(disk, spool, b"content")
    (spooled,) = spool.iterdir()
    (blob,) = disk.list()
    assert spooled.samefile(disk.local_path(blob.key))


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder on a different file system from the store."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second file system")
    folder = shared_memory / f"seaway-test-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_spool_on_another_file_system_is_copied(disk: DiskBlobs, other_file_system: Path) -> None:
    """If a file cannot be linked, the blob is a complete copy and no partial copy is left."""
    assert put(disk, other_file_system, b"content")
    assert [key_of(b"content")] == [stat.key for stat in disk.list()]
    assert b"content" == read(disk, key_of(b"content"))


def test_a_copy_from_another_file_system_is_hashed(disk: DiskBlobs, other_file_system: Path) -> None:
    """Bytes that do not match the key are never stored under it."""
    path = other_file_system / "file"
    path.write_bytes(b"other")
    with pytest.raises(Unavailable, match="changed while it was copied"):
        disk.put_file(key_of(b"content"), path)
    assert [] == list(disk.list())


def test_a_truncated_blob_is_replaced(disk: DiskBlobs, spool: Path) -> None:
    """The next put of its bytes replaces a blob that a bad disk truncated."""
    put(disk, spool, b"content")
    disk.local_path(key_of(b"content")).write_bytes(b"con")
    assert put(disk, spool, b"content")
    assert b"content" == read(disk, key_of(b"content"))


def test_a_store_finds_blobs_of_an_earlier_process(disk: DiskBlobs, spool: Path, tmp_path: Path) -> None:
    """Another store on the same folder has the same blobs."""
    put(disk, spool, b"content")
    assert b"content" == read(DiskBlobs(tmp_path / "store"), key_of(b"content"))


# Keys.


def test_a_key_is_derived_from_the_hash() -> None:
    """The key is the sha256 below a folder of its first two digits, and the hash can be read from it."""
    digest = hashlib.sha256(b"content").digest()
    assert keys.blob(digest) == f"blobs/{digest.hex()[:2]}/{digest.hex()}"
    assert digest == keys.sha256_of(keys.blob(digest))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "blobs",
        f"blobs/00/{'0' * 62}",
        f"blobs/01/{'0' * 64}",
        f"blobs/00/{'0' * 64}/x",
        f"/blobs/00/{'0' * 64}",
        f"other/00/{'0' * 64}",
        f"blobs/AA/{'A' * 64}",
        f"blobs/00/.move-{'0' * 64}",
        f"blobs/../00/{'0' * 64}",
    ],
)
def test_an_invalid_key_has_no_hash(key: str) -> None:
    """Other files, such as a partial copy, are not blobs."""
    assert keys.sha256_of(key) is None


def test_a_missing_store_folder_is_not_created(disk: BlobStore, spool: Path, tmp_path: Path) -> None:
    """An unmounted or deleted store refuses puts, and nothing is created in its place (storage.blobs 6)."""
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="is missing"):
        put(disk, spool, b"content")
    with pytest.raises(Unavailable, match="is missing"):
        disk.write("name", b"content")
    assert not (tmp_path / "store").exists()
    disk.create()
    assert put(disk, spool, b"content")


def test_private_files_stay_private_on_every_file_system(disk: BlobStore, tmp_path: Path) -> None:
    """Only the owner can read fixed objects; a copy from another file system is as private as the spool file."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "private"
        assert path.parent.stat().st_dev != tmp_path.stat().st_dev
        path.write_bytes(b"secret")
        path.chmod(0o600)
        disk.put_file(key_of(b"secret"), path)
    disk.write("name", b"secret")
    for key in (key_of(b"secret"), "name"):
        assert 0o600 == (tmp_path / "store" / key).stat().st_mode & 0o777
    assert [] == list((tmp_path / "store").rglob(".near-*"))


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """The error names the folder; missing folders are left out."""
    blobs = state.folder_store(tmp_path / "store")
    blobs.write("manifests/x", b"x")
    assert [] == list(blobs.list("nowhere"))
    first = folders.make_too_deep(tmp_path / "store" / "blobs")
    with pytest.raises(Unavailable) as error:
        list(blobs.list())
    assert f"blobs/{first.name}" in error.value.message
    assert ["manifests/x"] == [stat.key for stat in blobs.list("manifests")]
    shutil.rmtree(first)
    assert ["manifests/x"] == [stat.key for stat in blobs.list()]
