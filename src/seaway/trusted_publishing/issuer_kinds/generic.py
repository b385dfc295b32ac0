"""
Issuers defined by configuration: the claims that a publisher names, the pinned claims and the stored claims.

Matched claims are compared byte for byte: a generic issuer has no code that knows whether the issuer ignores case.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Annotated

import msgspec

from seaway.clock import DAY_MS, HOUR_MS
from seaway.errors import Malformed
from seaway.trusted_publishing.issuer_kinds.issuer_kind import (
    STORED,
    ClaimFormat,
    Claims,
    Comparison,
    Comparisons,
    Criteria,
    Field,
    IssuerKind,
    checked_text,
    compare_pins,
)

NO_EXAMPLES: Mapping[str, str] = MappingProxyType({})
_HINT = "Exactly as in the tokens of this issuer."
_Names = Annotated[list[str], msgspec.Meta(max_length=16)]


class IssuerRules(msgspec.Struct, forbid_unknown_fields=True):
    """Rules for the claims of an issuer's tokens."""

    match: Annotated[_Names, msgspec.Meta(min_length=1)]  # a publisher must name all of these
    match_optional: _Names = []
    pin: _Names = []  # ids that are pinned at first use
    stored: dict[str, str] = {}
    jti: bool = True
    exchanges: Annotated[int, msgspec.Meta(ge=1, le=60)] = 1
    longest_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = HOUR_MS // 1000
    label: str = ""


def read_rules(text: str) -> IssuerRules:
    """Parse rules from JSON; `Malformed` if they are invalid."""
    try:
        rules = msgspec.json.decode(text, type=IssuerRules)
    except msgspec.MsgspecError as error:
        raise Malformed(
            f"The rules of the issuer are invalid: {error}.", "See the examples in docs/operate/issuers.md."
        ) from None
    unknown = sorted(set(rules.stored) - set(STORED))
    if unknown:
        raise Malformed(f"The rules cannot store {unknown[0][:60]!a}.", f"The fields are {', '.join(STORED)}.")
    return rules


def make_kind(name: str, label: str, rules: IssuerRules, examples: Mapping[str, str] = NO_EXAMPLES) -> IssuerKind:
    """Return the kind of issuer that these rules describe; `examples` are values of claims, for forms."""
    return IssuerKind(
        name=name,
        label=rules.label or label,
        required={
            **({"jti": ClaimFormat.TOKEN_ID} if rules.jti else {}),
            **dict.fromkeys((*rules.match, *rules.pin), ClaimFormat.TEXT),
        },
        optional=dict.fromkeys(rules.match_optional, ClaimFormat.TEXT_OR_NULL),
        fields=(
            *(_field(claim, checked_text, examples) for claim in rules.match),
            *(_field(claim, _checked_optional, examples, is_required=False) for claim in rules.match_optional),
        ),
        pins={claim: claim for claim in rules.pin},
        stored=rules.stored,
        subject=partial(_subject, tuple(rules.match)),
        publisher_subject=partial(_subject, tuple(rules.match)),
        has_jti=rules.jti,
        default_exchanges=rules.exchanges,
        max_exchanges=max(rules.exchanges, 10),
        max_lifetime_ms=min(rules.longest_seconds * 1000, DAY_MS),
        compare=_compare,
        environment_field="",
    )


def _field(claim: str, check: Callable[[str], str], examples: Mapping[str, str], *, is_required: bool = True) -> Field:
    return Field(claim, claim, check, is_required, example=examples.get(claim, f"value of {claim}"), hint=_HINT)


def _compare(claims: Claims, _issuer: str, wanted: Criteria) -> Comparisons:
    named: Mapping[str, str] = {claim: value for claim, value in wanted.matched.items() if value}
    return [
        *(
            Comparison(claim, value, str(claims.get(claim) or ""), claims.get(claim) == value)
            for claim, value in named.items()
        ),
        *compare_pins(claims, wanted, {claim: claim for claim in wanted.pins}),
    ]


def _subject(match: Sequence[str], named: Mapping[str, str]) -> str:
    return "/".join(named[claim] for claim in match)


def _checked_optional(value: str) -> str:
    return checked_text(value) if value else ""
