"""Damaged and missing blobs: found, taken out of use, told by name, and mended by whatever brings the bytes again."""

import errno
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx
import pytest
from prometheus_client.core import Metric
from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from structlog.testing import capture_logs

from seaway.backup import locations
from seaway.backup.backup import backup
from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.clock import DAY_MS
from seaway.database.tables import damaged_blobs, documents, files, kept_blobs
from seaway.errors import NotFound, Unavailable
from seaway.indexing.documents import REPODATA
from seaway.maintenance.check import check
from seaway.maintenance.repair import Repaired, repair
from seaway.packages import damaged_blobs as damage
from seaway.packages import removal
from seaway.packages.damaged_blobs import VERIFY_LOCK, BlobProblem, BlobVerifier
from seaway.packages.scrub import Slice, scrub, slice_seconds
from seaway.pairing import identity_storage
from seaway.pairing.identity import StoreIdentity, Verdict
from seaway.publishing import resumable
from seaway.publishing.import_files import import_files
from seaway.publishing.resumable import ResumableRequest
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.gauges import DatabaseGauges
from seaway.server.wiring import Seaway
from seaway.serving import resolve
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from tests.indexing.channel import with_in_process_examiners
from tests.support import house, pictures, state
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.anyio

CHANNEL = "chan"
FILE = conda()
LARGE = conda(index_json("large"), files={"share/x": bytes(range(256)) * 2_000})
URL = f"/{CHANNEL}/noarch/{FILE.name}"
DAYS = 30


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "truncated": lambda content: content[:-1],
    "empty": lambda _: b"",
}


@dataclass(frozen=True)
class Store:
    """A channel with one file, as its readers and its operator see it."""

    seaway: Seaway
    clock: TurnedClock
    http: httpx.AsyncClient

    @property
    def keeper(self) -> BlobVerifier:
        return BlobVerifier(self.seaway.database, self.seaway.blobs, self.seaway.documents, self.clock)

    def key(self, file: PackageFile = FILE) -> str:
        return keys.blob(bytes.fromhex(file.sha256))

    def quarantined(self, file: PackageFile = FILE) -> bool:
        return self.seaway.blobs.stat(keys.quarantine(bytes.fromhex(file.sha256))) is not None

    def rewrite(self, content: bytes, file: PackageFile = FILE) -> None:
        """Other bytes in the place of the blob, and not in that of a file that it shares its bytes with."""
        self.seaway.blobs.delete(self.key(file))
        state.rewrite(self.seaway.blobs, self.key(file), content)

    def stored(self, file: PackageFile = FILE) -> bytes:
        with self.seaway.blobs.open(self.key(file)) as content:
            return content.read()

    def noted(self) -> list[tuple[str, str]]:
        with self.seaway.database.read() as tx:
            return [(each.where, each.problem) for each in damage.affected_files(tx, 100)]

    def scrub_all(self) -> list[Slice | None]:
        """Let a whole period pass, slice by slice."""
        scrub(self.keeper, DAYS, pause=lambda _: None)
        self.clock.move(DAYS * DAY_MS)
        return [scrub(self.keeper, DAYS, pause=lambda _: None)]

    def document_blobs(self) -> dict[str, bytes]:
        with self.seaway.database.read() as tx:
            return {row.kind: row.sha256 for row in tx.execute(select(documents.c.kind, documents.c.sha256))}

    async def upload(self, file: PackageFile = FILE, *, force: bool = True) -> None:
        await publish_file(self.seaway, CHANNEL, file, force=force)


@pytest.fixture
async def store(on_both: str, tmp_path: Path, clock: TurnedClock) -> AsyncIterator[Store]:
    built = with_in_process_examiners(house.build(tmp_path, clock, downloads="direct"))
    People(built).channel(CHANNEL)
    transport = httpx.ASGITransport(app=create_app(built))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:
        store = Store(built, clock, client)
        await store.upload()
        yield store
    built.close()


async def by_force(store: Store, _: Path) -> None:
    await store.upload()


async def after_a_delete(store: Store, _: Path) -> None:
    removal.delete(store.seaway.request_parts.removing, OPERATOR, CHANNEL, "noarch", FILE.name)
    await store.upload(force=False)


async def by_import(store: Store, folder: Path) -> None:
    path = folder / FILE.name
    path.write_bytes(FILE.content)
    list(import_files(store.seaway.request_parts.publishing, CHANNEL, [path], by=OPERATOR, force=True))


async def in_pieces(store: Store, _: Path) -> None:
    publishing, by = store.seaway.request_parts.publishing, People(store.seaway).person("owner")
    order = ResumableRequest(CHANNEL, FILE.name, len(FILE.content), FILE.sha256, force=True)
    upload = await resumable.begin(publishing, order, by=by)

    async def content() -> AsyncIterator[bytes]:
        yield FILE.content

    await resumable.append(publishing, upload.id, 0, content(), by=by)


async def to_another_channel(store: Store, _: Path) -> None:
    People(store.seaway).channel("other")
    await publish_file(store.seaway, "other", FILE)


WAYS = {way.__name__: way for way in (by_force, after_a_delete, by_import, in_pieces, to_another_channel)}


@pytest.mark.parametrize(
    "kind", ["flipped", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("truncated", "empty"))]
)
@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_mends_a_damaged_blob(store: Store, tmp_path: Path, way: str, kind: str) -> None:
    """Whichever way the bytes come again, before the scrub found them or after: they are served at once."""
    store.rewrite(DAMAGES[kind](FILE.content))
    await WAYS[way](store, tmp_path)
    assert store.stored() == FILE.content
    store.rewrite(DAMAGES[kind](FILE.content))
    store.scrub_all()
    assert (f"{CHANNEL}/noarch/{FILE.name}", "damaged") in store.noted()
    await WAYS["by_force"](store, tmp_path) if way == "to_another_channel" else await WAYS[way](store, tmp_path)
    assert store.stored() == FILE.content
    answer = await store.http.get(URL)
    assert (200, FILE.content) == (answer.status_code, answer.content)
    store.scrub_all()  # clears what was noted
    assert ([], False) == (store.noted(), store.quarantined())
    assert [] == list(check(store.seaway))


@pytest.mark.both_states
@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_scrub_takes_a_damaged_blob_out_of_use(store: Store, kind: str) -> None:
    """Invariant 2: its bytes are kept aside, readers are told its name, and metrics count it."""
    store.rewrite(DAMAGES[kind](FILE.content))
    assert [Slice(1, 1)] == store.scrub_all()
    assert (None, True) == (store.seaway.blobs.stat(store.key()), store.quarantined())
    for method in ("GET", "HEAD"):
        answer = await store.http.request(method, URL)
        assert 503 == answer.status_code
        assert answer.headers["Retry-After"]
    assert f"The stored copy of {FILE.name} is damaged." in (await store.http.get(URL)).text
    gauges = DatabaseGauges(store.seaway.database, store.clock, whole_document_limit=10)
    assert [1] == [sample.value for sample in named(gauges.collect(), "seaway_damaged_blobs").samples]
    assert [Slice(1, 0)] != store.scrub_all()  # still missed, and noted once
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.noted()


def named(families: Iterator[Metric], name: str) -> Metric:
    return next(family for family in families if family.name == name)


async def test_a_missing_blob_is_noted(store: Store) -> None:
    """It is told by its name before and after a scrub has noticed; when it is back, it is served at once."""
    store.seaway.blobs.delete(store.key())
    for _ in range(2):
        answer = await store.http.get(URL)
        assert 503 == answer.status_code
        assert f"The stored copy of {FILE.name} is missing on this server." in answer.text
        store.scrub_all()
        assert [(f"{CHANNEL}/noarch/{FILE.name}", "missing")] == store.noted()
    state.rewrite(store.seaway.blobs, store.key(), FILE.content)
    assert FILE.content == (await store.http.get(URL)).content
    store.scrub_all()
    assert [] == store.noted()


@pytest.mark.parametrize("kind", DAMAGES)
async def test_damaged_bytes_are_not_kept_in_memory(store: Store, kind: str) -> None:
    """A small file is hashed before it is kept: else a worker would serve damaged bytes after their repair."""
    store.rewrite(DAMAGES[kind](FILE.content))
    answer = await store.http.get(URL)
    assert (503, True) == (answer.status_code, "is damaged" in answer.text)
    state.rewrite(store.seaway.blobs, store.key(), FILE.content)
    assert FILE.content == (await store.http.get(URL)).content


async def test_bytes_that_come_meanwhile_are_not_lost(store: Store) -> None:
    """Invariant 1: what was put between the reading and the hold stays, and nothing is noted."""
    store.rewrite(flipped(FILE.content))
    finding = damage.examine(store.seaway.blobs, bytes.fromhex(FILE.sha256))
    assert finding is not None
    await store.upload()
    assert not store.keeper.take_out_of_use(finding)
    assert (FILE.content, [], False) == (store.stored(), store.noted(), store.quarantined())


class Stopping:
    """A store that ends its caller at one of its calls, as a kill would."""

    def __init__(self, blobs: BlobStore, at: int) -> None:
        self._blobs, self._left = blobs, at

    def __getattr__(self, name: str) -> Any:
        if self._left == 0:
            raise StoppedError
        self._left -= 1
        return getattr(self._blobs, name)


class StoppedError(Exception):
    """The end of the caller."""


@pytest.mark.parametrize("at", range(6))
async def test_a_process_that_ends_on_its_way_leaves_no_damaged_bytes_to_readers(store: Store, at: int) -> None:
    """Wherever it ends, the next look finishes the work, and the bytes can come again before or after that."""
    for is_mended_first in (True, False):
        store.rewrite(flipped(FILE.content))
        keeper = replace(store.keeper, blobs=cast("BlobStore", Stopping(store.seaway.blobs, at)))
        with pytest.raises(StoppedError):
            keeper.verify(bytes.fromhex(FILE.sha256))
        if is_mended_first:
            await store.upload()
        store.keeper.recheck()
        store.keeper.verify(bytes.fromhex(FILE.sha256))
        answer = await store.http.get(URL)
        assert (200 if is_mended_first else 503) == answer.status_code
        await store.upload()
        store.keeper.recheck()
        assert (FILE.content, [], False) == (store.stored(), store.noted(), store.quarantined())


async def test_what_no_row_names_is_not_noted(store: Store) -> None:
    """A damaged blob of a file that was deleted goes, and so does what was noted before the delete."""
    store.rewrite(flipped(FILE.content))
    finding = damage.examine(store.seaway.blobs, bytes.fromhex(FILE.sha256))
    assert finding is not None
    removal.delete(store.seaway.request_parts.removing, OPERATOR, CHANNEL, "noarch", FILE.name)
    assert not store.keeper.take_out_of_use(finding)
    assert ([], False) == (store.noted(), store.quarantined())


async def test_a_deleted_file_clears_what_was_noted(store: Store) -> None:
    """With the last row that named it the row and the damaged bytes go."""
    store.rewrite(flipped(FILE.content))
    store.scrub_all()
    removal.delete(store.seaway.request_parts.removing, OPERATOR, CHANNEL, "noarch", FILE.name)
    store.scrub_all()
    with store.seaway.database.read() as tx:
        assert 0 == damage.count(tx)
    assert not store.quarantined()


async def test_what_a_kill_left_in_quarantine_goes(store: Store) -> None:
    """A copy that no row tells of, as a process leaves it that is killed before it wrote the row."""
    store.seaway.blobs.copy(store.key(), keys.quarantine(bytes.fromhex(FILE.sha256)))
    store.keeper.recheck()
    assert not store.quarantined()


async def test_the_work_is_spread_over_the_period(store: Store) -> None:
    """Each blob is read once in a period, about as many in each part of it; then it begins again."""
    for number in range(40):
        await store.upload(conda(index_json(f"p{number}")))
    with store.seaway.database.read() as tx:
        digests = sorted(set(tx.execute(select(files.c.sha256)).scalars()))
    read = []
    for _ in range(2):
        scrub(store.keeper, DAYS)  # begins a pass
        for _ in range(10):
            store.clock.move(DAYS * DAY_MS // 10)
            done = scrub(store.keeper, DAYS)
            assert done is not None
            read.append(done.verified)
    tenths = [sum(1 for digest in digests if number * 25.6 <= digest[0] < (number + 1) * 25.6) for number in range(10)]
    assert sum(read[:10]) == len(digests)
    assert max(abs(one - other) for one, other in zip(read[:10], tenths, strict=True)) <= 1
    assert read[:10] == read[10:]


async def test_a_slice_ends_in_time_and_is_gone_on_with(store: Store) -> None:
    """With no time left it reads nothing, keeps where it was, and the next slice does the rest."""
    scrub(store.keeper, DAYS)
    store.clock.move(DAYS * DAY_MS)
    assert Slice(0, 0) == scrub(store.keeper, DAYS, seconds=0)
    assert Slice(1, 0) == scrub(store.keeper, DAYS)
    assert Slice(0, 0) == scrub(store.keeper, DAYS)


async def test_one_process_scrubs_at_a_time(store: Store) -> None:
    """Another one leaves it to the first."""
    with store.seaway.database.exclusive(VERIFY_LOCK):
        assert scrub(store.keeper, DAYS) is None


async def test_a_clock_that_is_set_back_begins_anew(store: Store) -> None:
    """A pass that began in the future would never have anything due."""
    scrub(store.keeper, DAYS)
    store.clock.move(-400 * DAY_MS)
    scrub(store.keeper, DAYS)
    store.clock.move(DAYS * DAY_MS)
    assert Slice(1, 0) == scrub(store.keeper, DAYS)


async def documents_of(store: Store) -> dict[str, bytes]:
    """Every form of the documents, as readers get them."""
    read = {}
    for name in ("repodata.json", "repodata.json.zst", "run_exports.json", "run_exports.json.zst"):
        for encoding in ("identity", "gzip") if name == REPODATA else ("identity",):
            answer = await store.http.get(f"/{CHANNEL}/noarch/{name}", headers={"Accept-Encoding": encoding})
            assert 200 == answer.status_code, answer.text
            read[f"{name} {encoding}"] = answer.content
    return read


@pytest.mark.parametrize("is_large", [False, True], ids=["read whole", "streamed"])
@pytest.mark.parametrize("limit", [None, 0], ids=["built by requests", "built by jobs"])
@pytest.mark.parametrize("kind", ["repodata.json", "repodata.json.zst", "repodata.json.gz", "run_exports.json"])
async def test_a_missing_document_is_built_again(
    tmp_path: Path, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch, kind: str, limit: int | None, is_large: bool
) -> None:  # fmt: skip
    """The request that finds it missing builds it, whichever of them it is, and gets the same bytes."""
    if is_large:
        monkeypatch.setattr(resolve, "_SMALL_DOCUMENT_BYTES", 0)
        monkeypatch.setattr("seaway.http.channel_responses.SMALL_BYTES", 0)
    settings = {} if limit is None else {"whole_document_limit": limit}
    built = with_in_process_examiners(house.build(tmp_path, clock, downloads="direct", **settings))
    People(built).channel(CHANNEL)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(built)), base_url="http://seaway.test"
    ) as client:
        store = Store(built, clock, client)
        await store.upload()
        before = await documents_of(store)
        built.blobs.delete(keys.blob(store.document_blobs()[kind]))
        People(built).user("another")  # a commit: what a worker remembers is not given any more
        assert before == await documents_of(store)
        assert [] == list(check(built))
    built.close()


async def test_gzip_is_made_without_its_plain_document(store: Store) -> None:
    """The plain document that gzip is made of is built again first when it is missing or damaged."""
    before = await documents_of(store)
    for content in (None, b"", b"x"):
        with store.seaway.database.write_site() as tx:
            tx.execute(delete_rows(documents).where(documents.c.kind == "repodata.json.gz"))
        plain = keys.blob(store.document_blobs()[REPODATA])
        store.seaway.blobs.delete(plain)
        if content is not None:
            state.rewrite(store.seaway.blobs, plain, content)
        answer = await store.http.get(f"/{CHANNEL}/noarch/{REPODATA}", headers={"Accept-Encoding": "gzip"})
        assert before[f"{REPODATA} gzip"] == answer.content
    assert [] == list(check(store.seaway))


@pytest.mark.parametrize("damaged", DAMAGES)
@pytest.mark.parametrize("kind", ["repodata.json", "repodata.json.zst", "run_exports.json"])
async def test_a_damaged_document_is_forgotten_by_the_scrub(store: Store, kind: str, damaged: str) -> None:
    """Invariant 4: it is built again for the next reader, with its right bytes, and leaves no row."""
    before = await documents_of(store)
    key = keys.blob(store.document_blobs()[kind])
    with store.seaway.blobs.open(key) as file:
        content = file.read()
    store.seaway.blobs.delete(key)
    state.rewrite(store.seaway.blobs, key, DAMAGES[damaged](content))
    store.scrub_all()
    assert ({}, []) == (store.document_blobs(), store.noted())
    assert before == await documents_of(store)
    assert [] == list(check(store.seaway))


async def test_a_build_does_not_rely_on_damaged_bytes(store: Store) -> None:
    """Documents that come out the same as damaged ones of before take their place."""
    before = await documents_of(store)
    digests = store.document_blobs().values()
    with store.seaway.database.write_site() as tx:
        tx.execute(delete_rows(documents))
    for sha256 in digests:
        key = keys.blob(sha256)
        size = store.seaway.blobs.stat(key)
        assert size is not None
        store.seaway.blobs.delete(key)
        state.rewrite(store.seaway.blobs, key, b"x" * size.size)
    assert before == await documents_of(store)


async def test_a_bad_logo_is_not_shown(store: Store) -> None:
    """It is taken out of use, the channel page shows none, and the same picture uploaded again is shown at once."""
    png = pictures.png()
    store.seaway.request_parts.logos.store(OPERATOR, CHANNEL, png)
    with store.seaway.database.read() as tx:
        logo = channels.get(tx, CHANNEL).logo
    assert logo is not None
    address = f"/channels/{CHANNEL}/logo/{logo.hex()}.png" if isinstance(logo, bytes) else logo
    key = next(stat.key for stat in store.seaway.blobs.list(keys.BLOBS) if stat.size == len(png))
    store.seaway.blobs.delete(key)
    state.rewrite(store.seaway.blobs, key, flipped(png))
    store.scrub_all()
    assert [(f"{CHANNEL}/logo", "damaged")] == store.noted()
    assert str(address) not in (await store.http.get(f"/channels/{CHANNEL}")).text
    with store.seaway.database.read() as tx:
        assert channels.get(tx, CHANNEL).logo is None
    store.seaway.request_parts.logos.store(OPERATOR, CHANNEL, png)
    with store.seaway.database.read() as tx:
        assert logo == channels.get(tx, CHANNEL).logo
        assert 0 == damage.count(tx)


@pytest.mark.parametrize("how", ["redirect", "x-accel"])
async def test_it_holds_where_the_store_sends_the_bytes(
    request: pytest.FixtureRequest, tmp_path: Path, clock: TurnedClock, how: str
) -> None:
    """A noted file is refused before its reader is sent to a bucket or handed to a proxy, until it is there again."""
    with state.choose(state.POSTGRES_S3 if how == "redirect" else state.SQLITE_DISK):
        built = with_in_process_examiners(house.build(tmp_path, clock, downloads=how))
        People(built).channel(CHANNEL)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=create_app(built)),
            base_url="http://seaway.test",
            headers={"Seaway-X-Accel": "1"},
        ) as client:
            store = Store(built, clock, client)
            await store.upload()
            sent = (302 if how == "redirect" else 200, how)
            assert sent == (await status_and_way(client))
            store.rewrite(flipped(FILE.content))
            store.scrub_all()
            answer = await client.get(URL)
            assert (503, True) == (answer.status_code, f"{FILE.name} is damaged" in answer.text)
            await store.upload()
            assert sent == (await status_and_way(client))
        built.close()
        state.forget(tmp_path)


@pytest.mark.on_disk
async def test_a_proxy_is_not_handed_a_file_that_was_cut_short(tmp_path: Path, clock: TurnedClock) -> None:
    """The size is compared before the proxy reads the file, also where no scrub has seen it yet."""
    built = with_in_process_examiners(house.build(tmp_path, clock, downloads="x-accel"))
    People(built).channel(CHANNEL)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(built)),
        base_url="http://seaway.test",
        headers={"Seaway-X-Accel": "1"},
    ) as client:
        store = Store(built, clock, client)
        await store.upload()
        store.rewrite(FILE.content[:-1])
        answer = await client.get(URL)
        assert (503, False) == (answer.status_code, "x-accel-redirect" in answer.headers)
    built.close()


async def status_and_way(client: httpx.AsyncClient) -> tuple[int, str]:
    answer = await client.get(URL)
    way = "redirect" if "location" in answer.headers else "x-accel" if "x-accel-redirect" in answer.headers else ""
    return answer.status_code, way


def repaired(store: Store, source: str | None = None) -> Repaired:
    if source is None:
        return repair(store.keeper, store.seaway.spool, None)
    settings = store.seaway.settings
    with locations.backup_source(source, None, settings.effective_storage_url, wiring.bucket_access(settings)) as found:
        return repair(store.keeper, store.seaway.spool, found)


def back_up(store: Store, target: str) -> None:
    settings = store.seaway.settings
    place = locations.backup_target(target, settings.effective_storage_url, wiring.bucket_access(settings))
    backup(store.seaway.database, store.seaway.blobs, store.seaway.spool, store.clock, place)


@pytest.mark.parametrize("target", ["file", "folder"])
async def test_a_repair_brings_files_back_from_a_backup(store: Store, tmp_path: Path, target: str) -> None:
    """Damaged and missing files come back, documents are built again, and what the backup lacks is told."""
    await store.upload(LARGE)
    place = str(tmp_path / "backup.tar") if target == "file" else (tmp_path / "backups").as_uri()
    back_up(store, place)
    late = conda(index_json("late"))
    await store.upload(late)
    before = await documents_of(store)
    store.rewrite(flipped(FILE.content))
    store.seaway.blobs.delete(store.key(LARGE))
    store.seaway.blobs.delete(store.key(late))
    store.seaway.blobs.delete(keys.blob(store.document_blobs()["repodata.json.zst"]))
    done = repaired(store)
    bad = {f"{CHANNEL}/noarch/{file.name}" for file in (FILE, LARGE, late)}
    assert ((), (f"{CHANNEL}/noarch/repodata.json.zst",), bad) == (
        done.repaired,
        done.dropped,
        set(done.broken),
    )
    done = repaired(store, place)
    assert (bad - {f"{CHANNEL}/noarch/{late.name}"}, (f"{CHANNEL}/noarch/{late.name}",)) == (
        set(done.repaired),
        done.broken,
    )
    assert before == await documents_of(store)
    assert [FILE.content, LARGE.content] == [store.stored(file) for file in (FILE, LARGE)]
    assert not store.quarantined()
    await store.upload(late)
    assert ((f"{CHANNEL}/noarch/{late.name}",), ()) == ((done := repaired(store)).repaired, done.broken)
    assert [] == list(check(store.seaway))


async def test_a_damaged_backup_mends_nothing(store: Store, tmp_path: Path) -> None:
    """What comes from a backup is stored only if its bytes are right."""
    back_up(store, (tmp_path / "backups").as_uri())
    (tmp_path / "backups" / store.key()).write_bytes(flipped(FILE.content))
    store.rewrite(flipped(FILE.content))
    done = repaired(store, (tmp_path / "backups").as_uri())
    assert ((), (f"{CHANNEL}/noarch/{FILE.name}",)) == (done.repaired, done.broken)
    assert store.seaway.blobs.stat(store.key()) is None


async def test_a_missing_file_has_no_list_of_paths(store: Store) -> None:
    """The pages that read an archive say what is wrong instead of failing."""
    store.seaway.blobs.delete(store.key())
    answer = await store.http.get(f"/api/v1/channels/{CHANNEL}/files/noarch/{FILE.name}/paths")
    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert f"{FILE.name} is missing" in answer.json()["message"]


async def test_a_lost_piece_ends_its_upload(store: Store) -> None:
    """The client is told to begin again, which it then can."""
    publishing = replace(store.seaway.request_parts.publishing, min_piece_bytes=400)
    by, file = People(store.seaway).person("owner"), conda(index_json("pieces"))
    order = ResumableRequest(CHANNEL, file.name, len(file.content), file.sha256, force=False)
    upload = await resumable.begin(publishing, order, by=by)

    async def part(content: bytes) -> AsyncIterator[bytes]:
        yield content

    before = {stat.key for stat in store.seaway.blobs.list(keys.BLOBS)}
    upload = await resumable.append(publishing, upload.id, 0, part(file.content[:400]), by=by)
    (piece,) = {stat.key for stat in store.seaway.blobs.list(keys.BLOBS)} - before
    store.seaway.blobs.delete(piece)
    with pytest.raises(Exception, match="lost a part of this upload"):
        await resumable.append(publishing, upload.id, 400, part(file.content[400:]), by=by)
    upload = await resumable.begin(publishing, replace(order, force=True), by=by)
    await resumable.append(publishing, upload.id, 0, part(file.content), by=by)
    assert file.content == (await store.http.get(f"/{CHANNEL}/noarch/{file.name}")).content


async def test_a_noted_row_is_cleared_once(store: Store) -> None:
    """A row for a blob that nothing names, of whatever origin, is cleared."""
    with store.seaway.database.write_site() as tx:
        tx.execute(damaged_blobs.insert().values(sha256=b"x" * 32, found_at=0, problem=BlobProblem.MISSING.value))
    store.keeper.recheck()
    with store.seaway.database.read() as tx:
        assert 0 == damage.count(tx)


class Failing:
    """A store of which reading some blobs, or all of them, or every change fails."""

    def __init__(
        self, blobs: BlobStore, error: Exception, *, opens: Collection[str] = (), changes: bool = False
    ) -> None:
        self._blobs, self._error = blobs, error
        self.opens: Collection[str] | None = opens  # None: everything
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        if self.opens is None or key in self.opens:
            raise self._error
        return self._blobs.open(key, start)

    def copy(self, key: str, target: str) -> None:
        if self._changes:
            raise self._error
        self._blobs.copy(key, target)

    def delete(self, key: str) -> None:
        if self._changes:
            raise self._error
        self._blobs.delete(key)


UNREADABLE = [
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.ESTALE, "Stale file handle"),
    IsADirectoryError(errno.EISDIR, "Is a directory"),
    Unavailable("The storage does not answer."),
]


async def several(store: Store) -> list[str]:
    """Files with blobs, all unreadable but the last one; the keys in the order of the scrub."""
    for number in range(6):
        await store.upload(conda(index_json(f"p{number}")))
    with store.seaway.database.read() as tx:
        return [keys.blob(sha256) for sha256 in tx.execute(select(files.c.sha256).order_by(files.c.sha256)).scalars()]


def unreliable(store: Store, error: Exception, *, opens: Collection[str] = (), changes: bool = False) -> Store:
    """The same store, of which some calls fail."""
    blobs = Failing(store.seaway.blobs, error, opens=opens, changes=changes)
    return replace(store, seaway=replace(store.seaway, blobs=cast("BlobStore", blobs)))


@pytest.mark.parametrize("error", UNREADABLE, ids=str)
async def test_unreadable_blobs_stop_nothing(store: Store, error: Exception) -> None:
    """Invariant 6: the scrub and a repair read what is behind them, and the repair names them."""
    *unread, last = await several(store)
    state.rewrite(store.seaway.blobs, last, b"x")
    failing = unreliable(store, error, opens=unread)
    assert [Slice(1, 1, len(unread))] == failing.scrub_all()
    done = repair(failing.keeper, store.seaway.spool, None)
    assert (len(unread), 1) == (len(done.unread), len(done.broken))
    assert f"{done.unread[0]} cannot be read." in done.lines
    assert all(name.startswith(f"{CHANNEL}/noarch/") for name in done.unread)


async def test_a_noted_blob_that_cannot_be_read_stops_nothing(store: Store) -> None:
    """Looking again at what was noted passes over it, and its row stays."""
    await store.upload(LARGE)
    for file in (FILE, LARGE):
        store.rewrite(flipped(file.content), file)
    store.scrub_all()
    for file in (FILE, LARGE):
        state.rewrite(store.seaway.blobs, store.key(file), file.content)
    failing = unreliable(store, UNREADABLE[0], opens=[store.key()])
    assert [bytes.fromhex(LARGE.sha256)] == failing.keeper.recheck()
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.noted()


@pytest.mark.parametrize("error", UNREADABLE, ids=str)
async def test_a_store_that_is_away_is_not_passed_over(store: Store, error: Exception) -> None:
    """Scrub invariant 4: when nothing can be read, nothing counts as read, and the next slice begins there again."""
    digests = await several(store)
    store.scrub_all()
    scrub(store.keeper, DAYS)  # begins a pass
    store.clock.move(DAYS * DAY_MS)
    failing = unreliable(store, error)
    cast("Failing", failing.seaway.blobs).opens = None
    for _ in range(3):
        with pytest.raises(type(error)):
            scrub(failing.keeper, DAYS, pause=lambda _: None)
    done = scrub(store.keeper, DAYS, pause=lambda _: None)
    assert done is not None
    assert (len(digests), 0) == (done.verified, done.unread)


def make_behind(store: Store) -> None:
    """Put the counter of the store ahead, as an older copy of the database finds it."""
    blobs = state.raw(store.seaway.blobs)
    identity = identity_storage.of_store(blobs)
    assert identity is not None
    identity_storage.put_in_store(blobs, StoreIdentity(identity.id, identity.counter + 5))
    assert Verdict.BEHIND is store.seaway.pairing.check()


@pytest.mark.parametrize("kind", ["flipped", "truncated"])
@pytest.mark.parametrize("how", ["behind", "read-only"])
async def test_damaged_bytes_that_cannot_be_moved_are_not_served(store: Store, how: str, kind: str) -> None:
    """Invariant 5: the row refuses them by the name of the file; other bytes put later are served at once."""
    store.rewrite(DAMAGES[kind](FILE.content))
    if how == "behind":
        make_behind(store)
        store.scrub_all()
    else:
        unreliable(store, OSError(errno.EROFS, "Read-only file system"), changes=True).scrub_all()
    assert store.seaway.blobs.stat(store.key()) is not None
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.noted()
    for method in ("GET", "HEAD"):
        assert 503 == (await store.http.request(method, URL)).status_code
    assert f"The stored copy of {FILE.name} is damaged." in (await store.http.get(URL)).text
    await store.upload()
    with store.seaway.database.write_site() as tx:  # the clock of the test is ahead of that of the store
        tx.execute(damaged_blobs.update().values(found_at=0))
    assert FILE.content == (await store.http.get(URL)).content
    store.keeper.recheck()
    assert [] == store.noted()


async def test_a_damaged_document_is_not_kept_in_memory(store: Store) -> None:
    """Documents are hashed before a worker keeps them: a flipped byte is never served, and built again."""
    before = await documents_of(store)
    key = keys.blob(store.document_blobs()[REPODATA])
    with store.seaway.blobs.open(key) as file:
        content = file.read()
    store.seaway.blobs.delete(key)
    state.rewrite(store.seaway.blobs, key, flipped(content))
    People(store.seaway).user("another")  # a commit: what a worker remembers is not given any more
    assert before == await documents_of(store)


async def test_a_damaged_piece_ends_its_upload(store: Store) -> None:
    """A byte that flipped in the store is not taken for a bad package: the client is told to send it again."""
    publishing = replace(store.seaway.request_parts.publishing, min_piece_bytes=400)
    by, file = People(store.seaway).person("owner"), conda(index_json("pieces"))
    upload = await resumable.begin(
        publishing, ResumableRequest(CHANNEL, file.name, len(file.content), None, force=False), by=by
    )

    async def part(content: bytes) -> AsyncIterator[bytes]:
        yield content

    before = {stat.key for stat in store.seaway.blobs.list(keys.BLOBS)}
    upload = await resumable.append(publishing, upload.id, 0, part(file.content[:400]), by=by)
    (piece,) = {stat.key for stat in store.seaway.blobs.list(keys.BLOBS)} - before
    store.seaway.blobs.delete(piece)
    state.rewrite(store.seaway.blobs, piece, flipped(file.content[:400]))
    with pytest.raises(NotFound, match="lost a part of this upload"):
        await resumable.append(publishing, upload.id, 400, part(file.content[400:]), by=by)


async def test_a_repair_brings_back_every_blob(store: Store, tmp_path: Path) -> None:
    """Whatever is noted comes back from the backup, also a blob that no file names, such as one that a rebuild kept."""
    back_up(store, (tmp_path / "backups").as_uri())
    with store.seaway.database.write_site() as tx:
        tx.execute(kept_blobs.insert().values(sha256=bytes.fromhex(FILE.sha256), size=len(FILE.content)))
        tx.execute(files.delete())
    store.rewrite(flipped(FILE.content))
    done = repaired(store, (tmp_path / "backups").as_uri())
    assert ((), ()) == (done.repaired, done.broken)
    assert FILE.content == store.stored()


async def test_kept_blobs_are_verified(store: Store) -> None:
    """The scrub reads the blobs that a rebuild kept, too."""
    with store.seaway.database.write_site() as tx:
        tx.execute(kept_blobs.insert().values(sha256=bytes.fromhex(FILE.sha256), size=len(FILE.content)))
        tx.execute(files.delete())
    store.rewrite(flipped(FILE.content))
    assert [Slice(1, 1)] == store.scrub_all()
    assert store.quarantined()


async def test_a_late_pass_is_told_once(store: Store) -> None:
    """Scrub invariant 5: a store that cannot be read within `scrub_days` is logged once in each pass."""
    with capture_logs() as lines:
        scrub(store.keeper, DAYS)
        for _ in range(3):
            store.clock.move(DAYS * DAY_MS)
            scrub(store.keeper, DAYS, seconds=0)
    late = [line for line in lines if line["event"] == "scrub.late"]
    assert [(DAYS, 0)] == [(line["scrub_days"], line["read_percent"]) for line in late]


@pytest.mark.parametrize(("late_days", "seconds"), [(-1, 20), (0, 20), (1, 20), (2, 40), (3, 60), (400, 60)])
def test_a_late_pass_gets_longer_slices(late_days: float, seconds: float) -> None:
    """Scrub invariant 5: within bounds."""
    assert seconds == slice_seconds(int(late_days * DAY_MS))
