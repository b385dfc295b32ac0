"""
The served index, compared field by field with the results of other tools for the same package files.

py-rattler indexes a channel of the same files, and conda-package-streaming reads each of them. Fields in which Seaway
differs are listed here with the reason.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from conda_package_streaming.package_streaming import stream_conda_info

from seaway.conda.refusals import Refused
from tests.conftest import Site
from tests.indexing.channel import with_in_process_examiners
from tests.support import packages
from tests.support.hostile import examine_file
from tests.support.packages import PackageFile, index_json, real_packages, zstd
from tests.support.sites import publish_file

# Fields of a record that are not compared, with the reason.
OTHER_FIELDS = {
    "indexed_timestamp": "the time when each indexer saw the file first (CEP 47)",
    "run_exports": "rattler leaves it out if a package has none, and for every .tar.bz2; Seaway always has it",
}
# Keys of a whole document that are not compared, with the reason.
OTHER_KEYS = {
    "removed": "rattler leaves an empty list out, conda-index and Seaway do not",
    "v3": "rattler writes an empty map, Seaway leaves it out; records in it are compared",
}

# rattler leaves packages with only these specs in the legacy maps; by its own rule, and in Seaway, they are v3.
V3_SPECS = ["pip", "numpy >=2", "python 3.11.* *_cpython", 'a >=1[when="b"]', "c[extras=[d]]", "e[flags=[cuda]]"]
MADE = [
    packages.conda(index_json("made-v3", depends=V3_SPECS, extra_depends={"test": ["pytest >=8"]})),
    packages.tar_bz2(index_json("made-v3", depends=V3_SPECS)),
    packages.conda(index_json("made-said", repodata_revision=3, depends=["numpy >=2"], constrains=["numpy <3"])),
    packages.conda(index_json("made-mixed", version="1.0", depends=['a[when="b"]'])),
    packages.conda(index_json("made-mixed", version="2.0", depends=["a"])),
    packages.conda(
        index_json(
            "made-full", track_features=["a", "b"], purls=["pkg:pypi/demo@1.0"], constrains=["a <2"], arch="x86"
        ),
        run_exports={"weak": ["made-full >=1"], "strong": [], "noarch": ["b"]},
    ),
    packages.tar_bz2(index_json("made-full"), run_exports={"weak": ["made-full >=1"]}),
    packages.tar_bz2(index_json("made-list"), run_exports=["made-list"]),
]


@dataclass(frozen=True)
class Accepted:
    """A package file, its subdir and its folder."""

    file: PackageFile
    subdir: str
    folder: Path


@dataclass(frozen=True)
class Served:
    """The same files in channels of the site and in folders that rattler indexed."""

    client: httpx.Client
    channels: dict[Path, str]
    files: list[Accepted]

    def read(self, folder: Path, *path: str) -> bytes:
        return self.client.get(f"/{self.channels[folder]}/{'/'.join(path)}").raise_for_status().content

    def subdirs(self) -> Iterator[tuple[Path, str]]:
        """Yield every folder and subdir that rattler indexed."""
        yield from sorted({(file.folder, file.subdir) for file in self.files})


def accepted(scratch: Path, root: Path) -> list[Accepted]:
    """Return the files that Seaway accepts; a repeated name in a subdir goes to another channel."""
    files: list[Accepted] = []
    taken: set[tuple[Path, str, str]] = set()
    for file in [package.file for package in real_packages() if package.is_good] + MADE:
        try:
            subdir = examine_file(file, scratch).subdir
        except Refused:
            continue
        number = 0
        while (root / str(number), subdir, file.name) in taken:
            number += 1
        taken.add((root / str(number), subdir, file.name))
        files.append(Accepted(file, subdir, root / str(number)))
    return files


def index_by_rattler(files: list[Accepted]) -> None:
    """Let py-rattler index the folders in a process whose exit code is ignored: its exit can abort."""
    for accepted_file in files:
        (accepted_file.folder / accepted_file.subdir).mkdir(parents=True, exist_ok=True)
        (accepted_file.folder / "noarch").mkdir(exist_ok=True)
        accepted_file.file.write_to(accepted_file.folder / accepted_file.subdir)
    script = """
import asyncio, sys
from rattler.index import index_fs

async def index():
    for folder in sys.argv[1:]:
        await index_fs(folder, write_zst=True, write_shards=True, force=True)

asyncio.run(index())
"""
    folders = sorted({str(accepted_file.folder) for accepted_file in files})
    subprocess.run([sys.executable, "-c", script, *folders], check=False, capture_output=True, timeout=120)


async def publish_all(site: Site, channels: dict[Path, str], files: list[Accepted]) -> None:
    seaway = with_in_process_examiners(site.factory.seaway)
    for accepted_file in files:
        await publish_file(seaway, channels[accepted_file.folder], accepted_file.file)


@pytest.fixture(scope="module")
def served(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    files = accepted(tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("indexed"))
    index_by_rattler(files)
    channels = {folder: site.new_channel() for folder in sorted({accepted_file.folder for accepted_file in files})}
    anyio.run(partial(publish_all, site, channels, files))
    with site.client() as client:
        yield Served(client, channels, files)


def maps_of(document: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every record of a repodata document or shard, by its map and key."""
    records_by_place = {
        (name, key): record for name in ("packages", "packages.conda") for key, record in document[name].items()
    }
    for extension, records in document.get("v3", {}).items():
        records_by_place |= {(f"v3 {extension}", key): record for key, record in records.items()}
    return records_by_place


def compared(document: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the records without the fields in `OTHER_FIELDS`."""
    return {
        place: {key: value for key, value in record.items() if key not in OTHER_FIELDS}
        for place, record in maps_of(document).items()
    }


def rest(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without its records."""
    return {key: value for key, value in document.items() if key not in {"packages", "packages.conda", *OTHER_KEYS}}


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the times in `repodata_revisions`, which depend on `indexed_timestamp`."""
    revisions = document["info"].get("repodata_revisions", {})
    counts = {key: value["n_packages"] for key, value in revisions.items()}
    return {**document, "info": {**document["info"], "repodata_revisions": counts}}


def test_all_good_packages_are_compared(served: Served) -> None:
    """More than two hundred files are in the first channel; the few that repeat a name are in a second one."""
    assert 2 == len(served.channels)
    assert len(served.files) >= 227 + len(MADE)
    for folder, subdir in served.subdirs():
        assert (folder / subdir / "repodata.json").exists(), "rattler did not index the folder"


def test_repodata_json_equals_that_of_rattler(served: Served) -> None:
    """Every record is in the same map under the same key, with the same value in every field."""
    for folder, subdir in served.subdirs():
        theirs = json.loads((folder / subdir / "repodata.json").read_bytes())
        ours = json.loads(served.read(folder, subdir, "repodata.json"))
        assert compared(theirs) == compared(ours)
        assert rest(without_times(theirs)) == rest(without_times(ours))


def test_repodata_json_zst_equals_that_of_rattler(served: Served) -> None:
    """It decompresses to the same records, and to Seaway's repodata.json."""
    for folder, subdir in served.subdirs():
        theirs = zstd.decompress((folder / subdir / "repodata.json.zst").read_bytes())
        ours = zstd.decompress(served.read(folder, subdir, "repodata.json.zst"))
        assert ours == served.read(folder, subdir, "repodata.json")
        assert compared(json.loads(theirs)) == compared(json.loads(ours))


def unpacked(content: bytes) -> Any:
    return msgspec.msgpack.decode(zstd.decompress(content))


def test_shard_index_equals_that_of_rattler(served: Served) -> None:
    """It has the same names and metadata, except for `version`, which rattler does not write, and the time."""
    for folder, subdir in served.subdirs():
        theirs = unpacked((folder / subdir / "repodata_shards.msgpack.zst").read_bytes())
        ours = unpacked(served.read(folder, subdir, "repodata_shards.msgpack.zst"))
        assert set(theirs["shards"]) == set(ours["shards"])
        assert 1 == ours.pop("version")
        for index in (theirs, ours):
            assert "T" in index["info"].pop("created_at")
            index.pop("shards")
        assert without_times(theirs) == without_times(ours)


def test_shards_equal_those_of_rattler(served: Served) -> None:
    """Every record of every shard is the same; hashes are bytes."""
    for folder, subdir in served.subdirs():
        theirs = unpacked((folder / subdir / "repodata_shards.msgpack.zst").read_bytes())["shards"]
        ours = unpacked(served.read(folder, subdir, "repodata_shards.msgpack.zst"))["shards"]
        for name in theirs:
            their_shard = unpacked((folder / subdir / "shards" / f"{theirs[name].hex()}.msgpack.zst").read_bytes())
            our_shard = unpacked(served.read(folder, subdir, "shards", f"{ours[name].hex()}.msgpack.zst"))
            assert compared(their_shard) == compared(our_shard)
            assert their_shard["removed"] == our_shard["removed"]


def test_run_exports_equal_those_of_rattler(served: Served) -> None:
    """Records of Seaway always have the field; where rattler writes it, the values are the same."""
    compared_count = 0
    for folder, subdir in served.subdirs():
        theirs = maps_of(json.loads((folder / subdir / "repodata.json").read_bytes()))
        for place, record in maps_of(json.loads(served.read(folder, subdir, "repodata.json"))).items():
            if "run_exports" in theirs[place]:
                compared_count += 1
                assert theirs[place]["run_exports"] == record["run_exports"]
            assert isinstance(record["run_exports"], dict)
            assert isinstance(record["indexed_timestamp"], int)
    assert compared_count >= 14


def exports_in(file: Path) -> dict[str, list[str]]:
    """Return info/run_exports.json, read by conda-package-streaming, in the form of CEP 12."""
    with file.open("rb") as opened:
        for tar, member in stream_conda_info(str(file), opened):
            if member.name == "info/run_exports.json":
                content = tar.extractfile(member)
                assert content is not None
                run_exports = json.load(content)
                kinds = {"weak": run_exports} if isinstance(run_exports, list) else run_exports
                return {kind: specs for kind, specs in kinds.items() if specs and kind != "schema_version"}
    return {}


def test_run_exports_json_equals_the_packages(served: Served) -> None:
    """run_exports.json has every file, with the run exports that conda-package-streaming reads from it."""
    for folder, subdir in served.subdirs():
        document = json.loads(served.read(folder, subdir, "run_exports.json"))
        expected = {}
        for accepted_file in served.files:
            if (accepted_file.folder, accepted_file.subdir) == (folder, subdir):
                name = accepted_file.file.name
                expected[place_of(name, maps_of(document))] = {"run_exports": exports_in(folder / subdir / name)}
        assert expected == maps_of(document)
        assert document == json.loads(zstd.decompress(served.read(folder, subdir, "run_exports.json.zst")))


def place_of(file_name: str, maps: dict[tuple[str, str], Any]) -> tuple[str, str]:
    """Return the map and key of a file: in v3 if its stem is there, otherwise in the map of its extension."""
    extension = "conda" if file_name.endswith(".conda") else "tar.bz2"
    in_v3 = (f"v3 {extension}", file_name.removesuffix(f".{extension}"))
    return in_v3 if in_v3 in maps else ({"conda": "packages.conda", "tar.bz2": "packages"}[extension], file_name)


def test_every_file_is_served_unchanged(served: Served) -> None:
    """Downloads have the bytes that were uploaded."""
    for accepted_file in served.files:
        content = served.read(accepted_file.folder, accepted_file.subdir, accepted_file.file.name)
        assert accepted_file.file.content == content
