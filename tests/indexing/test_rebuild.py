"""`seaway reindex`: damage to the index is found and repaired from the file rows; undamaged names are unchanged."""

from collections.abc import Callable

import pytest
from sqlalchemy import Update, delete, insert, update

from seaway.database.engine import Tx
from seaway.database.tables import documents, fragments, shards, subdirs
from seaway.indexing.rebuild import IndexDifference, differences, rebuild
from tests.indexing.channel import Channel
from tests.support import packages
from tests.support.packages import index_json

Damage = Callable[[Tx, int], object]


def of_shard(**values: object) -> Damage:
    """Change the shard row of one name."""
    return lambda tx, subdir: tx.execute(shard_row(subdir, "b").values(**values))


def shard_row(subdir: int, name: str) -> Update:
    return update(shards).where(shards.c.subdir_id == subdir, shards.c.name == name)


def of_v3(**values: object) -> Damage:
    return lambda tx, subdir: tx.execute(shard_row(subdir, "new").values(**values))


def fragment(name: str, kind: str) -> Damage:
    """Add a fragment that belongs to no file."""
    return lambda tx, subdir: tx.execute(
        insert(fragments).values(subdir_id=subdir, kind=kind, name=name, content=b'"evil":{}')
    )


def shard_of_a_deleted_name(tx: Tx, subdir: int) -> None:
    tx.execute(shard_row(subdir, "gone").values(sha256=b"x" * 32, content=b"x"))


# Damage, and the name that it is reported under.
DAMAGES: dict[str, tuple[str, Damage]] = {
    "bytes of a shard": ("b", of_shard(content=b"x")),
    "address of a shard": ("b", of_shard(sha256=b"x" * 32)),
    "a shard marked as deleted": ("b", of_shard(sha256=None, content=None)),
    "a shard of a later revision": ("b", of_shard(revision=1000)),
    "number of records": ("b", of_shard(record_count=7)),
    "number of v3 records": ("new", of_v3(v3_count=7)),
    "time of the newest v3 record": ("new", of_v3(v3_newest=7)),
    "time of the oldest v3 record": ("new", of_v3(v3_oldest=7)),
    "v3 count without v3 records": ("b", of_shard(v3_count=1)),
    "no shard": (
        "b",
        lambda tx, subdir: tx.execute(delete(shards).where(shards.c.subdir_id == subdir, shards.c.name == "b")),
    ),
    "a shard of a deleted name": ("gone", shard_of_a_deleted_name),
    "no fragments": (
        "b",
        lambda tx, subdir: tx.execute(
            delete(fragments).where(fragments.c.subdir_id == subdir, fragments.c.name == "b")
        ),
    ),
    "bytes of a fragment": (
        "b",
        lambda tx, subdir: tx.execute(
            update(fragments)
            .where(fragments.c.subdir_id == subdir, fragments.c.name == "b")
            .values(content=b'"evil":{}')
        ),
    ),
    "a fragment in another map": ("b", fragment("b", "records:packages")),
    "a fragment of a removed file": ("b", fragment("b", "removed")),
    "a fragment of no known kind": ("b", fragment("b", "records:other")),
    "a fragment of a name that never existed": ("never", fragment("never", "records:packages.conda")),
    "a fragment of a deleted name": ("gone", fragment("gone", "records:packages.conda")),
    "number of records of the subdir": (
        "",
        lambda tx, subdir: tx.execute(update(subdirs).where(subdirs.c.id == subdir).values(record_count=7)),
    ),
}


def damage(channel: Channel, case: str) -> None:
    with channel.seaway.site.database.write_site() as tx:
        DAMAGES[case][1](tx, channel.subdir(tx).id)


def found_differences(channel: Channel) -> list[IndexDifference]:
    with channel.seaway.site.database.read() as tx:
        return list(differences(tx, channel.subdir(tx)))


def rebuild_index(channel: Channel) -> int:
    with channel.seaway.site.database.write_site() as tx:
        return rebuild(tx, channel.subdir(tx), channel.seaway.site.clock.now_ms(), 100_000).changed


def served(channel: Channel) -> tuple[object, object, set[bytes]]:
    """Return everything that readers see, except the revision."""
    return channel.repodata(), channel.read("noarch", "run_exports.json"), set(channel.shard_index()["shards"].values())


def test_an_undamaged_index_has_no_differences(filled: Channel) -> None:
    """After uploads and deletes the index equals the one derived from the file rows; a rebuild changes no name."""
    assert [] == found_differences(filled)
    before = filled.rows(shards), filled.rows(fragments), filled.revision()
    assert 0 == rebuild_index(filled)
    assert before == (filled.rows(shards), filled.rows(fragments), filled.revision())


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_found(case: str, filled: Channel) -> None:
    """Any difference from the file rows is reported under its name."""
    damage(filled, case)
    assert DAMAGES[case][0] in {difference.name for difference in found_differences(filled)}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_repaired(case: str, filled: Channel) -> None:
    """After a rebuild the index matches the file rows, and readers see the state before the damage."""
    before = served(filled)
    damage(filled, case)
    rebuild_index(filled)
    assert [] == found_differences(filled)
    assert before == served(filled)


def test_a_rebuild_changes_only_damaged_names(filled: Channel) -> None:
    """Undamaged names keep their rows, so that clients need not fetch their shards again."""
    damage(filled, "bytes of a shard")
    before = {row[1]: row for row in filled.rows(shards)}
    assert 1 == rebuild_index(filled)
    after = {row[1]: row for row in filled.rows(shards)}
    assert {"b"} == {name for name in after if before[name] != after[name]}


def test_readers_of_a_running_server_see_the_repair(filled: Channel) -> None:
    """A worker with the damaged index in memory serves the repaired one at the next request."""
    right = filled.shard_index()["shards"]
    with filled.seaway.site.database.write_site() as tx:
        subdir = filled.subdir(tx)
        wrong = {"sha256": b"x" * 32, "revision": subdir.revision + 1}
        tx.execute(shard_row(subdir.id, "b").values(**wrong))
        tx.execute(update(subdirs).where(subdirs.c.id == subdir.id).values(revision=subdir.revision + 1))
    assert right != filled.shard_index()["shards"]
    rebuild_index(filled)
    assert right == filled.shard_index()["shards"]


def test_a_rebuild_deletes_the_whole_documents(filled: Channel) -> None:
    """Documents may contain the damage too; they are built again on request."""
    filled.repodata()
    rebuild_index(filled)
    assert [] == filled.rows(documents)


@pytest.mark.parametrize(
    "case",
    ["bytes of a shard", "number of records", "no fragments", "no shard", "a shard marked as deleted"],
)
def test_an_upload_to_a_damaged_name_repairs_it(case: str, filled: Channel) -> None:
    """An index that cannot be spliced is derived from the rows; the upload succeeds."""
    damage(filled, case)
    filled.put(packages.conda(index_json("b", version="9.0")))
    assert "b" not in {difference.name for difference in found_differences(filled)}
