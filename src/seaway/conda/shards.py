"""Shards of a subdir and their index (CEP 16), as zstd-compressed msgpack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from seaway.conda import zstd
from seaway.conda.record import Section
from seaway.conda.repodata import (
    NO_RELATIONS,
    ChannelRelations,
    RevisionSummary,
    describe_relations,
    describe_revisions,
)

# mamba joins this value to the subdir itself and does not support other relative forms.
SHARDS_BASE_URL = "./shards/"

_encoder = msgspec.msgpack.Encoder(order="sorted")
_HASHES = ("md5", "sha256")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """Record to put into a shard: key, section, and the stored JSON."""

    key: str
    section: Section
    record: bytes


def build_shard(entries: Sequence[ShardEntry], removed: Sequence[str]) -> bytes:
    """Return the compressed shard of one name; clients require `packages` and `packages.conda` even if empty."""
    maps: dict[Section, dict[str, Any]] = {section: {} for section in Section}
    for entry in entries:
        maps[entry.section][entry.key] = _with_binary_hashes(entry.record)
    shard: dict[str, Any] = {
        "packages": maps[Section.TAR_BZ2],
        "packages.conda": maps[Section.CONDA],
        "removed": sorted(removed),
    }
    if maps[Section.V3_CONDA] or maps[Section.V3_TAR_BZ2]:
        shard["v3"] = {"conda": maps[Section.V3_CONDA], "tar.bz2": maps[Section.V3_TAR_BZ2]}
    return zstd.compress_frame(_encoder.encode(shard))


class _PlainShard(msgspec.Struct, rename={"conda": "packages.conda"}):
    """Shard without v3 records; the records stay bytes."""

    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw]
    removed: list[str]


_plain_decoder = msgspec.msgpack.Decoder(_PlainShard)


def unpack_shard(shard: bytes) -> tuple[dict[Section, dict[str, msgspec.Raw]], list[str]]:
    """Return the records of a shard without v3 records by section and key, in shard form, and the removed files."""
    plain = _plain_decoder.decode(zstd.decompress_frame(shard))
    return {Section.TAR_BZ2: plain.packages, Section.CONDA: plain.conda}, plain.removed


def pack_shard(maps: Mapping[Section, dict[str, msgspec.Raw]], removed: Sequence[str]) -> bytes:
    """Return the shard of records in shard form; the bytes are the same as from `build_shard`."""
    plain = _PlainShard(maps[Section.TAR_BZ2], maps[Section.CONDA], sorted(removed))
    return zstd.compress_frame(_encoder.encode(plain))


def to_shard_record(record: bytes) -> bytes:
    """Return a stored record in shard form: msgpack with binary hashes."""
    return _encoder.encode(_with_binary_hashes(record))


def build_index(
    subdir: str,
    hashes: Mapping[str, bytes],
    changed_at_ms: int,
    v3: RevisionSummary | None,
    relations: ChannelRelations = NO_RELATIONS,
) -> bytes:
    """
    Return the compressed shard index: each name with the sha256 of its compressed shard.

    `created_at` is the time of the subdir's last change, so that the same state gives the same bytes on every worker.
    """
    index = {
        "version": 1,
        "info": {
            "subdir": subdir,
            "base_url": "",
            "shards_base_url": SHARDS_BASE_URL,
            "created_at": datetime.fromtimestamp(changed_at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
            **describe_relations(relations),
            **describe_revisions(v3),
        },
        "shards": hashes,
    }
    return zstd.compress_frame(_encoder.encode(index))


def _with_binary_hashes(record: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(record)
    for key in _HASHES:
        fields[key] = bytes.fromhex(fields[key])
    return fields
