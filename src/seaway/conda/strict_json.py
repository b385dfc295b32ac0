"""
JSON that every reader reads alike: what a stranger wrote means one thing, or it is refused.

Refused are duplicate keys, NaN and numbers beyond 64 bits, what is not UTF-8 or holds lone surrogates, and deep nesting.
"""

import json
import math
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 64


class NotStrict(ValueError):
    """The text is not JSON of this kind; says why in a few words."""


def decode(data: bytes) -> Any:
    """
    The value, or `NotStrict`.

    msgspec refuses what is not UTF-8 and lone surrogates, which could not be written out again; Python's
    own reader tells of duplicate keys, of which some clients take the first and others the last.
    """
    try:
        msgspec.json.decode(data)
        value = _reader.decode(data.decode())
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise NotStrict(str(error)[:120]) from None
    if _depth(value) > MAX_DEPTH:
        raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def require_single_keys(data: bytes) -> None:
    """Raise `NotStrict` on duplicate keys and on what Python cannot read; about half the cost of `decode`, and less memory."""
    try:
        _key_reader.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise NotStrict(str(error)[:120]) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands in it twice")
    return value


def _only_keys(pairs: list[tuple[str, Any]]) -> None:
    _no_duplicates(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def _narrow_int(digits: str) -> int:
    """Shards are msgpack, which ends at 64 bits; and Python takes a second for a number of a million digits."""
    value = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


# Made once: `json.loads` makes a reader for each text, and asks first which of five encodings it has.
_reader = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_float, parse_int=_narrow_int
)

_key_reader = json.JSONDecoder(object_pairs_hook=_only_keys, parse_constant=_no_constant, parse_int=_narrow_int)


def _depth(value: object) -> int:
    """How deep lists and objects are nested, up to one more than allowed; without recursion, since it may be thousands."""
    depth, containers = 0, [value] if isinstance(value, (dict, list)) else []
    while containers and depth <= MAX_DEPTH:
        depth += 1
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, (dict, list))
        ]
    return depth
