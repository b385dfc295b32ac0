"""
Strict JSON for tokens that every parser reads alike: no duplicate members, no NaN, no lone surrogates, no deep nesting.

Of two equal members one library uses the first and another the last, so a check could see another value than the code
that relies on it. Stricter than `strict_json` except for numbers: a number of 400 digits is JSON, and is refused
later as a time.
"""

import json
import re
from typing import Any, NoReturn

_MAX_NESTING = 32
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object; `ValueError` if the bytes are anything else or could be read in two ways."""
    text = content.decode("utf-8")
    if _nesting(text) > _MAX_NESTING:
        raise ValueError("nested too deeply")
    value = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error type for every invalid text
    if "\\u" in text:  # only an escape can be a lone surrogate, which cannot be encoded or stored
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _nesting(text: str) -> int:
    """Return the nesting depth of brackets, counted before the recursive parser sees them."""
    depth = deepest = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
