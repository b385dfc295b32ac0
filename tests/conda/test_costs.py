"""Costs of reading an archive: memory does not grow with its size, and processes end at their time limit."""

import bz2
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from seaway.conda import filename
from seaway.conda.limits import GIB, MIB, ArchiveLimits
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import Unavailable
from seaway.publishing.examine import Candidate
from seaway.publishing.examiners import Examiners, LocalFile
from tests.support import packages
from tests.support.hostile import (
    CONDA,
    END_OF_TAR,
    STEM,
    TAR_BZ2,
    digest_of,
    examine_file,
    header,
    member,
    members_of,
    pax,
    zstd_frame,
)
from tests.support.packages import PackageFile, Tar, conda_bytes, index_json, info_files, zstd

INFO = Tar(info_files(index_json())).build()
PKG = Tar({"share/demo.txt": b"demo"}).build()


def zeros(path: str, size: int, *before: bytes) -> bytes:
    """A tar with one member of zeros, compressed to four bytes of zstd per 128 KiB."""
    return zstd_frame((b"".join(before) + header(path, size=size), 1), (b"\0", size), (END_OF_TAR, 1))


def bomb_in_info() -> PackageFile:
    return PackageFile(CONDA, conda_bytes(STEM, info_zst=zeros("info/zeros", GIB), pkg_tar=PKG))


def bomb_behind_info() -> PackageFile:
    info = zstd_frame((INFO, 1), (b"\0", GIB))
    return PackageFile(CONDA, conda_bytes(STEM, info_zst=info, pkg_tar=PKG))


def bomb_in_pkg() -> PackageFile:
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_zst=zeros("zeros", GIB)))


def bomb_in_bzip2() -> PackageFile:
    tar = members_of(info_files(index_json())) + header("zeros", size=66 * MIB) + bytes(66 * MIB) + END_OF_TAR
    return PackageFile(TAR_BZ2, bz2.compress(tar))


def large_metadata() -> PackageFile:
    metadata = b'{"conda_pkg_format_version": 2' + b" " * 40 * MIB + b"}"
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_tar=PKG, metadata=metadata))


def claimed_extension() -> PackageFile:
    """An extension header that claims a size of one gigabyte."""
    tar = header("PaxHeaders/0", kind=b"x", size=GIB)
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_zst=zstd_frame((tar, 1), (b"\0", GIB))))


def many_extensions() -> PackageFile:
    """A thousand extension headers for a single member, each of the maximum size."""
    tar = pax({"comment": "x" * 60_000}) * 1000 + member("a") + END_OF_TAR
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_tar=tar))


def valid_and_large() -> PackageFile:
    """A valid package with 60 MiB of files."""
    tar = member("zeros", bytes(60 * MIB)) + END_OF_TAR
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_zst=zstd.compress(tar)))


MEMORY_CASES: dict[str, Callable[[], PackageFile]] = {
    "bomb in info": bomb_in_info,
    "bomb behind info": bomb_behind_info,
    "bomb in pkg": bomb_in_pkg,
    "bomb in bzip2": bomb_in_bzip2,
    "metadata.json of 40 MiB": large_metadata,
    "extension header of a gigabyte": claimed_extension,
    "a thousand extension headers": many_extensions,
    "valid and large": valid_and_large,
}


@pytest.mark.parametrize("case", MEMORY_CASES)
def test_memory_does_not_grow_with_the_archive(case: str, tmp_path: Path) -> None:
    """The reader holds only a few pieces of the unpacked archive at a time."""
    file = MEMORY_CASES[case]()
    tracemalloc.start()
    try:
        outcome_of(file, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()


def outcome_of(file: PackageFile, folder: Path) -> RefusalReason | None:
    try:
        examine_file(file, folder)
    except Refused as refused:
        return refused.reason
    return None


def test_process_memory_stays_small_after_bombs(tmp_path: Path) -> None:
    """Reading three bombs adds less than 40 MiB to the process, including memory allocated by libraries."""
    paths = [written(build, tmp_path) for build in (bomb_behind_info, bomb_in_pkg, bomb_in_bzip2)]
    script = """
import json, resource, sys
from pathlib import Path
from seaway.conda.archive import read_archive
from seaway.conda.filename import parse
from seaway.conda.limits import ArchiveLimits
from seaway.conda.refusals import Refused
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reasons = []
for path in map(Path, sys.argv[1:]):
    try:
        read_archive(path, parse(path.name), ArchiveLimits())
    except Refused as refused:
        reasons.append(refused.code)
print(json.dumps([reasons, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, check=True, text=True)
    reasons, kilobytes = json.loads(done.stdout)
    assert [RefusalReason.UNPACKS_TOO_LARGE.value] * 3 == reasons
    assert kilobytes < 40 * 1024


def written(build: Callable[[], PackageFile], folder: Path) -> str:
    subfolder = folder / build.__name__
    subfolder.mkdir()
    return str(build().write_to(subfolder))


@contextmanager
def pool(limits: ArchiveLimits | None = None, processes: int = 1) -> Iterator[Examiners]:
    with closing(Examiners(limits or ArchiveLimits(), processes=processes, refuse_escaping_links=False)) as examiners:
        yield examiners


def examine_in_pool(examiners: Examiners, file: PackageFile, folder: Path) -> Candidate | RefusalReason:
    """Examine a file in a pool; return the candidate or the reason of the refusal."""
    try:
        with examiners.slots.acquire_in_thread("sender"):
            return examiners.examine(file.write_to(folder), filename.parse(file.name), digest_of(file.content))
    except Refused as refused:
        return refused.reason


GOOD = packages.conda(index_json(version="2.0"))


def test_results_of_a_process_arrive_unchanged(tmp_path: Path) -> None:
    """Candidates and refusals survive the transfer between processes, with more files than processes."""
    good = [packages.conda(index_json(version=f"1.{number}")) for number in range(6)]
    bad = packages.conda(index_json(), file_name=f"other-{STEM}.conda")
    with pool(processes=2) as examiners, ThreadPoolExecutor(7) as threads:
        examiners.warm_up()
        files = [*good, bad]
        outcomes = list(threads.map(lambda file: examine_in_pool(examiners, file, tmp_path), files))
    assert [*(examine_file(file, tmp_path) for file in good), RefusalReason.NAME_MISMATCH] == outcomes


TOO_SLOW = ArchiveLimits(
    seconds_least=0.3, seconds_per_mib=0, max_unpacked_bytes=1 << 50, unpacked_bytes_per_byte=1 << 30
)


def slow() -> PackageFile:
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_zst=zstd_frame((PKG, 1), (b"\0", 16 * GIB))))


def test_an_archive_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """A process at its time limit is killed, the file is refused, and the next file is examined normally."""
    with pool(TOO_SLOW) as examiners:
        assert RefusalReason.TOOK_TOO_LONG == examine_in_pool(examiners, slow(), tmp_path)
        assert examine_file(GOOD, tmp_path) == examine_in_pool(examiners, GOOD, tmp_path)


SMALL_MEMORY = ArchiveLimits(memory_bytes=224 * MIB, members=2_000_000)


def large() -> PackageFile:
    entries = b",".join([b'{"_path":"x","path_type":"hardlink"}'] * 1_200_000)
    info = {**info_files(index_json()), "info/paths.json": b'{"paths":[%b],"paths_version":1}' % entries}
    return packages.conda(info=info, file_name=CONDA)


@pytest.mark.parametrize("make", [packages.conda, packages.tar_bz2])
def test_a_list_of_too_many_paths_is_refused(tmp_path: Path, make: Callable[..., PackageFile]) -> None:
    """An archive of 7 kB listed five million paths, and each was checked."""
    entries = b",".join([b'{"_path":"x"}'] * 400_000)
    lists = {"info/paths.json": b'{"paths":[%b],"paths_version":1}' % entries, "info/files": b"x\n" * 400_000}
    for name, content in lists.items():
        if name == "info/files" and make is packages.conda:
            continue
        file = make(info={**info_files(index_json(), paths=...), name: content})
        with pytest.raises(Refused, match=f"{name} of the package lists 400,000 files; at most 200,000") as refused:
            examine_file(file, tmp_path)
        assert RefusalReason.TOO_MANY_MEMBERS is refused.value.reason


def test_an_archive_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    """A process at its memory limit refuses the file, and the next file is examined normally."""
    with pool(SMALL_MEMORY) as examiners:
        assert RefusalReason.TOOK_TOO_MUCH_MEMORY == examine_in_pool(examiners, large(), tmp_path)
        assert examine_file(GOOD, tmp_path) == examine_in_pool(examiners, GOOD, tmp_path)


def test_a_disk_error_is_not_a_refusal(tmp_path: Path) -> None:
    """An unreadable spool file is a server error and is raised, not reported as a fault of the package."""
    with pool() as examiners, pytest.raises(FileNotFoundError):
        examiners.examine(tmp_path / "gone", filename.parse(CONDA), digest_of(b""))


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    """Examiners invariant 3: the file of a killed process is examined a second time."""
    with pool() as examiners:
        examiners.warm_up()
        examiners._idle[0]._process.kill()
        assert examine_file(GOOD, tmp_path) == examine_in_pool(examiners, GOOD, tmp_path)


def test_a_process_that_cannot_start_is_a_server_error(tmp_path: Path) -> None:
    """If no process starts, the package is not refused, and the next request tries again."""
    path, hashes = GOOD.write_to(tmp_path), digest_of(GOOD.content)
    broken = Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=False, interpreter="/bin/false")
    for _ in range(2):
        with pytest.raises(Unavailable):
            broken.examine(path, filename.parse(GOOD.name), hashes)


def test_a_number_too_large_for_msgpack_is_refused(tmp_path: Path) -> None:
    """JSON allows integers of any size; one of forty digits is refused and does not end the process."""
    package = packages.conda({**index_json(), "size_of_the_sea": 10**40})
    with pool() as examiners:
        assert isinstance(examine_in_pool(examiners, package, tmp_path), RefusalReason)
        assert examine_file(GOOD, tmp_path) == examine_in_pool(examiners, GOOD, tmp_path)


@pytest.mark.parametrize(
    ("limits", "culprit", "reason"),
    [(TOO_SLOW, slow, RefusalReason.TOOK_TOO_LONG), (SMALL_MEMORY, large, RefusalReason.TOOK_TOO_MUCH_MEMORY)],
    ids=["slow", "large"],
)
def test_a_costly_file_in_a_batch_is_refused_alone(
    tmp_path: Path, limits: ArchiveLimits, culprit: Callable[[], PackageFile], reason: RefusalReason
) -> None:
    """A file above the limits, an invalid package and a missing file do not affect the other files of a batch."""
    folder, spool = tmp_path / "folder", tmp_path / "spool"
    folder.mkdir()
    spool.mkdir()
    good = [packages.conda(index_json(version=f"3.{number}")) for number in range(4)]
    broken = PackageFile("broken-1.0-0.conda", b"no zip")
    files = [good[0], broken, good[1], culprit(), *good[2:]]
    local = [
        LocalFile(file.write_to(folder), str(spool / file.name), filename.parse(file.name), len(file.content))
        for file in files
    ]
    gone = LocalFile(folder / "gone-1-0.conda", str(spool / "gone-1-0.conda"), filename.parse("gone-1-0.conda"), 0)
    with pool(limits) as examiners:
        outcomes = examiners.copy_and_examine([*local, gone])
    results = [outcome.reason if isinstance(outcome, Refused) else outcome for outcome in outcomes]
    assert [examine_file(file, tmp_path) for file in good] == [results[0], results[2], *results[4:6]]
    assert (True, reason) == (isinstance(outcomes[1], Refused), results[3])
    assert isinstance(outcomes[6], FileNotFoundError)
    assert [(spool / file.name).read_bytes() for file in good] == [file.content for file in good]
