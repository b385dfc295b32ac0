"""Rebuild a lost database from its store: channels, files, yanked state and times."""

import errno
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy import select

from seaway.backup.rebuild import DAMAGED, MISSING, LostFile, RebuiltSite, rebuild
from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.clock import DAY_MS
from seaway.database.tables import attestations, files, fragments, kept_blobs, logos, packages, shards, subdirs
from seaway.database.tables import channels as channel_rows
from seaway.errors import BadSetting, NameTaken, Unavailable
from seaway.indexing.file_rows import FileState
from seaway.maintenance.check import check
from seaway.packages.channel_manifests import FORMAT, NameManifest, decode_name, encode
from seaway.packages.manifest_writer import write_changes
from seaway.packages.sweep import release_kept, sweep
from seaway.pairing import identity_storage
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from tests.backup.conftest import SampleSite
from tests.backup.helpers import LARGE, PRIVATE, PUBLIC, SimulatedKill, blob_key, open_site, responses
from tests.indexing.channel import Channel
from tests.support import folders, state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.sites import Factory

LoseDatabase = Callable[[Seaway], Seaway]


@pytest.fixture
def lose_database(clock: ManualClock, tmp_path: Path) -> Iterator[LoseDatabase]:
    """Close a site, delete its database and open the site again on the same store."""
    opened: list[Seaway] = []

    def reopen(seaway: Seaway) -> Seaway:
        folder = seaway.settings.data.parent
        seaway.close()
        state.lose_database(folder)
        opened.append(open_site(folder, clock, paired=False))
        return opened[-1]

    yield reopen
    for seaway in opened:
        seaway.close()
    state.forget(tmp_path)


def write_manifests(seaway: Seaway) -> None:
    """Write changed manifests, as the job does every minute."""
    write_changes(seaway.site, seaway.pairing.store_id())


def rebuild_site(seaway: Seaway, admin: str = "admin") -> RebuiltSite:
    return rebuild_from(seaway, seaway.site.blobs, admin)


def rebuild_from(seaway: Seaway, blobs: Any, admin: str = "admin") -> RebuiltSite:
    return rebuild(replace(seaway.site, blobs=blobs), admin)


def content(seaway: Seaway) -> dict[str, list[Any]]:
    """The rows that a rebuild restores: those of files and channels, and the index; yanks before it cannot be undone."""
    left_out = {
        "files": {"id", "uploaded_by", "yank_id", "earlier_yank_id", "earlier_yank_reason"},
        "channels": {"is_public"},
        "subdirs": {"revision", "changed_at", "served_revision"},
        "shards": {"revision"},
        "packages": {"newest_file_id"},
    }
    found = {}
    with seaway.site.database.read() as tx:
        for table in (channel_rows, logos, packages, subdirs, files, attestations, fragments, shards):
            columns = [column for column in table.c if column.name not in left_out.get(table.name, set())]
            found[table.name] = sorted((tuple(row) for row in tx.execute(select(*columns))), key=repr)
    return found


def manifests(seaway: Seaway) -> dict[str, bytes]:
    found = {}
    for stat in seaway.site.blobs.list(keys.MANIFESTS):
        with seaway.site.blobs.open(stat.key) as file:
            found[stat.key] = file.read()
    return found


def manifest_key(seaway: Seaway, package: str, channel: str = PUBLIC) -> str:
    (key,) = (
        key
        for key, object_ in manifests(seaway).items()
        if not key.endswith("/channel") and named(object_) == (channel, package)
    )
    return key


def named(object_: bytes) -> tuple[str, str]:
    manifest = decode_name(object_)
    return manifest.channel, manifest.package


def file_states(seaway: Seaway) -> dict[str, str]:
    """State of each file by its name, in the private channel by CHANNEL/NAME."""
    query = (
        select(channel_rows.c.name, files.c.file_name, files.c.state)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(channel_rows, channel_rows.c.id == subdirs.c.channel_id)
    )
    with seaway.site.database.read() as tx:
        return {row[1] if row[0] == PUBLIC else f"{row[0]}/{row[1]}": row[2] for row in tx.execute(query)}


# Restored rows


def test_channels_and_files_are_restored(source: Seaway, lose_database: LoseDatabase) -> None:
    """Files with states, times and attestations, the logo and the whole index; channels are private and of an admin."""
    write_manifests(source)
    before = content(source)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert before == content(copy)
    assert [] == list(check(copy))
    assert (2, "admin", True) == (rebuilt.channels, rebuilt.admin, rebuilt.is_new_admin)
    assert (len(before["files"]) - 1, 1) == (rebuilt.files, rebuilt.deleted)
    assert [] == rebuilt.lost == rebuilt.unreadable
    with copy.site.database.read() as tx:
        found = channels.visible_to(tx, OPERATOR)
    assert {("admin", False)} == {(channel.owner, channel.is_public) for channel in found}


def test_responses_are_same_after_rebuild(
    source: Seaway, sample_site: SampleSite, sample_responses: dict[str, bytes], lose_database: LoseDatabase
) -> None:
    """Once the channel is public again; only the shard index has a new time."""
    write_manifests(source)
    copy = lose_database(source)
    rebuild_site(copy)
    with copy.site.database.write_site() as tx:
        channels.change(tx, copy.site.clock.now_ms(), OPERATOR, PUBLIC, ChannelSettings(public=True))
    after = responses(copy, Factory(copy).key("admin"))

    def without_shard_index(bodies: dict[str, bytes]) -> dict[str, bytes]:
        return {path: body for path, body in bodies.items() if "repodata_shards" not in path}

    assert without_shard_index(sample_responses) == without_shard_index(after)
    assert sample_responses.keys() == after.keys()


def test_channels_belong_to_existing_admin(source: Seaway, lose_database: LoseDatabase) -> None:
    """An admin that was created before the rebuild is used, and no other is created."""
    write_manifests(source)
    copy = lose_database(source)
    Factory(copy).user("friend")
    Factory(copy).user("captain", admin=True)
    rebuilt = rebuild_site(copy, admin="another")

    assert ("captain", False) == (rebuilt.admin, rebuilt.is_new_admin)
    with copy.site.database.read() as tx:
        assert "captain" == channels.get(tx, PUBLIC).owner


def test_rebuilt_site_accepts_uploads(source: Seaway, lose_database: LoseDatabase) -> None:
    """No id is used again, manifests are replaced in place, and the site can be rebuilt again."""
    write_manifests(source)
    before = manifests(source).keys()
    copy = lose_database(source)
    rebuild_site(copy)
    write_manifests(copy)
    assert before == manifests(copy).keys()

    tools = Channel(copy, PUBLIC)
    revision = tools.revision()
    tools.put(conda(index_json("late")))
    assert tools.revision() == revision + 1
    newer = Channel(copy, Factory(copy).channel("newer", owner="captain"))
    newer.put(conda(index_json("inside")))
    write_manifests(copy)
    assert 3 == len(manifests(copy).keys() - before)
    expected = content(copy)
    again = lose_database(copy)
    rebuild_site(again)

    assert expected == content(again)
    assert [] == list(check(again))


def test_revisions_continue_after_rebuild(source: Seaway, lose_database: LoseDatabase) -> None:
    """Clients have seen the earlier revisions; none may be used for other content."""
    before = Channel(source, PUBLIC).revision()
    write_manifests(source)
    copy = lose_database(source)
    rebuild_site(copy)

    assert Channel(copy, PUBLIC).revision() > before


def test_deleted_files_stay_deleted(source: Seaway, lose_database: LoseDatabase) -> None:
    """Their names stay taken, and their blobs are neither reported nor kept."""
    deleted = conda(index_json("deleted"))
    write_manifests(source)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert FileState.DELETED.value == file_states(copy)[deleted.name]
    assert copy.site.blobs.stat(blob_key(deleted))
    assert deleted.sha256 not in {blob.sha256.hex() for blob in rebuilt.unnamed}
    Channel(copy, PUBLIC).put(deleted, force=True)  # as the operator; `test_removal` tests other callers
    assert FileState.LISTED.value == file_states(copy)[deleted.name]


def test_rebuild_is_refused_if_site_has_or_had_channels(source: Seaway, lose_database: LoseDatabase) -> None:
    write_manifests(source)
    with pytest.raises(BadSetting):
        rebuild_site(source)
    copy = lose_database(source)
    Channel(copy, Factory(copy).channel("newer")).remove()
    with pytest.raises(BadSetting):
        rebuild_site(copy)


def test_rebuild_without_manifests_gives_empty_site(source: Seaway, lose_database: LoseDatabase) -> None:
    """All blobs are reported with their package, and kept."""
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert 0 == rebuilt.channels == rebuilt.files
    assert f"noarch/{LARGE.name}" in {blob.package for blob in rebuilt.unnamed}


# Blobs


def test_file_without_intact_blob_is_lost_and_its_name_stays_taken(source: Seaway, lose_database: LoseDatabase) -> None:
    """Missing, truncated, other bytes of the same size: each is reported, and an upload with `force` can replace it."""
    victims = [LARGE, conda(index_json("yanked")), conda(index_json("attested"))]
    write_manifests(source)
    source.site.blobs.delete(blob_key(victims[0]))
    state.overwrite_blob(source.site.blobs, blob_key(victims[1]), b"x")
    state.overwrite_blob(source.site.blobs, blob_key(victims[2]), bytes(len(victims[2].content)))
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    reasons = dict(zip(victims, (MISSING, DAMAGED, DAMAGED), strict=True))
    expected = {LostFile(f"{PUBLIC}/noarch/{file.name}", file.sha256, reason) for file, reason in reasons.items()}
    assert expected | {LostFile(f"{PRIVATE}/noarch/{LARGE.name}", LARGE.sha256, MISSING)} == set(rebuilt.lost)
    assert [] == list(check(copy))
    for file in victims:
        assert FileState.DELETED.value == file_states(copy)[file.name]
    Channel(copy, PUBLIC).put(LARGE, force=True)
    with copy.site.blobs.open(blob_key(LARGE)) as file:
        assert LARGE.content == file.read()


def test_logo_without_its_blob_is_lost(source: Seaway, lose_database: LoseDatabase) -> None:
    """The channel is restored without it."""
    with source.site.database.read() as tx:
        sha256 = channels.get(tx, PRIVATE).logo_sha256
    assert sha256 is not None
    write_manifests(source)
    source.site.blobs.delete(keys.blob(sha256))
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert [LostFile(f"{PRIVATE} logo", sha256.hex(), MISSING)] == rebuilt.lost
    assert [] == list(check(copy))


def test_blobs_that_no_manifest_names_are_listed_and_kept(
    source: Seaway, lose_database: LoseDatabase, clock: ManualClock, tmp_path: Path
) -> None:
    """Blobs that were uploaded after the last run: no sweep deletes them until they are released."""
    write_manifests(source)
    late, old = conda(index_json("late")), tar_bz2(index_json("late", build="0"))
    for file in (late, old):
        Channel(source, PUBLIC).put(file)
    other = tmp_path / "other"
    other.write_bytes(b"PK\x03\x04 and no archive")
    source.site.blobs.put_file(keys.blob(bytes(32)), other)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)
    packages_ = {blob.sha256.hex(): blob.package for blob in rebuilt.unnamed}

    assert (f"noarch/{late.name}", f"noarch/{old.name}") == (packages_[late.sha256], packages_[old.sha256])
    assert "" == packages_[bytes(32).hex()]
    no_grace_ms = -(1 << 60)
    sweep(copy.site, copy.pairing, max_percent=100, grace_ms=no_grace_ms)
    assert all(copy.site.blobs.stat(keys.blob(blob.sha256)) for blob in rebuilt.unnamed)
    assert len(rebuilt.unnamed) == release_kept(copy.site.database)
    sweep(copy.site, copy.pairing, max_percent=100, grace_ms=no_grace_ms)
    assert not any(copy.site.blobs.stat(keys.blob(blob.sha256)) for blob in rebuilt.unnamed)
    assert [] == list(check(copy))


# Manifests


def test_unusable_manifest_is_reported_and_rebuild_continues(source: Seaway, lose_database: LoseDatabase) -> None:
    """Damaged, of a newer Seaway, of another channel, with the id of another one, under an unknown key."""
    write_manifests(source)
    objects = manifests(source)
    large, yanked, replaced = (manifest_key(source, name) for name in ("large", "yanked", "replaced"))
    inside = manifest_key(source, "inside", PRIVATE)
    duplicate = large.rpartition("/")[0] + "/999"
    damaged = {
        large: objects[large][:-3],
        yanked: bytes(100),
        replaced: objects[inside],  # of another channel
        duplicate: objects[manifest_key(source, "attested")],  # two ids for one package
        keys.store_manifests(source.pairing.store_id()) + "/x": b"x",
    }
    for key, object_ in damaged.items():
        source.site.blobs.write(key, object_)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert damaged.keys() == {manifest.key for manifest in rebuilt.unreadable}
    assert [] == list(check(copy))
    assert {f"{PRIVATE}/inside-1.0-h1_0.conda", "attested-1.0-h1_0.conda"} <= file_states(copy).keys()
    assert set() == {LARGE.name, "yanked-1.0-h1_0.conda", "replaced-1.0-h1_0.conda"} & file_states(copy).keys()
    with copy.site.database.read() as tx:
        assert {PUBLIC, PRIVATE} == {channel.name for channel in channels.visible_to(tx, OPERATOR)}
    Factory(copy).channel("newer", owner="captain")
    write_manifests(copy)
    assert damaged.keys() <= manifests(copy).keys()  # a newer Seaway may be able to read them


def test_channel_without_manifest_is_restored_from_its_files(source: Seaway, lose_database: LoseDatabase) -> None:
    """With its name and files, without its settings."""
    write_manifests(source)
    expected = content(source)["files"]
    for key in [key for key in manifests(source) if key.endswith("/channel")]:
        source.site.blobs.delete(key)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert expected == content(copy)["files"]
    assert 2 == rebuilt.channels
    assert [] == list(check(copy))


def test_conflicting_manifests_are_reported_and_rebuild_continues(source: Seaway, lose_database: LoseDatabase) -> None:
    """A second channel with the same name, and a package in a second subdir with the same name."""
    write_manifests(source)
    objects = manifests(source)
    (secret,) = (key for key in objects if key.endswith("/channel") and b"" != objects[key] and "/2/" in key)
    second_channel = keys.manifest(source.pairing.store_id(), keys.ManifestIds(77))
    source.site.blobs.write(second_channel, objects[secret])
    other = keys.manifest(source.pairing.store_id(), keys.ManifestIds(1, 78, 79))
    source.site.blobs.write(other, encode(NameManifest(FORMAT, PUBLIC, "noarch", "other", 1, [])))
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert {second_channel, other} == {manifest.key for manifest in rebuilt.unreadable}
    assert [] == list(check(copy))


@pytest.mark.parametrize("names", [None, 0, 2], ids=["no run", "a run killed at its first write", "a run killed later"])
def test_manifests_below_an_earlier_id_are_used(source: Seaway, lose_database: LoseDatabase, names: int | None) -> None:
    """Invariant 8: until all manifests are below the new id after `seaway adopt`, those below the earlier id count."""
    write_manifests(source)
    expected = content(source)
    old = source.pairing.store_id()
    source.pairing.adopt()
    if names is not None:
        site = replace(source.site, blobs=FailingStore(source.site.blobs, writes=names))
        with pytest.raises(SimulatedKill):
            write_changes(site, source.pairing.store_id())
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert old == rebuilt.earlier_store_id
    assert expected == content(copy)
    assert [] == rebuilt.unreadable == rebuilt.lost
    write_manifests(copy)
    again = lose_database(copy)
    assert rebuild_site(again).earlier_store_id is None
    assert expected == content(again)


# Read errors of the store


class FailingStore:
    """A store that cannot read some keys, and simulates a kill after some writes of manifests."""

    def __init__(
        self, blobs: BlobStore, unreadable: Collection[str] = (), error: Exception | None = None, writes: int = 0
    ) -> None:
        self._blobs, self._unreadable, self._error, self._writes = blobs, unreadable, error, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        if key in self._unreadable and self._error:
            raise self._error
        return self._blobs.open(key, start)

    def local_path(self, key: str) -> Path | None:
        return None if key in self._unreadable else self._blobs.local_path(key)

    def write(self, key: str, content: bytes) -> None:
        if key.startswith(keys.MANIFESTS):
            self._writes -= 1
            if self._writes < 0:
                raise SimulatedKill
        self._blobs.write(key, content)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), Unavailable("The storage refuses this.")])
def test_unreadable_object_is_reported_and_rebuild_continues(
    source: Seaway, lose_database: LoseDatabase, error: Exception
) -> None:
    """Invariant 5: a manifest, the blob of a file and a blob without a manifest have read errors."""
    write_manifests(source)
    late, yanked = conda(index_json("late")), conda(index_json("yanked"))
    Channel(source, PUBLIC).put(late)
    manifest = manifest_key(source, "attested")
    copy = lose_database(source)
    rebuilt = rebuild_from(copy, FailingStore(copy.site.blobs, {manifest, blob_key(yanked), blob_key(late)}, error))

    assert [manifest] == [unreadable.key for unreadable in rebuilt.unreadable]
    assert "cannot be read" in rebuilt.unreadable[0].reason
    assert [LostFile(f"{PUBLIC}/noarch/{yanked.name}", yanked.sha256, DAMAGED)] == rebuilt.lost
    assert "cannot be read" in {blob.sha256.hex(): blob.problem for blob in rebuilt.unnamed}[late.sha256]
    assert FileState.LISTED.value == file_states(copy)[LARGE.name]
    assert [] == list(check(copy))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), Unavailable("The storage does not respond.")]
)
def test_rebuild_stops_if_store_reads_nothing(source: Seaway, lose_database: LoseDatabase, error: Exception) -> None:
    """Invariant 5: the files are not lost, so none may become deleted."""
    write_manifests(source)
    everything = {stat.key for stat in source.site.blobs.list()}
    copy = lose_database(source)
    identity = identity_storage.of_store(copy.site.blobs)
    assert identity is not None
    opened: list[str] = []

    class DyingStore(FailingStore):
        def open(self, key: str, start: int = 0) -> BinaryIO:
            opened.append(key)
            return super().open(key, start) if len(opened) > 3 else self._blobs.open(key, start)

    with pytest.raises(type(error)):
        rebuild_from(copy, DyingStore(copy.site.blobs, everything, error))
    assert {} == file_states(copy)


def test_rebuild_stops_if_folder_cannot_be_listed(source: Seaway, lose_database: LoseDatabase) -> None:
    """Invariant 5: a sweep would delete the blobs that were not listed; the error names the folder."""
    write_manifests(source)
    copy = lose_database(source)
    root = copy.site.blobs.local_path("")
    if root is None:
        pytest.skip("a bucket has no folders")
    folders.make_too_deep(root / keys.BLOBS)
    with pytest.raises(Unavailable, match=keys.BLOBS):
        rebuild_site(copy)
    assert {} == file_states(copy)


# Changes after the last run


def test_only_changes_after_last_run_are_missing(
    source: Seaway, lose_database: LoseDatabase, clock: ManualClock
) -> None:
    """Files that were overwritten, yanked or deleted later have their earlier state; new blobs are reported."""
    write_manifests(source)
    expected = content(source)
    tools = Channel(source, PUBLIC)
    tools.put(conda(index_json("late")))
    tools.yank(LARGE)
    tools.delete(conda(index_json("replaced")))
    Channel(source, PRIVATE).remove()
    clock.move(2 * DAY_MS)
    copy = lose_database(source)
    rebuilt = rebuild_site(copy)

    assert expected == content(copy)
    packages_ = [blob.package for blob in rebuilt.unnamed if blob.package]
    assert ["noarch/late-1.0-h1_0.conda", "noarch/replaced-1.0-h1_0.conda"] == sorted(packages_)  # its first bytes


def test_rebuild_after_interrupted_run(source: Seaway, lose_database: LoseDatabase) -> None:
    """Each manifest is complete: some packages have their latest state, others that of the run before."""
    write_manifests(source)
    before = file_states(source)
    tools = Channel(source, PUBLIC)
    for name in ("large", "attested", "replaced"):
        tools.yank(LARGE if name == "large" else conda(index_json(name), files=REPLACED.get(name)))
    after = file_states(source)
    old = manifests(source)
    write_manifests(source)
    key = manifest_key(source, "attested")
    source.site.blobs.write(key, old[key])  # as if the run had been killed before it
    copy = lose_database(source)
    rebuild_site(copy)

    assert {**after, "attested-1.0-h1_0.conda": before["attested-1.0-h1_0.conda"]} == file_states(copy)
    assert [] == list(check(copy))


REPLACED = {"replaced": {"share/x": b"other"}}


def test_admin_can_have_reserved_but_not_invalid_name(source: Seaway, lose_database: LoseDatabase) -> None:
    """The operator can choose a reserved name; an invalid name is refused before anything is written."""
    copy = lose_database(source)
    with pytest.raises(NameTaken):
        rebuild_site(copy, admin="No Name")
    with copy.site.database.read() as tx:
        assert [] == tx.execute(select(kept_blobs)).all()
    assert "operator" == rebuild_site(copy, admin="operator").admin
