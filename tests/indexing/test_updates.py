"""A change of a package affects only its own name, independent of the other content of the channel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from seaway.database.tables import documents, files, fragments, retired_shards, shards, subdirs
from seaway.errors import FileExists, NotFound
from tests.indexing.channel import Channel, Statements, recorded_statements
from tests.support import packages
from tests.support.clock import ManualClock
from tests.support.packages import index_json
from tests.support.sites import Factory

A = packages.conda(index_json("a"))
B = packages.conda(index_json("b"))
B2 = packages.conda(index_json("b", version="2.0"))
LINUX = packages.conda(index_json("b", subdir="linux-64", noarch=...))


def filled(channel: Channel) -> Channel:
    for file in (A, B, LINUX, packages.tar_bz2(index_json("c")), packages.conda(index_json("v3", flags=["cuda"]))):
        channel.put(file)
    return channel


def by_name(channel: Channel) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Group the rows of shards and fragments by subdir and name."""
    rows: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in channel.rows(shards):
        rows.setdefault((row[0], row[1]), []).append(row)
    for row in channel.rows(fragments):
        rows.setdefault((row[0], row[2]), []).append(row)
    return rows


CHANGES: dict[str, Callable[[Channel], object]] = {
    "upload": lambda channel: channel.put(B2),
    "overwrite": lambda channel: channel.put(packages.conda(index_json("b", license="BSD")), force=True),
    "yank": lambda channel: channel.yank(B),
    "delete": lambda channel: channel.delete(B),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_writes_only_rows_of_its_own_name(case: str, channel: Channel) -> None:
    """Shards and fragments of other names and subdirs are unchanged."""
    before = by_name(filled(channel))
    CHANGES[case](channel)
    after = by_name(channel)
    with channel.seaway.site.database.read() as tx:
        changed = (channel.subdir(tx).id, "b")
    assert before.pop(changed) != after.pop(changed)
    assert before == after


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_raises_the_revision_of_its_subdir_by_one(case: str, channel: Channel) -> None:
    """The revisions of other subdirs are unchanged."""
    filled(channel)
    before = channel.revision(), channel.revision("linux-64")
    CHANGES[case](channel)
    assert (before[0] + 1, before[1]) == (channel.revision(), channel.revision("linux-64"))


def test_an_operation_without_effect_raises_no_revision(channel: Channel) -> None:
    """A refused upload, a repeated yank and a delete of a missing file leave every row unchanged."""
    filled(channel).yank(B)
    tables = (subdirs, files, shards, fragments, retired_shards)
    before = [channel.rows(table) for table in tables]
    with pytest.raises(FileExists):
        channel.put(A)
    with pytest.raises(NotFound):
        channel.delete(B2)
    assert channel.revision() == channel.yank(B)
    assert before == [channel.rows(table) for table in tables]


def cost_of(channel: Channel, change: Callable[[Channel], object]) -> Statements:
    with recorded_statements(channel.seaway) as statements:
        change(channel)
    return statements


@pytest.mark.parametrize("case", ["a new name", *CHANGES])
def test_the_cost_of_a_change_does_not_depend_on_the_channel(case: str, channel: Channel, factory: Factory) -> None:
    """The same change takes the same statements and as many bytes in a channel with twenty names as with four."""
    change = CHANGES.get(case, lambda channel: channel.put(packages.conda(index_json("new"))))
    large = Channel(channel.seaway, factory.channel("large"))
    for number in range(16):
        large.put(packages.conda(index_json(f"n{number}")))
    costs = [cost_of(filled(each), change) for each in (channel, large)]
    assert costs[0].texts == costs[1].texts
    assert abs(costs[0].blob_bytes - costs[1].blob_bytes) < 100
    assert (
        (0 if case == "delete" else 100) <= costs[1].blob_bytes < 20_000
    )  # deleting the last file of a name writes no content


@contextmanager
def counted_steps(channel: Channel) -> Iterator[list[int]]:
    """Count the instructions of SQLite in this block: the cost of a scan is not visible in its statement."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    def listen(connection: Any, *_: object) -> None:
        connection.set_progress_handler(count, 1)

    event.listen(channel.seaway.site.database.engine, "checkout", listen)
    try:
        yield steps
    finally:
        event.remove(channel.seaway.site.database.engine, "checkout", listen)


@pytest.mark.parametrize("case", ["upload", "yank", "delete"])
def test_a_change_reads_nothing_of_other_names(case: str, channel: Channel, factory: Factory) -> None:
    """Change invariant 4: with 150 other names a change takes SQLite hardly more steps than with none."""
    if channel.seaway.site.database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite counts its steps")
    large = Channel(channel.seaway, factory.channel("large"))
    for number in range(150):
        large.put(packages.conda(index_json(f"n{number}")))
    costs = []
    for each in (channel, large):
        filled(each)
        with counted_steps(each) as steps:
            CHANGES[case](each)
        costs.append(steps[0])
    assert costs[1] < costs[0] * 1.2, costs


def test_an_upload_does_not_change_whole_documents(channel: Channel) -> None:
    """The documents of the last revision stay unchanged until a newer one is requested."""
    filled(channel).repodata()
    before = channel.rows(documents)
    channel.put(B2)
    assert before == channel.rows(documents)


def test_a_replaced_shard_stays_readable(channel: Channel) -> None:
    """A client that read the index before a change still gets the shard that it names, byte for byte."""
    channel.put(B)
    old = channel.shard_index()["shards"]["b"]
    before = channel.shard(old)
    channel.put(B2)
    assert old != channel.shard_index()["shards"]["b"]
    assert before == channel.shard(old)
    assert [B.name] == list(before["packages.conda"])


def test_a_shard_is_not_found_in_another_channel(channel: Channel, channel_with: Callable[..., Channel]) -> None:
    """A shard is served only by the channel and subdir whose index names or named it."""
    channel.put(B)
    digest = channel.shard_index()["shards"]["b"]
    for path in (("linux-64", "shards"), ("noarch", "shard")):
        with pytest.raises(NotFound):
            channel.request(*path, f"{digest.hex()}.msgpack.zst")
    with pytest.raises(NotFound):
        channel_with().request("noarch", "shards", f"{digest.hex()}.msgpack.zst")


def test_shards_and_repodata_have_the_same_records(channel: Channel) -> None:
    """The records of a name in its shard and in repodata.json differ only in the form of the two hashes."""
    filled(channel).put(B2)
    repodata, index = channel.repodata(), channel.shard_index()
    maps = [("packages",), ("packages.conda",), ("v3", "conda"), ("v3", "tar.bz2")]
    records: dict[tuple[str, ...], dict[str, Any]] = {path: {} for path in maps}
    for digest in index["shards"].values():
        shard = channel.shard(digest)
        for path in maps:
            records[path].update(within(shard, path))
    for path in maps:
        assert {key: with_hex(record) for key, record in records[path].items()} == within(repodata, path)


def within(document: Any, path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        document = document.get(key, {})
    return dict(document)


def with_hex(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "md5": record["md5"].hex(), "sha256": record["sha256"].hex()}


def test_a_yanked_file_is_in_removed_and_is_restored_unchanged(channel: Channel, clock: ManualClock) -> None:
    """A yanked file is in `removed` and in no map; unyanked, it has its old record and its first indexing time."""
    channel.put(B)
    before = channel.repodata()
    clock.move(60_000)
    channel.yank(B)
    yanked = channel.repodata()
    assert ({}, [B.name]) == (yanked["packages.conda"], yanked["removed"])
    assert [B.name] == channel.shard(channel.shard_index()["shards"]["b"])["removed"]
    assert 0 == channel.read("noarch", "run_exports.json").count(b"demo")
    assert B.content == channel.read("noarch", B.name)
    clock.move(60_000)
    channel.unyank(B)
    assert before == channel.repodata()


def test_a_name_without_files_is_in_no_document(channel: Channel) -> None:
    """After the last delete the name is not in the shard index, repodata.json or run_exports.json."""
    filled(channel)
    channel.delete(B)
    assert "b" not in channel.shard_index()["shards"]
    for document in ("repodata.json", "run_exports.json"):
        assert B.name.encode() not in channel.read("noarch", document)
    assert "b" in channel.shard_index("linux-64")["shards"]
    with pytest.raises(NotFound):
        channel.request("noarch", B.name)


def test_an_upload_lists_a_deleted_name_again(channel: Channel) -> None:
    channel.put(B)
    channel.delete(B)
    assert {} == channel.shard_index()["shards"]
    channel.put(B2)
    assert ["b"] == list(channel.shard_index()["shards"])
    assert [B2.name] == list(channel.repodata()["packages.conda"])


def test_an_overwritten_file_has_a_new_indexing_time(channel: Channel, clock: ManualClock) -> None:
    """New bytes under an existing name are a new file, indexed at the time of the upload (CEP 47)."""
    channel.put(B)
    clock.move(60_000)
    channel.put(packages.conda(index_json("b", license="BSD")), force=True)
    (record,) = channel.repodata()["packages.conda"].values()
    assert ("BSD", clock.now_ms()) == (record["license"], record["indexed_timestamp"])


def test_the_v3_summary_is_updated_with_its_records(channel: Channel, clock: ManualClock) -> None:
    """`repodata_revisions` has the count, newest and oldest time of the listed v3 records (CEP 48)."""
    times = []
    new = [packages.conda(index_json(f"v{number}", flags=["cuda"])) for number in range(3)]
    for file in (*new, A):
        times.append(clock.now_ms())
        channel.put(file)
        clock.move(1_000)
    summary = {"n_packages": 3, "newest": times[2], "oldest": times[0]}
    assert {"v3": summary} == channel.repodata()["info"]["repodata_revisions"]
    assert {"v3": summary} == channel.shard_index()["info"]["repodata_revisions"]
    channel.yank(new[2])
    channel.delete(new[0])
    summary = {"n_packages": 1, "newest": times[1], "oldest": times[1]}
    assert {"v3": summary} == channel.repodata()["info"]["repodata_revisions"]
    channel.delete(new[1])
    assert "repodata_revisions" not in channel.repodata()["info"]
