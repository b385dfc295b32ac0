"""
Portable match specs, which conda, mamba and rattler read alike.

rattler reads more than the other two. conda drops everything between parentheses (`pandas (>=1.4,<1.5)|>=2.2` is an
error there, and `pandas (>=1.4,<1.5)` matches any version) and refuses `~=1.*` and a leading space. mamba refuses
`>1 | <0.5`, reads the end of `>=1 , <2` as a build string, and does not find the version in `=3.8 h1_0`. The patterns
below describe the syntax that conda 26.7, mamba 2.8 and rattler 0.28 read alike: other specs are accepted with a
warning.
"""

import functools
import re
from collections.abc import Sequence

from seaway.conda import filename

_PARTS = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"
_VERSION = rf"(?:[0-9]+!)?{_PARTS}(?:\+{_PARTS})?"
_ENDING = r"(?:\.?\*|_)?"
_CLAUSE = rf"(?:=?\*|~=\ *{_VERSION}_?|(?:>=|<=|==|!=|[<>])\ *{_VERSION}{_ENDING}|=?(?![A-Z]){_VERSION}{_ENDING})"
_CLAUSES = rf"(?:=\ +{_VERSION}{_ENDING}|{_CLAUSE})(?:(?:,\ (?!=[^=])|,|\|){_CLAUSE})*"
_BUILD = r"[A-Za-z0-9_.+*]+|\^[^\s=\[\]]+\$"
_VALUE = r"(?:'[^'\[\]]*'|\"[^\"\[\]]*\"|[^\s,'\"\[\]=][^\s,'\"\[\]]*)"
_PAIR = rf"\ *[a-z0-9_]+={_VALUE}\ *"

_SPEC = re.compile(
    rf"""
    (?:[A-Za-z0-9._/-]+::)?                                    # channel, perhaps with a subdir
    (?P<name>[A-Za-z0-9._-]+)
    (?:
        (?:\ +(?P<version>{_CLAUSES})|(?P<attached>(?=[<>=!~]){_CLAUSES}))
        (?:(?P<space>\ +=?|=)(?P<build>{_BUILD}))?
    )?
    \ *(?P<brackets>\[{_PAIR}(?:,{_PAIR})*\])?
    (?:\ +\#.*|\ *)                                            # comment
    """,
    re.VERBOSE,
)
_BRACKET_VALUE = re.compile(rf"[\[,]\ *(version|build_number)=({_VALUE})")
_BRACKET_FORMS = {
    "version": re.compile(_CLAUSES),
    "build_number": re.compile(r"(?:>=|<=|!=|[<>=])?[0-9]+"),
}


_MAX_SHOWN = 3


def warnings(unportable: Sequence[str]) -> tuple[str, ...]:
    """Return a warning about the entries that are not portable, each given with its field; empty without entries."""
    if not unportable:
        return ()
    shown = ", ".join(unportable[:_MAX_SHOWN]) + (", and others" if len(unportable) > _MAX_SHOWN else "")
    warning = (
        f"conda or mamba cannot read these match specs, or reads them differently from rattler: {shown}. "
        "Write them as name version build, without parentheses, and without spaces around | or before a comma."
    )
    return (warning,)


@functools.lru_cache(maxsize=16_384)
def is_portable(spec: str) -> bool:
    """Return whether conda and mamba read a spec that rattler accepts in the same way as rattler."""
    found = _SPEC.fullmatch(spec)
    if found is None or not _is_name(found["name"].lower()) or " if " in spec:  # conda removes conditions
        return False
    version = found["version"] or found["attached"] or ""
    # mamba looks for the build after the last `=`; if that is the first character, the version becomes part of the
    # build.
    if found["build"] and found["space"].isspace() and version.rfind("=") == 0:
        return False
    bracket_values = _BRACKET_VALUE.findall(found["brackets"] or "")
    return all(_BRACKET_FORMS[key].fullmatch(value.strip("'\"")) for key, value in bracket_values)


def _is_name(name: str) -> bool:
    """Return whether this is a valid name of a package or a virtual package."""
    return not filename.name_problem(name[2:] if name.startswith("__") and name[2:3] != "_" else name)
