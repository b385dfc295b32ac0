"""
Write repodata.json and run_exports.json of a subdir (CEP 36, 12, 42, 48) by joining bytes.

Records are stored as JSON, and the records of one name are stored joined (`join_records`). A whole document consists of
these fragments with commas between them, so 700,000 records are written without decoding one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from seaway.conda.record import Section

REPODATA_VERSION = 1


@dataclass(frozen=True, slots=True)
class ChannelRelations:
    """
    Names of related channels (CEP 42), empty for none.

    `base` has priority over the channel; the channel has priority over `overrides`.
    """

    base: str = ""
    overrides: str = ""


NO_RELATIONS = ChannelRelations()


@dataclass(frozen=True, slots=True)
class RevisionSummary:
    """Summary of the v3 records of a subdir, for `info.repodata_revisions` (CEP 48)."""

    packages: int
    newest_ms: int
    oldest_ms: int
    message: str = ""  # the owner's message for users whose client does not see them


def describe_revisions(v3: RevisionSummary | None) -> dict[str, Any]:
    """Return the part of `info` that summarizes the records that old clients do not see."""
    if v3 is None:
        return {}
    message = {"message": v3.message} if v3.message else {}
    summary = {**message, "n_packages": v3.packages, "newest": v3.newest_ms, "oldest": v3.oldest_ms}
    return {"repodata_revisions": {"v3": summary}}


def describe_relations(relations: ChannelRelations) -> dict[str, Any]:
    """Return the part of `info` that names other channels, relative to the URL of this one."""
    named = {"base": relations.base, "overrides": relations.overrides}
    references = {relation: f"../{channel}" for relation, channel in named.items() if channel}
    return {"channel_relations": references} if references else {}


def join_records(records: Iterable[tuple[str, bytes | msgspec.Raw]]) -> bytes:
    """Return `"key":{...},"key":{...}` in the given order; empty without records."""
    return b",".join(b"%b:%b" % (msgspec.json.encode(key), record) for key, record in records)


_raw_records = msgspec.json.Decoder(dict[str, msgspec.Raw])


def split_records(joined: bytes) -> dict[str, msgspec.Raw]:
    """Split the result of `join_records`; the records stay bytes."""
    return _raw_records.decode(b"{%b}" % joined)


def join_names(names: Iterable[str]) -> bytes:
    """Return `"a","b"` in the given order."""
    return b",".join(msgspec.json.encode(name) for name in names)


def repodata_pieces(
    subdir: str,
    fragments: Callable[[Section], Iterable[bytes]],
    removed: Iterable[bytes],
    v3: RevisionSummary | None,
    relations: ChannelRelations = NO_RELATIONS,
) -> Iterator[bytes]:
    """Yield repodata.json in pieces; `fragments` returns the joined records of a section."""
    info = {"subdir": subdir, **describe_relations(relations), **describe_revisions(v3)}
    yield b'{"info":%b' % msgspec.json.encode(info)
    yield b',"packages":{'
    yield from _with_commas(fragments(Section.TAR_BZ2))
    yield b'},"packages.conda":{'
    yield from _with_commas(fragments(Section.CONDA))
    yield b'},"removed":['
    yield from _with_commas(removed)
    yield b'],"repodata_version":%d' % REPODATA_VERSION
    if v3 is not None:
        yield from _v3_pieces(fragments)
    yield b"}"


def run_exports_pieces(
    subdir: str, fragments: Callable[[Section], Iterable[bytes]], v3: RevisionSummary | None
) -> Iterator[bytes]:
    """Yield run_exports.json in pieces, like `repodata_pieces` but with run exports in place of the records."""
    platform, _, arch = subdir.partition("-")
    info = {"subdir": subdir, "platform": platform, "arch": arch or "noarch", "version": 1}
    yield b'{"info":%b,"packages":{' % msgspec.json.encode(info)
    yield from _with_commas(fragments(Section.TAR_BZ2))
    yield b'},"packages.conda":{'
    yield from _with_commas(fragments(Section.CONDA))
    yield b"}"
    if v3 is not None:
        yield from _v3_pieces(fragments)
    yield b"}"


def _v3_pieces(fragments: Callable[[Section], Iterable[bytes]]) -> Iterator[bytes]:
    yield b',"v3":{"conda":{'
    yield from _with_commas(fragments(Section.V3_CONDA))
    yield b'},"tar.bz2":{'
    yield from _with_commas(fragments(Section.V3_TAR_BZ2))
    yield b"}}"


def _with_commas(fragments: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for fragment in fragments:
        if not fragment:
            continue
        yield fragment if first else b"," + fragment
        first = False
