"""`seaway check` reports each broken promise with its place and kind, and nothing else."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from seaway.channels import channels
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import documents, files, members, retired_shards, shards
from seaway.maintenance.check import Violation, check
from seaway.storage import keys
from seaway.users import users
from tests.indexing.channel import A2, OLD, A, Channel
from tests.support import state
from tests.support.sites import Factory


def in_database(change: Callable[[Tx], object]) -> Callable[[Channel], None]:
    """Return a damage made by a database statement."""

    def damage(channel: Channel) -> None:
        with channel.seaway.site.database.write_site() as tx:
            change(tx)

    return damage


def blob_of_a(channel: Channel) -> str:
    with channel.seaway.site.database.read() as tx:
        return keys.blob(tx.execute(select(files.c.sha256).where(files.c.file_name == A.name)).scalar_one())


def rewrite(channel: Channel, key: str, content: bytes) -> None:
    state.overwrite_blob(channel.seaway.site.blobs, key, content)


def document_key(channel: Channel, kind: str = "repodata.json") -> str:
    with channel.seaway.site.database.read() as tx:
        return keys.blob(tx.execute(select(documents.c.sha256).where(documents.c.kind == kind)).scalar_one())


def two_owners(channel: Channel) -> None:
    """Add a second owner; the schema forbids it, so its index is dropped first."""
    with channel.seaway.site.database.write_site() as tx:
        tx.execute(text("DROP INDEX uq_members_owner"))
        tx.execute(second_owner(tx, channel))


def second_owner(tx: Tx, channel: Channel):  # type: ignore[no-untyped-def]
    return insert(members).values(
        channel_id=channels.get(tx, channel.name).id,
        user_id=users.get(tx, "second").id,
        role=Role.OWNER.value,
        added_at=0,
    )


def set_of(kind: str, **values: object) -> Callable[[Channel], None]:
    return in_database(lambda tx: tx.execute(update(documents).where(documents.c.kind == kind).values(**values)))


def of_a(**values: object) -> Callable[[Channel], None]:
    return in_database(lambda tx: tx.execute(update(files).where(files.c.file_name == A.name).values(**values)))


def other_record(channel: Channel) -> None:
    """Give a file the record of another file."""
    with channel.seaway.site.database.write_site() as tx:
        record = tx.execute(select(files.c.record).where(files.c.file_name == A2.name)).scalar_one()
        tx.execute(update(files).where(files.c.file_name == A.name).values(record=record))


# Damage, the promise that it breaks, and the place that is reported.
DAMAGES: dict[str, tuple[Callable[[Channel], None], str, str]] = {
    "missing blob": (lambda channel: channel.seaway.site.blobs.delete(blob_of_a(channel)), "S1", A.name),
    "truncated blob": (lambda channel: rewrite(channel, blob_of_a(channel), A.content[:-1]), "S1", A.name),
    "changed bytes of a blob": (
        lambda channel: rewrite(channel, blob_of_a(channel), bytes([A.content[0] ^ 1]) + A.content[1:]),
        "S1",
        A.name,
    ),
    "missing blob of a yanked file": (
        in_database(lambda tx: tx.execute(update(files).where(files.c.file_name == OLD.name).values(sha256=b"x" * 32))),
        "S1",
        OLD.name,
    ),
    "changed size": (of_a(size=7), "S1", A.name),
    "changed record": (of_a(record=b"{}"), "S1", A.name),
    "record of another file": (other_record, "S1", A.name),
    "changed indexing time": (of_a(indexed_at=7), "S1", A.name),
    "changed section": (of_a(section="packages"), "S3", "a"),
    "foreign bytes of a shard": (
        in_database(lambda tx: tx.execute(update(shards).where(shards.c.name == "a").values(content=b"evil"))),
        "S3",
        "a",
    ),
    "foreign bytes of a replaced shard": (
        in_database(lambda tx: tx.execute(update(retired_shards).values(content=b"evil"))),
        "S4",
        "shards/",
    ),
    "document of a later revision": (set_of("repodata.json", revision=1000), "S2", "repodata.json"),
    "documents of two revisions": (set_of("repodata.json.zst", revision=1), "S2", "noarch"),
    "documents of one kind missing": (
        in_database(lambda tx: tx.execute(delete(documents).where(documents.c.kind == "repodata.json.zst"))),
        "S2",
        "repodata.json.zst",
    ),
    "missing blob of a document": (
        lambda channel: channel.seaway.site.blobs.delete(document_key(channel)),
        "S2",
        "repodata.json",
    ),
    "changed bytes of a document": (
        lambda channel: rewrite(channel, document_key(channel), b"x" + b" " * 100),
        "S2",
        "repodata.json",
    ),
    "missing blob of the gzip form": (
        lambda channel: channel.seaway.site.blobs.delete(document_key(channel, "repodata.json.gz")),
        "S2",
        "repodata.json.gz",
    ),
    "document of another state": (
        lambda channel: set_of("repodata.json", sha256=bytes.fromhex(document_key(channel, "run_exports.json")[-64:]))(
            channel
        ),
        "S2",
        "repodata.json",
    ),
    "no owner": (
        in_database(lambda tx: tx.execute(update(members).values(role=Role.CONTRIBUTOR.value))),
        "S4",
        "demo",
    ),
    "two owners": (two_owners, "S4", "demo"),
}


def test_an_undamaged_store_has_no_violations(filled: Channel) -> None:
    """Holds for the full and the quick check."""
    assert [] == list(check(filled.seaway))
    assert [] == list(check(filled.seaway, quick=True))


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_reported(case: str, filled: Channel) -> None:
    """Each kind of damage is reported as the promise that it breaks, with its place."""
    Factory(filled.seaway).user("second")
    damage, promise, place = DAMAGES[case]
    damage(filled)
    broken = list(check(filled.seaway))
    assert any(entry.check == promise and place in entry.where for entry in broken), broken


@pytest.mark.parametrize("case", ["missing blob", "truncated blob", "missing blob of a document"])
def test_a_quick_check_finds_missing_and_truncated_blobs(case: str, filled: Channel) -> None:
    """Missing blobs and blobs of another size are found without reading blobs."""
    damage, promise, place = DAMAGES[case]
    damage(filled)
    violations = [entry for entry in check(filled.seaway, quick=True) if place in entry.where]
    assert [promise] == [entry.check for entry in violations]


def test_damage_is_reported_once_with_a_message(filled: Channel) -> None:
    """A missing blob is one violation that names the channel and the file."""
    DAMAGES["missing blob"][0](filled)
    assert [Violation("S1", f"demo/noarch/{A.name}", "names a blob that does not exist")] == list(check(filled.seaway))


def test_the_schema_itself_forbids_two_owners(filled: Channel) -> None:
    """The database refuses a second owner of a channel, independent of the calling code."""
    Factory(filled.seaway).user("second")
    with pytest.raises(IntegrityError), filled.seaway.site.database.write_site() as tx:
        tx.execute(second_owner(tx, filled))


def test_a_deleted_channel_breaks_no_promise(filled: Channel) -> None:
    """Every promise holds after a channel is deleted, before its blobs are swept."""
    filled.remove()
    assert [] == list(check(filled.seaway))
