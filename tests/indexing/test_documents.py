"""Whole documents: made of one state, never half of it, and behind only where a channel is too large for that."""

import errno
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
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
from tests.indexing.channel import Channel, Meddled, Statements, examining_here, noted
from tests.support import packages, state
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.packages import PackageFile, index_json, zstd

LIMIT = 3


def numbered(number: int) -> PackageFile:
    return packages.conda(index_json(f"n{number}"), run_exports={"weak": [f"n{number}"]})


def fill(channel: Channel, count: int) -> None:
    for number in range(count):
        channel.put(numbered(number))


def wait_for_builds(channel: Channel) -> None:
    """Do the jobs that changes and readers asked for."""
    channel.seaway.documents._background.submit(int).result()
    channel.seaway.runner.run_due()


def count_of(channel: Channel) -> int:
    return len(channel.repodata()["packages.conda"])


def subdir_id(channel: Channel) -> int:
    with channel.seaway.database.read() as tx:
        return channel.subdir(tx).id


def test_all_kinds_are_of_one_state(channel: Channel) -> None:
    """repodata.json, its compressed forms and run_exports.json have one revision and tell of the same files."""
    fill(channel, 2)
    plain = channel.ask("noarch", "repodata.json")
    kinds = [
        plain,
        channel.ask("noarch", "repodata.json.zst"),
        channel.ask("noarch", "run_exports.json"),
        channel.ask("noarch", "run_exports.json.zst"),
        channel.ask("noarch", "repodata.json", encodings=("zstd",)),
        channel.ask("noarch", "repodata.json", encodings=("gzip",)),
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
    """Whichever kind is asked for first, all four are there afterwards, at one revision."""
    fill(channel, 1)
    channel.read("noarch", kind)
    channel.put(numbered(2))
    channel.read("noarch", kind)
    assert [2] * 4 == channel.column(documents.c.revision)


def test_up_to_the_limit_a_reader_sees_what_was_written(channel_with: Callable[..., Channel]) -> None:
    """Of a subdir of at most so many records, the document that is answered next holds the upload."""
    channel = channel_with(whole_document_limit=LIMIT)
    for number in range(LIMIT):
        channel.put(numbered(number))
        assert number + 1 == count_of(channel)


@pytest.mark.parametrize("encodings", [(), ("zstd",), ("gzip",)], ids=["plain", "zstd", "gzip"])
def test_above_the_limit_a_document_is_behind_by_one_build(
    encodings: tuple[str, ...], channel_with: Callable[..., Channel]
) -> None:
    """A large subdir is answered at once with the last document, which says its revision, and the next one is built meanwhile."""
    channel = channel_with(whole_document_limit=LIMIT)
    fill(channel, LIMIT + 1)
    first = channel.ask("noarch", "repodata.json", encodings=encodings)
    channel.put(numbered(9))
    behind = channel.ask("noarch", "repodata.json", encodings=encodings)
    assert (first.revision, first.content) == (behind.revision, behind.content)
    wait_for_builds(channel)
    newest = channel.ask("noarch", "repodata.json", encodings=encodings)
    assert channel.revision() == newest.revision
    assert first.content != newest.content


@pytest.mark.parametrize("back_ms", [0, DAY_MS])
def test_a_reader_of_an_old_document_brings_its_build_forward(
    channel_with: Callable[..., Channel], clock: TurnedClock, back_ms: int
) -> None:
    """A build that waits after it failed, or for a clock that was ahead, is due as soon as somebody reads what is behind."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 1)
    channel.repodata()
    channel.put(numbered(2))
    channel.repodata()
    with channel.seaway.database.write_site() as tx:
        tx.execute(jobs.update().values(run_at=clock.now_ms() + DAY_MS))
    clock.move(-back_ms if back_ms else 10 * SECOND_MS)
    channel.repodata()
    wait_for_builds(channel)
    assert 2 == count_of(channel)


def test_above_the_limit_the_shards_are_never_behind(channel_with: Callable[..., Channel]) -> None:
    """Shards and their index show each upload at once, however large the subdir is."""
    channel = channel_with(whole_document_limit=0)
    for number in range(3):
        channel.put(numbered(number))
        assert f"n{number}" in channel.shard_index()["shards"]
        assert number + 1 == channel.ask("noarch", "repodata_shards.msgpack.zst").revision


def test_the_first_document_of_a_large_subdir_is_waited_for(channel_with: Callable[..., Channel]) -> None:
    """Where there is no older document to give, the newest is built in the request."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 2)
    assert 2 == count_of(channel)


def builds_in(statements: Statements) -> int:
    """How often documents were named."""
    return len([text for text in statements.texts if text.startswith("INSERT INTO documents")])


def test_many_builds_that_are_asked_for_are_one(channel_with: Callable[..., Channel]) -> None:
    """Changes and readers in a row do not queue a build each: those that wait become one, and it has everything."""
    channel = channel_with(whole_document_limit=0)
    fill(channel, 1)
    channel.repodata()
    with noted(channel.seaway) as statements:
        for number in range(2, 6):
            channel.put(numbered(number))
            channel.repodata()
        wait_for_builds(channel)
    assert 1 == builds_in(statements)
    assert 5 == count_of(channel)


def test_many_readers_wait_for_one_build(channel: Channel) -> None:
    """Readers of an old document that come together are answered by one build."""
    fill(channel, 2)
    subdir = subdir_id(channel)
    with noted(channel.seaway) as statements, ThreadPoolExecutor(8) as readers:
        built = list(readers.map(lambda _: channel.seaway.documents.build(subdir, REPODATA), range(16)))
    assert 1 == builds_in(statements)
    assert 1 == len(set(built))


def test_an_upload_during_a_build_is_in_the_next(channel: Channel) -> None:
    """A build says of which state it is; what came meanwhile is seen by the reader who asks next."""
    fill(channel, 1)
    meddled = Meddled(channel.seaway.blobs, before_put=lambda: channel.put(numbered(2)))
    built = documents_on(channel, meddled).build(subdir_id(channel), REPODATA)
    assert built is not None
    assert (1, 2, 2) == (built.revision, count_of(channel), channel.revision())


class LostLock:
    """The database of a worker that builds beside another, since its lock ended with its session."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    @contextmanager
    def alone(self, thing: str, *, wait: bool = True) -> Iterator[bool]:
        yield True


def test_an_older_build_does_not_replace_a_newer_one(channel: Channel) -> None:
    """A worker that was slow finds the documents of another, newer than its own, and leaves them."""
    fill(channel, 1)

    def overtake() -> None:
        channel.put(numbered(2))
        channel.repodata()

    meddled = Meddled(channel.seaway.blobs, before_put=overtake)
    lost: Database = LostLock(channel.seaway.database)  # type: ignore[assignment]
    slow = Documents(lost, meddled, channel.seaway.spool, channel.seaway.clock, limit=100)
    built = slow.build(subdir_id(channel), REPODATA)
    assert built is not None
    assert 2 == built.revision
    assert {2} == set(channel.column(documents.c.revision))
    assert 2 == count_of(channel)


def documents_on(channel: Channel, blobs: BlobStore) -> Documents:
    """Another worker's builder, on the same database and spool."""
    return Documents(channel.seaway.database, blobs, channel.seaway.spool, channel.seaway.clock, limit=100)


def test_documents_that_come_back_are_found_again(channel: Channel) -> None:
    """Two states with the same records have the same bytes, whatever became of the first documents meanwhile."""
    fill(channel, 1)
    first = channel.ask("noarch", "repodata.json")
    channel.yank(numbered(0))
    channel.repodata()
    channel.unyank(numbered(0))
    again = channel.ask("noarch", "repodata.json")
    assert (first.content, 1, 3) == (again.content, first.revision, again.revision)


def test_a_document_that_is_swept_before_it_is_named_is_put_again(channel: Channel) -> None:
    """Bytes that were in the store, old and nameless, and go with the sweep while a build relies on them, come again."""
    fill(channel, 1)
    first = channel.read("noarch", "repodata.json")
    channel.yank(numbered(0))
    channel.repodata()
    channel.unyank(numbered(0))
    put_nameless(channel, first)
    meddled = Meddled(channel.seaway.blobs, after_put=lambda: sweep_everything(channel))
    built = documents_on(channel, meddled).build(subdir_id(channel), REPODATA)
    assert built is not None
    assert first == channel.read("noarch", "repodata.json")
    assert [] == list(check(channel.seaway))


def put_nameless(channel: Channel, content: bytes) -> None:
    """Leave bytes in the store that no row names."""
    with channel.seaway.spool.file() as file:
        file.write(content)
        file.flush()
        channel.seaway.blobs.put_file(keys.blob(hashlib.sha256(content).digest()), Path(file.name))


def sweep_everything(channel: Channel) -> None:
    """Sweep as if every blob were old."""
    seaway = channel.seaway
    sweep(seaway.sweeping, grace_ms=-(1 << 60))


def test_replaced_documents_leave_the_store(channel: Channel) -> None:
    """Of the documents only those of the newest revision take room; blobs that other rows name stay."""
    for number in range(3):
        channel.put(numbered(number))
        channel.read("noarch", "repodata.json", encodings=("gzip",))
    named = {*channel.column(documents.c.sha256), *channel.column(files.c.sha256)}
    assert {keys.blob(digest) for digest in named} == {stat.key for stat in state.stored(channel.seaway.blobs)}


def test_a_lost_document_is_made_again(channel: Channel) -> None:
    """Documents are derived: when their bytes are lost, forgetting them is enough to have them again."""
    fill(channel, 2)
    before = channel.read("noarch", "repodata.json")
    with channel.seaway.database.read() as tx:
        for row in tx.execute(documents.select()):
            channel.seaway.blobs.delete(keys.blob(row.sha256))
    with channel.seaway.database.write_site() as tx:
        rebuild(tx, channel.subdir(tx), channel.seaway.clock.now_ms(), LIMIT)
    assert before == channel.read("noarch", "repodata.json")


class NoWrites:
    """A store that takes nothing, once it is told why."""

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
    """A channel on a store that can be told to take nothing."""
    folder = tmp_path / "without-writes"
    settings = Settings(data=folder / "data", **state.settings(folder))
    store = NoWrites(wiring.open_store(settings))
    given: BlobStore = store  # type: ignore[assignment]
    with closing(examining_here(wiring.build(settings, blobs=given))) as seaway:
        yield Channel(seaway, People(seaway).channel("demo")), store
        store.error = None


NO_WRITES = [
    OSError(errno.ENOSPC, "full"),
    OSError(errno.EROFS, "read-only"),
    NotWritable("The storage denies access."),
]


@pytest.mark.parametrize("error", NO_WRITES, ids=str)
def test_a_document_that_cannot_be_built_is_the_last_complete_one(
    without_writes: tuple[Channel, NoWrites], error: Exception
) -> None:
    """With its own revision and for that moment only: the first request after the recovery sees the newest."""
    channel, store = without_writes
    fill(channel, 2)
    asks = [("repodata.json", ()), ("repodata.json.zst", ()), ("repodata.json", ("gzip",)), ("run_exports.json", ())]
    first = [channel.ask("noarch", name, encodings=encodings) for name, encodings in asks]
    channel.yank(numbered(1))
    store.error = error
    for _ in range(2):
        behind = [channel.ask("noarch", name, encodings=encodings) for name, encodings in asks]
        assert [(2, one.content) for one in first] == [(one.revision, one.content) for one in behind]
        assert {CachePolicy.NEVER} == {one.keep for one in behind}
    store.error = None
    newest = [channel.ask("noarch", name, encodings=encodings) for name, encodings in asks]
    assert [(3, CachePolicy.REVALIDATE)] * len(asks) == [(one.revision, one.keep) for one in newest]


def test_a_form_that_cannot_be_made_is_left_out(without_writes: tuple[Channel, NoWrites]) -> None:
    """gzip is made on demand: without room the document leaves as it is, and says so."""
    channel, store = without_writes
    fill(channel, 1)
    plain = channel.ask("noarch", "repodata.json")
    store.error = NO_WRITES[0]
    answer = channel.ask("noarch", "repodata.json", encodings=("gzip",))
    assert (plain.content, "", True) == (answer.content, answer.content_encoding, answer.varies_by_encoding)
    store.error = None
    assert "gzip" == channel.ask("noarch", "repodata.json", encodings=("gzip",)).content_encoding


@pytest.mark.parametrize("error", NO_WRITES, ids=str)
def test_without_a_document_there_is_none_to_give(without_writes: tuple[Channel, NoWrites], error: Exception) -> None:
    """Nobody is given an empty document for one that was never built."""
    channel, store = without_writes
    fill(channel, 1)
    store.error = error
    with pytest.raises(type(error)):
        channel.ask("noarch", "repodata.json")


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), Unavailable("The storage is away."), OSError(errno.EMFILE, "too many files")],
    ids=str,
)
def test_what_lasts_a_moment_is_not_hidden_by_an_old_document(
    without_writes: tuple[Channel, NoWrites], error: Exception
) -> None:
    """Whoever has just uploaded tries again, and reads what they uploaded (S2); our own mistakes are seen."""
    channel, store = without_writes
    fill(channel, 1)
    channel.repodata()
    channel.yank(numbered(0))
    store.error = error
    with pytest.raises(type(error)):
        channel.ask("noarch", "repodata.json")


def test_the_spool_is_empty_after_a_build(channel: Channel) -> None:
    """Drafts are moved into the store or removed."""
    fill(channel, 2)
    channel.read("noarch", "repodata.json", encodings=("gzip",))
    assert [] == list(channel.seaway.settings.spool_folder.iterdir())


def test_a_deleted_channel_has_no_documents(channel: Channel) -> None:
    """A build for a channel that is gone makes nothing."""
    fill(channel, 1)
    subdir = subdir_id(channel)
    channel.remove()
    assert channel.seaway.documents.build(subdir, REPODATA) is None
    assert [] == channel.rows(documents)
    with pytest.raises(BadCredential):
        channel.ask("noarch", "repodata.json")


def test_a_channel_deleted_during_a_build_has_none_either(channel: Channel) -> None:
    """A build that ends after its channel was deleted names nothing."""
    fill(channel, 1)
    subdir = subdir_id(channel)
    built = documents_on(channel, Meddled(channel.seaway.blobs, before_put=channel.remove)).build(subdir, REPODATA)
    assert built is None
    assert [] == channel.rows(documents)


@pytest.mark.parametrize("kind", [REPODATA_GZ, REPODATA])
def test_gzip_is_made_when_asked_for(kind: str, channel: Channel) -> None:
    """The gzip form is stored once somebody asked for it, and forgotten when newer documents are made."""
    fill(channel, 1)
    encodings = ("gzip",) if kind == REPODATA_GZ else ()
    channel.read("noarch", "repodata.json", encodings=encodings)
    assert (kind == REPODATA_GZ) == (REPODATA_GZ in channel.column(documents.c.kind))
    channel.put(numbered(2))
    channel.read("noarch", "repodata.json")
    assert REPODATA_GZ not in channel.column(documents.c.kind)


@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "zos-z"])
def test_the_documents_of_a_subdir_without_uploads(subdir: str, channel: Channel) -> None:
    """Every known subdir of a channel has documents from the start, empty and at revision 0."""
    for name in ("repodata.json", "repodata.json.zst", "run_exports.json", "run_exports.json.zst"):
        assert 0 == channel.ask(subdir, name).revision
    assert {} == channel.repodata(subdir)["packages.conda"]
    assert {} == channel.shard_index(subdir)["shards"]
    with pytest.raises(NotFound):
        channel.ask("linux-65", "repodata.json")


def test_a_document_of_this_revision_is_not_built_again(channel: Channel) -> None:
    """A reader of it waits for no build, and asks for none."""
    channel.put(packages.conda(index_json("a")))
    channel.repodata()
    documents = channel.seaway.documents
    with channel.seaway.database.read() as tx:
        subdir = channel.subdir(tx)
        found = documents.current(tx, subdir, REPODATA)
    assert found is not None
    assert (subdir.revision, found) == (found.revision, documents.last(subdir.id, REPODATA))


def test_up_to_the_limit_nothing_is_built_in_the_background(channel_with: Callable[..., Channel]) -> None:
    """Such documents are built for their readers; with one record more a job waits."""
    channel = channel_with(whole_document_limit=2)
    waiting = []
    for name in "abc":
        channel.put(packages.conda(index_json(name)))
        waiting.append(channel.column(jobs.c.kind).count(BuildDocuments.kind))
    assert [0, 0, 1] == waiting
