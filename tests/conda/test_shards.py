"""Shards and their index: zstd-compressed msgpack, the same bytes for the same state (CEP 16)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.conda.record import Section, encode
from seaway.conda.repodata import RevisionSummary
from seaway.conda.shards import ShardEntry, build_index, build_shard
from seaway.conda.zstd import compress_frame, compress_pieces
from tests.conda.readers import records_in_shards, write_shards
from tests.support.packages import index_json, zstd

MD5, SHA256 = bytes(range(16)), bytes(range(32))
RECORD = {**index_json(), "md5": MD5.hex(), "sha256": SHA256.hex(), "size": 7, "run_exports": {}}
LEGACY = ShardEntry("demo-1.0-h1_0.conda", Section.CONDA, encode(RECORD))
OLD = ShardEntry("demo-1.0-h1_0.tar.bz2", Section.TAR_BZ2, encode(RECORD))
NEW = ShardEntry("demo-1.0-h1_0", Section.V3_CONDA, encode({**RECORD, "flags": ["cuda"]}))


def unpacked(content: bytes) -> Any:
    return msgspec.msgpack.decode(zstd.decompress(content))


def test_a_shard_has_the_maps_that_clients_insist_on() -> None:
    """`packages` and `packages.conda` are there even if they are empty; `v3` only if it is not."""
    assert {"packages": {}, "packages.conda": {}, "removed": []} == unpacked(build_shard([], []))


def test_a_shard_has_hashes_as_bytes() -> None:
    """Of a record only the two hashes change their form; everything else is what repodata.json has."""
    expected = {**RECORD, "md5": MD5, "sha256": SHA256}
    shard = unpacked(build_shard([LEGACY, OLD], ["demo-0.9-0.conda"]))
    assert {LEGACY.key: expected} == shard["packages.conda"]
    assert {OLD.key: expected} == shard["packages"]
    assert ["demo-0.9-0.conda"] == shard["removed"]
    assert "v3" not in shard


def test_a_shard_has_v3_records_apart() -> None:
    """What only CEP 48 knows stands below `v3`, where old clients do not look."""
    shard = unpacked(build_shard([LEGACY, NEW], []))
    assert ["demo-1.0-h1_0"] == list(shard["v3"]["conda"])
    assert {} == shard["v3"]["tar.bz2"]
    assert ["demo-1.0-h1_0.conda"] == list(shard["packages.conda"])


def test_the_same_state_is_the_same_shard() -> None:
    """The order in which files are looked at does not show: shards are named by their bytes."""
    assert build_shard([LEGACY, OLD], ["b", "a"]) == build_shard([OLD, LEGACY], ["a", "b"])


def test_the_index_names_each_shard() -> None:
    """The index has what rattler and conda need to find a shard, and the time of the last change."""
    index = unpacked(build_index("noarch", {"demo": SHA256}, 1_700_000_000_123, RevisionSummary(1, 5, 4)))
    created_at = datetime.fromisoformat(index["info"].pop("created_at"))
    assert created_at == datetime.fromtimestamp(1_700_000_000.123, UTC)
    assert {
        "version": 1,
        "info": {
            "subdir": "noarch",
            "base_url": "",
            "shards_base_url": "./shards/",
            "repodata_revisions": {"v3": {"n_packages": 1, "newest": 5, "oldest": 4}},
        },
        "shards": {"demo": SHA256},
    } == index


def test_the_same_names_are_the_same_index() -> None:
    """Two workers that learned the names in another order serve the same bytes."""
    left = build_index("noarch", {"a": SHA256, "b": SHA256}, 1_000, None)
    assert left == build_index("noarch", {"b": SHA256, "a": SHA256}, 1_000, None)


@pytest.mark.parametrize(
    "content",
    [
        compress_frame(b""),
        compress_frame(b"x" * 3_000_000),
        build_shard([LEGACY], []),
        build_index("noarch", {}, 0, None),
    ],
)
def test_what_is_packed_is_one_frame_that_says_its_size(content: bytes) -> None:
    """Readers that stop behind the first frame, or that bound frames of unknown size, read the whole."""
    decompressor = zstd.ZstdDecompressor()
    plain = decompressor.decompress(content)
    assert (True, b"") == (decompressor.eof, decompressor.unused_data)
    assert len(plain) == zstd.get_frame_info(content).decompressed_size


@given(st.lists(st.binary(max_size=5_000), max_size=6))
def test_packing_in_pieces_is_packing(pieces: list[bytes]) -> None:
    """A document that comes in pieces is one frame of known size, however it is cut."""
    plain = b"".join(pieces)
    packed = b"".join(compress_pieces(iter(pieces), len(plain)))
    assert plain == zstd.decompress(packed)
    assert len(plain) == zstd.get_frame_info(packed).decompressed_size
    assert len(packed) == zstd.get_frame_size(packed)


def test_rattler_reads_every_section_of_a_shard(tmp_path: Path) -> None:
    """py-rattler finds legacy and v3 records by the name of the package, with the hashes that the shard has."""
    other = encode({**RECORD, "name": "other", "size": 8})
    shards = {
        "demo": build_shard([LEGACY, OLD, NEW], ["demo-0.9-0.conda"]),
        "other": build_shard([ShardEntry("other-1.0-h1_0.conda", Section.CONDA, other)], []),
    }
    write_shards(tmp_path, "noarch", shards)
    found = records_in_shards(tmp_path, "noarch", list(shards), tmp_path)
    assert sorted(found) == sorted(
        [name, SHA256.hex(), MD5.hex(), size]
        for name, size in (
            ("demo-1.0-h1_0.conda", 7),
            ("demo-1.0-h1_0.conda", 7),
            ("demo-1.0-h1_0.tar.bz2", 7),
            ("other-1.0-h1_0.conda", 8),
        )
    )


def test_a_removed_file_is_in_no_map(tmp_path: Path) -> None:
    """py-rattler reads a shard of which every file was yanked, and finds nothing to install."""
    write_shards(tmp_path, "noarch", {"demo": build_shard([], ["demo-1.0-h1_0.conda"])})
    assert [] == records_in_shards(tmp_path, "noarch", ["demo"], tmp_path)
