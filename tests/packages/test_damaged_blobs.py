"""Damaged and missing blobs are detected, quarantined, reported by file name, and repaired by a later upload."""

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
from seaway.pairing.identity import PairingVerdict, StoreIdentity
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
from tests.support import images, sites, state
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file, with_site

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
    clock: ManualClock
    http: httpx.AsyncClient

    @property
    def verifier(self) -> BlobVerifier:
        return BlobVerifier(replace(self.seaway.site, clock=self.clock), self.seaway.documents)

    def key(self, file: PackageFile = FILE) -> str:
        return keys.blob(bytes.fromhex(file.sha256))

    def quarantined(self, file: PackageFile = FILE) -> bool:
        return self.seaway.site.blobs.stat(keys.quarantine(bytes.fromhex(file.sha256))) is not None

    def rewrite(self, content: bytes, file: PackageFile = FILE) -> None:
        """Replace the blob with other bytes, but not a file that is hard-linked to it."""
        self.seaway.site.blobs.delete(self.key(file))
        state.overwrite_blob(self.seaway.site.blobs, self.key(file), content)

    def stored(self, file: PackageFile = FILE) -> bytes:
        with self.seaway.site.blobs.open(self.key(file)) as content:
            return content.read()

    def problems(self) -> list[tuple[str, str]]:
        with self.seaway.site.database.read() as tx:
            return [(file.where, file.problem) for file in damage.affected_files(tx, 100)]

    def scrub_all(self) -> list[Slice | None]:
        """Run one complete scrub pass."""
        scrub(self.verifier, DAYS, pause=lambda _: None)
        self.clock.move(DAYS * DAY_MS)
        return [scrub(self.verifier, DAYS, pause=lambda _: None)]

    def document_blobs(self) -> dict[str, bytes]:
        with self.seaway.site.database.read() as tx:
            return {row.kind: row.sha256 for row in tx.execute(select(documents.c.kind, documents.c.sha256))}

    async def upload(self, file: PackageFile = FILE, *, force: bool = True) -> None:
        await publish_file(self.seaway, CHANNEL, file, force=force)


@pytest.fixture
async def store(on_both: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    built = with_in_process_examiners(sites.build(tmp_path, clock, downloads="direct"))
    Factory(built).channel(CHANNEL)
    transport = httpx.ASGITransport(app=create_app(built))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:
        store = Store(built, clock, client)
        await store.upload()
        yield store
    built.close()


async def forced_upload(store: Store, _: Path) -> None:
    await store.upload()


async def upload_after_delete(store: Store, _: Path) -> None:
    removal.delete(store.seaway.site, OPERATOR, CHANNEL, "noarch", FILE.name)
    await store.upload(force=False)


async def import_from_folder(store: Store, folder: Path) -> None:
    path = folder / FILE.name
    path.write_bytes(FILE.content)
    list(import_files(store.seaway.request_parts.publishing, CHANNEL, [path], by=OPERATOR, force=True))


async def resumable_upload(store: Store, _: Path) -> None:
    publishing, by = store.seaway.request_parts.publishing, Factory(store.seaway).signed_in("owner")
    request = ResumableRequest(CHANNEL, FILE.name, len(FILE.content), FILE.sha256, force=True)
    upload = await resumable.begin(publishing, request, by=by)

    async def content() -> AsyncIterator[bytes]:
        yield FILE.content

    await resumable.append(publishing, upload.id, 0, content(), by=by)


async def upload_to_another_channel(store: Store, _: Path) -> None:
    Factory(store.seaway).channel("other")
    await publish_file(store.seaway, "other", FILE)


UPLOAD_METHODS = {
    upload_method.__name__: upload_method
    for upload_method in (
        forced_upload,
        upload_after_delete,
        import_from_folder,
        resumable_upload,
        upload_to_another_channel,
    )
}


@pytest.mark.parametrize(
    "kind", ["flipped", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("truncated", "empty"))]
)
@pytest.mark.parametrize("upload_method", UPLOAD_METHODS)
async def test_upload_repairs_a_damaged_blob(store: Store, tmp_path: Path, upload_method: str, kind: str) -> None:
    """By each upload method, before and after the scrub found the damage; the file is served at once."""
    store.rewrite(DAMAGES[kind](FILE.content))
    await UPLOAD_METHODS[upload_method](store, tmp_path)
    assert store.stored() == FILE.content
    store.rewrite(DAMAGES[kind](FILE.content))
    store.scrub_all()
    assert (f"{CHANNEL}/noarch/{FILE.name}", "damaged") in store.problems()
    again = "forced_upload" if upload_method == "upload_to_another_channel" else upload_method
    await UPLOAD_METHODS[again](store, tmp_path)
    assert store.stored() == FILE.content
    response = await store.http.get(URL)
    assert (200, FILE.content) == (response.status_code, response.content)
    store.scrub_all()  # clears the recorded problem
    assert ([], False) == (store.problems(), store.quarantined())
    assert [] == list(check(store.seaway))


@pytest.mark.both_states
@pytest.mark.parametrize("kind", DAMAGES)
async def test_scrub_quarantines_a_damaged_blob(store: Store, kind: str) -> None:
    """Invariant 2: its bytes are kept aside, the response names the file, and a metric counts it."""
    store.rewrite(DAMAGES[kind](FILE.content))
    assert [Slice(1, 1)] == store.scrub_all()
    assert (None, True) == (store.seaway.site.blobs.stat(store.key()), store.quarantined())
    for method in ("GET", "HEAD"):
        response = await store.http.request(method, URL)
        assert 503 == response.status_code
        assert response.headers["Retry-After"]
    assert f"The stored copy of {FILE.name} is damaged." in (await store.http.get(URL)).text
    gauges = DatabaseGauges(store.seaway.site.database, store.clock, whole_document_limit=10)
    assert [1] == [sample.value for sample in named(gauges.collect(), "seaway_damaged_blobs").samples]
    assert [Slice(1, 0)] != store.scrub_all()  # still missing, and recorded once
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.problems()


def named(families: Iterator[Metric], name: str) -> Metric:
    return next(family for family in families if family.name == name)


async def test_missing_blob_is_recorded(store: Store) -> None:
    """The response names the file before and after a scrub; when the blob is back, it is served at once."""
    store.seaway.site.blobs.delete(store.key())
    for _ in range(2):
        response = await store.http.get(URL)
        assert 503 == response.status_code
        assert f"The stored copy of {FILE.name} is missing on this server." in response.text
        store.scrub_all()
        assert [(f"{CHANNEL}/noarch/{FILE.name}", "missing")] == store.problems()
    state.overwrite_blob(store.seaway.site.blobs, store.key(), FILE.content)
    assert FILE.content == (await store.http.get(URL)).content
    store.scrub_all()
    assert [] == store.problems()


@pytest.mark.parametrize("kind", DAMAGES)
async def test_damaged_bytes_are_not_cached(store: Store, kind: str) -> None:
    """A small file is hashed before it is cached: a worker would serve damaged bytes after the repair."""
    store.rewrite(DAMAGES[kind](FILE.content))
    response = await store.http.get(URL)
    assert (503, True) == (response.status_code, "is damaged" in response.text)
    state.overwrite_blob(store.seaway.site.blobs, store.key(), FILE.content)
    assert FILE.content == (await store.http.get(URL)).content


async def test_upload_between_examination_and_quarantine_is_kept(store: Store) -> None:
    """Invariant 1: nothing is recorded."""
    store.rewrite(flipped(FILE.content))
    finding = damage.examine(store.seaway.site.blobs, bytes.fromhex(FILE.sha256))
    assert finding is not None
    await store.upload()
    assert not store.verifier.take_out_of_use(finding)
    assert (FILE.content, [], False) == (store.stored(), store.problems(), store.quarantined())


class KilledStore:
    """A store that raises at its n-th call, to simulate a kill."""

    def __init__(self, blobs: BlobStore, at: int) -> None:
        self._blobs, self._left = blobs, at

    def __getattr__(self, name: str) -> Any:
        if self._left == 0:
            raise SimulatedKill
        self._left -= 1
        return getattr(self._blobs, name)


class SimulatedKill(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("at", range(6))
async def test_killed_verification_never_leaves_damaged_bytes_served(store: Store, at: int) -> None:
    """The next check completes the work, and the bytes can be uploaded again before or after it."""
    for is_repaired_first in (True, False):
        store.rewrite(flipped(FILE.content))
        blobs = cast("BlobStore", KilledStore(store.seaway.site.blobs, at))
        verifier = replace(store.verifier, site=replace(store.seaway.site, blobs=blobs))
        with pytest.raises(SimulatedKill):
            verifier.verify(bytes.fromhex(FILE.sha256))
        if is_repaired_first:
            await store.upload()
        store.verifier.recheck()
        store.verifier.verify(bytes.fromhex(FILE.sha256))
        response = await store.http.get(URL)
        assert (200 if is_repaired_first else 503) == response.status_code
        await store.upload()
        store.verifier.recheck()
        assert (FILE.content, [], False) == (store.stored(), store.problems(), store.quarantined())


async def test_damage_of_a_deleted_file_is_not_recorded(store: Store) -> None:
    """The damaged blob is deleted without a record."""
    store.rewrite(flipped(FILE.content))
    finding = damage.examine(store.seaway.site.blobs, bytes.fromhex(FILE.sha256))
    assert finding is not None
    removal.delete(store.seaway.site, OPERATOR, CHANNEL, "noarch", FILE.name)
    assert not store.verifier.take_out_of_use(finding)
    assert ([], False) == (store.problems(), store.quarantined())


async def test_deleting_the_file_clears_its_damage_record(store: Store) -> None:
    """With the last file row, the record and the quarantined bytes are deleted."""
    store.rewrite(flipped(FILE.content))
    store.scrub_all()
    removal.delete(store.seaway.site, OPERATOR, CHANNEL, "noarch", FILE.name)
    store.scrub_all()
    with store.seaway.site.database.read() as tx:
        assert 0 == damage.count(tx)
    assert not store.quarantined()


async def test_quarantined_copy_without_a_record_is_deleted(store: Store) -> None:
    """A process that is killed before it writes the record leaves such a copy."""
    store.seaway.site.blobs.copy(store.key(), keys.quarantine(bytes.fromhex(FILE.sha256)))
    store.verifier.recheck()
    assert not store.quarantined()


async def test_scrub_is_spread_over_the_period(store: Store) -> None:
    """Each blob is read once in a period, and about as many in each part of it; then the next pass begins."""
    for number in range(40):
        await store.upload(conda(index_json(f"p{number}")))
    with store.seaway.site.database.read() as tx:
        digests = sorted(set(tx.execute(select(files.c.sha256)).scalars()))
    read = []
    for _ in range(2):
        scrub(store.verifier, DAYS)  # begins a pass
        for _ in range(10):
            store.clock.move(DAYS * DAY_MS // 10)
            result = scrub(store.verifier, DAYS)
            assert result is not None
            read.append(result.verified)
    tenths = [sum(1 for digest in digests if number * 25.6 <= digest[0] < (number + 1) * 25.6) for number in range(10)]
    assert sum(read[:10]) == len(digests)
    assert max(abs(count - expected) for count, expected in zip(read[:10], tenths, strict=True)) <= 1
    assert read[:10] == read[10:]


async def test_slice_without_time_left_is_continued_by_the_next(store: Store) -> None:
    """It reads nothing and keeps its position."""
    scrub(store.verifier, DAYS)
    store.clock.move(DAYS * DAY_MS)
    assert Slice(0, 0) == scrub(store.verifier, DAYS, seconds=0)
    assert Slice(1, 0) == scrub(store.verifier, DAYS)
    assert Slice(0, 0) == scrub(store.verifier, DAYS)


async def test_only_one_process_scrubs_at_a_time(store: Store) -> None:
    with store.seaway.site.database.exclusive(VERIFY_LOCK):
        assert scrub(store.verifier, DAYS) is None


async def test_clock_set_back_starts_a_new_pass(store: Store) -> None:
    """A pass that began in the future would never have work due."""
    scrub(store.verifier, DAYS)
    store.clock.move(-400 * DAY_MS)
    scrub(store.verifier, DAYS)
    store.clock.move(DAYS * DAY_MS)
    assert Slice(1, 0) == scrub(store.verifier, DAYS)


async def documents_of(store: Store) -> dict[str, bytes]:
    """Return every encoding of the documents, as clients get them."""
    read = {}
    for name in ("repodata.json", "repodata.json.zst", "run_exports.json", "run_exports.json.zst"):
        for encoding in ("identity", "gzip") if name == REPODATA else ("identity",):
            response = await store.http.get(f"/{CHANNEL}/noarch/{name}", headers={"Accept-Encoding": encoding})
            assert 200 == response.status_code, response.text
            read[f"{name} {encoding}"] = response.content
    return read


@pytest.mark.parametrize("is_large", [False, True], ids=["read whole", "streamed"])
@pytest.mark.parametrize("limit", [None, 0], ids=["built by requests", "built by jobs"])
@pytest.mark.parametrize("kind", ["repodata.json", "repodata.json.zst", "repodata.json.gz", "run_exports.json"])
async def test_missing_document_is_rebuilt(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, kind: str, limit: int | None, is_large: bool
) -> None:  # fmt: skip
    """The request that finds it missing rebuilds it, whichever document it is, with the same bytes."""
    if is_large:
        monkeypatch.setattr(resolve, "_SMALL_DOCUMENT_BYTES", 0)
        monkeypatch.setattr("seaway.http.channel_responses.SMALL_BYTES", 0)
    settings = {} if limit is None else {"whole_document_limit": limit}
    seaway = with_in_process_examiners(sites.build(tmp_path, clock, downloads="direct", **settings))
    Factory(seaway).channel(CHANNEL)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(seaway)), base_url="http://seaway.test"
    ) as client:
        store = Store(seaway, clock, client)
        await store.upload()
        before = await documents_of(store)
        seaway.site.blobs.delete(keys.blob(store.document_blobs()[kind]))
        Factory(seaway).user("another")  # a commit, which invalidates the caches of a worker
        assert before == await documents_of(store)
        assert [] == list(check(seaway))
    seaway.close()


async def test_gzip_is_built_when_its_plain_document_is_missing_or_damaged(store: Store) -> None:
    """The plain document is rebuilt first."""
    before = await documents_of(store)
    for content in (None, b"", b"x"):
        with store.seaway.site.database.write_site() as tx:
            tx.execute(delete_rows(documents).where(documents.c.kind == "repodata.json.gz"))
        plain = keys.blob(store.document_blobs()[REPODATA])
        store.seaway.site.blobs.delete(plain)
        if content is not None:
            state.overwrite_blob(store.seaway.site.blobs, plain, content)
        response = await store.http.get(f"/{CHANNEL}/noarch/{REPODATA}", headers={"Accept-Encoding": "gzip"})
        assert before[f"{REPODATA} gzip"] == response.content
    assert [] == list(check(store.seaway))


@pytest.mark.parametrize("damaged", DAMAGES)
@pytest.mark.parametrize("kind", ["repodata.json", "repodata.json.zst", "run_exports.json"])
async def test_scrub_drops_a_damaged_document(store: Store, kind: str, damaged: str) -> None:
    """Invariant 4: it is rebuilt with the right bytes for the next request, and no damage is recorded."""
    before = await documents_of(store)
    key = keys.blob(store.document_blobs()[kind])
    with store.seaway.site.blobs.open(key) as file:
        content = file.read()
    store.seaway.site.blobs.delete(key)
    state.overwrite_blob(store.seaway.site.blobs, key, DAMAGES[damaged](content))
    store.scrub_all()
    assert ({}, []) == (store.document_blobs(), store.problems())
    assert before == await documents_of(store)
    assert [] == list(check(store.seaway))


async def test_build_replaces_damaged_documents_of_equal_size(store: Store) -> None:
    """Rebuilt documents with the same hash replace the damaged blobs."""
    before = await documents_of(store)
    digests = store.document_blobs().values()
    with store.seaway.site.database.write_site() as tx:
        tx.execute(delete_rows(documents))
    for sha256 in digests:
        key = keys.blob(sha256)
        size = store.seaway.site.blobs.stat(key)
        assert size is not None
        store.seaway.site.blobs.delete(key)
        state.overwrite_blob(store.seaway.site.blobs, key, b"x" * size.size)
    assert before == await documents_of(store)


async def test_damaged_logo_is_removed(store: Store) -> None:
    """The channel page shows none, and the same picture uploaded again is shown at once."""
    png = images.png()
    store.seaway.request_parts.logos.store(OPERATOR, CHANNEL, png)
    with store.seaway.site.database.read() as tx:
        logo = channels.get(tx, CHANNEL).logo_sha256
    assert logo is not None
    url = f"/channels/{CHANNEL}/logo/{logo.hex()}.png" if isinstance(logo, bytes) else logo
    key = next(stat.key for stat in store.seaway.site.blobs.list(keys.BLOBS) if stat.size == len(png))
    store.seaway.site.blobs.delete(key)
    state.overwrite_blob(store.seaway.site.blobs, key, flipped(png))
    store.scrub_all()
    assert [(f"{CHANNEL}/logo", "damaged")] == store.problems()
    assert str(url) not in (await store.http.get(f"/channels/{CHANNEL}")).text
    with store.seaway.site.database.read() as tx:
        assert channels.get(tx, CHANNEL).logo_sha256 is None
    store.seaway.request_parts.logos.store(OPERATOR, CHANNEL, png)
    with store.seaway.site.database.read() as tx:
        assert logo == channels.get(tx, CHANNEL).logo_sha256
        assert 0 == damage.count(tx)


@pytest.mark.parametrize("downloads", ["redirect", "x-accel"])
async def test_damaged_file_is_refused_before_a_redirect_or_x_accel(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock, downloads: str
) -> None:
    """A recorded file is refused before the client is sent to a bucket or the proxy, until it is uploaded again."""
    with state.choose(state.POSTGRES_S3 if downloads == "redirect" else state.SQLITE_DISK):
        seaway = with_in_process_examiners(sites.build(tmp_path, clock, downloads=downloads))
        Factory(seaway).channel(CHANNEL)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=create_app(seaway)),
            base_url="http://seaway.test",
            headers={"Seaway-X-Accel": "1"},
        ) as client:
            store = Store(seaway, clock, client)
            await store.upload()
            sent = (302 if downloads == "redirect" else 200, downloads)
            assert sent == (await status_and_delivery(client))
            store.rewrite(flipped(FILE.content))
            store.scrub_all()
            response = await client.get(URL)
            assert (503, True) == (response.status_code, f"{FILE.name} is damaged" in response.text)
            await store.upload()
            assert sent == (await status_and_delivery(client))
        seaway.close()
        state.forget(tmp_path)


@pytest.mark.on_disk
async def test_truncated_file_is_not_passed_to_the_proxy(tmp_path: Path, clock: ManualClock) -> None:
    """The size is compared before the proxy reads the file, even before a scrub."""
    seaway = with_in_process_examiners(sites.build(tmp_path, clock, downloads="x-accel"))
    Factory(seaway).channel(CHANNEL)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(seaway)),
        base_url="http://seaway.test",
        headers={"Seaway-X-Accel": "1"},
    ) as client:
        store = Store(seaway, clock, client)
        await store.upload()
        store.rewrite(FILE.content[:-1])
        response = await client.get(URL)
        assert (503, False) == (response.status_code, "x-accel-redirect" in response.headers)
    seaway.close()


async def status_and_delivery(client: httpx.AsyncClient) -> tuple[int, str]:
    response = await client.get(URL)
    delivery = (
        "redirect" if "location" in response.headers else "x-accel" if "x-accel-redirect" in response.headers else ""
    )
    return response.status_code, delivery


def run_repair(store: Store, source: str | None = None) -> Repaired:
    if source is None:
        return repair(store.verifier, None)
    settings = store.seaway.settings
    with locations.backup_source(
        source, None, settings.effective_storage_url, wiring.bucket_access(settings)
    ) as backup_source:
        return repair(store.verifier, backup_source)


def back_up(store: Store, target: str) -> None:
    settings = store.seaway.settings
    target_location = locations.backup_target(target, settings.effective_storage_url, wiring.bucket_access(settings))
    backup(store.seaway.site.database, store.seaway.site.blobs, store.seaway.site.spool, store.clock, target_location)


@pytest.mark.parametrize("target", ["file", "folder"])
async def test_repair_restores_files_from_a_backup(store: Store, tmp_path: Path, target: str) -> None:
    """Damaged and missing files are restored, documents are rebuilt, and files that the backup lacks are reported."""
    await store.upload(LARGE)
    place = str(tmp_path / "backup.tar") if target == "file" else (tmp_path / "backups").as_uri()
    back_up(store, place)
    late = conda(index_json("late"))
    await store.upload(late)
    before = await documents_of(store)
    store.rewrite(flipped(FILE.content))
    store.seaway.site.blobs.delete(store.key(LARGE))
    store.seaway.site.blobs.delete(store.key(late))
    store.seaway.site.blobs.delete(keys.blob(store.document_blobs()["repodata.json.zst"]))
    done = run_repair(store)
    bad = {f"{CHANNEL}/noarch/{file.name}" for file in (FILE, LARGE, late)}
    assert ((), (f"{CHANNEL}/noarch/repodata.json.zst",), bad) == (
        done.repaired,
        done.dropped,
        set(done.broken),
    )
    done = run_repair(store, place)
    assert (bad - {f"{CHANNEL}/noarch/{late.name}"}, (f"{CHANNEL}/noarch/{late.name}",)) == (
        set(done.repaired),
        done.broken,
    )
    assert before == await documents_of(store)
    assert [FILE.content, LARGE.content] == [store.stored(file) for file in (FILE, LARGE)]
    assert not store.quarantined()
    await store.upload(late)
    assert ((f"{CHANNEL}/noarch/{late.name}",), ()) == ((done := run_repair(store)).repaired, done.broken)
    assert [] == list(check(store.seaway))


async def test_repair_rejects_damaged_bytes_of_a_backup(store: Store, tmp_path: Path) -> None:
    """Restored bytes must match their hash."""
    back_up(store, (tmp_path / "backups").as_uri())
    (tmp_path / "backups" / store.key()).write_bytes(flipped(FILE.content))
    store.rewrite(flipped(FILE.content))
    done = run_repair(store, (tmp_path / "backups").as_uri())
    assert ((), (f"{CHANNEL}/noarch/{FILE.name}",)) == (done.repaired, done.broken)
    assert store.seaway.site.blobs.stat(store.key()) is None


async def test_path_listing_of_a_missing_blob_returns_503(store: Store) -> None:
    """The message names the file."""
    store.seaway.site.blobs.delete(store.key())
    response = await store.http.get(f"/api/v1/channels/{CHANNEL}/files/noarch/{FILE.name}/paths")
    assert (503, "unavailable") == (response.status_code, response.json()["code"])
    assert f"{FILE.name} is missing" in response.json()["message"]


async def test_lost_piece_ends_the_upload(store: Store) -> None:
    """The error tells the client to start again, which works."""
    publishing = replace(store.seaway.request_parts.publishing, min_piece_bytes=400)
    by, file = Factory(store.seaway).signed_in("owner"), conda(index_json("pieces"))
    request = ResumableRequest(CHANNEL, file.name, len(file.content), file.sha256, force=False)
    upload = await resumable.begin(publishing, request, by=by)

    async def part(content: bytes) -> AsyncIterator[bytes]:
        yield content

    before = {stat.key for stat in store.seaway.site.blobs.list(keys.BLOBS)}
    upload = await resumable.append(publishing, upload.id, 0, part(file.content[:400]), by=by)
    (piece,) = {stat.key for stat in store.seaway.site.blobs.list(keys.BLOBS)} - before
    store.seaway.site.blobs.delete(piece)
    with pytest.raises(Exception, match="lost a part of this upload"):
        await resumable.append(publishing, upload.id, 400, part(file.content[400:]), by=by)
    upload = await resumable.begin(publishing, replace(request, force=True), by=by)
    await resumable.append(publishing, upload.id, 0, part(file.content), by=by)
    assert file.content == (await store.http.get(f"/{CHANNEL}/noarch/{file.name}")).content


async def test_record_for_an_unreferenced_blob_is_cleared(store: Store) -> None:
    with store.seaway.site.database.write_site() as tx:
        tx.execute(damaged_blobs.insert().values(sha256=b"x" * 32, found_at=0, problem=BlobProblem.MISSING.value))
    store.verifier.recheck()
    with store.seaway.site.database.read() as tx:
        assert 0 == damage.count(tx)


class FailingStore:
    """A store in which reading some or all blobs, or every change, fails."""

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
    Unavailable("The storage does not respond."),
]


async def upload_several(store: Store) -> list[str]:
    """Upload six more files; return the blob keys in the order of the scrub."""
    for number in range(6):
        await store.upload(conda(index_json(f"p{number}")))
    with store.seaway.site.database.read() as tx:
        return [keys.blob(sha256) for sha256 in tx.execute(select(files.c.sha256).order_by(files.c.sha256)).scalars()]


def with_failing_store(store: Store, error: Exception, *, opens: Collection[str] = (), changes: bool = False) -> Store:
    """Return the same store, in which some calls fail."""
    blobs = FailingStore(store.seaway.site.blobs, error, opens=opens, changes=changes)
    return replace(store, seaway=with_site(store.seaway, blobs=blobs))


@pytest.mark.parametrize("error", UNREADABLE, ids=str)
async def test_unreadable_blobs_do_not_stop_scrub_and_repair(store: Store, error: Exception) -> None:
    """Invariant 6: both continue with the next blobs, and the repair names the unreadable ones."""
    *unread, last = await upload_several(store)
    state.overwrite_blob(store.seaway.site.blobs, last, b"x")
    failing = with_failing_store(store, error, opens=unread)
    assert [Slice(1, 1, len(unread))] == failing.scrub_all()
    done = repair(failing.verifier, None)
    assert (len(unread), 1) == (len(done.unread), len(done.broken))
    assert f"{done.unread[0]} cannot be read." in done.lines
    assert all(name.startswith(f"{CHANNEL}/noarch/") for name in done.unread)


async def test_unreadable_recorded_blob_is_skipped_by_the_recheck(store: Store) -> None:
    """Its record stays."""
    await store.upload(LARGE)
    for file in (FILE, LARGE):
        store.rewrite(flipped(file.content), file)
    store.scrub_all()
    for file in (FILE, LARGE):
        state.overwrite_blob(store.seaway.site.blobs, store.key(file), file.content)
    failing = with_failing_store(store, UNREADABLE[0], opens=[store.key()])
    assert [bytes.fromhex(LARGE.sha256)] == failing.verifier.recheck()
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.problems()


@pytest.mark.parametrize("error", UNREADABLE, ids=str)
async def test_scrub_of_an_unavailable_store_does_not_advance(store: Store, error: Exception) -> None:
    """Scrub invariant 4: if nothing can be read, nothing counts as read, and the next slice starts there again."""
    digests = await upload_several(store)
    store.scrub_all()
    scrub(store.verifier, DAYS)  # begins a pass
    store.clock.move(DAYS * DAY_MS)
    failing = with_failing_store(store, error)
    cast("FailingStore", failing.seaway.site.blobs).opens = None
    for _ in range(3):
        with pytest.raises(type(error)):
            scrub(failing.verifier, DAYS, pause=lambda _: None)
    done = scrub(store.verifier, DAYS, pause=lambda _: None)
    assert done is not None
    assert (len(digests), 0) == (done.verified, done.unread)


def make_database_behind(store: Store) -> None:
    """Advance the counter in the store, as if the database were an older copy."""
    blobs = state.raw(store.seaway.site.blobs)
    identity = identity_storage.of_store(blobs)
    assert identity is not None
    identity_storage.put_in_store(blobs, StoreIdentity(identity.id, identity.counter + 5))
    assert PairingVerdict.BEHIND is store.seaway.pairing.check()


@pytest.mark.parametrize("kind", ["flipped", "truncated"])
@pytest.mark.parametrize("obstacle", ["behind", "read-only"])
async def test_damaged_bytes_that_cannot_be_quarantined_are_not_served(store: Store, obstacle: str, kind: str) -> None:
    """Invariant 5: the record refuses them by file name; bytes stored later are served at once."""
    store.rewrite(DAMAGES[kind](FILE.content))
    if obstacle == "behind":
        make_database_behind(store)
        store.scrub_all()
    else:
        with_failing_store(store, OSError(errno.EROFS, "Read-only file system"), changes=True).scrub_all()
    assert store.seaway.site.blobs.stat(store.key()) is not None
    assert [(f"{CHANNEL}/noarch/{FILE.name}", "damaged")] == store.problems()
    for method in ("GET", "HEAD"):
        assert 503 == (await store.http.request(method, URL)).status_code
    assert f"The stored copy of {FILE.name} is damaged." in (await store.http.get(URL)).text
    await store.upload()
    with store.seaway.site.database.write_site() as tx:  # the test clock is ahead of the store's
        tx.execute(damaged_blobs.update().values(found_at=0))
    assert FILE.content == (await store.http.get(URL)).content
    store.verifier.recheck()
    assert [] == store.problems()


async def test_damaged_document_is_not_cached(store: Store) -> None:
    """Documents are hashed before a worker caches them: a flipped byte is never served, and the document is rebuilt."""
    before = await documents_of(store)
    key = keys.blob(store.document_blobs()[REPODATA])
    with store.seaway.site.blobs.open(key) as file:
        content = file.read()
    store.seaway.site.blobs.delete(key)
    state.overwrite_blob(store.seaway.site.blobs, key, flipped(content))
    Factory(store.seaway).user("another")  # a commit, which invalidates the caches of a worker
    assert before == await documents_of(store)


async def test_damaged_piece_ends_the_upload(store: Store) -> None:
    """A byte flipped in the store does not count as an invalid package: the client is asked to send it again."""
    publishing = replace(store.seaway.request_parts.publishing, min_piece_bytes=400)
    by, file = Factory(store.seaway).signed_in("owner"), conda(index_json("pieces"))
    upload = await resumable.begin(
        publishing, ResumableRequest(CHANNEL, file.name, len(file.content), None, force=False), by=by
    )

    async def part(content: bytes) -> AsyncIterator[bytes]:
        yield content

    before = {stat.key for stat in store.seaway.site.blobs.list(keys.BLOBS)}
    upload = await resumable.append(publishing, upload.id, 0, part(file.content[:400]), by=by)
    (piece,) = {stat.key for stat in store.seaway.site.blobs.list(keys.BLOBS)} - before
    store.seaway.site.blobs.delete(piece)
    state.overwrite_blob(store.seaway.site.blobs, piece, flipped(file.content[:400]))
    with pytest.raises(NotFound, match="lost a part of this upload"):
        await resumable.append(publishing, upload.id, 400, part(file.content[400:]), by=by)


async def test_repair_restores_blobs_without_a_file_row(store: Store, tmp_path: Path) -> None:
    """Every recorded blob is restored from the backup, such as one that a rebuild kept."""
    back_up(store, (tmp_path / "backups").as_uri())
    with store.seaway.site.database.write_site() as tx:
        tx.execute(kept_blobs.insert().values(sha256=bytes.fromhex(FILE.sha256), size=len(FILE.content)))
        tx.execute(files.delete())
    store.rewrite(flipped(FILE.content))
    done = run_repair(store, (tmp_path / "backups").as_uri())
    assert ((), ()) == (done.repaired, done.broken)
    assert FILE.content == store.stored()


async def test_scrub_verifies_kept_blobs(store: Store) -> None:
    """Blobs that a rebuild kept have no file row."""
    with store.seaway.site.database.write_site() as tx:
        tx.execute(kept_blobs.insert().values(sha256=bytes.fromhex(FILE.sha256), size=len(FILE.content)))
        tx.execute(files.delete())
    store.rewrite(flipped(FILE.content))
    assert [Slice(1, 1)] == store.scrub_all()
    assert store.quarantined()


async def test_late_pass_is_logged_once(store: Store) -> None:
    """Scrub invariant 5: a store that cannot be read within `scrub_days` is logged once per pass."""
    with capture_logs() as lines:
        scrub(store.verifier, DAYS)
        for _ in range(3):
            store.clock.move(DAYS * DAY_MS)
            scrub(store.verifier, DAYS, seconds=0)
    late = [line for line in lines if line["event"] == "scrub.late"]
    assert [(DAYS, 0)] == [(line["scrub_days"], line["read_percent"]) for line in late]


@pytest.mark.parametrize(("late_days", "seconds"), [(-1, 20), (0, 20), (1, 20), (2, 40), (3, 60), (400, 60)])
def test_late_pass_gets_longer_slices(late_days: float, seconds: float) -> None:
    """Scrub invariant 5: within bounds."""
    assert seconds == slice_seconds(int(late_days * DAY_MS))
