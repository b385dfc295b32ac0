"""The sweep takes what nothing needs, after its time, and nothing else."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.anyio

FILE = conda()
WEEK_MS = 7 * DAY_MS


def swept(seaway: Seaway) -> SweepResult:
    return sweep(seaway.sweeping)


def age(seaway: Seaway, milliseconds: int) -> None:
    """Make every blob as old as that on the clock of the house."""
    stats = state.stored(seaway.blobs)
    then = (seaway.clock.now_ms() - milliseconds) * 1_000_000
    for stat in stats:
        path = seaway.blobs.local_path(stat.key)
        if path is not None:
            os.utime(path, ns=(then, then))
    if seaway.blobs.local_path("") is None:  # a bucket keeps its own time, so the clock of the house has to move
        assert isinstance(seaway.clock, TurnedClock)
        seaway.clock.move(max(stat.modified_ms for stat in stats) + milliseconds - seaway.clock.now_ms())


def there(seaway: Seaway, file: PackageFile) -> bool:
    return seaway.blobs.stat(keys.blob(bytes.fromhex(file.sha256))) is not None


def delete(seaway: Seaway, channel: str, file: PackageFile = FILE) -> None:
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", file.name)


@pytest.fixture
def channel(people: People) -> str:
    return people.channel("chan")


async def test_what_a_row_names_is_kept_for_ever(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Files, yanked files and documents stay, however old they are."""
    yanked = conda(index_json("yanked"))
    for file in (FILE, yanked):
        await publish_file(seaway, channel, file)
    removal.yank(seaway.request_parts.removing, OPERATOR, channel, "noarch", yanked.name)
    await http.get(f"/{channel}/noarch/repodata.json")
    age(seaway, 1_000 * DAY_MS)
    assert 0 == swept(seaway).blobs
    assert (True, True) == (there(seaway, FILE), there(seaway, yanked))
    assert [] == list(check(seaway))


@pytest.mark.parametrize(("milliseconds", "taken"), [(DAY_MS - 1, False), (DAY_MS, True)], ids=["younger", "a day old"])
async def test_what_no_row_names_goes_after_a_day(seaway: Seaway, channel: str, milliseconds: int, taken: bool) -> None:
    """The bytes of a deleted file are kept for a day, since an upload may be about to name them, and then taken."""
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, milliseconds)
    result = swept(seaway)
    assert taken is not there(seaway, FILE)
    assert ((1, len(FILE.content)) if taken else (0, 0)) == (result.blobs, result.bytes)


async def test_nothing_goes_while_a_folder_cannot_be_listed(seaway: Seaway, channel: str) -> None:
    """A listing that lacks something ends the sweep, which names the folder."""
    root = seaway.blobs.local_path("")
    if root is None:
        pytest.skip("a bucket has no folders")
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    folders.make_too_deep(root / keys.BLOBS)
    with pytest.raises(Unavailable, match=keys.BLOBS):
        swept(seaway)
    assert there(seaway, FILE)


async def test_a_blob_goes_with_its_last_name(seaway: Seaway, people: People, channel: str) -> None:
    """Channels share equal bytes: they stay until the last file of them is deleted."""
    other = people.channel("other")
    kept = []
    for one in (channel, other):
        await publish_file(seaway, one, FILE)
    for one in (channel, other):
        delete(seaway, one)
        age(seaway, WEEK_MS)
        swept(seaway)
        kept.append(there(seaway, FILE))
    assert [True, False] == kept


async def test_the_bytes_of_an_overwritten_file_go(seaway: Seaway, channel: str) -> None:
    """What was replaced is swept, what replaced it is not."""
    new = conda(files={"share/x": b"new"})
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, new, force=True)
    age(seaway, DAY_MS)
    swept(seaway)
    assert (False, True) == (there(seaway, FILE), there(seaway, new))


async def test_documents_that_were_replaced_go(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Whole documents are replaced and not collected: at any number of builds there are those of the newest."""
    counts = []
    for name in ("one", "two", "three"):
        await publish_file(seaway, channel, conda(index_json(name)))
        await http.get(f"/{channel}/noarch/repodata.json")
        counts.append(len(state.stored(seaway.blobs)))
    documents = 5  # repodata.json and run_exports.json, plain and zst; gzip, which this client asks for
    assert [1 + documents, 2 + documents, 3 + documents] == counts
    assert [] == list(check(seaway))


async def test_a_deleted_channel_goes_whole(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """After the sweep nothing of a deleted channel is left in the store."""
    await publish_file(seaway, channel, FILE)
    await http.get(f"/{channel}/noarch/repodata.json")
    with seaway.database.write_site() as tx:
        channels.remove(tx, seaway.clock.now_ms(), OPERATOR, channel)
    age(seaway, DAY_MS)
    swept(seaway)
    assert [] == state.stored(seaway.blobs)


async def test_a_stray_file_in_the_store_goes(seaway: Seaway) -> None:
    """What a killed copy left in the store, under no name of a blob, is taken when it is old."""
    if seaway.blobs.local_path("") is None:
        pytest.skip("a bucket has no half-written objects")
    root = seaway.settings.data / "store" / "blobs" / "ab"
    root.mkdir(parents=True)
    (root / ".move-abcd").write_bytes(b"half")
    age(seaway, DAY_MS)
    assert 1 == swept(seaway).blobs
    assert [] == list(root.iterdir())


async def test_what_is_not_ours_is_left_alone(seaway: Seaway) -> None:
    """Sweep invariant 3: what somebody else keeps in the same folder or bucket stays, however old it is."""
    with seaway.spool.file() as file:
        file.write(b"a log")
        file.flush()
        seaway.blobs.put_file("logs/today", Path(file.name))
    age(seaway, 1_000 * DAY_MS)
    assert 0 == swept(seaway).blobs
    assert ["logs/today"] == [stat.key for stat in state.stored(seaway.blobs)]


async def test_old_bytes_that_are_uploaded_again_stay(seaway: Seaway, channel: str) -> None:
    """An upload that finds its bytes in the store, old and nameless, names them; no sweep takes them afterwards."""
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    await publish_file(seaway, channel, FILE)
    swept(seaway)
    assert there(seaway, FILE)
    assert [] == list(check(seaway))


async def test_bytes_that_were_swept_are_stored_again(seaway: Seaway, channel: str) -> None:
    """After a sweep the same file can be uploaded as if it had never been there."""
    await publish_file(seaway, channel, FILE)
    delete(seaway, channel)
    age(seaway, WEEK_MS)
    swept(seaway)
    await publish_file(seaway, channel, FILE)
    assert there(seaway, FILE)


async def test_a_replaced_shard_stays_for_a_week(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: TurnedClock
) -> None:
    """Who read the index before a change finds its shards for a week (CEP 16), and the current one always."""
    await publish_file(seaway, channel, FILE)
    await http.get(f"/{channel}/noarch/repodata_shards.msgpack.zst")
    old = shard_of(seaway)
    await publish_file(seaway, channel, conda(index_json(version="2.0")))
    new = shard_of(seaway)
    found = []
    for moved in (0, WEEK_MS - 1, 1):
        clock.move(moved)
        swept(seaway)
        found.append((await is_served(http, channel, old), await is_served(http, channel, new)))
    assert [(True, True), (True, True), (False, True)] == found


async def test_a_shard_that_came_back_is_not_taken(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: TurnedClock
) -> None:
    """Yanked and listed again, a name has its old shard again, and the sweep of the replaced ones leaves it."""
    await publish_file(seaway, channel, FILE)
    shard = shard_of(seaway)
    for act in (removal.yank, removal.unyank):
        act(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    clock.move(WEEK_MS)
    swept(seaway)
    assert (shard, True) == (shard_of(seaway), await is_served(http, channel, shard))


def shard_of(seaway: Seaway) -> str:
    with seaway.database.read() as tx:
        digest: bytes = tx.execute(select(shards.c.sha256).where(shards.c.name == "demo")).scalar_one()
    return digest.hex()


async def is_served(http: httpx.AsyncClient, channel: str, digest: str) -> bool:
    answer = await http.get(f"/{channel}/noarch/shards/{digest}.msgpack.zst")
    assert answer.status_code in (200, 404)
    return answer.status_code == 200


async def test_a_large_part_of_the_bytes_is_asked_for(seaway: Seaway, channel: str) -> None:
    """Sweep invariant 6: one blob of four that holds most of the bytes is not deleted unasked."""
    large = conda(index_json("large"), files={"share/noise": os.urandom(100_000)})
    for file in (large, *(conda(index_json(name)) for name in "abc")):
        await publish_file(seaway, channel, file)
    delete(seaway, channel, large)
    age(seaway, WEEK_MS)
    with pytest.raises(SweepStopped):
        sweep(replace(seaway.sweeping, max_percent=50))
    assert there(seaway, large)
    assert 1 == sweep(replace(seaway.sweeping, max_percent=50), unlimited=True).blobs


async def test_only_orphans_of_the_spool_go(seaway: Seaway) -> None:
    """A spool file that its process holds is an upload in flight; one that nobody holds is what a kill left."""
    orphan = seaway.settings.spool_folder / "orphan"
    orphan.write_bytes(b"x" * MIB)
    with seaway.spool.file() as in_flight:
        result = swept(seaway)
        assert [Path(in_flight.name).name] == [path.name for path in seaway.settings.spool_folder.iterdir()]
    assert 1 == result.spool_files


async def test_the_last_sweep_is_told(seaway: Seaway, channel: str) -> None:
    """What no row names and is too young waits, and then was taken; before the first sweep there is nothing to tell."""
    with seaway.database.read() as tx:
        assert last(tx) is None
    kept = conda(index_json("kept"))
    for file in (FILE, kept):
        await publish_file(seaway, channel, file)
    delete(seaway, channel)
    age(seaway, DAY_MS // 2)
    first = swept(seaway)
    assert (0, 1, len(FILE.content)) == (first.blobs, first.kept_blobs, first.kept_bytes)
    age(seaway, DAY_MS)
    second = swept(seaway)
    assert (1, 0) == (second.blobs, second.kept_blobs)
    with seaway.database.read() as tx:
        assert LastSweep(seaway.clock.now_ms(), second) == last(tx)


async def test_sweeps_at_once_end_one_after_the_other(on_both: str, seaway: Seaway) -> None:
    """Two that wait for a third keep what they found in turn: the last one is told."""
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(swept, [seaway] * 12))
    with seaway.database.read() as tx:
        told = last(tx)
    assert told is not None
    assert told.swept in found
