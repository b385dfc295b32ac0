"""Importing a folder of package files has the same result as uploading them one after another."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from seaway.callers.caller import OPERATOR, Caller
from seaway.channels import channels, quotas
from seaway.channels.channel import ChannelSettings
from seaway.conda import filename
from seaway.conda.refusals import RefusalReason, Refused
from seaway.database.tables import audit, files, fragments, subdirs
from seaway.errors import BadCredential, FileExists, Malformed, NotFound, SeawayError, TooLarge
from seaway.maintenance.check import check
from seaway.publishing.batches import Batches
from seaway.publishing.examine import Candidate
from seaway.publishing.examiners import LocalFile
from seaway.publishing.import_files import import_files
from seaway.publishing.publish import Published
from seaway.publishing.record import Submission
from seaway.site import Site
from seaway.storage import keys
from tests.indexing.channel import Channel, RacingStore, recorded_statements, with_in_process_examiners
from tests.support import packages, sites, state
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, index_json
from tests.support.sites import Factory

FILES = [
    packages.conda(index_json(f"name-{number % 30}", version=f"{number}.0", subdir=subdir, noarch=noarch))
    for number in range(75)
    for subdir, noarch in (("noarch", "generic"), ("linux-64", ...))
]


@pytest.fixture
def channel(on_both: str, tmp_path: Path) -> Iterator[Channel]:
    with closing(sites.build(tmp_path, ManualClock())) as built:
        yield Channel(with_in_process_examiners(built), Factory(built).channel("demo"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def write(folder: Path, package_files: list[PackageFile]) -> list[Path]:
    """Write each file into its own folder, because two files can have the same name; return the paths."""
    paths = []
    for number, file in enumerate(package_files):
        subfolder = folder / str(number)
        subfolder.mkdir()
        paths.append(file.write_to(subfolder))
    return paths


@pytest.mark.parametrize("subdir", ["noarch", "linux-64"])
def test_second_name_that_differs_only_in_case_is_refused(subdir: str, channel: Channel, folder: Path) -> None:
    """
    Of two files recorded together the second is refused; after the first is deleted, the name is free.

    Other subdirs count too: package caches keep the files of all subdirs of a channel in one folder.
    """
    first = packages.conda(index_json(build="PY_0"))
    second = packages.conda(index_json(build="py_0", subdir=subdir, noarch="generic" if subdir == "noarch" else ...))
    published, refused = channel.bring(write(folder, [first, second]))
    assert isinstance(published, Published)
    assert isinstance(refused, Refused)
    assert RefusalReason.CASE_COLLISION is refused.reason
    channel.delete(first)
    (published,) = channel.bring([*folder.glob(f"*/{second.name}")])
    assert isinstance(published, Published)
    (refused,) = channel.bring([*folder.glob(f"*/{first.name}")])
    assert isinstance(refused, Refused)
    assert RefusalReason.CASE_COLLISION is refused.reason


def test_deleted_name_is_reserved_in_any_case_without_overwrites(channel: Channel, folder: Path) -> None:
    """The channel never gives the name to another file, so the refusal says that the file was deleted."""
    first, second = packages.conda(index_json(build="PY_0")), packages.conda(index_json(build="py_0"))
    channel.put(first)
    channel.delete(first)
    with channel.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, ChannelSettings(allows_overwrite=False))
    (refused,) = channel.bring(write(folder, [second]))
    assert isinstance(refused, Refused)
    assert f"noarch/{first.name}, which was deleted" in refused.message


def test_import_has_the_same_result_as_uploads(channel: Channel, folder: Path) -> None:
    """With more files than one transaction takes, of two subdirs: the same rows, index and number of revisions."""
    other = Channel(channel.seaway, Factory(channel.seaway).channel("other"))
    results = channel.bring(write(folder, FILES))
    assert [file.name for file in FILES] == [result.file_name for result in results if isinstance(result, Published)]
    for file in FILES:
        other.put(file)
    for subdir in ("noarch", "linux-64"):
        assert other.repodata(subdir) == channel.repodata(subdir)
        assert other.shard_index(subdir)["shards"] == channel.shard_index(subdir)["shards"]
        assert 75 == channel.revision(subdir) == other.revision(subdir)
    assert 2 * len(FILES) == channel.column(audit.c.action).count("file.uploaded")
    assert [] == list(check(channel.seaway))


def test_each_file_has_its_own_outcome(channel: Channel, folder: Path) -> None:
    """Errors are reported for their file, in the given order, and leave nothing behind."""
    existing = packages.conda(index_json("there"))
    channel.put(existing)
    good, twice = packages.conda(index_json("good")), packages.conda(index_json("twice"))
    other_bytes = packages.conda(index_json("twice"), files={"share/demo.txt": b"others"})
    cases = {
        "good": (good, None),
        "no package": (PackageFile("broken-1.0-0.conda", b"no zip"), Refused),
        "no package name": (PackageFile("Not A Package.conda", b""), Refused),
        "exists with the same bytes": (existing, FileExists),
        "the first of two": (twice, None),
        "the second of two": (other_bytes, FileExists),
        "a path outside the prefix": (packages.conda(index_json("evil", python_site_packages_path="../sp")), Refused),
        "a dependency that is a URL": (
            packages.conda(index_json("bad", depends=["https://host/x-1-0.conda"])),
            Refused,
        ),
        "another name": (PackageFile("renamed-1.0-0.conda", good.content), Refused),
    }
    paths = write(folder, [file for file, _ in cases.values()])
    results = [*channel.bring([*paths, folder / "gone-1.0-0.conda"])]
    kinds = [None if isinstance(result, Published) else type(result) for result in results]
    assert [*(kind for _, kind in cases.values()), Malformed] == kinds
    assert {existing.name, good.name, twice.name} == set(channel.column(files.c.file_name))
    assert [] == list(check(channel.seaway))
    assert [] == list(channel.seaway.settings.spool_folder.iterdir())
    assert 3 == len(state.stored_blobs(channel.seaway.site.blobs))


def test_similar_names_in_one_folder_give_a_warning(channel: Channel, folder: Path) -> None:
    """Record invariant 2: the second of two similar names gets a warning, though both are imported together."""
    paths = write(folder, [packages.conda(index_json(name)) for name in ("my-pkg", "my_pkg")])
    first, second = channel.bring(paths)
    assert isinstance(first, Published)
    assert isinstance(second, Published)
    assert ((), True) == (first.warnings, "looks like my-pkg" in second.warnings[0])


def test_files_are_replaced_only_with_force(channel: Channel, folder: Path) -> None:
    old, new = (packages.conda(index_json("a", license=text)) for text in ("MIT", "BSD"))
    channel.put(old)
    paths = write(folder, [new])
    assert isinstance(channel.bring(paths)[0], FileExists)
    replaced = channel.bring(paths, force=True)[0]
    assert isinstance(replaced, Published)
    assert replaced.replaced
    assert "BSD" == channel.repodata()["packages.conda"][new.name]["license"]
    assert [] == list(check(channel.seaway))


@pytest.mark.parametrize("of_owner", [False, True], ids=["of the channel", "of its owner"])
def test_files_of_one_transaction_share_the_quota(channel: Channel, folder: Path, of_owner: bool) -> None:
    """Each accepted file reduces the free space for the next; a refused file does not."""
    large = packages.conda(index_json("b"), files={"share/demo.txt": bytes(range(256)) * 40})
    first, last = (packages.conda(index_json(name)) for name in "ac")
    quota = len(first.content) + len(last.content)
    with channel.seaway.site.database.write_site() as tx:
        if of_owner:
            quotas.set_of_user(tx, 0, OPERATOR, "owner", quota)
        else:
            quotas.set_of_channel(tx, 0, OPERATOR, channel.name, quota)
    results = channel.bring(write(folder, [first, large, last, packages.conda(index_json("d"))]))
    assert [Published, TooLarge, Published, TooLarge] == list(map(type, results))
    assert quota == sum(channel.column(subdirs.c.size))


def test_pieces_of_a_refused_file_keep_counting_in_the_quota(channel: Channel) -> None:
    """The pieces are stored until they expire, so the next file of the transaction does not fit."""
    existing, other = (packages.conda(index_json(name)) for name in "ab")
    channel.put(existing)
    pieces = 2 * len(other.content)
    with channel.seaway.site.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, OPERATOR, channel.name, len(existing.content))
    submissions = [examined(channel, existing, in_pieces=pieces), examined(channel, other)]
    results = channel.seaway.request_parts.publishing.batches.record_many(channel.name, submissions)
    assert [FileExists, TooLarge] == list(map(type, results))


def examined(channel: Channel, file: PackageFile, *, in_pieces: int = 0) -> tuple[bytes, Submission]:
    """Put an examined file into the store; return its hash and the submission to record."""
    parts = channel.seaway.request_parts.publishing
    with parts.site.spool.folder() as folder:
        local = LocalFile(file.write_to(Path(folder)), f"{folder}/copy", filename.parse(file.name), len(file.content))
        (candidate,) = parts.examiners.copy_and_examine([local])
        assert isinstance(candidate, Candidate)
        parts.site.blobs.put_file(keys.blob(candidate.hashes.sha256), Path(local.path))
    return candidate.hashes.sha256, Submission(candidate, OPERATOR, force=False, in_pieces=in_pieces)


def test_import_without_permission_reads_no_file(channel: Channel, folder: Path) -> None:
    """Permission is checked before a file is read, and an unknown channel is reported as such."""
    paths = write(folder, FILES[:2])
    publishing = channel.seaway.request_parts.publishing
    anonymous = Caller(name="anonymous")
    for name, by, refusal in (("demo", anonymous, BadCredential), ("unknown", OPERATOR, NotFound)):
        results = [result for _, result in import_files(publishing, name, paths, by=by, force=False)]
        assert [refusal, refusal] == list(map(type, results))
    assert [] == channel.rows(files)
    assert [] == state.stored_blobs(channel.seaway.site.blobs)


def test_upload_limit_applies_to_imports(channel: Channel, folder: Path) -> None:
    """To the byte."""
    paths, size = write(folder, FILES[:1]), len(FILES[0].content)
    for limit, kind in ((size - 1, TooLarge), (size, Published)):
        publishing = replace(channel.seaway.request_parts.publishing, upload_limit=limit)
        (_, result), *_ = import_files(publishing, "demo", paths, by=OPERATOR, force=False)
        assert isinstance(result, kind)


def test_blob_swept_before_the_commit_is_stored_again(channel: Channel, folder: Path) -> None:
    """S1: the sweep deletes a blob between the put and the commit; its file is imported anyway."""
    original, store = channel.seaway.request_parts.publishing, channel.seaway.site.blobs
    sweeping_store = RacingStore(
        store, after_put=lambda: [store.delete(stat.key) for stat in state.stored_blobs(store)]
    )
    site: Site = replace(original.site, blobs=sweeping_store)  # type: ignore[arg-type]
    publishing = replace(original, site=site, batches=Batches(replace(original.batches._parts, site=site)))
    results = [
        result for _, result in import_files(publishing, "demo", write(folder, FILES[:3]), by=OPERATOR, force=False)
    ]
    assert not [result for result in results if isinstance(result, SeawayError)]
    assert [] == list(check(channel.seaway))


def test_canceled_import_leaves_no_spool_file(channel: Channel, folder: Path) -> None:
    """After the first outcome the spool is empty, and the store is consistent."""
    outcomes = import_files(
        channel.seaway.request_parts.publishing, "demo", write(folder, FILES), by=OPERATOR, force=False
    )
    next(outcomes)
    outcomes.close()
    assert [] == list(channel.seaway.settings.spool_folder.iterdir())
    assert [] == list(check(channel.seaway))


def test_statements_do_not_grow_with_the_files_of_a_transaction(channel: Channel, folder: Path) -> None:
    """Record invariant 3: sixteen files take as many statements as four."""
    statement_counts = []
    for lot in (FILES[:4], FILES[4:20]):  # one transaction each
        subfolder = folder / lot[0].name
        subfolder.mkdir()
        with recorded_statements(channel.seaway) as statements:
            channel.bring(write(subfolder, lot))
        statement_counts.append(len(statements.texts))
    assert statement_counts[1] <= statement_counts[0] + 4
    assert 20 == len(channel.rows(files))
    assert {"noarch", "linux-64"} == set(channel.column(subdirs.c.name))
    assert channel.rows(fragments)
