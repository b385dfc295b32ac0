"""
JSON of a token that every reader reads alike: no member twice, no NaN, no lone surrogates, no deep nesting.

Of two equal members one library takes the first and another the last, and who checks may be another than who acts.
Stricter than `conda.strict_json` but for numbers: one of 400 digits is JSON, and says a time that is refused as such.
"""

import json
import re
from typing import Any, NoReturn

_MAX_NESTING = 32
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_object(content: bytes) -> dict[str, Any]:
    """The object that these bytes are; `ValueError` if they are anything else, or could be read in two ways."""
    text = content.decode("utf-8")
    if _nesting(text) > _MAX_NESTING:
        raise ValueError("nested too deeply")
    value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for whatever is wrong with the text
    if "\\u" in text:  # the only way to a lone surrogate, which is in no text and cannot be kept
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _nesting(text: str) -> int:
    """How deep brackets go, counted before anything that recurses looks at them."""
    depth = deepest = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
