"""
`depends`, `constrains` and run exports as rattler reads them.

One entry that rattler's lenient parser cannot read makes its indexer and its clients refuse the whole
channel, so the file that brings it is refused instead. An entry that rattler reads and conda or mamba does not
(`portable_specs`) is accepted with a warning. Entries that only repodata v3 knows (CEP 43 to 45:
`when`, `extras`, `flags`) must never reach the legacy maps, where old clients would choke on them.
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
from seaway.conda.refusals import Reason, Refused

_V3_KEYS = {"version", "build", "build_number", "when", "extras", "flags"}
_QUOTED_OR_NESTED = re.compile(r"\"[^\"]*\"|'[^']*'|\[[^\]]*\]")
_V3_FORM = re.compile(r"[A-Za-z0-9._-]+(?:\[.+\])?")
_ARCHIVES = (".conda", ".tar.bz2", ".tar.gz", ".whl")
_UNREADABLE = (InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionSpecError)


def check(specs: Iterable[str], what: str) -> None:
    """Refuse the first entry that cannot be read, or that sends clients to a URL or to a file of their machine."""
    for spec in specs:
        if problem := _problem(spec):
            raise Refused(
                Reason.BAD_MATCH_SPEC,
                f"{spec[:120]!a} in {what} {problem}.",
                "Correct it in the recipe and build again.",
            )


def is_portable(spec: str) -> bool:
    """Return whether the clients that see this readable entry read it alike; old ones never see what needs v3."""
    return portable_specs.is_portable(spec) or _needs_v3(spec)


def need_v3(specs: Iterable[str]) -> bool:
    """Whether any of these readable entries says something that legacy repodata cannot."""
    return any(_needs_v3(spec) for spec in specs)


def in_v3_form(spec: str, what: str) -> str:
    """The entry as CEP 48 wants it in a v3 record: a bare name, or name[key=value,...] with the keys it allows."""
    parsed = _parsed(spec)
    try:
        canonical = None if parsed is None else parsed.to_canonical_string()
    except CanonicalMatchSpecError:
        canonical = None
    if canonical is None or not _keys(canonical) <= _V3_KEYS:
        raise _not_for_v3(spec, what)
    return spec if _V3_FORM.fullmatch(spec) else canonical


@dataclass(frozen=True, slots=True)
class Wanted:
    """A match spec that somebody searches with."""

    name: str
    spec: rattler.MatchSpec

    def takes(self, version: str, build: str, subdir: str) -> bool:
        """Whether a file of the package may be chosen, as far as its name and place tell."""
        record = rattler.PackageRecord(
            name=self.name, version=version, build=rattler.BuildString(build), build_number=0, subdir=subdir,
            arch=None, platform=None,
        )  # fmt: skip
        return self.spec.matches(record)


def wanted(text: str) -> Wanted | None:
    """What somebody asks for as a match spec of one package, or None when it cannot be read as that."""
    try:
        spec = rattler.MatchSpec(text)
    except _UNREADABLE:
        return None
    return None if spec.name is None else Wanted(spec.name.normalized, spec)


def _keys(canonical: str) -> set[str]:
    """The keys between the brackets of an entry in canonical form."""
    _, _, inside = canonical.partition("[")
    bare = _QUOTED_OR_NESTED.sub("", inside.removesuffix("]"))
    return {pair.partition("=")[0] for pair in bare.split(",") if pair}


def _not_for_v3(spec: str, what: str) -> Refused:
    return Refused(
        Reason.BAD_MATCH_SPEC,
        f"{spec[:120]!a} in {what} says what a record of repodata v3 cannot.",
        "It may have a name, version, build, build_number, when, extras and flags.",
    )


def check_readable(index: dict[str, Any]) -> None:
    """
    Refuse an index.json that rattler itself cannot read, whatever our own checks say.

    Its readers take a document whole or not at all: one malformed purl would end the channel for everyone.
    """
    try:
        rattler.IndexJson.from_str(msgspec.json.encode(index).decode())
    except IoError as error:
        raise Refused(
            Reason.BAD_FIELD,
            f"index.json of the package cannot be read by clients: {str(error)[:160]!a}.",
            "Build the package again with a current tool.",
        ) from None


@functools.lru_cache(maxsize=16_384)
def _problem(spec: str) -> str:
    """What is wrong with an entry, in the words that follow it, or nothing."""
    parsed = _parsed(spec)
    if parsed is None:
        return "cannot be read as a match spec"
    # rattler writes paths, channels that are paths, and specs within `when` as URLs. conda and mamba take whatever ends
    # like an archive for a file, and cut off comments first.
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
