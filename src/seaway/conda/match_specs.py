"""
Match specs in `depends`, `constrains` and run exports, as rattler reads them.

One entry that rattler's lenient parser cannot read makes its indexer and its clients refuse the whole channel, so a
file with such an entry is refused. An entry that rattler reads and conda or mamba does not (`portable_specs`) is
accepted with a warning. Entries that need repodata v3 (CEP 43 to 45: `when`, `extras`, `flags`) must never get into the
legacy maps, because old clients fail to read them.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import rattler
from rattler.exceptions import (
    CanonicalMatchSpecError,
    InvalidMatchSpecError,
    InvalidPackageNameError,
    InvalidVersionSpecError,
    IoError,
)

from seaway.conda import paths, portable_specs
from seaway.conda.refusals import RefusalReason, Refused

_V3_KEYS = {"version", "build", "build_number", "when", "extras", "flags"}
_QUOTED_OR_NESTED = re.compile(r"\"[^\"]*\"|'[^']*'|\[[^\]]*\]")
_V3_FORM = re.compile(r"[A-Za-z0-9._-]+(?:\[.+\])?")
_ARCHIVES = (".conda", ".tar.bz2", ".tar.gz", ".whl")
_UNREADABLE = (InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionSpecError)


def check(specs: Iterable[str], what: str) -> None:
    """Refuse the first entry that cannot be read, or that points clients to a URL or to a local file."""
    for spec in specs:
        if problem := _problem(spec):
            raise Refused(
                RefusalReason.BAD_MATCH_SPEC,
                f"{spec[:120]!a} in {what} {problem}.",
                "Correct it in the recipe, then build the package again.",
            )


def is_portable(spec: str) -> bool:
    """Return whether all clients that see this readable entry read it alike; old clients never see v3 entries."""
    return portable_specs.is_portable(spec) or _needs_v3(spec)


def any_needs_v3(specs: Iterable[str]) -> bool:
    """Return whether any of these readable entries cannot be expressed in legacy repodata."""
    return any(_needs_v3(spec) for spec in specs)


def to_v3_form(spec: str, what: str) -> str:
    """Return the entry in the form of a v3 record (CEP 48): a bare name, or name[key=value,...] with allowed keys."""
    parsed = _parsed(spec)
    try:
        canonical = None if parsed is None else parsed.to_canonical_string()
    except CanonicalMatchSpecError:
        canonical = None
    if canonical is None or not _keys(canonical) <= _V3_KEYS:
        raise Refused(
            RefusalReason.BAD_MATCH_SPEC,
            f"{spec[:120]!a} in {what} cannot be expressed in a record of repodata v3.",
            "Use only a name, version, build, build_number, when, extras and flags.",
        )
    return spec if _V3_FORM.fullmatch(spec) else canonical


@dataclass(frozen=True, slots=True)
class SpecQuery:
    """A match spec used as a search query."""

    name: str
    spec: rattler.MatchSpec

    def matches(self, version: str, build: str, subdir: str) -> bool:
        """Return whether a file of the package can match, judged by its file name and subdir only."""
        record = rattler.PackageRecord(
            name=self.name, version=version, build=rattler.BuildString(build), build_number=0, subdir=subdir,
            arch=None, platform=None,
        )  # fmt: skip
        return self.spec.matches(record)


def parse_query(text: str) -> SpecQuery | None:
    """Parse a search query as a match spec of one package; None if it is not one."""
    try:
        spec = rattler.MatchSpec(text)
    except _UNREADABLE:
        return None
    return None if spec.name is None else SpecQuery(spec.name.normalized, spec)


def _keys(canonical: str) -> set[str]:
    """Return the keys between the brackets of an entry in canonical form."""
    _, _, inside = canonical.partition("[")
    bare = _QUOTED_OR_NESTED.sub("", inside.removesuffix("]"))
    return {pair.partition("=")[0] for pair in bare.split(",") if pair}


def check_readable(index: dict[str, Any]) -> None:
    """
    Refuse an index.json that rattler cannot read, even if it passed the other checks.

    rattler rejects a whole document for one bad record: a single malformed purl makes the channel unreadable.
    """
    try:
        rattler.IndexJson.from_str(msgspec.json.encode(index).decode())
    except IoError as error:
        raise Refused(
            RefusalReason.BAD_FIELD,
            f"index.json of the package cannot be read by clients: {str(error)[:160]!a}.",
            "Build the package again with a current tool.",
        ) from None


@functools.lru_cache(maxsize=16_384)
def _problem(spec: str) -> str:
    """Return the problem of an entry, as the end of a sentence, or an empty string."""
    parsed = _parsed(spec)
    if parsed is None:
        return "cannot be read as a match spec"
    # rattler writes paths, channels that are paths, and specs within `when` as URLs. conda and mamba first remove
    # comments, then treat an entry that ends in an archive extension as a file.
    if "://" in spec or "://" in str(parsed) or spec.partition("#")[0].strip().lower().endswith(_ARCHIVES):
        return "names a URL or a file; a dependency has the name of a package"
    if any(text is not None and not paths.is_safe_name(text) for text in (parsed.file_name, parsed.subdir)):
        return "names a file or platform with a path"
    return ""


@functools.lru_cache(maxsize=16_384)
def _parsed(spec: str) -> rattler.MatchSpec | None:
    try:
        return rattler.MatchSpec(spec)
    except _UNREADABLE:
        return None


@functools.lru_cache(maxsize=16_384)
def _needs_v3(spec: str) -> bool:
    try:
        rattler.MatchSpec(spec, extras=False, conditionals=False, flags=False)
    except _UNREADABLE:
        return _parsed(spec) is not None
    return False
