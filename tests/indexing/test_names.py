"""The index of names: in memory, brought up to date by what changed, and always what the rows say."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from seaway.database.tables import shards
from seaway.indexing.shard_index import ShardIndex, ShardIndexCache
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, noted
from tests.support import packages
from tests.support.house import People
from tests.support.packages import index_json


def document(names: ShardIndexCache, channel: Channel) -> ShardIndex:
    with channel.seaway.database.read() as tx:
        return names.document(tx, channel.subdir(tx))


def hashes_in_rows(channel: Channel) -> dict[str, bytes]:
    with channel.seaway.database.read() as tx:
        rows = tx.execute(select(shards.c.name, shards.c.sha256).where(shards.c.sha256.is_not(None)))
        return {row.name: row.sha256 for row in rows}


def test_the_index_has_the_names_of_the_rows(channel: Channel) -> None:
    """Each name with files stands in the index with the hash of its shard, and no other does."""
    files = [packages.conda(index_json(name)) for name in ("a", "b", "c")]
    for file in files:
        channel.put(file)
        assert hashes_in_rows(channel) == channel.shard_index()["shards"]
    channel.delete(files[1])
    assert hashes_in_rows(channel) == channel.shard_index()["shards"]
    assert {"a", "c"} == set(channel.shard_index()["shards"])


def test_an_index_brought_up_to_date_is_one_made_anew(channel: Channel) -> None:
    """What a worker holds and what a new one reads is the same document, byte for byte."""
    held = ShardIndexCache()
    for number in range(6):
        channel.put(packages.conda(index_json(f"n{number % 4}", version=f"{number}.0")))
        assert document(held, channel) == document(ShardIndexCache(), channel)


def test_what_did_not_change_is_not_read_again(channel: Channel) -> None:
    """Asked again at the same revision, the index is the one in memory, and costs no query of names."""
    channel.put(packages.conda(index_json("a")))
    held = ShardIndexCache()
    first = document(held, channel)
    with noted(channel.seaway) as statements:
        assert first is document(held, channel)
    assert [] == [text for text in statements.texts if "shards.name, shards.sha256" in text]


def test_only_what_changed_is_read(channel: Channel) -> None:
    """After a change of one name one row is read, however many names there are."""
    for number in range(12):
        channel.put(packages.conda(index_json(f"n{number}")))
    held = ShardIndexCache()
    document(held, channel)
    channel.put(packages.conda(index_json("n3", version="2.0")))
    with noted(channel.seaway) as statements:
        document(held, channel)
    ((query, parameters),) = [
        (text, parameters)
        for text, parameters in zip(statements.texts, statements.parameters, strict=True)
        if "shards.name, shards.sha256" in text
    ]
    with channel.seaway.database.read() as tx:
        assert 1 == len(tx.exec_driver_sql(query, parameters).all())


def test_a_reader_of_an_older_state_gets_what_others_have_seen(channel: Channel) -> None:
    """A document never goes back: who comes with an older snapshot is answered with the newer index, under its own revision."""
    channel.put(packages.conda(index_json("a")))
    held = ShardIndexCache()
    with channel.seaway.database.read() as old:
        before = channel.subdir(old)
        channel.put(packages.conda(index_json("b")))
        newer = document(held, channel)
        assert newer == held.document(old, before)
    assert newer.revision == before.revision + 1


def test_many_readers_get_one_document(channel: Channel) -> None:
    """Threads that ask at once, while the channel changes, get documents that are whole and of their revision."""
    channel.put(packages.conda(index_json("a")))
    held = ShardIndexCache()
    with ThreadPoolExecutor(8) as readers:
        asked = [readers.submit(document, held, channel) for _ in range(16)]
        channel.put(packages.conda(index_json("b")))
        asked += [readers.submit(document, held, channel) for _ in range(16)]
        found = [answer.result() for answer in asked]
    for revision in (1, 2):
        assert len({one.sha256 for one in found if one.revision == revision}) <= 1
    assert {2} == {one.revision for one in found[16:]}


def test_a_channel_made_again_starts_anew(channel: Channel, people: People) -> None:
    """Nothing of a deleted channel shows in one of the same name."""
    channel.put(packages.conda(index_json("a")))
    channel.shard_index()
    channel.remove()
    people.channel(channel.name)
    assert {} == channel.shard_index()["shards"]
    channel.put(packages.conda(index_json("b")))
    assert {"b"} == set(channel.shard_index()["shards"])
    assert ["b-1.0-h1_0.conda"] == list(channel.repodata()["packages.conda"])


def test_names_in_memory_are_bounded(seaway: Seaway) -> None:
    """Invariant 3: of several subdirs, those that were read last are held; the last one is, whatever its size."""
    channels = [Channel(seaway, People(seaway).channel(name)) for name in ("one", "two", "three")]
    held = ShardIndexCache(max_names=14)
    known: list[list[int]] = []
    for channel in channels:
        for name in ("a", "b", "c") if channel.name == "three" else ("a", "b"):
            channel.put(packages.conda(index_json(name)))
        assert document(held, channel) == document(ShardIndexCache(), channel)
        known.append([len(names.hashes) for names in held._subdirs.values()])
    assert [[2], [2, 2], [3]] == known
    small = ShardIndexCache(max_names=1)
    assert document(small, channels[0]) is document(small, channels[0])
