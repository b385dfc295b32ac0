"""
Metadata corrections of published records, for files whose own metadata is wrong.

1. Only `depends`, `constrains`, `license` and `track_features` can be corrected, never the fields that identify the
   bytes.
2. A correction contains the corrected and the original values of the same fields, so that the record can be made from
   the package and the correction, and the original from the record and the correction.
3. New values must pass the checks of an upload. A record stays in its section: values that need repodata v3 are refused
   for a legacy record, which old clients read.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from seaway.conda import match_specs, metadata
from seaway.conda.record import MAX_RECORD_BYTES, Section, encode
from seaway.conda.refusals import RefusalReason, Refused

FIELDS = ("depends", "constrains", "license", "track_features")
_SPECS = ("depends", "constrains")
_TEXTS = ("license", "track_features")
_EMPTY: tuple[object, ...] = ("", [], None)


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Corrected fields. A field only in `original` is removed from the record; a field only in `fields` is added."""

    fields: dict[str, Any]
    original: dict[str, Any]
    reason: str
    by: str
    at_ms: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the corrected fields, in the order of `FIELDS`."""
        return tuple(name for name in FIELDS if name in self.fields or name in self.original)


_decoder = msgspec.json.Decoder(Correction)
_encoder = msgspec.json.Encoder(order="sorted")


def decode(content: bytes | None) -> Correction | None:
    """Return a stored correction, or None; raise `msgspec.MsgspecError` or `ValueError` if it is damaged."""
    if content is None:
        return None
    correction = _decoder.decode(content)
    if not set(correction.fields) | set(correction.original) <= set(FIELDS):
        raise ValueError("it corrects a field that cannot be corrected")
    msgspec.convert([correction.fields, correction.original], list[dict[str, list[str] | str | None]])
    return correction


def encode_correction(correction: Correction) -> bytes:
    """Return the bytes to store; equal corrections give equal bytes."""
    return _encoder.encode(correction)


def apply(record: Mapping[str, Any], correction: Correction | None) -> dict[str, Any]:
    """Return the corrected record of an original one."""
    return dict(record) if correction is None else _replaced(record, correction.names, correction.fields)


def revert(record: Mapping[str, Any], correction: Correction | None) -> dict[str, Any]:
    """Return the original record of a corrected one."""
    return dict(record) if correction is None else _replaced(record, correction.names, correction.original)


def differing_fields(original: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the wanted values that differ from the original record, and the original values of those fields."""
    names = [name for name in FIELDS if not _is_same(wanted.get(name), original.get(name))]
    return _subset(wanted, names), _subset(original, names)


def validate(changes: Mapping[str, Any], section: Section) -> dict[str, Any]:
    """Return new values in record form; raise `Refused` if an upload or a record of this section cannot have them."""
    try:
        values = metadata.validate_fields(changes)
        for name in _SPECS:
            match_specs.check(values.get(name, ()), name)
    except Refused as error:
        raise Refused(error.reason, error.message, "Correct the value.") from None
    values |= {name: values[name].strip() for name in _TEXTS if name in values}
    for name in _SPECS:
        specs = values.get(name, [])
        if section.is_v3:
            values |= {name: [match_specs.to_v3_form(spec, name) for spec in specs]} if name in values else {}
        elif modern := next((spec for spec in specs if match_specs.any_needs_v3([spec])), None):
            raise Refused(
                RefusalReason.BAD_MATCH_SPEC,
                f"{modern[:120]!a} in {name} needs repodata v3, but this file is listed in legacy repodata.",
                "Write it without conditions, extras and flags, or publish a new build.",
            )
    return values


def check_corrected_record(record: dict[str, Any]) -> None:
    """Refuse a corrected record that clients could not read or that is too large."""
    match_specs.check_readable(record)
    if len(encode(record)) > MAX_RECORD_BYTES:
        raise Refused(
            RefusalReason.RECORD_TOO_LARGE,
            f"The corrected metadata is larger than {MAX_RECORD_BYTES // 1024} KiB.",
            "Shorten depends and constrains.",
        )


def _replaced(record: Mapping[str, Any], names: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names} | _subset(values, names)


def _subset(values: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _is_same(left: object, right: object) -> bool:
    return left == right or (left in _EMPTY and right in _EMPTY)
