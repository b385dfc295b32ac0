"""The shard index: kept in memory, updated by changes, and always equal to the rows."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from seaway.database.tables import shards
from seaway.indexing.shard_index import ShardIndex, ShardIndexCache
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, recorded_statements
from tests.support import packages
from tests.support.packages import index_json
from tests.support.sites import Factory


def document(names: ShardIndexCache, channel: Channel) -> ShardIndex:
    with channel.seaway.site.database.read() as tx:
        return names.document(tx, channel.subdir(tx))


def hashes_in_rows(channel: Channel) -> dict[str, bytes]:
    with channel.seaway.site.database.read() as tx:
        rows = tx.execute(select(shards.c.name, shards.c.sha256).where(shards.c.sha256.is_not(None)))
        return {row.name: row.sha256 for row in rows}


def test_the_index_has_the_names_of_the_rows(channel: Channel) -> None:
    """The index has exactly the names with files, with the hashes of their shards."""
    files = [packages.conda(index_json(name)) for name in ("a", "b", "c")]
    for file in files:
        channel.put(file)
        assert hashes_in_rows(channel) == channel.shard_index()["shards"]
    channel.delete(files[1])
    assert hashes_in_rows(channel) == channel.shard_index()["shards"]
    assert {"a", "c"} == set(channel.shard_index()["shards"])


def test_an_updated_index_equals_a_new_one(channel: Channel) -> None:
    """The index in memory and the index read by a new worker are the same bytes."""
    cache = ShardIndexCache()
    for number in range(6):
        channel.put(packages.conda(index_json(f"n{number % 4}", version=f"{number}.0")))
        assert document(cache, channel) == document(ShardIndexCache(), channel)


def test_an_unchanged_index_is_not_read_again(channel: Channel) -> None:
    """At the same revision the index in memory is returned, without a query for names."""
    channel.put(packages.conda(index_json("a")))
    cache = ShardIndexCache()
    first = document(cache, channel)
    with recorded_statements(channel.seaway) as statements:
        assert first is document(cache, channel)
    assert [] == [text for text in statements.texts if "shards.name, shards.sha256" in text]


def test_only_changed_names_are_read(channel: Channel) -> None:
    """After a change of one name a single row is read, independent of the number of names."""
    for number in range(12):
        channel.put(packages.conda(index_json(f"n{number}")))
    cache = ShardIndexCache()
    document(cache, channel)
    channel.put(packages.conda(index_json("n3", version="2.0")))
    with recorded_statements(channel.seaway) as statements:
        document(cache, channel)
    ((query, parameters),) = [
        (text, parameters)
        for text, parameters in zip(statements.texts, statements.parameters, strict=True)
        if "shards.name, shards.sha256" in text
    ]
    with channel.seaway.site.database.read() as tx:
        assert 1 == len(tx.exec_driver_sql(query, parameters).all())


def test_a_reader_with_an_older_snapshot_gets_the_newer_index(channel: Channel) -> None:
    """The index never goes back: a request with an older snapshot gets the newer index with its revision."""
    channel.put(packages.conda(index_json("a")))
    cache = ShardIndexCache()
    with channel.seaway.site.database.read() as old:
        before = channel.subdir(old)
        channel.put(packages.conda(index_json("b")))
        newer = document(cache, channel)
        assert newer == cache.document(old, before)
    assert newer.revision == before.revision + 1


def test_concurrent_readers_get_consistent_documents(channel: Channel) -> None:
    """Concurrent requests during a change get complete documents of their revision."""
    channel.put(packages.conda(index_json("a")))
    cache = ShardIndexCache()
    with ThreadPoolExecutor(8) as readers:
        pending = [readers.submit(document, cache, channel) for _ in range(16)]
        channel.put(packages.conda(index_json("b")))
        pending += [readers.submit(document, cache, channel) for _ in range(16)]
        results = [future.result() for future in pending]
    for revision in (1, 2):
        assert len({result.content for result in results if result.revision == revision}) <= 1
    assert {2} == {result.revision for result in results[16:]}


def test_a_recreated_channel_is_empty(channel: Channel, factory: Factory) -> None:
    """A new channel with the name of a deleted one has none of its content."""
    channel.put(packages.conda(index_json("a")))
    channel.shard_index()
    channel.remove()
    factory.channel(channel.name)
    assert {} == channel.shard_index()["shards"]
    channel.put(packages.conda(index_json("b")))
    assert {"b"} == set(channel.shard_index()["shards"])
    assert ["b-1.0-h1_0.conda"] == list(channel.repodata()["packages.conda"])


def test_the_shard_index_cache_is_limited(seaway: Seaway) -> None:
    """Invariant 3: the subdirs read last are kept; the last one always, independent of its size."""
    channels = [Channel(seaway, Factory(seaway).channel(name)) for name in ("one", "two", "three")]
    cache = ShardIndexCache(max_names=14)
    sizes: list[list[int]] = []
    for channel in channels:
        for name in ("a", "b", "c") if channel.name == "three" else ("a", "b"):
            channel.put(packages.conda(index_json(name)))
        assert document(cache, channel) == document(ShardIndexCache(), channel)
        sizes.append([len(names.hashes) for names in cache._subdirs.values()])
    assert [[2], [2, 2], [3]] == sizes
    small = ShardIndexCache(max_names=1)
    assert document(small, channels[0]) is document(small, channels[0])
