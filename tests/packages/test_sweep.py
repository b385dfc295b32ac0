"""The sweep deletes unreferenced objects after their grace period, and nothing else."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.clock import DAY_MS
from seaway.conda.limits import MIB
from seaway.database.tables import shards
from seaway.errors import Unavailable
from seaway.maintenance.check import check
from seaway.packages import removal
from seaway.packages.sweep import LastSweep, SweepResult, SweepStopped, last, sweep
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.support import folders, state
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

FILE = conda()
WEEK_MS = 7 * DAY_MS


def run_sweep(seaway: Seaway) -> SweepResult:
    return sweep(seaway.site, seaway.pairing, max_percent=100)


def age(seaway: Seaway, milliseconds: int) -> None:
    """Set the age of every blob, measured by Seaway's clock."""
    stats = state.stored_blobs(seaway.site.blobs)
    then = (seaway.site.clock.now_ms() - milliseconds) * 1_000_000
    for stat in stats:
        path = seaway.site.blobs.local_path(stat.key)
        if path is not None:
            os.utime(path, ns=(then, then))
    if seaway.site.blobs.local_path("") is None:  # a bucket sets its own times, so Seaway's clock has to move
        assert isinstance(seaway.site.clock, ManualClock)
        seaway.site.clock.move(max(stat.modified_ms for stat in stats) + milliseconds - seaway.site.clock.now_ms())


def is_stored(seaway: Seaway, file: PackageFile) -> bool:
    return seaway.site.blobs.stat(keys.blob(bytes.fromhex(file.sha256))) is not None


def delete(seaway: Seaway, channel: str, file: PackageFile = FILE) -> None:
    removal.delete(seaway.site, OPERATOR, channel, "noarch", file.name)


@pytest.fixture
def channel(factory: Factory) -> str:
    return factory.channel("chan")


async def test_referenced_blobs_are_kept_at_any_age(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Blobs of files, yanked files and documents are kept."""
    yanked = conda(index_json("yanked"))
    for file in (FILE, yanked):
        await publish_file(seaway, channel, file)
    removal.yank(seaway.site, OPERATOR, channel, "noarch", yanked.name)
    await http.get(f"/{channel}/noarch/repodata.json")
    age(seaway, 1_000 * DAY_MS)
    assert 0 == run_sweep(seaway).blobs
    assert (True, True) == (is_stored(seaway, FILE), is_stored(seaway, yanked))
    assert [] == list(check(seaway))


@pytest.mark.parametrize(
    ("milliseconds", "is_deleted"), [(DAY_MS - 1, False), (DAY_MS, True)], ids=["younger", "a day old"]
)
async def test_unreferenced_blob_is_deleted_after_a_day(
    seaway: Seaway, channel: str, milliseconds: int, is_deleted: bool
) -> None:
    """A day of grace, because an upload may be about to reference the bytes of a deleted file."""
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, milliseconds)
    result = run_sweep(seaway)
    assert is_deleted is not is_stored(seaway, FILE)
    assert ((1, len(FILE.content)) if is_deleted else (0, 0)) == (result.blobs, result.bytes)


async def test_sweep_stops_if_a_folder_cannot_be_listed(seaway: Seaway, channel: str) -> None:
    """An incomplete listing stops the sweep, and the error names the folder."""
    root = seaway.site.blobs.local_path("")
    if root is None:
        pytest.skip("a bucket has no folders")
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    folders.make_too_deep(root / keys.BLOBS)
    with pytest.raises(Unavailable, match=keys.BLOBS):
        run_sweep(seaway)
    assert is_stored(seaway, FILE)


async def test_shared_blob_is_deleted_after_its_last_file(seaway: Seaway, factory: Factory, channel: str) -> None:
    """Channels share equal bytes, which stay until the last file with them is deleted."""
    other = factory.channel("other")
    kept = []
    for name in (channel, other):
        await publish_file(seaway, name, FILE)
    for name in (channel, other):
        delete(seaway, name)
        age(seaway, WEEK_MS)
        run_sweep(seaway)
        kept.append(is_stored(seaway, FILE))
    assert [True, False] == kept


async def test_overwritten_bytes_are_deleted(seaway: Seaway, channel: str) -> None:
    new = conda(files={"share/x": b"new"})
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, new, force=True)
    age(seaway, DAY_MS)
    run_sweep(seaway)
    assert (False, True) == (is_stored(seaway, FILE), is_stored(seaway, new))


async def test_replaced_documents_are_deleted(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Documents do not accumulate: only those of the newest revision are stored."""
    counts = []
    for name in ("one", "two", "three"):
        await publish_file(seaway, channel, conda(index_json(name)))
        await http.get(f"/{channel}/noarch/repodata.json")
        counts.append(len(state.stored_blobs(seaway.site.blobs)))
    documents = 5  # repodata.json and run_exports.json, plain and zst; gzip, which this client requests
    assert [1 + documents, 2 + documents, 3 + documents] == counts
    assert [] == list(check(seaway))


async def test_sweep_deletes_all_blobs_of_a_deleted_channel(
    seaway: Seaway, http: httpx.AsyncClient, channel: str
) -> None:
    await publish_file(seaway, channel, FILE)
    await http.get(f"/{channel}/noarch/repodata.json")
    with seaway.site.database.write_site() as tx:
        channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, channel)
    age(seaway, DAY_MS)
    run_sweep(seaway)
    assert [] == state.stored_blobs(seaway.site.blobs)


async def test_incomplete_copy_in_the_store_is_deleted(seaway: Seaway) -> None:
    """A killed process leaves it under a name that is not a blob key."""
    if seaway.site.blobs.local_path("") is None:
        pytest.skip("a bucket has no partially written objects")
    root = seaway.settings.data / "store" / "blobs" / "ab"
    root.mkdir(parents=True)
    (root / ".move-abcd").write_bytes(b"half")
    age(seaway, DAY_MS)
    assert 1 == run_sweep(seaway).blobs
    assert [] == list(root.iterdir())


async def test_partial_file_of_a_running_put_stays_if_the_clock_is_ahead(seaway: Seaway, clock: ManualClock) -> None:
    """Its age is measured by the clock of the store too: without its partial file, the put would fail."""
    root = seaway.site.blobs.local_path("")
    if root is None:
        pytest.skip("a bucket has no partially written objects")
    partial = root / f"{keys.UNFINISHED}identity-0a1b"
    partial.write_bytes(b"half")
    clock.move(1_000 * DAY_MS)
    kept = []
    for days in (0, 2):
        then = partial.stat().st_mtime_ns - days * DAY_MS * 1_000_000
        os.utime(partial, ns=(then, then))
        run_sweep(seaway)
        kept.append(partial.exists())
    assert [True, False] == kept


async def test_foreign_objects_are_left_alone(seaway: Seaway) -> None:
    """Sweep invariant 3: other objects in the same folder or bucket stay at any age."""
    with seaway.site.spool.file() as file:
        file.write(b"a log")
        file.flush()
        seaway.site.blobs.put_file("logs/today", Path(file.name))
    age(seaway, 1_000 * DAY_MS)
    assert 0 == run_sweep(seaway).blobs
    assert ["logs/today"] == [stat.key for stat in state.stored_blobs(seaway.site.blobs)]


async def test_unreferenced_blob_that_is_uploaded_again_stays(seaway: Seaway, channel: str) -> None:
    """The upload references the old blob, so no later sweep deletes it."""
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    await publish_file(seaway, channel, FILE)
    run_sweep(seaway)
    assert is_stored(seaway, FILE)
    assert [] == list(check(seaway))


async def test_swept_file_can_be_uploaded_again(seaway: Seaway, channel: str) -> None:
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    run_sweep(seaway)
    await publish_file(seaway, channel, FILE)
    assert is_stored(seaway, FILE)


async def test_replaced_shard_is_served_for_a_week(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: ManualClock
) -> None:
    """A client that read the index before a change finds its shards for a week (CEP 16)."""
    await publish_file(seaway, channel, FILE)
    await http.get(f"/{channel}/noarch/repodata_shards.msgpack.zst")
    old = shard_of(seaway)
    await publish_file(seaway, channel, conda(index_json(version="2.0")))
    new = shard_of(seaway)
    served = []
    for moved in (0, WEEK_MS - 1, 1):
        clock.move(moved)
        run_sweep(seaway)
        served.append((await is_served(http, channel, old), await is_served(http, channel, new)))
    assert [(True, True), (True, True), (False, True)] == served


async def test_shard_that_is_current_again_is_not_deleted(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: ManualClock
) -> None:
    """Yank and unyank restore the earlier shard, which is then no longer a replaced one."""
    await publish_file(seaway, channel, FILE)
    shard = shard_of(seaway)
    for act in (removal.yank, removal.unyank):
        act(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    clock.move(WEEK_MS)
    run_sweep(seaway)
    assert (shard, True) == (shard_of(seaway), await is_served(http, channel, shard))


def shard_of(seaway: Seaway) -> str:
    with seaway.site.database.read() as tx:
        digest: bytes = tx.execute(select(shards.c.sha256).where(shards.c.name == "demo")).scalar_one()
    return digest.hex()


async def is_served(http: httpx.AsyncClient, channel: str, digest: str) -> bool:
    response = await http.get(f"/{channel}/noarch/shards/{digest}.msgpack.zst")
    assert response.status_code in (200, 404)
    return response.status_code == 200


async def test_sweep_of_a_large_share_of_the_bytes_needs_confirmation(seaway: Seaway, channel: str) -> None:
    """Sweep invariant 6: one of four blobs that has most of the bytes is not deleted without confirmation."""
    large = conda(index_json("large"), files={"share/noise": os.urandom(100_000)})
    for file in (large, *(conda(index_json(name)) for name in "abc")):
        await publish_file(seaway, channel, file)
    delete(seaway, channel, large)
    age(seaway, WEEK_MS)
    with pytest.raises(SweepStopped):
        sweep(seaway.site, seaway.pairing, max_percent=50)
    assert is_stored(seaway, large)
    assert 1 == run_sweep(seaway).blobs


async def test_only_orphaned_spool_files_are_deleted(seaway: Seaway) -> None:
    """A spool file held by its process is an upload in progress; a killed process leaves one that is not held."""
    orphan = seaway.settings.spool_folder / "orphan"
    orphan.write_bytes(b"x" * MIB)
    with seaway.site.spool.file() as in_flight:
        result = run_sweep(seaway)
        assert [Path(in_flight.name).name] == [path.name for path in seaway.settings.spool_folder.iterdir()]
    assert 1 == result.spool_files


async def test_last_sweep_is_recorded(seaway: Seaway, channel: str) -> None:
    """Kept young blobs are counted, then deleted; before the first sweep there is no record."""
    with seaway.site.database.read() as tx:
        assert last(tx) is None
    kept = conda(index_json("kept"))
    for file in (FILE, kept):
        await publish_file(seaway, channel, file)
    delete(seaway, channel)
    age(seaway, DAY_MS // 2)
    first = run_sweep(seaway)
    assert (0, 1, len(FILE.content)) == (first.blobs, first.kept_blobs, first.kept_bytes)
    age(seaway, DAY_MS)
    second = run_sweep(seaway)
    assert (1, 0) == (second.blobs, second.kept_blobs)
    with seaway.site.database.read() as tx:
        assert LastSweep(seaway.site.clock.now_ms(), second) == last(tx)


async def test_concurrent_sweeps_run_one_after_the_other(on_both: str, seaway: Seaway) -> None:
    """Each records its result in turn, and the last one is reported."""
    with ThreadPoolExecutor(3) as threads:
        served = list(threads.map(run_sweep, [seaway] * 12))
    with seaway.site.database.read() as tx:
        recorded = last(tx)
    assert recorded is not None
    assert recorded.swept in served
