"""A database is lost, and comes back from what its store says: channels, files, yanked state and times."""

import errno
from collections.abc import Callable, Collection, Iterator
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
from tests.backup.conftest import Source
from tests.backup.sites import LARGE, PRIVATE, PUBLIC, StopError, key_of, open_house, served
from tests.indexing.channel import Channel
from tests.support import folders, state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.sites import Factory

Reopen = Callable[[Seaway], Seaway]


@pytest.fixture
def lose(clock: ManualClock, tmp_path: Path) -> Iterator[Reopen]:
    """Close a house, remove its database and open it again on the store that it had."""
    opened: list[Seaway] = []

    def reopen(seaway: Seaway) -> Seaway:
        folder = seaway.settings.data.parent
        seaway.close()
        state.lose_database(folder)
        opened.append(open_house(folder, clock, paired=False))
        return opened[-1]

    yield reopen
    for seaway in opened:
        seaway.close()
    state.forget(tmp_path)


def follow(seaway: Seaway) -> None:
    """What the job does every minute."""
    write_changes(seaway.database, seaway.blobs, seaway.pairing.store_id())


def rebuild_here(seaway: Seaway, admin: str = "admin") -> RebuiltSite:
    return rebuild_on(seaway, seaway.blobs, admin)


def rebuild_on(seaway: Seaway, blobs: Any, admin: str = "admin") -> RebuiltSite:
    return rebuild(
        seaway.database, blobs, seaway.spool, seaway.clock, admin,
        seaway.settings.whole_document_limit,
    )  # fmt: skip


def content(seaway: Seaway) -> dict[str, list[Any]]:
    """The rows that come back: all that is known of files and channels, and all that readers see."""
    left_out = {
        "files": {"id", "uploaded_by"},
        "channels": {"is_public"},
        "subdirs": {"revision", "changed_at", "served_revision"},
        "shards": {"revision"},
    }
    found = {}
    with seaway.database.read() as tx:
        for table in (channel_rows, logos, packages, subdirs, files, attestations, fragments, shards):
            columns = [column for column in table.c if column.name not in left_out.get(table.name, set())]
            found[table.name] = sorted((tuple(row) for row in tx.execute(select(*columns))), key=repr)
    return found


def manifests(seaway: Seaway) -> dict[str, bytes]:
    found = {}
    for stat in seaway.blobs.list(keys.MANIFESTS):
        with seaway.blobs.open(stat.key) as file:
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
    """The state of each file, by its name, which the private channel's have its own before."""
    query = (
        select(channel_rows.c.name, files.c.file_name, files.c.state)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(channel_rows, channel_rows.c.id == subdirs.c.channel_id)
    )
    with seaway.database.read() as tx:
        return {row[1] if row[0] == PUBLIC else f"{row[0]}/{row[1]}": row[2] for row in tx.execute(query)}


# What comes back


def test_everything_of_channels_and_files_comes_back(source: Seaway, lose: Reopen) -> None:
    """Files with states, times and attestations, the logo and the whole index; channels private and an admin's."""
    follow(source)
    before = content(source)
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert before == content(copy)
    assert [] == list(check(copy))
    assert (2, "admin", True) == (rebuilt.channels, rebuilt.admin, rebuilt.is_new_admin)
    assert (len(before["files"]) - 1, 1) == (rebuilt.files, rebuilt.deleted)
    assert [] == rebuilt.lost == rebuilt.unreadable
    with copy.database.read() as tx:
        found = channels.visible_to(tx, OPERATOR)
    assert {("admin", False)} == {(channel.owner, channel.is_public) for channel in found}


def test_readers_get_the_same_bytes(
    source: Seaway, furnished: Source, served_there: dict[str, bytes], lose: Reopen
) -> None:
    """Once the channel is public again, all that its clients download is what it was; only the index of names has a new time."""
    follow(source)
    copy = lose(source)
    rebuild_here(copy)
    with copy.database.write_site() as tx:
        channels.change(tx, copy.clock.now_ms(), OPERATOR, PUBLIC, ChannelSettings(public=True))
    found = served(copy, Factory(copy).key("admin"))

    def without_times(all_: dict[str, bytes]) -> dict[str, bytes]:
        return {path: bytes_ for path, bytes_ in all_.items() if "repodata_shards" not in path}

    assert without_times(served_there) == without_times(found)
    assert served_there.keys() == found.keys()


def test_channels_belong_to_the_admin_there_is(source: Seaway, lose: Reopen) -> None:
    """An account that was made before is used, with its password, and no other is made."""
    follow(source)
    copy = lose(source)
    Factory(copy).user("friend")
    Factory(copy).user("captain", admin=True)
    rebuilt = rebuild_here(copy, admin="another")

    assert ("captain", False) == (rebuilt.admin, rebuilt.is_new_admin)
    with copy.database.read() as tx:
        assert "captain" == channels.get(tx, PUBLIC).owner


def test_a_rebuilt_house_goes_on(source: Seaway, lose: Reopen) -> None:
    """Uploads come in, no id is given out again, objects are replaced in place, and it can be lost once more."""
    follow(source)
    before = manifests(source).keys()
    copy = lose(source)
    rebuild_here(copy)
    follow(copy)
    assert before == manifests(copy).keys()

    tools = Channel(copy, PUBLIC)
    revision = tools.revision()
    tools.put(conda(index_json("late")))
    assert tools.revision() == revision + 1
    newer = Channel(copy, Factory(copy).channel("newer", owner="captain"))
    newer.put(conda(index_json("inside")))
    follow(copy)
    assert 3 == len(manifests(copy).keys() - before)
    expected = content(copy)
    again = lose(copy)
    rebuild_here(again)

    assert expected == content(again)
    assert [] == list(check(again))


def test_revisions_go_on_from_what_readers_have_seen(source: Seaway, lose: Reopen) -> None:
    """No revision of a subdir means two things."""
    before = Channel(source, PUBLIC).revision()
    follow(source)
    copy = lose(source)
    rebuild_here(copy)

    assert Channel(copy, PUBLIC).revision() > before


def test_deleted_files_stay_gone(source: Seaway, lose: Reopen) -> None:
    """Their names stay taken, and their blobs are neither listed nor kept."""
    gone = conda(index_json("deleted"))
    follow(source)
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert FileState.DELETED.value == file_states(copy)[gone.name]
    assert copy.blobs.stat(key_of(gone))
    assert gone.sha256 not in {one.sha256.hex() for one in rebuilt.unnamed}
    Channel(copy, PUBLIC).put(gone, force=True)  # the operator may; see `test_removal` for who may not
    assert FileState.LISTED.value == file_states(copy)[gone.name]


def test_it_is_refused_where_channels_are(source: Seaway, lose: Reopen) -> None:
    """Nothing is mixed, neither with channels that are there nor with one that was removed."""
    follow(source)
    with pytest.raises(BadSetting):
        rebuild_here(source)
    copy = lose(source)
    Channel(copy, Factory(copy).channel("newer")).remove()
    with pytest.raises(BadSetting):
        rebuild_here(copy)


def test_a_store_without_manifests_gives_an_empty_house(source: Seaway, lose: Reopen) -> None:
    """All its blobs are listed, with what they are, and kept."""
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert 0 == rebuilt.channels == rebuilt.files
    assert f"noarch/{LARGE.name}" in {one.package for one in rebuilt.unnamed}


# Blobs


def test_a_file_without_its_blob_is_lost_and_its_name_stays_taken(source: Seaway, lose: Reopen) -> None:
    """Missing, cut off, other bytes of the same size: each is reported, and can be uploaded again with the right to."""
    victims = [LARGE, conda(index_json("yanked")), conda(index_json("attested"))]
    follow(source)
    source.blobs.delete(key_of(victims[0]))
    state.overwrite_blob(source.blobs, key_of(victims[1]), b"x")
    state.overwrite_blob(source.blobs, key_of(victims[2]), bytes(len(victims[2].content)))
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    reasons = dict(zip(victims, (MISSING, DAMAGED, DAMAGED), strict=True))
    expected = {LostFile(f"{PUBLIC}/noarch/{file.name}", file.sha256, reason) for file, reason in reasons.items()}
    assert expected | {LostFile(f"{PRIVATE}/noarch/{LARGE.name}", LARGE.sha256, MISSING)} == set(rebuilt.lost)
    assert [] == list(check(copy))
    for file in victims:
        assert FileState.DELETED.value == file_states(copy)[file.name]
    Channel(copy, PUBLIC).put(LARGE, force=True)
    with copy.blobs.open(key_of(LARGE)) as file:
        assert LARGE.content == file.read()


def test_a_logo_without_its_blob_is_lost(source: Seaway, lose: Reopen) -> None:
    """The channel comes back without it."""
    with source.database.read() as tx:
        sha256 = channels.get(tx, PRIVATE).logo_sha256
    assert sha256 is not None
    follow(source)
    source.blobs.delete(keys.blob(sha256))
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert [LostFile(f"{PRIVATE} logo", sha256.hex(), MISSING)] == rebuilt.lost
    assert [] == list(check(copy))


def test_blobs_that_no_manifest_names_are_listed_and_kept(
    source: Seaway, lose: Reopen, clock: ManualClock, tmp_path: Path
) -> None:
    """What came after the last run is named by what it says of itself; no sweep takes it until it is released."""
    follow(source)
    late, old = conda(index_json("late")), tar_bz2(index_json("late", build="0"))
    for file in (late, old):
        Channel(source, PUBLIC).put(file)
    strange = tmp_path / "strange"
    strange.write_bytes(b"PK\x03\x04 and no archive")
    source.blobs.put_file(keys.blob(bytes(32)), strange)
    copy = lose(source)
    rebuilt = rebuild_here(copy)
    found = {one.sha256.hex(): one.package for one in rebuilt.unnamed}

    assert (f"noarch/{late.name}", f"noarch/{old.name}") == (found[late.sha256], found[old.sha256])
    assert "" == found[bytes(32).hex()]
    everything = -(1 << 60)
    sweep(copy.sweeping, grace_ms=everything)
    assert all(copy.blobs.stat(keys.blob(one.sha256)) for one in rebuilt.unnamed)
    assert len(rebuilt.unnamed) == release_kept(copy.database)
    sweep(copy.sweeping, grace_ms=everything)
    assert not any(copy.blobs.stat(keys.blob(one.sha256)) for one in rebuilt.unnamed)
    assert [] == list(check(copy))


# Objects


def test_an_object_that_cannot_be_used_is_named_and_the_rest_goes_on(source: Seaway, lose: Reopen) -> None:
    """Damaged, of a newer Seaway, of another channel, with another's id, under no key of ours."""
    follow(source)
    objects = manifests(source)
    large, yanked, replaced = (manifest_key(source, name) for name in ("large", "yanked", "replaced"))
    inside = manifest_key(source, "inside", PRIVATE)
    doubled = large.rpartition("/")[0] + "/999"
    spoiled = {
        large: objects[large][:-3],
        yanked: bytes(100),
        replaced: objects[inside],  # of another channel
        doubled: objects[manifest_key(source, "attested")],  # two ids for one package
        keys.store_manifests(source.pairing.store_id()) + "/x": b"x",
    }
    for key, object_ in spoiled.items():
        source.blobs.write(key, object_)
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert spoiled.keys() == {one.key for one in rebuilt.unreadable}
    assert [] == list(check(copy))
    assert {f"{PRIVATE}/inside-1.0-h1_0.conda", "attested-1.0-h1_0.conda"} <= file_states(copy).keys()
    assert set() == {LARGE.name, "yanked-1.0-h1_0.conda", "replaced-1.0-h1_0.conda"} & file_states(copy).keys()
    with copy.database.read() as tx:
        assert {PUBLIC, PRIVATE} == {channel.name for channel in channels.visible_to(tx, OPERATOR)}
    Factory(copy).channel("newer", owner="captain")
    follow(copy)
    assert spoiled.keys() <= manifests(copy).keys()  # what a newer Seaway may read is not deleted


def test_a_channel_whose_object_is_gone_comes_back_by_its_files(source: Seaway, lose: Reopen) -> None:
    """Without its settings, but with its name and all that is in it."""
    follow(source)
    expected = content(source)["files"]
    for key in [key for key in manifests(source) if key.endswith("/channel")]:
        source.blobs.delete(key)
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert expected == content(copy)["files"]
    assert 2 == rebuilt.channels
    assert [] == list(check(copy))


def test_what_a_stranger_wrote_does_not_stop_it(source: Seaway, lose: Reopen) -> None:
    """A second channel of one name, and a package that lies in two subdirs of one name."""
    follow(source)
    objects = manifests(source)
    (secret,) = (key for key in objects if key.endswith("/channel") and b"" != objects[key] and "/2/" in key)
    twin = keys.manifest(source.pairing.store_id(), keys.ManifestIds(77))
    source.blobs.write(twin, objects[secret])
    strange = keys.manifest(source.pairing.store_id(), keys.ManifestIds(1, 78, 79))
    source.blobs.write(strange, encode(NameManifest(FORMAT, PUBLIC, "noarch", "strange", "", 1, [])))
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert {twin, strange} == {one.key for one in rebuilt.unreadable}
    assert [] == list(check(copy))


@pytest.mark.parametrize("names", [None, 0, 2], ids=["no run", "a run that died at once", "a run that died later"])
def test_manifests_below_an_earlier_id_are_used(source: Seaway, lose: Reopen, names: int | None) -> None:
    """Invariant 8: until all is below the id that an adoption gave, a rebuild reads what is below the earlier one."""
    follow(source)
    expected = content(source)
    old = source.pairing.store_id()
    source.pairing.adopt()
    if names is not None:
        with pytest.raises(StopError):
            write_changes(source.database, Failing(source.blobs, writes=names), source.pairing.store_id())
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert old == rebuilt.earlier_store_id
    assert expected == content(copy)
    assert [] == rebuilt.unreadable == rebuilt.lost
    follow(copy)
    again = lose(copy)
    assert rebuild_here(again).earlier_store_id is None
    assert expected == content(again)


# What the store cannot read


class Failing:
    """A store that fails to read some keys, and dies after some writes."""

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
                raise StopError
        self._blobs.write(key, content)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), Unavailable("The storage refuses this.")])
def test_what_cannot_be_read_is_named_and_the_rest_goes_on(source: Seaway, lose: Reopen, error: Exception) -> None:
    """Invariant 5: a manifest, the blob of a file and a blob without a manifest, on sectors that are gone."""
    follow(source)
    late, yanked = conda(index_json("late")), conda(index_json("yanked"))
    Channel(source, PUBLIC).put(late)
    manifest = manifest_key(source, "attested")
    copy = lose(source)
    rebuilt = rebuild_on(copy, Failing(copy.blobs, {manifest, key_of(yanked), key_of(late)}, error))

    assert [manifest] == [one.key for one in rebuilt.unreadable]
    assert "cannot be read" in rebuilt.unreadable[0].reason
    assert [LostFile(f"{PUBLIC}/noarch/{yanked.name}", yanked.sha256, DAMAGED)] == rebuilt.lost
    assert "cannot be read" in {one.sha256.hex(): one.problem for one in rebuilt.unnamed}[late.sha256]
    assert FileState.LISTED.value == file_states(copy)[LARGE.name]
    assert [] == list(check(copy))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), Unavailable("The storage is away.")])
def test_a_store_that_reads_nothing_ends_it(source: Seaway, lose: Reopen, error: Exception) -> None:
    """Invariant 5: its files are not lost, so none is made deleted."""
    follow(source)
    everything = {stat.key for stat in source.blobs.list()}
    copy = lose(source)
    identity = identity_storage.of_store(copy.blobs)
    assert identity is not None
    asked: list[str] = []

    class Dying(Failing):
        def open(self, key: str, start: int = 0) -> BinaryIO:
            asked.append(key)
            return super().open(key, start) if len(asked) > 3 else self._blobs.open(key, start)

    with pytest.raises(type(error)):
        rebuild_on(copy, Dying(copy.blobs, everything, error))
    assert {} == file_states(copy)


def test_a_folder_that_cannot_be_listed_ends_it(source: Seaway, lose: Reopen) -> None:
    """Invariant 5: a sweep would delete the blobs that were not listed; the folder is named."""
    follow(source)
    copy = lose(source)
    root = copy.blobs.local_path("")
    if root is None:
        pytest.skip("a bucket has no folders")
    folders.make_too_deep(root / keys.BLOBS)
    with pytest.raises(Unavailable, match=keys.BLOBS):
        rebuild_here(copy)
    assert {} == file_states(copy)


# Up to the last moment


def test_changes_after_the_last_run_are_all_that_is_missing(source: Seaway, lose: Reopen, clock: ManualClock) -> None:
    """Overwritten, yanked, deleted and removed after it: each file is as it was then, or its bytes are reported."""
    follow(source)
    expected = content(source)
    tools = Channel(source, PUBLIC)
    tools.put(conda(index_json("late")))
    tools.yank(LARGE)
    tools.delete(conda(index_json("replaced")))
    Channel(source, PRIVATE).remove()
    clock.move(2 * DAY_MS)
    copy = lose(source)
    rebuilt = rebuild_here(copy)

    assert expected == content(copy)
    packages_ = [one.package for one in rebuilt.unnamed if one.package]
    assert ["noarch/late-1.0-h1_0.conda", "noarch/replaced-1.0-h1_0.conda"] == sorted(packages_)  # its first bytes


def test_an_interrupted_run_is_no_harm(source: Seaway, lose: Reopen) -> None:
    """Each object is whole: some names are of this moment, others of the last."""
    follow(source)
    before = file_states(source)
    tools = Channel(source, PUBLIC)
    for name in ("large", "attested", "replaced"):
        tools.yank(LARGE if name == "large" else conda(index_json(name), files=REPLACED.get(name)))
    after = file_states(source)
    old = manifests(source)
    follow(source)
    key = manifest_key(source, "attested")
    source.blobs.write(key, old[key])  # as if the run had died before it
    copy = lose(source)
    rebuild_here(copy)

    assert {**after, "attested-1.0-h1_0.conda": before["attested-1.0-h1_0.conda"]} == file_states(copy)
    assert [] == list(check(copy))


REPLACED = {"replaced": {"share/x": b"other"}}


def test_admins_of_any_name(source: Seaway, lose: Reopen) -> None:
    """The word that nobody can take is free for the operator here; an impossible name is refused before anything is made."""
    copy = lose(source)
    with pytest.raises(NameTaken):
        rebuild_here(copy, admin="No Name")
    with copy.database.read() as tx:
        assert [] == tx.execute(select(kept_blobs)).all()
    assert "operator" == rebuild_here(copy, admin="operator").admin
