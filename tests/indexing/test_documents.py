"""Whole documents: built from one consistent state, and outdated only in subdirs above the limit."""

import errno
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from seaway.clock import DAY_MS, SECOND_MS
from seaway.database.engine import Database
from seaway.database.tables import documents, files, jobs
from seaway.errors import BadCredential, NotFound, NotWritable, Unavailable
from seaway.indexing.documents import REPODATA, REPODATA_GZ, Documents
from seaway.indexing.rebuild import rebuild
from seaway.indexing.updates import BuildDocuments
from seaway.maintenance.check import check
from seaway.packages.sweep import sweep
from seaway.server import wiring
from seaway.serving.channel_response import CachePolicy
from seaway.settings import Settings
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from tests.indexing.channel import Channel, RacingStore, Statements, recorded_statements, with_in_process_examiners
from tests.support import packages, state
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, index_json, zstd
from tests.support.sites import Factory

LIMIT = 3


def numbered(number: int) -> PackageFile:
    return packages.conda(index_json(f"n{number}"), run_exports={"weak": [f"n{number}"]})


def fill(channel: Channel, count: int) -> None:
    for number in range(count):
        channel.put(numbered(number))


def wait_for_builds(channel: Channel) -> None:
    """Run the jobs that changes and readers queued."""
    channel.seaway.documents._background.submit(int).result()
    channel.seaway.runner.run_due()


def count_of(channel: Channel) -> int:
    return len(channel.repodata()["packages.conda"])


def subdir_id(channel: Channel) -> int:
    with channel.seaway.site.database.read() as tx:
        return channel.subdir(tx).id


def test_all_kinds_are_of_one_state(channel: Channel) -> None:
    """repodata.json, its compressed forms and run_exports.json have one revision and the same files."""
    fill(channel, 2)
    plain = channel.request("noarch", "repodata.json")
    kinds = [
        plain,
        channel.request("noarch", "repodata.json.zst"),
        channel.request("noarch", "run_exports.json"),
        channel.request("noarch", "run_exports.json.zst"),
        channel.request("noarch", "repodata.json", encodings=("zstd",)),
        channel.request("noarch", "repodata.json", encodings=("gzip",)),
    ]
    assert {2} == {kind.revision for kind in kinds}
    assert [plain.content] * 3 == [
        zstd.decompress(kinds[1].content),
        zstd.decompress(kinds[4].content),
        gzip.decompress(kinds[5].content or b""),
    ]
    assert kinds[2].content == zstd.decompress(kinds[3].content)
    exports = json.loads(kinds[2].content or b"")["packages.conda"]
    records = json.loads(plain.content or b"")["packages.conda"]
    assert {name: {"run_exports": record["run_exports"]} for name, record in records.items()} == exports


@pytest.mark.parametrize("kind", ["repodata.json", "repodata.json.zst", "run_exports.json", "run_exports.json.zst"])
def test_the_rows_of_all_kinds_change_together(kind: str, channel: Channel) -> None:
    """A request for any kind builds all four, at one revision."""
    fill(channel, 1)
    channel.read("noarch", kind)
    channel.put(numbered(2))
    channel.read("noarch", kind)
    assert [2] * 4 == channel.column(documents.c.revision)


def test_up_to_the_limit_a_reader_sees_the_last_upload(channel_with: Callable[..., Channel]) -> None:
    """In a subdir with at most `whole_document_limit` records, the next response has the upload."""
    channel = channel_with(whole_document_limit=LIMIT)
    for number in range(LIMIT):
        channel.put(numbered(number))
        assert number + 1 == count_of(channel)


@pytest.mark.parametrize("encodings", [(), ("zstd",), ("gzip",)], ids=["plain", "zstd", "gzip"])
def test_above_the_limit_the_last_document_is_returned(
    encodings: tuple[str, ...], channel_with: Callable[..., Channel]
) -> None:
    """A large subdir returns its last document and revision at once; the next one is built in the background."""
    channel = channel_with(whole_document_limit=LIMIT)
    fill(channel, LIMIT + 1)
    first = channel.request("noarch", "repodata.json", encodings=encodings)
    channel.put(numbered(9))
    outdated = channel.request("noarch", "repodata.json", encodings=encodings)
    assert (first.revision, first.content) == (outdated.revision, outdated.content)
    wait_for_builds(channel)
    newest = channel.request("noarch", "repodata.json", encodings=encodings)
    assert channel.revision() == newest.revision
    assert first.content != newest.content


@pytest.mark.parametrize("back_ms", [0, DAY_MS])
def test_a_request_for_an_outdated_document_makes_its_build_due(
    channel_with: Callable[..., Channel], clock: ManualClock, back_ms: int
) -> None:
    """A build delayed by a failure, or by a clock that was ahead, is due at the next read of the old document."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 1)
    channel.repodata()
    channel.put(numbered(2))
    channel.repodata()
    with channel.seaway.site.database.write_site() as tx:
        tx.execute(jobs.update().values(run_at=clock.now_ms() + DAY_MS))
    clock.move(-back_ms if back_ms else 10 * SECOND_MS)
    channel.repodata()
    wait_for_builds(channel)
    assert 2 == count_of(channel)


def test_above_the_limit_the_shards_are_up_to_date(channel_with: Callable[..., Channel]) -> None:
    """Shards and their index show each upload at once, even in large subdirs."""
    channel = channel_with(whole_document_limit=0)
    for number in range(3):
        channel.put(numbered(number))
        assert f"n{number}" in channel.shard_index()["shards"]
        assert number + 1 == channel.request("noarch", "repodata_shards.msgpack.zst").revision


def test_the_first_document_of_a_large_subdir_is_built_in_the_request(channel_with: Callable[..., Channel]) -> None:
    """Without an older document, the request waits for the build."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 2)
    assert 2 == count_of(channel)


def builds_in(statements: Statements) -> int:
    """Return the number of builds that were recorded."""
    return len([text for text in statements.texts if text.startswith("INSERT INTO documents")])


def test_requested_builds_are_merged_into_one(channel_with: Callable[..., Channel]) -> None:
    """Successive changes and reads queue a single build, which has all changes."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 1)
    channel.repodata()
    with recorded_statements(channel.seaway) as statements:
        for number in range(2, 6):
            channel.put(numbered(number))
            channel.repodata()
        wait_for_builds(channel)
    assert 1 == builds_in(statements)
    assert 5 == count_of(channel)


def test_concurrent_readers_share_one_build(channel: Channel) -> None:
    """Concurrent requests for an outdated document cause one build."""
    fill(channel, 2)
    subdir = subdir_id(channel)
    with recorded_statements(channel.seaway) as statements, ThreadPoolExecutor(8) as readers:
        built = list(readers.map(lambda _: channel.seaway.documents.build(subdir, REPODATA), range(16)))
    assert 1 == builds_in(statements)
    assert 1 == len(set(built))


def test_an_upload_during_a_build_is_in_the_next_build(channel: Channel) -> None:
    """A build states its revision; the next request sees the changes made during the build."""
    fill(channel, 1)
    racing_store = RacingStore(channel.seaway.site.blobs, before_put=lambda: channel.put(numbered(2)))
    built = documents_on(channel, racing_store).build(subdir_id(channel), REPODATA)
    assert built is not None
    assert (1, 2, 2) == (built.revision, count_of(channel), channel.revision())


class LostLock:
    """The database of a worker whose lock ended with its session, so that it builds concurrently with another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    @contextmanager
    def exclusive(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        yield True


def test_an_older_build_does_not_replace_a_newer_one(channel: Channel) -> None:
    """A slow worker keeps the newer documents of another worker."""
    fill(channel, 1)

    def overtake() -> None:
        channel.put(numbered(2))
        channel.repodata()

    racing_store = RacingStore(channel.seaway.site.blobs, before_put=overtake)
    lost: Database = LostLock(channel.seaway.site.database)  # type: ignore[assignment]
    slow = Documents(replace(channel.seaway.site, database=lost, blobs=racing_store))
    built = slow.build(subdir_id(channel), REPODATA)
    assert built is not None
    assert 2 == built.revision
    assert {2} == set(channel.column(documents.c.revision))
    assert 2 == count_of(channel)


def documents_on(channel: Channel, blobs: BlobStore) -> Documents:
    """Return the builder of another worker on the same database and spool."""
    return Documents(replace(channel.seaway.site, blobs=blobs))


def test_the_same_records_give_the_same_document_again(channel: Channel) -> None:
    """Two states with the same records have the same bytes, even if the first documents were deleted in between."""
    fill(channel, 1)
    first = channel.request("noarch", "repodata.json")
    channel.yank(numbered(0))
    channel.repodata()
    channel.unyank(numbered(0))
    again = channel.request("noarch", "repodata.json")
    assert (first.content, 1, 3) == (again.content, first.revision, again.revision)


def test_a_document_swept_before_it_is_recorded_is_stored_again(channel: Channel) -> None:
    """Old unreferenced bytes that are swept while a build relies on them are stored again."""
    fill(channel, 1)
    first = channel.read("noarch", "repodata.json")
    channel.yank(numbered(0))
    channel.repodata()
    channel.unyank(numbered(0))
    put_unreferenced(channel, first)
    racing_store = RacingStore(channel.seaway.site.blobs, after_put=lambda: sweep_everything(channel))
    built = documents_on(channel, racing_store).build(subdir_id(channel), REPODATA)
    assert built is not None
    assert first == channel.read("noarch", "repodata.json")
    assert [] == list(check(channel.seaway))


def put_unreferenced(channel: Channel, content: bytes) -> None:
    """Store bytes that no row names."""
    with channel.seaway.site.spool.file() as file:
        file.write(content)
        file.flush()
        channel.seaway.site.blobs.put_file(keys.blob(hashlib.sha256(content).digest()), Path(file.name))


def sweep_everything(channel: Channel) -> None:
    """Sweep as if every blob were old."""
    seaway = channel.seaway
    sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=-(1 << 60))


def test_replaced_documents_are_deleted(channel: Channel) -> None:
    """Only documents of the newest revision are stored; blobs that other rows name stay."""
    for number in range(3):
        channel.put(numbered(number))
        channel.read("noarch", "repodata.json", encodings=("gzip",))
    referenced = {*channel.column(documents.c.sha256), *channel.column(files.c.sha256)}
    assert {keys.blob(digest) for digest in referenced} == {
        stat.key for stat in state.stored_blobs(channel.seaway.site.blobs)
    }


def test_a_lost_document_is_built_again(channel: Channel) -> None:
    """Documents are derived: after their blobs are lost, deleting their rows restores them."""
    fill(channel, 2)
    before = channel.read("noarch", "repodata.json")
    with channel.seaway.site.database.read() as tx:
        for row in tx.execute(documents.select()):
            channel.seaway.site.blobs.delete(keys.blob(row.sha256))
    with channel.seaway.site.database.write_site() as tx:
        rebuild(tx, channel.subdir(tx), channel.seaway.site.clock.now_ms(), LIMIT)
    assert before == channel.read("noarch", "repodata.json")


class NoWrites:
    """A store that refuses every put with `error`, once it is set."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return self._refuse if name == "put_file" and self.error else getattr(self._blobs, name)

    def _refuse(self, *_: object) -> None:
        assert self.error is not None
        raise self.error


@pytest.fixture
def without_writes(tmp_path: Path) -> Iterator[tuple[Channel, NoWrites]]:
    """A channel on a store that can refuse writes."""
    folder = tmp_path / "without-writes"
    settings = Settings(data=folder / "data", **state.settings(folder))
    store = NoWrites(wiring.open_store(settings))
    blobs: BlobStore = store  # type: ignore[assignment]
    with closing(with_in_process_examiners(wiring.build(settings, blobs=blobs))) as seaway:
        yield Channel(seaway, Factory(seaway).channel("demo")), store
        store.error = None


NO_WRITES = [
    OSError(errno.ENOSPC, "full"),
    OSError(errno.EROFS, "read-only"),
    NotWritable("The storage denies access."),
]


@pytest.mark.parametrize("error", NO_WRITES, ids=str)
def test_if_a_build_fails_the_last_complete_document_is_returned(
    without_writes: tuple[Channel, NoWrites], error: Exception
) -> None:
    """It has its own revision and is not cached: the first request after the recovery gets the newest."""
    channel, store = without_writes
    fill(channel, 2)
    requests = [
        ("repodata.json", ()),
        ("repodata.json.zst", ()),
        ("repodata.json", ("gzip",)),
        ("run_exports.json", ()),
    ]
    first = [channel.request("noarch", name, encodings=encodings) for name, encodings in requests]
    channel.yank(numbered(1))
    store.error = error
    for _ in range(2):
        outdated = [channel.request("noarch", name, encodings=encodings) for name, encodings in requests]
        assert [(2, response.content) for response in first] == [(each.revision, each.content) for each in outdated]
        assert {CachePolicy.NEVER} == {response.keep for response in outdated}
    store.error = None
    newest = [channel.request("noarch", name, encodings=encodings) for name, encodings in requests]
    assert [(3, CachePolicy.REVALIDATE)] * len(requests) == [(response.revision, response.keep) for response in newest]


def test_without_space_for_gzip_the_plain_document_is_returned(without_writes: tuple[Channel, NoWrites]) -> None:
    """gzip is built on demand; without disk space the response has no content encoding."""
    channel, store = without_writes
    fill(channel, 1)
    plain = channel.request("noarch", "repodata.json")
    store.error = NO_WRITES[0]
    response = channel.request("noarch", "repodata.json", encodings=("gzip",))
    assert (plain.content, "", True) == (response.content, response.content_encoding, response.varies_by_encoding)
    store.error = None
    assert "gzip" == channel.request("noarch", "repodata.json", encodings=("gzip",)).content_encoding


@pytest.mark.parametrize("error", NO_WRITES, ids=str)
def test_if_the_first_build_fails_the_request_fails(without_writes: tuple[Channel, NoWrites], error: Exception) -> None:
    """An empty document is never returned for one that was not built."""
    channel, store = without_writes
    fill(channel, 1)
    store.error = error
    with pytest.raises(type(error)):
        channel.request("noarch", "repodata.json")


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), Unavailable("The storage is unavailable."), OSError(errno.EMFILE, "too many files")],
    ids=str,
)
def test_a_temporary_error_is_not_hidden_by_an_outdated_document(
    without_writes: tuple[Channel, NoWrites], error: Exception
) -> None:
    """An uploader must retry and then read the upload (S2); server errors stay visible."""
    channel, store = without_writes
    fill(channel, 1)
    channel.repodata()
    channel.yank(numbered(0))
    store.error = error
    with pytest.raises(type(error)):
        channel.request("noarch", "repodata.json")


def test_the_spool_is_empty_after_a_build(channel: Channel) -> None:
    fill(channel, 2)
    channel.read("noarch", "repodata.json", encodings=("gzip",))
    assert [] == list(channel.seaway.settings.spool_folder.iterdir())


def test_a_deleted_channel_has_no_documents(channel: Channel) -> None:
    """A build for a deleted channel creates nothing."""
    fill(channel, 1)
    subdir = subdir_id(channel)
    channel.remove()
    assert channel.seaway.documents.build(subdir, REPODATA) is None
    assert [] == channel.rows(documents)
    with pytest.raises(BadCredential):
        channel.request("noarch", "repodata.json")


def test_a_channel_deleted_during_a_build_has_no_documents(channel: Channel) -> None:
    """A build that ends after its channel was deleted records nothing."""
    fill(channel, 1)
    subdir = subdir_id(channel)
    built = documents_on(channel, RacingStore(channel.seaway.site.blobs, before_put=channel.remove)).build(
        subdir, REPODATA
    )
    assert built is None
    assert [] == channel.rows(documents)


@pytest.mark.parametrize("kind", [REPODATA_GZ, REPODATA])
def test_gzip_is_built_on_request(kind: str, channel: Channel) -> None:
    """The gzip form is stored at its first request and deleted with the next build."""
    fill(channel, 1)
    encodings = ("gzip",) if kind == REPODATA_GZ else ()
    channel.read("noarch", "repodata.json", encodings=encodings)
    assert (kind == REPODATA_GZ) == (REPODATA_GZ in channel.column(documents.c.kind))
    channel.put(numbered(2))
    channel.read("noarch", "repodata.json")
    assert REPODATA_GZ not in channel.column(documents.c.kind)


@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "zos-z"])
def test_a_subdir_without_uploads_has_empty_documents(subdir: str, channel: Channel) -> None:
    """Every known subdir of a channel has documents from the start, empty and at revision 0."""
    for name in ("repodata.json", "repodata.json.zst", "run_exports.json", "run_exports.json.zst"):
        assert 0 == channel.request(subdir, name).revision
    assert {} == channel.repodata(subdir)["packages.conda"]
    assert {} == channel.shard_index(subdir)["shards"]
    with pytest.raises(NotFound):
        channel.request("linux-65", "repodata.json")


def test_a_document_of_this_revision_is_not_built_again(channel: Channel) -> None:
    """A request for it neither waits for a build nor queues one."""
    channel.put(packages.conda(index_json("a")))
    channel.repodata()
    documents = channel.seaway.documents
    with channel.seaway.site.database.read() as tx:
        subdir = channel.subdir(tx)
        document = documents.current(tx, subdir, REPODATA)
    assert document is not None
    assert (subdir.revision, document) == (document.revision, documents.last(subdir.id, REPODATA))


def test_up_to_the_limit_nothing_is_built_in_the_background(channel_with: Callable[..., Channel]) -> None:
    """Documents up to the limit are built on request; one record more queues a job."""
    channel = channel_with(whole_document_limit=2)
    waiting = []
    for name in "abc":
        channel.put(packages.conda(index_json(name)))
        waiting.append(channel.column(jobs.c.kind).count(BuildDocuments.kind))
    assert [0, 0, 1] == waiting
