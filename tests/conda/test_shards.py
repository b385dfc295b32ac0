"""Shards and their index: zstd-compressed msgpack, deterministic for the same state (CEP 16)."""

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


def test_an_empty_shard_has_the_maps_that_clients_require() -> None:
    """`packages` and `packages.conda` exist even if empty; `v3` only if it has records."""
    assert {"packages": {}, "packages.conda": {}, "removed": []} == unpacked(build_shard([], []))


def test_a_shard_has_hashes_as_bytes() -> None:
    """Only the two hashes differ from the record in repodata.json."""
    expected = {**RECORD, "md5": MD5, "sha256": SHA256}
    shard = unpacked(build_shard([LEGACY, OLD], ["demo-0.9-0.conda"]))
    assert {LEGACY.key: expected} == shard["packages.conda"]
    assert {OLD.key: expected} == shard["packages"]
    assert ["demo-0.9-0.conda"] == shard["removed"]
    assert "v3" not in shard


def test_a_shard_has_v3_records_in_their_own_maps() -> None:
    """Records of CEP 48 are below `v3`, where old clients do not look."""
    shard = unpacked(build_shard([LEGACY, NEW], []))
    assert ["demo-1.0-h1_0"] == list(shard["v3"]["conda"])
    assert {} == shard["v3"]["tar.bz2"]
    assert ["demo-1.0-h1_0.conda"] == list(shard["packages.conda"])


def test_shards_are_deterministic() -> None:
    """The order of files does not matter: shards are named by their hash."""
    assert build_shard([LEGACY, OLD], ["b", "a"]) == build_shard([OLD, LEGACY], ["a", "b"])


def test_the_index_names_each_shard() -> None:
    """The index has the fields that rattler and conda need to find a shard, and the time of the last change."""
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


def test_the_shard_index_is_deterministic() -> None:
    """Workers that read the names in different orders serve the same bytes."""
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
def test_compressed_content_is_one_frame_that_states_its_size(content: bytes) -> None:
    """Some readers stop after the first frame or limit frames of unknown size."""
    decompressor = zstd.ZstdDecompressor()
    plain = decompressor.decompress(content)
    assert (True, b"") == (decompressor.eof, decompressor.unused_data)
    assert len(plain) == zstd.get_frame_info(content).decompressed_size


@given(st.lists(st.binary(max_size=5_000), max_size=6))
def test_compressing_pieces_gives_one_frame(pieces: list[bytes]) -> None:
    """The frame states its size, independent of how the document is split."""
    plain = b"".join(pieces)
    packed = b"".join(compress_pieces(iter(pieces), len(plain)))
    assert plain == zstd.decompress(packed)
    assert len(plain) == zstd.get_frame_info(packed).decompressed_size
    assert len(packed) == zstd.get_frame_size(packed)


def test_rattler_reads_every_section_of_a_shard(tmp_path: Path) -> None:
    """py-rattler finds legacy and v3 records by package name, with the hashes of the shard."""
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
    """py-rattler finds nothing to install in a shard whose files were all yanked."""
    write_shards(tmp_path, "noarch", {"demo": build_shard([], ["demo-1.0-h1_0.conda"])})
    assert [] == records_in_shards(tmp_path, "noarch", ["demo"], tmp_path)
