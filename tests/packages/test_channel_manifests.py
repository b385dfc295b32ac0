"""Manifest objects round-trip, and anything that is not a valid manifest is refused."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaway.attestations.bundles import AttestedClaims
from seaway.attestations.sidecars import digest
from seaway.conda import zstd
from seaway.conda.record import Section
from seaway.indexing.file_rows import FileState
from seaway.packages.channel_manifests import (
    FORMAT,
    AttestationEntry,
    BadManifest,
    ChannelManifest,
    FileEntry,
    NameManifest,
    decode_channel,
    decode_name,
    encode,
)

SIDECAR = b"[{}]"
CLAIMS = AttestedClaims("i", "r", "1", "2", "w", "c", "ref", "run", 5)
RECORD: dict[str, Any] = {
    "name": "demo",
    "version": "1.0",
    "build": "h1_0",
    "build_number": 0,
    "md5": "0" * 32,
    "sha256": "ab" * 32,
    "size": 7,
    "indexed_timestamp": 9,
    "run_exports": {},
    "depends": ["python >=3.11"],
    "attestations_sha256": digest(SIDECAR).hex(),
}
FILE = FileEntry(
    file_name="demo-1.0-h1_0.conda",
    state=FileState.LISTED,
    section=Section.CONDA,
    version="1.0",
    size=7,
    sha256=b"\xab" * 32,
    indexed_at=9,
    uploaded_as="alice (key ci)",
    record=msgspec.json.encode(RECORD),
    about=b"{}",
    attestations=[AttestationEntry(SIDECAR, b"\xab" * 32, msgspec.json.encode(CLAIMS).decode(), 9, None)],
)
NAME = NameManifest(FORMAT, "robots", "noarch", "demo", 3, [FILE])
CHANNEL = ChannelManifest(
    FORMAT, "robots", {"description": "Boats.", "attestations": "required"}, "alice", 10**12, 1, b"\x01" * 32, 9
)


def name_with_file(**fields: Any) -> NameManifest:
    """Return the name manifest with its file changed."""
    return msgspec.structs.replace(NAME, files=[msgspec.structs.replace(FILE, **fields)])


def record(**fields: Any) -> bytes:
    return msgspec.json.encode({**RECORD, **fields})


def test_encoded_manifest_decodes_to_the_same_value() -> None:
    """Encoding is also deterministic."""
    assert NAME == decode_name(encode(NAME))
    assert CHANNEL == decode_channel(encode(CHANNEL))
    assert encode(NAME) == encode(NAME)


@pytest.mark.parametrize(
    "manifest",
    [
        msgspec.structs.replace(NAME, format=2),
        msgspec.structs.replace(NAME, channel="../x"),
        msgspec.structs.replace(NAME, channel="admin"),
        msgspec.structs.replace(NAME, subdir="../x"),
        msgspec.structs.replace(NAME, package="other"),
        msgspec.structs.replace(NAME, package="Bad Name"),
        msgspec.structs.replace(NAME, files=[FILE, FILE]),
        msgspec.structs.replace(NAME, revision=-1),
        name_with_file(file_name="../x-1-0.conda"),
        name_with_file(file_name="demo-2.0-h1_0.conda"),
        name_with_file(version="2.0"),
        name_with_file(size=8),
        name_with_file(size=2**63),
        name_with_file(sha256=b"\xac" * 32),
        name_with_file(sha256=b"\xab"),
        name_with_file(indexed_at=10),
        name_with_file(section=Section.V3_TAR_BZ2),
        name_with_file(uploaded_as="\0"),
        name_with_file(about=b"[]"),
        name_with_file(about=b'{"summary":1}'),
        name_with_file(about=b'{"warnings":"a"}'),
        name_with_file(about=b'{"warnings":[1]}'),
        name_with_file(record=b"{"),
        name_with_file(record=record(name="other")),
        name_with_file(record=record(build="h1_1")),
        name_with_file(record=record(md5="x")),
        name_with_file(record=record(sha256="x")),
        name_with_file(record=record(size=8)),
        name_with_file(record=record(attestations_sha256=None)),
        name_with_file(record=b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"," + FILE.record[1:]),
        name_with_file(attestations=[]),
        name_with_file(attestations=[msgspec.structs.replace(FILE.attestations[0], file_sha256=bytes(32))]),
        name_with_file(attestations=[msgspec.structs.replace(FILE.attestations[0], claims="{}")]),
        name_with_file(attestations=[msgspec.structs.replace(FILE.attestations[0], superseded_at=10)]),
    ],
)
def test_inconsistent_name_manifest_is_refused(manifest: NameManifest) -> None:
    """Invariant 2: what is decoded can be inserted and indexed; the reason is one line."""
    with pytest.raises(BadManifest) as refused:
        decode_name(encode(manifest))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "manifest",
    [
        msgspec.structs.replace(CHANNEL, name="Robots"),
        msgspec.structs.replace(CHANNEL, settings={"description": "x" * 4001}),
        msgspec.structs.replace(CHANNEL, settings={"allows_v3": "yes"}),
        msgspec.structs.replace(CHANNEL, logo=b""),
        msgspec.structs.replace(CHANNEL, quota_bytes=-1),
        msgspec.structs.replace(CHANNEL, format=0),
    ],
)
def test_inconsistent_channel_manifest_is_refused(manifest: ChannelManifest) -> None:
    """Invariant 2 holds for channel manifests too."""
    with pytest.raises(BadManifest):
        decode_channel(encode(manifest))


def packed(**fields: object) -> bytes:
    return zstd.compress_with_checksum(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        zstd.compress_with_checksum(b""),
        zstd.compress_with_checksum(b"\x91" * 100_000),
        packed(format=FORMAT),
        packed(format="1"),
        encode(NAME) + b"x",
        encode(NAME) + encode(NAME),
        encode(NAME)[:-1],
        zstd.compress_with_checksum(msgspec.msgpack.encode({**msgspec.structs.asdict(CHANNEL), "more": 1})),
        zstd.compress_with_checksum(msgspec.msgpack.encode(NAME)[:-1]),
    ],
)
def test_invalid_content_is_refused(content: bytes) -> None:
    """Damaged, truncated or foreign content raises BadManifest and no other exception."""
    for decode in (decode_name, decode_channel):
        with pytest.raises(BadManifest):
            decode(content)


def test_manifest_of_a_newer_format_is_refused_with_its_number() -> None:
    """The fields of another format are not examined."""
    with pytest.raises(BadManifest, match="format 2"):
        decode_name(packed(format=2, anything=[]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(encode(NAME)) - 1), st.integers(1, 255))
def test_flipped_byte_is_detected_by_the_checksum(position: int, flip: int) -> None:
    """A damaged object is refused or decodes to the same value."""
    content = bytearray(encode(NAME))
    content[position] ^= flip
    try:
        decoded = decode_name(bytes(content))
    except BadManifest:
        return
    assert NAME == decoded


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(msgspec.msgpack.encode(NAME)) - 1),
    st.integers(1, 255),
    st.sampled_from([decode_name, decode_channel]),
)
def test_changed_content_with_a_valid_checksum_decodes_or_is_refused(
    position: int, flip: int, decode: Callable[[bytes], object]
) -> None:
    """An attacker can compute a valid checksum for any content."""
    content = bytearray(msgspec.msgpack.encode(NAME))
    content[position] ^= flip
    with suppress(BadManifest):
        decode(zstd.compress_with_checksum(bytes(content)))


def test_decompression_stops_at_the_limit() -> None:
    """A small frame can expand to any size (decompression bomb)."""
    bomb = zstd.compress_with_checksum(bytes(10_000_000))
    assert bytes(10_000_000) == zstd.decompress_limited(bomb, 10_000_000)
    with pytest.raises(zstd.ZstdError):
        zstd.decompress_limited(bomb, 9_999_999)
