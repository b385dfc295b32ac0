"""
Strict parser for untrusted JSON: accepts only documents that all parsers read alike.

It refuses duplicate keys, NaN, numbers beyond 64 bits, text that is not UTF-8, lone surrogates, and deep nesting.
"""

import json
import math
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 64


class NotStrict(ValueError):
    """The document is not strict JSON; the message is the reason in a few words."""


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """
    Return the parsed value, or raise `NotStrict`.

    msgspec refuses text that is not UTF-8 and lone surrogates, which cannot be written out again. Python's parser can
    detect duplicate keys, of which some clients use the first and others the last.
    """
    try:
        msgspec.json.decode(data)
        value = _reader.decode(data.decode())
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise NotStrict(str(error)[:120]) from None
    if _depth(value, max_depth) > max_depth:
        raise NotStrict(f"it is nested deeper than {max_depth} levels")
    return value


def require_single_keys(data: bytes) -> None:
    """Raise `NotStrict` on duplicate keys and invalid JSON, at half the cost of `decode` and with less memory."""
    try:
        _key_reader.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise NotStrict(str(error)[:120]) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("it contains a duplicate key")
    return value


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    _no_duplicates(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def _int64(digits: str) -> int:
    """Parse an integer of at most 64 bits, the limit of msgpack. Python takes a second to parse a million digits."""
    value = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


# Created once: `json.loads` creates a decoder for each call and first detects which of five encodings the text has.
_reader = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_float, parse_int=_int64
)

_key_reader = json.JSONDecoder(object_pairs_hook=_check_keys, parse_constant=_no_constant, parse_int=_int64)


def _depth(value: object, limit: int) -> int:
    """Return the nesting depth, up to one above the limit; not recursive, because it can be thousands of levels."""
    depth, containers = 0, [value] if isinstance(value, (dict, list)) else []
    while containers and depth <= limit:
        depth += 1
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, (dict, list))
        ]
    return depth
