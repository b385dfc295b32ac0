"""The name of a package file, `name-version-build.conda` or `.tar.bz2`: split, checked, written (CEP 26)."""

import functools
import re
from dataclasses import dataclass

from seaway.conda.refusals import Reason, Refused

CONDA = ".conda"
TAR_BZ2 = ".tar.bz2"

MAX_FILE_NAME = 211
MAX_PART = 64

# All are used with `fullmatch`: with `match`, the `$` of the CEP's own pattern lets "foo\n" through.
_NAME = re.compile(r"_?[a-z0-9]+(?:[._-][a-z0-9]+)*[._-]?")
_VERSION = re.compile(r"[a-z0-9._+!]+")
_BUILD = re.compile(r"[a-zA-Z0-9_.+]+")


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name that was found well-formed."""

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
    """Split a file name; `Refused` with BAD_FILE_NAME when CEP 26 does not allow it."""
    extension = next((known for known in (CONDA, TAR_BZ2) if text.endswith(known)), None)
    if extension is None or len(text) > MAX_FILE_NAME:
        raise _bad(text)
    parts = text[: -len(extension)].rsplit("-", 2)
    if len(parts) != 3 or not is_name(parts[0]) or not is_version(parts[1]) or not is_build(parts[2]):
        raise _bad(text)
    return FileName(parts[0], parts[1], parts[2], extension)


def is_name(text: str) -> bool:
    """Whether CEP 26 allows this name for a package that can be distributed."""
    return len(text) <= MAX_PART and _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether a version has only the characters that CEP 26 allows; its order is CEP 33's."""
    return len(text) <= MAX_PART and _VERSION.fullmatch(text) is not None


def is_build(text: str) -> bool:
    """Whether CEP 26 allows this build string."""
    return len(text) <= MAX_PART and _BUILD.fullmatch(text) is not None


@functools.lru_cache(4096)
def folded(name: str) -> str:
    """What is left of a package name when all that eyes pass over is taken away: `My.Pkg` and `my_pkg` are one."""
    return re.sub(r"[._-]+", "-", name.casefold()).strip("-")


def _bad(text: str) -> Refused:
    return Refused(
        Reason.BAD_FILE_NAME,
        f"{text[:120]!a} is not a package file name.",
        "It has the form name-version-build.conda or name-version-build.tar.bz2, as the build tool wrote it.",
    )
