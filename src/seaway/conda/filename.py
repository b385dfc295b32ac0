"""
Names of package files, `name-version-build.conda` or `.tar.bz2`: parse, check and write them (CEP 26).

A version may contain capital letters: CEP 33 allows them and ignores case in ordering. A package name may not.
"""

import functools
import re
from dataclasses import dataclass

from seaway.conda.refusals import RefusalReason, Refused

CONDA = ".conda"
TAR_BZ2 = ".tar.bz2"

MAX_FILE_NAME = 211
MAX_PART = 64

_CAPITAL = re.compile(r"[A-Z]")
_NOT_IN_NAME = re.compile(r"[^a-z0-9._-]")
_NAME_RULES = (
    (re.compile(r"^__"), "starts with two underscores, which only virtual packages do"),
    (re.compile(r"^[-.]"), "starts with - or .; it must start with a letter, a digit or an underscore"),
    (re.compile(r"^_[-.]?$"), "has neither a letter nor a digit"),
    (re.compile(r"[-_.]{2}"), "has two of the characters - _ . in a row"),
)
_NOT_IN_VERSION = re.compile(r"[^a-zA-Z0-9._+!]")
_NOT_IN_BUILD = re.compile(r"[^a-zA-Z0-9_.+]")


@dataclass(frozen=True, slots=True)
class FileName:
    """A well-formed file name."""

    name: str
    version: str
    build: str
    extension: str

    @property
    def stem(self) -> str:
        """The distribution string: the file name without its extension."""
        return f"{self.name}-{self.version}-{self.build}"

    def __str__(self) -> str:
        return self.stem + self.extension


def parse(text: str) -> FileName:
    """Split a file name; raise `Refused` (BAD_FILE_NAME) if CEP 26 does not allow it."""
    shown = f"{text[:120]!a}"
    extension = next((known for known in (CONDA, TAR_BZ2) if text.endswith(known)), None)
    if extension is None:
        raise _bad(f"The file name {shown} does not end in .conda or .tar.bz2.")
    if len(text) > MAX_FILE_NAME:
        raise _bad(f"The file name {shown} has {len(text):,} characters; at most {MAX_FILE_NAME} are allowed.")
    parts = text[: -len(extension)].rsplit("-", 2)
    if len(parts) != 3:
        raise _bad(f"The file name {shown} is not name-version-build: it has fewer than two hyphens.")
    name, version, build = parts
    for part, problem in (
        ("package name", name_problem(name)),
        ("version", version_problem(version)),
        ("build string", build_problem(build)),
    ):
        if problem:
            raise _bad(f"The {part} in the file name {shown} {problem}.")
    return FileName(name, version, build, extension)


class NamedFile:
    """Base class of dataclasses with the field `file_name` of a published file."""

    __slots__ = ()
    file_name: str

    @property
    def version(self) -> str:
        """Version from the file name, which equals the version in the record."""
        return parse(self.file_name).version

    @property
    def build(self) -> str:
        """Build string from the file name."""
        return parse(self.file_name).build


def without_extension(file_name: str) -> str:
    """Return the distribution string of a published file."""
    return file_name.removesuffix(CONDA).removesuffix(TAR_BZ2)


def name_problem(text: str) -> str:
    """Return the rule of CEP 26 that a package name breaks, as the end of a sentence, or an empty string."""
    if problem := _length_problem(text):
        return problem
    if capital := _CAPITAL.search(text):
        return f"contains the capital letter {capital[0]!a}; package names are in lower case"
    broken = (sentence for rule, sentence in _NAME_RULES if rule.search(text))
    return _character_problem(text, _NOT_IN_NAME, "lowercase letters, digits and - _ .") or next(broken, "")


def version_problem(text: str) -> str:
    """Check the characters and the length of a version, like `name_problem`; CEP 33 defines the order of versions."""
    return _length_problem(text) or _character_problem(text, _NOT_IN_VERSION, "ASCII letters, digits and . _ + !")


def build_problem(text: str) -> str:
    """Check a build string, like `name_problem`."""
    return _length_problem(text) or _character_problem(text, _NOT_IN_BUILD, "ASCII letters, digits and _ . +")


@functools.lru_cache(4096)
def normalize_name(name: str) -> str:
    """Return a package name in a form that is equal for look-alikes, such as `My.Pkg` and `my_pkg`."""
    return re.sub(r"[._-]+", "-", name.casefold()).strip("-")


def _length_problem(text: str) -> str:
    if not text:
        return "is empty"
    return f"has {len(text):,} characters; at most {MAX_PART} are allowed" if len(text) > MAX_PART else ""


def _character_problem(text: str, forbidden: re.Pattern[str], allowed: str) -> str:
    found = forbidden.search(text)
    return f"contains {found[0]!a}; only {allowed} are allowed" if found else ""


def _bad(sentence: str) -> Refused:
    return Refused(
        RefusalReason.BAD_FILE_NAME,
        sentence,
        "If the file was renamed, use the name that the build tool gave it; otherwise correct the recipe and build again.",
    )
