"""
Manifest objects: descriptions of channels and their files in the store, from which a lost database can be rebuilt.

One object describes a channel, and one object describes each package name in one subdir. An object is a zstd frame
with a checksum around msgpack; its first field is the format number.

1. A name object contains everything that the index of its name is built from, and its attestations: no package file is
   read.
2. Decoding is strict and bounded, because a store may contain anything: the results of `decode_channel` and
   `decode_name` can be inserted and indexed. Any other content raises `BadManifest` with the reason.
3. Equal contents give equal bytes.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from pydantic import ValidationError

from seaway.attestations.bundles import AttestedClaims
from seaway.channels.channel import ChannelSettings
from seaway.channels.channels import is_possible_name
from seaway.conda import corrections, filename, zstd
from seaway.conda.record import Section
from seaway.conda.refusals import Refused
from seaway.conda.shards import to_shard_record
from seaway.conda.subdir import is_known_subdir
from seaway.errors import Invalid
from seaway.indexing.file_rows import FileState
from seaway.packages.files import WARNINGS

FORMAT = 1
# Ten thousand attested files of one name take 160 MB. A larger object than this is neither written nor read.
MAX_BYTES = 1024 * 1024 * 1024
_MAX_TEXT = 4_000

# PostgreSQL cannot store a zero byte in text.
_Text = Annotated[str, Meta(max_length=_MAX_TEXT, pattern=r"^[^\x00]*$")]
_Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class BadManifest(Exception):
    """An object is not a manifest that this version of Seaway can use; the text is the reason."""


class AttestationEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A sidecar of a file, with the values of its row."""

    content: bytes
    file_sha256: _Digest
    claims: _Text
    accepted_at: _Number
    superseded_at: _Number | None


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A file, with the values of its row; the uploader is a name, because accounts are not in manifests."""

    file_name: str
    state: FileState
    section: Section
    version: str
    size: _Number
    sha256: _Digest
    indexed_at: _Number
    uploaded_as: _Text
    record: bytes
    about: bytes
    attestations: list[AttestationEntry]
    yank_reason: _Text = ""
    correction: bytes | None = None

    @property
    def is_there(self) -> bool:
        """Whether the file can be downloaded; its blob must exist then."""
        return self.state is not FileState.DELETED


class NameManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """All files that one package name ever had in one subdir, and the revision at which its index last changed."""

    format: int
    channel: str
    subdir: str
    package: str
    revision: _Number
    files: list[FileEntry]


class ChannelManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel and its settings; the visibility and `owner` are for information and are not restored."""

    format: int
    name: str
    settings: dict[str, bool | str]  # by column
    owner: _Text
    quota_bytes: _Number | None
    created_at: _Number
    logo: _Digest | None
    logo_size: _Number
    base: _Text = ""
    overrides: _Text = ""


class _Head(Struct):
    format: int


class _Record(Struct):
    """The fields of a record that the index relies on."""

    name: str
    version: str
    build: str
    md5: str
    sha256: str
    size: int
    indexed_timestamp: int
    run_exports: msgspec.Raw
    attestations_sha256: str | None = None


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_name_decoder = msgspec.msgpack.Decoder(NameManifest)
_channel_decoder = msgspec.msgpack.Decoder(ChannelManifest)
_record_decoder = msgspec.json.Decoder(_Record)
_about_decoder = msgspec.json.Decoder(dict[str, Any])
_claims_decoder = msgspec.json.Decoder(AttestedClaims)

_Manifest = TypeVar("_Manifest", NameManifest, ChannelManifest)


def encode(manifest: NameManifest | ChannelManifest) -> bytes:
    """Return the bytes of an object."""
    return zstd.compress_with_checksum(_encoder.encode(manifest))


def decode_channel(content: bytes) -> ChannelManifest:
    """Return the channel that these bytes describe; raise `BadManifest` if they are not a channel manifest."""
    manifest = _decode(content, _channel_decoder)
    _require(is_possible_name(manifest.name), "its channel name is invalid")
    settings_of(manifest)
    return manifest


def settings_of(manifest: ChannelManifest) -> ChannelSettings:
    """Return the settings; those that the manifest does not have get their defaults."""
    try:
        return ChannelSettings.model_validate(manifest.settings, by_name=True, by_alias=False)
    except (ValidationError, Invalid):
        raise BadManifest("its settings are invalid") from None


def decode_name(content: bytes) -> NameManifest:
    """Return the package name that these bytes describe; raise `BadManifest` if they are not a name manifest."""
    manifest = _decode(content, _name_decoder)
    _require(is_possible_name(manifest.channel), "its channel name is invalid")
    _require(is_known_subdir(manifest.subdir), "its subdir is unknown")
    _require(not filename.name_problem(manifest.package), "its package name is invalid")
    names = [file.file_name for file in manifest.files]
    _require(len(set(names)) == len(names), "two of its files have the same name")
    for reason in filter(None, (_file_problem(manifest, file) for file in manifest.files)):
        raise BadManifest(reason)
    return manifest


def _decode(content: bytes, decoder: "msgspec.msgpack.Decoder[_Manifest]") -> _Manifest:
    try:
        unpacked = zstd.decompress_limited(content, MAX_BYTES)
        number = _head_decoder.decode(unpacked).format
        if number != FORMAT:
            raise BadManifest(f"it has format {number}, but this version of Seaway reads format {FORMAT}")
        return decoder.decode(unpacked)
    except zstd.ZstdError:
        raise BadManifest("it is damaged") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"it is not a manifest: {error}") from None


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise BadManifest(reason)


def _file_problem(manifest: NameManifest, file: FileEntry) -> str | None:
    """Return what is wrong with a file, or None."""
    try:
        parsed = filename.parse(file.file_name)
    except Refused:
        return "one of its file names is invalid"
    if (parsed.name, parsed.version) != (manifest.package, file.version):
        return f"{file.file_name} does not match its package or version"
    try:
        record = _record_decoder.decode(file.record)
        about = _about_decoder.decode(file.about)
        to_shard_record(file.record)
        problems = [*_record_problems(parsed, file, record), *_attestation_problems(file, record)]
        problems += ["the summary in its description is not text"] * (not isinstance(about.get("summary", ""), str))
        msgspec.convert(about.get(WARNINGS, []), list[str])
        corrections.decode(file.correction)
    except (msgspec.MsgspecError, KeyError, ValueError, OverflowError, RecursionError):
        return f"the record of {file.file_name} cannot be read"
    return f"{file.file_name}: {problems[0]}" if problems else None


def _record_problems(parsed: filename.FileName, file: FileEntry, record: _Record) -> Iterator[str]:
    if (record.name, record.version, record.build) != (parsed.name, parsed.version, parsed.build):
        yield "its record belongs to another package"
    if (record.sha256, record.size, record.indexed_timestamp) != (file.sha256.hex(), file.size, file.indexed_at):
        yield "its record has a different hash, size or time"
    if file.section.is_v3 and parsed.extension != (
        filename.CONDA if file.section is Section.V3_CONDA else filename.TAR_BZ2
    ):
        yield "it is in the section of another file format"


def _attestation_problems(file: FileEntry, record: _Record) -> Iterator[str]:
    for attestation in file.attestations:
        _claims_decoder.decode(attestation.claims)
    current = [attestation for attestation in file.attestations if attestation.superseded_at is None]
    digests = [hashlib.sha256(attestation.content).hexdigest() for attestation in current]
    if file.is_there and digests != ([] if record.attestations_sha256 is None else [record.attestations_sha256]):
        yield "its record does not name its attestations"
    if any(attestation.file_sha256 != file.sha256 for attestation in current):
        yield "its attestations are for other bytes"
