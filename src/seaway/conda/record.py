"""Repodata records of package files (CEP 36, 21, 47, 48)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from seaway.conda import match_specs
from seaway.conda.filename import CONDA, FileName
from seaway.conda.refusals import RefusalReason, Refused

MAX_RECORD_BYTES = 256 * 1024

# Fields that the server sets, and fields by which clients locate a file. A package that could
# set them would point clients to other bytes than the examined ones.
_SERVER_FIELDS = frozenset(
    {
        "md5", "sha256", "size", "indexed_timestamp", "attestations_sha256", "run_exports",
        "legacy_bz2_md5", "legacy_bz2_size", "fn", "url", "channel", "schannel", "repodata_revision",
    }
)  # fmt: skip

_LAST_SECOND = 253_402_300_799  # end of the year 9999

_MAX_NEEDS_SHOWN = 3

_encoder = msgspec.json.Encoder(order="sorted")


class Section(Enum):
    """The repodata map that contains a record."""

    TAR_BZ2 = "packages"
    CONDA = "packages.conda"
    V3_TAR_BZ2 = "v3.tar.bz2"
    V3_CONDA = "v3.conda"

    @property
    def is_v3(self) -> bool:
        """Whether only clients that support CEP 48 see the record."""
        return self in (Section.V3_TAR_BZ2, Section.V3_CONDA)


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Hashes and size of a file."""

    sha256: bytes
    md5: bytes
    size: int


def section_of(index: dict[str, Any], extension: str) -> Section:
    """Return the section of a record: v3 if it says so or legacy repodata cannot express it (rattler's rule)."""
    revision = index.get("repodata_revision")
    if revision not in (None, 0, 3):
        raise Refused(
            RefusalReason.BAD_FIELD,
            f"repodata_revision {ascii(revision)[:20]} in index.json is not supported.",
            "Use 3, or remove the field.",
        )
    needs_v3 = bool(index.get("extra_depends") or index.get("flags")) or match_specs.any_needs_v3(_specs(index))
    if revision == 0 and needs_v3:
        raise Refused(RefusalReason.BAD_FIELD, "index.json has repodata_revision 0 but uses features of repodata v3.")
    if revision == 3 or needs_v3:
        return Section.V3_CONDA if extension == CONDA else Section.V3_TAR_BZ2
    return Section.CONDA if extension == CONDA else Section.TAR_BZ2


def v3_needs(record: dict[str, Any]) -> str:
    """Return, as readable text, the parts of a v3 record that legacy repodata cannot express."""
    groups = [f"the extra {group!r}" for group in record.get("extra_depends") or ()]
    flags = [f"the flag {flag!r}" for flag in record.get("flags") or ()]
    specs = [f"the dependency {spec[:120]!r}" for spec in _specs(record) if match_specs.any_needs_v3([spec])]
    return ", ".join([*groups, *flags, *specs][:_MAX_NEEDS_SHOWN]) or "repodata_revision 3 in index.json"


def check_specs(index: dict[str, Any], run_exports: dict[str, list[str]]) -> None:
    """Refuse a package with match specs that clients cannot read or that point to a URL or a local file."""
    for what, specs in _specs_by_field(index, run_exports):
        match_specs.check(specs, what)


def unportable_specs(index: dict[str, Any], run_exports: dict[str, list[str]]) -> list[str]:
    """Return each match spec that conda or mamba cannot read, or reads differently from rattler, with its field."""
    return [
        f"{spec[:120]!a} in {what}"
        for what, specs in _specs_by_field(index, run_exports)
        for spec in specs
        if not match_specs.is_portable(spec)
    ]


def timestamp_ms(timestamp: int) -> int:
    """Return the `timestamp` of a record in milliseconds. Old tools wrote seconds; clients use the same bound."""
    return timestamp * 1000 if timestamp <= _LAST_SECOND else timestamp


def build_record(
    index: dict[str, Any], run_exports: dict[str, list[str]], section: Section, hashes: FileDigest
) -> dict[str, Any]:
    """
    Return the record of a file without `indexed_timestamp`, which is set when the file is published.

    `run_exports` is always present, even if empty: without it, a client requests run_exports.json and then downloads
    the whole package to find them.
    """
    record = {key: value for key, value in index.items() if key not in _SERVER_FIELDS}
    if section.is_v3:
        for key in ("depends", "constrains"):
            if key in record:
                record[key] = [match_specs.to_v3_form(spec, key) for spec in record[key]]
        if "extra_depends" in record:
            record["extra_depends"] = {
                group: [match_specs.to_v3_form(spec, f"extra_depends.{group}") for spec in specs]
                for group, specs in record["extra_depends"].items()
            }
    record["md5"] = hashes.md5.hex()
    record["sha256"] = hashes.sha256.hex()
    record["size"] = hashes.size
    record["run_exports"] = run_exports
    if len(encode(record)) > MAX_RECORD_BYTES:
        raise Refused(
            RefusalReason.RECORD_TOO_LARGE,
            f"The metadata of the package is larger than {MAX_RECORD_BYTES // 1024} KiB, which every client of the channel "
            "would have to download.",
            "Shorten depends and the other lists of index.json.",
        )
    return record


def encode(record: dict[str, Any]) -> bytes:
    """Return compact JSON with sorted keys; equal records give equal bytes."""
    return _encoder.encode(record)


def key_of(file_name: FileName, section: Section) -> str:
    """Return the key of a record in its map: the file name, without the extension in v3 (CEP 48)."""
    return file_name.stem if section.is_v3 else str(file_name)


def _specs_by_field(index: dict[str, Any], run_exports: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the field name and the specs of every list of match specs in a package."""
    yield "depends", index["depends"]
    yield "constrains", index.get("constrains", [])
    for group, specs in index.get("extra_depends", {}).items():
        yield f"extra_depends.{group}", specs
    for kind, specs in run_exports.items():
        yield f"{kind} of run_exports", specs


def _specs(index: dict[str, Any]) -> list[str]:
    return [*index["depends"], *index.get("constrains", ())]
