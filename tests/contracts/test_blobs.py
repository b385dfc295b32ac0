"""What the rest of Seaway asks of a store of bytes, asked of every store."""

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
from tests.support.proxy import Answer, FaultProxy, Flip, Pass, Refuse
from tests.support.requests import until

STORES: dict[str, Callable[[Path], BlobStore]] = {
    "disk": lambda folder: state.folder_store(folder / "store"),
    "memory": lambda _: MemoryBlobs(),
    "s3": lambda _: bucket(),
}


def bucket() -> BlobStore:
    """A folder of a real bucket, reached as the settings of an operator do it."""
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
    """Put bytes by way of a file, as uploads do."""
    path = spool / os.urandom(8).hex()
    path.write_bytes(content)
    return blobs.put_file(key_of(content), path)


def read(blobs: BlobStore, key: str) -> bytes:
    with blobs.open(key) as file:
        return file.read()


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 20_000], ids=["empty", "a byte", "5 MB"])
def test_what_was_put_is_read(blobs: BlobStore, spool: Path, content: bytes) -> None:
    """A blob has exactly the bytes that were put, and its size."""
    assert put(blobs, spool, content)
    assert content == read(blobs, key_of(content))
    stat = blobs.stat(key_of(content))
    assert stat is not None
    assert (key_of(content), len(content)) == (stat.key, stat.size)


def test_putting_again_changes_nothing(blobs: BlobStore, spool: Path) -> None:
    """The second put of a key says that the blob was there, and leaves it as it was, with its age."""
    assert put(blobs, spool, b"content")
    before = blobs.stat(key_of(b"content"))
    assert not put(blobs, spool, b"content")
    assert before == blobs.stat(key_of(b"content"))
    assert b"content" == read(blobs, key_of(b"content"))


def test_many_are_put_as_one(blobs: BlobStore, spool: Path) -> None:
    """`put_files` leaves what `put_file` would for each, and says which were new; a damaged one is mended."""
    contents = [os.urandom(1 + 100 * number) for number in range(40)]
    paths = {key_of(content): spool / str(number) for number, content in enumerate(contents)}
    for path, content in zip(paths.values(), contents, strict=True):
        path.write_bytes(content)
    there = [key_of(content) for content in contents[:5]]
    for content in contents[:5]:
        put(blobs, spool, content)
    before = [blobs.stat(key) for key in there]
    assert set(paths) - set(there) == blobs.put_files(paths)
    assert contents == [read(blobs, key) for key in paths]
    assert before == [blobs.stat(key) for key in there]
    assert set() == blobs.put_files(paths)
    assert sorted(paths) == sorted(stat.key for stat in blobs.list())
    assert set() == blobs.put_files({})


def flipped(content: bytes) -> bytes:
    """The same bytes but for one bit in their middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "truncated": lambda content: content[:-1],
    "empty": lambda _: b"",
}


def damage(blobs: BlobStore, key: str, content: bytes) -> None:
    """Other bytes under this key, as a failing disk or a wrong tool leaves them."""
    if isinstance(blobs, MemoryBlobs):
        blobs.write(key, content)
    else:
        state.rewrite(blobs, key, content)


@pytest.mark.parametrize("size", [1_000, 9_000_000], ids=["small", "large"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_blob_is_replaced_by_the_next_put(blobs: BlobStore, spool: Path, kind: str, size: int) -> None:
    """Neither presence nor size is believed: the bytes under the key are those of its hash after every put (3)."""
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
def test_damaged_blobs_are_replaced_among_many(blobs: BlobStore, spool: Path, kind: str) -> None:
    """`put_files` replaces those that are damaged, and tells that it did."""
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
    """`copy` keeps the bytes under another key, in place of older ones; what is not there cannot be copied."""
    put(blobs, spool, b"content")
    blobs.write("folder/name", b"older")
    blobs.copy(key_of(b"content"), "folder/name")
    blobs.delete(key_of(b"content"))
    assert b"content" == read(blobs, "folder/name")
    with pytest.raises(FileNotFoundError):
        blobs.copy(key_of(b"content"), "folder/other")
    assert ["folder/name"] == [stat.key for stat in blobs.list()]


def test_an_object_under_a_fixed_key_is_replaced_at_once(blobs: BlobStore) -> None:
    """`write` keeps the newest content, and a reader that has opened the older one reads it to its end."""
    assert blobs.stat("folder/name") is None
    blobs.write("folder/name", b"one")
    assert b"one" == read(blobs, "folder/name")
    with blobs.open("folder/name") as reader:
        blobs.write("folder/name", b"another")
        assert b"one" == reader.read()
    assert b"another" == read(blobs, "folder/name")
    assert ["folder/name"] == [stat.key for stat in blobs.list()]


def test_a_folder_of_the_store_is_listed_by_itself(blobs: BlobStore) -> None:
    """Only what is below the folder, whatever other names begin alike."""
    for key in ("one/a", "one/b/c", "one-more/a", "two/a"):
        blobs.write(key, b"content")
    assert {"one/a", "one/b/c"} == {stat.key for stat in blobs.list("one")}
    assert {"one/b/c"} == {stat.key for stat in blobs.list("one/b")}
    assert [] == list(blobs.list("three"))
    assert 4 == len(list(blobs.list()))


def test_what_was_never_put_is_not_there(blobs: BlobStore) -> None:
    """A missing blob has no stat, cannot be opened, and is in no list."""
    assert blobs.stat(key_of(b"missing")) is None
    with pytest.raises(FileNotFoundError):
        blobs.open(key_of(b"missing"))
    assert [] == list(blobs.list())


def test_a_blob_can_be_read_from_anywhere(blobs: BlobStore, spool: Path) -> None:
    """Ranges are served by starting at their first byte; behind the last byte there is nothing."""
    content = os.urandom(3_000_000)
    put(blobs, spool, content)
    for start in (0, 1, 7, 1_500_000, 2_999_999):
        with blobs.open(key_of(content), start) as file:
            assert content[start : start + 10] == file.read(10)
            assert content[start + 10 :] == file.read()


def test_the_list_has_every_blob(blobs: BlobStore, spool: Path) -> None:
    """A sweep sees each blob once, as its stat is."""
    contents = [str(number).encode() for number in range(50)]
    for content in contents:
        put(blobs, spool, content)
    listed = sorted(blobs.list(), key=lambda stat: stat.key)
    assert [blobs.stat(key) for key in sorted(map(key_of, contents))] == listed


def test_a_blob_has_the_time_of_its_put(blobs: BlobStore, spool: Path) -> None:
    """The age by which the sweep spares young blobs begins when the blob is put."""
    before = time.time() * 1000
    put(blobs, spool, b"content")
    stat = blobs.stat(key_of(b"content"))
    assert stat is not None
    assert before - 2_000 <= stat.modified_ms <= time.time() * 1000 + 2_000


def test_a_deleted_blob_is_gone_and_can_come_back(blobs: BlobStore, spool: Path) -> None:
    """After a delete the key is as if it had never been put; deleting again, or what never was, does nothing."""
    put(blobs, spool, b"content")
    for _ in range(2):
        blobs.delete(key_of(b"content"))
        assert blobs.stat(key_of(b"content")) is None
    assert [] == list(blobs.list())
    assert put(blobs, spool, b"content")
    assert b"content" == read(blobs, key_of(b"content"))


def test_deleting_does_not_disturb_a_reader(blobs: BlobStore, spool: Path) -> None:
    """A download that has begun ends well, whatever the sweep does meanwhile."""
    content = bytes(range(256)) * 4_000
    put(blobs, spool, content)
    with blobs.open(key_of(content)) as file:
        first = file.read(1_000)
        blobs.delete(key_of(content))
        assert content == first + file.read()


def test_a_local_path_is_the_blob(blobs: BlobStore, spool: Path) -> None:
    """A store that has files on this machine says where; the file has the bytes of the blob."""
    put(blobs, spool, b"content")
    path = blobs.local_path(key_of(b"content"))
    assert path is None or path.read_bytes() == b"content"


def test_nobody_reads_half_a_blob(blobs: BlobStore, spool: Path) -> None:
    """Whoever finds a key while it is put finds all its bytes."""
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


def test_many_may_put_the_same_blob_at_once(blobs: BlobStore, spool: Path) -> None:
    """Equal bytes that arrive together end as one blob, and every put succeeds."""
    content = os.urandom(100_000)
    with ThreadPoolExecutor(8) as uploads:
        news = list(uploads.map(lambda _: put(blobs, spool, content), range(8)))
    assert any(news)
    assert content == read(blobs, key_of(content))
    assert [key_of(content)] == [stat.key for stat in blobs.list()]


def test_putting_beside_deleting_never_fails(blobs: BlobStore, spool: Path) -> None:
    """A put that meets the sweep at the same key says new or there before; it does not stumble over the delete."""
    stop = threading.Event()

    def keep_putting() -> None:
        while not stop.is_set():
            put(blobs, spool, b"content")

    with ThreadPoolExecutor(4) as uploads:
        putting = [uploads.submit(keep_putting) for _ in range(4)]
        for _ in range(50 if isinstance(blobs, BucketBlobs) else 2_000):
            blobs.delete(key_of(b"content"))
        stop.set()
        assert [None] * 4 == [one.result() for one in putting]
    put(blobs, spool, b"content")
    assert b"content" == read(blobs, key_of(b"content"))


def test_listing_beside_deleting_never_fails(blobs: BlobStore, spool: Path) -> None:
    """A list that meets deletes names what is there, and no blob that is gone."""
    contents = [str(number).encode() for number in range(200)]
    for content in contents:
        put(blobs, spool, content)
    listed = blobs.list()
    first = next(listed)
    for content in contents:
        blobs.delete(key_of(content))
    assert first.key in map(key_of, contents)
    assert all(isinstance(stat, BlobStat) for stat in listed)


# What only a bucket can do.


@pytest.fixture
def in_bucket() -> BlobStore:
    return bucket()


def test_a_large_blob_is_put_in_parts(in_bucket: BlobStore, spool: Path) -> None:
    """More than one request holds is sent in parts, is whole afterwards, and is not sent again."""
    content = os.urandom(20_000_000)
    assert put(in_bucket, spool, content)
    assert content == read(in_bucket, key_of(content))
    assert not put(in_bucket, spool, content)


@pytest.mark.parametrize("size", [1_000, 9_000_000], ids=["one request", "parts"])
def test_a_damaged_blob_is_put_again(in_bucket: BlobStore, spool: Path, size: int) -> None:
    """A blob of another size than the bytes that belong under its key is replaced by them."""
    content = os.urandom(size)
    state.rewrite(in_bucket, key_of(content), b"half")
    assert put(in_bucket, spool, content)
    assert content == read(in_bucket, key_of(content))


def test_a_whole_blob_of_another_tool_is_not_sent_again(in_bucket: BlobStore, spool: Path) -> None:
    """An ETag that was made of other parts says nothing: the bytes are read back, and found to be right."""
    assert isinstance(in_bucket, BucketBlobs)
    content = os.urandom(12_000_000)
    for parts in (5 * 1024 * 1024, 6 * 1024 * 1024):
        obstore.put(in_bucket._store, key_of(content), content, use_multipart=True, chunk_size=parts)
        assert not put(in_bucket, spool, content)
        obstore.put(in_bucket._store, key_of(content), flipped(content), use_multipart=True, chunk_size=parts)
        assert put(in_bucket, spool, content)
        assert content == read(in_bucket, key_of(content))


@pytest.mark.parametrize("size", [200_000, 9_000_000], ids=["one request", "parts"])
def test_bytes_that_change_on_their_way_are_refused(spool: Path, size: int) -> None:
    """The server compares what came with the hash that the request names; nothing is kept."""
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


def test_a_signed_address_is_for_one_blob_and_a_time(in_bucket: BlobStore, spool: Path) -> None:
    """Who has it reads that blob, by ranges too, without any key; no other blob, no other method, and not later."""
    for content in (b"content", b"other"):
        put(in_bucket, spool, content)
    url = in_bucket.signed_url(key_of(b"content"), 60)
    assert url is not None
    assert b"content" == httpx.get(url).content
    assert b"onte" == httpx.get(url, headers={"Range": "bytes=1-4"}).content
    other = url.replace(key_of(b"content"), key_of(b"other"))
    refused = [httpx.get(other), httpx.put(url, content=b"x"), httpx.delete(url), httpx.get(url.partition("?")[0])]
    assert {403} == {answer.status_code for answer in refused}
    short = in_bucket.signed_url(key_of(b"content"), 1)
    assert short is not None
    until(lambda: httpx.get(short).status_code == 403)
    assert b"content" == read(in_bucket, key_of(b"content"))


@pytest.mark.parametrize("mode", [Refuse(), Answer(500), Answer(503)], ids=["refuses", "answers 500", "answers 503"])
def test_a_bucket_that_fails_is_unavailable(mode: Refuse | Answer, spool: Path) -> None:
    """Whatever a store does wrong is a sentence with a 503, and works again afterwards."""
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


def test_a_blob_that_breaks_off_is_no_shorter_blob(spool: Path) -> None:
    """A connection that is cut in the middle of a read is an error, never the end of the blob."""
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


def test_a_bad_address_of_a_store_is_refused() -> None:
    """An address that names no store is an error of the settings, with examples."""
    for url in ("ftp://host/x", "s3://", "nonsense"):
        with pytest.raises(BadSetting, match="s3://bucket"):
            open_blobs(url, BucketAccess())


# What only a folder can do.


@pytest.fixture
def disk(tmp_path: Path) -> DiskBlobs:
    return state.folder_store(tmp_path / "store")


def test_a_spool_file_becomes_the_blob(disk: DiskBlobs, spool: Path) -> None:
    """On one file system an upload is not copied: the blob is the spool file under a second name."""
    put(disk, spool, b"content")
    (spooled,) = spool.iterdir()
    (blob,) = disk.list()
    assert spooled.samefile(disk.local_path(blob.key))


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the store's."""
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
    """Where a file cannot be moved, the blob is a whole copy, and no half of one is left."""
    assert put(disk, other_file_system, b"content")
    assert [key_of(b"content")] == [stat.key for stat in disk.list()]
    assert b"content" == read(disk, key_of(b"content"))


def test_a_copy_from_another_file_system_is_hashed(disk: DiskBlobs, other_file_system: Path) -> None:
    """Bytes that are not those of the key are never given it."""
    path = other_file_system / "file"
    path.write_bytes(b"other")
    with pytest.raises(Unavailable, match="changed while it was copied"):
        disk.put_file(key_of(b"content"), path)
    assert [] == list(disk.list())


def test_a_truncated_blob_is_put_right(disk: DiskBlobs, spool: Path) -> None:
    """A blob that lost its end, as a bad disk may leave it, is replaced by the next put of its bytes."""
    put(disk, spool, b"content")
    disk.local_path(key_of(b"content")).write_bytes(b"con")
    assert put(disk, spool, b"content")
    assert b"content" == read(disk, key_of(b"content"))


def test_a_store_finds_what_an_earlier_process_put(disk: DiskBlobs, spool: Path, tmp_path: Path) -> None:
    """Blobs outlive the process: another store on the same folder has them."""
    put(disk, spool, b"content")
    assert b"content" == read(DiskBlobs(tmp_path / "store"), key_of(b"content"))


# How the keys are drawn.


def test_a_key_is_drawn_from_the_hash() -> None:
    """The key of a blob is its sha256 below a folder of its first letters, and tells the hash again."""
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
def test_what_is_no_key_names_no_hash(key: str) -> None:
    """What this store did not draw, such as a half-copied file, is not taken for a blob."""
    assert keys.sha256_of(key) is None


def test_a_folder_that_is_gone_is_not_made_again(disk: BlobStore, spool: Path, tmp_path: Path) -> None:
    """An unmounted or deleted store takes nothing, and nothing appears in its place (storage.blobs 6)."""
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="is missing"):
        put(disk, spool, b"content")
    with pytest.raises(Unavailable, match="is missing"):
        disk.write("name", b"content")
    assert not (tmp_path / "store").exists()
    disk.create()
    assert put(disk, spool, b"content")


def test_private_files_stay_private_on_every_file_system(disk: BlobStore, tmp_path: Path) -> None:
    """Fixed objects are for their owner alone; a copy from another file system is as private as the spool file was."""
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


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    """The listing fails and names it; folders that are gone are left out."""
    blobs = state.folder_store(tmp_path / "store")
    blobs.write("manifests/x", b"x")
    assert [] == list(blobs.list("nowhere"))
    first = folders.make_too_deep(tmp_path / "store" / "blobs")
    with pytest.raises(Unavailable) as told:
        list(blobs.list())
    assert f"blobs/{first.name}" in told.value.message
    assert ["manifests/x"] == [stat.key for stat in blobs.list("manifests")]
    shutil.rmtree(first)
    assert ["manifests/x"] == [stat.key for stat in blobs.list()]
