"""
Kinds of issuers: the claims in their tokens, the claims that a publisher names, and the other conditions.

1. Ids are compared, not only names: a name can be reused by another user, an id cannot.
2. A claim that names a file in a repository is compared with a string that the server builds, and is never parsed.
3. Unknown claims are ignored, so publishing continues to work when issuers add claims.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from seaway.callers.caller import Workflow
from seaway.clock import HOUR_MS
from seaway.errors import Malformed
from seaway.trusted_publishing.refusals import Code, TokenRefused

MAX_CLAIM_BYTES = 1024
REFS_EXAMPLE = "refs/tags/v* refs/heads/main"
_STANDARD = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti", "sub"})

# The fields of a `Workflow` that come from claims.
STORED = tuple(item.name for item in fields(Workflow) if item.name not in ("issuer", "kind", "name"))

Claims = Mapping[str, Any]


class ClaimFormat(Enum):
    """The required format of a claim."""

    TEXT = "text"
    TEXT_OR_NULL = "text, or null"
    TOKEN_ID = "text that identifies the token"  # an empty one counts as missing
    REPOSITORY = "owner/name"
    PROJECT = "two or more names with slashes between them"
    SERVICE_ACCOUNT = "an email address that ends in .gserviceaccount.com"
    ID = "a number, written as text"
    SUBJECT = "a long number, written as text"
    TRUE = "true"

    def fits(self, value: object) -> bool:
        """Return whether the value has this format."""
        if self is ClaimFormat.TRUE:
            return value is True
        if self is ClaimFormat.TEXT_OR_NULL and value is None:
            return True
        if not isinstance(value, str) or not is_plain(value):
            return False
        return _PATTERNS[self].fullmatch(value) is not None

    def is_missing(self, value: object) -> bool:
        """Return whether the claim is missing; the value is None if it is absent or null. `TRUE` is never missing."""
        return (value is None and self is not ClaimFormat.TRUE) or (value == "" and self is ClaimFormat.TOKEN_ID)


_PATTERNS = {
    ClaimFormat.TEXT: re.compile(r".+"),  # line breaks are refused by `is_plain`
    ClaimFormat.TEXT_OR_NULL: re.compile(r".+"),
    ClaimFormat.TOKEN_ID: re.compile(r".+"),
    ClaimFormat.REPOSITORY: re.compile(r"[^/]+/[^/]+"),
    ClaimFormat.PROJECT: re.compile(r"[^/]+(?:/[^/]+)+"),
    ClaimFormat.SERVICE_ACCOUNT: re.compile(r"[^@]+@[^@]+\.gserviceaccount\.com"),
    ClaimFormat.ID: re.compile(r"[0-9]{1,20}"),
    ClaimFormat.SUBJECT: re.compile(r"[0-9]{1,64}"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a publisher; `check` returns the value to store, or raises `Malformed`."""

    name: str
    label: str
    check: Callable[[str], str]
    is_required: bool = True
    default: str = ""
    example: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """An optional condition of a publisher: a list of texts (`is_list`), yes or no (`is_switch`), or a text."""

    name: str
    label: str
    check: Callable[[str], str] = str
    is_list: bool = False
    is_switch: bool = False
    example: str = ""
    hint: str = ""


GateValue = str | bool | list[str]


@dataclass(frozen=True, slots=True)
class Criteria:
    """The requirements of a publisher for a token."""

    matched: Mapping[str, str]
    pins: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, GateValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A requirement of a publisher, and what a token has instead; `wanted` is empty for pinned ids, which stay hidden."""

    label: str
    wanted: str
    found: str
    is_met: bool


Comparisons = Sequence[Comparison]


@dataclass(frozen=True, slots=True)
class IssuerKind:
    """A kind of issuer."""

    name: str
    label: str
    required: Mapping[str, ClaimFormat]
    fields: tuple[Field, ...]
    pins: Mapping[str, str]  # pinned id -> its claim
    stored: Mapping[str, str]  # field of `Workflow` -> its claim
    subject: Callable[[Claims], str]  # repository or account of a token
    publisher_subject: Callable[[Mapping[str, str]], str]  # the same for a publisher's fields; case is ignored
    compare: Callable[[Claims, str, Criteria], Comparisons]  # token, issuer and requirements
    optional: Mapping[str, ClaimFormat] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    has_jti: bool = True
    default_exchanges: int = 1  # how often one token can be exchanged, unless the publisher sets another number
    max_exchanges: int = 1
    max_lifetime_ms: int = HOUR_MS
    check: Callable[[Claims], None] = lambda _claims: None  # refuses contradictory claims and denied events
    allows_reusable_workflow: Callable[[Claims, Criteria], bool] = lambda _claims, _wanted: (
        True
    )  # False: reusable workflow
    # Other claims that the tokens are known to have; a trailing * matches anything. None: the claims are not known.
    ignored: tuple[str, ...] | None = None
    environment_field: str = "environment"  # the field that gets a hint if it is empty and the token has an environment
    id_fields: tuple[str, ...] = ()  # fields of a publisher with the ids of the things that its other fields name

    def fits(self, claims: Claims, issuer: str, wanted: Criteria) -> bool:
        """Return whether a token meets every requirement."""
        return all(comparison.is_met for comparison in self.compare(claims, issuer, wanted))

    def workflow(self, claims: Claims, issuer: str) -> Workflow:
        """Return the claims to store, as a `Workflow`."""
        values = {name: _as_text(claims.get(claim)) for name, claim in self.stored.items()}
        return Workflow(issuer=issuer, kind=self.name, **values)

    def has_other_ids(self, claims: Claims, wanted: Criteria) -> bool:
        """Return whether the ids in a token for the same repository or account differ from those of the publisher."""
        is_same = matches_pins(claims, wanted, self.pins)
        return not is_same or any(claims[name] != wanted.matched[name] for name in self.id_fields)

    def unknown(self, claims: Claims) -> set[str]:
        """Return the names of unknown claims; they have no effect and are only counted for the operator."""
        if self.ignored is None:
            return set()
        known = {*_STANDARD, *self.required, *self.optional, *self.stored.values(), *self.pins.values(), *self.ignored}
        begins = tuple(name[:-1] for name in self.ignored if name.endswith("*"))
        return {name for name in claims if name not in known and not name.startswith(begins)}

    def require_claims(self, claims: Claims) -> None:
        """Refuse a token with a missing or malformed claim."""
        for name, form in self.required.items():
            if form.is_missing(claims.get(name)):
                raise missing(name)
            if not form.fits(claims.get(name)):
                raise invalid(name)
        for name, form in self.optional.items():
            if name in claims and claims[name] != "" and not form.fits(claims[name]):
                raise invalid(name)


def _as_text(value: object) -> str:
    """Convert a claim to text for storing: numbers in decimal, other non-text values as an empty string."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return str(value)
    return value if isinstance(value, str) and is_plain(value) else ""


def missing(claim: str) -> TokenRefused:
    """Return the refusal for a missing claim."""
    return TokenRefused(Code.MISSING_CLAIM, f"The token has no claim {claim!r}.")


def invalid(claim: str) -> TokenRefused:
    """Return the refusal for a malformed claim."""
    return TokenRefused(Code.INVALID_CLAIM, f"The claim {claim!r} of the token has an invalid format.")


def disagreeing(one: str, other: str) -> TokenRefused:
    """Return the refusal for two claims that contradict each other."""
    return TokenRefused(Code.INVALID_CLAIM, f"The claims {one!r} and {other!r} of the token contradict each other.")


def is_plain(text: str) -> bool:
    """Return whether a text is short and has no control characters."""
    return len(text.encode()) <= MAX_CLAIM_BYTES and not any(unicodedata.category(char) == "Cc" for char in text)


def same_name(one: str, other: str) -> bool:
    """Return whether two names are equal if case is ignored; ASCII only, since the Kelvin sign folds to k."""
    return one.isascii() and other.isascii() and one.lower() == other.lower()


def is_file_at(reference: str, start: str, file: str, versions: Sequence[str]) -> bool:
    """Return whether a reference is the start, ignoring case, then exactly the file at one of the versions."""
    rest = reference[len(start) :]
    return same_name(reference[: len(start)], start) and rest in {f"{file}@{version}" for version in versions}


def matches_pins(claims: Claims, wanted: Criteria, pins: Mapping[str, str]) -> bool:
    """Return whether the token has the pinned ids; an id that is not pinned yet matches."""
    return all(claims[claim] == wanted.pins[name] for name, claim in pins.items() if name in wanted.pins)


def compare_pins(claims: Claims, wanted: Criteria, pins: Mapping[str, str]) -> list[Comparison]:
    """Compare the ids that are pinned; an id that is not pinned yet is no requirement."""
    return [
        Comparison(name.replace("_", " ").capitalize(), "", claims[claim], claims[claim] == wanted.pins[name])
        for name, claim in pins.items()
        if name in wanted.pins
    ]


def compare_ref(ref: str, allowed: GateValue | None) -> list[Comparison]:
    """Compare the ref with the allowed ones, if there are any."""
    if not isinstance(allowed, list) or not allowed:
        return []
    return [Comparison("Branch or tag", " or ".join(allowed), ref, matches_ref(ref, allowed))]


def matches_ref(ref: str, allowed: GateValue | None) -> bool:
    """Return whether a ref is allowed; a trailing `*` in an allowed ref matches anything."""
    if not isinstance(allowed, list) or not allowed:
        return True
    return any(ref.startswith(pattern[:-1]) if pattern.endswith("*") else ref == pattern for pattern in allowed)


def without_git(repository: str) -> str:
    """Return the repository name as in tokens, without the `.git` of clone URLs."""
    return repository[:-4] if repository.lower().endswith(".git") else repository


_FORBIDDEN = frozenset("'\"`,;\\")


def checked_environment(value: str) -> str:
    """Return the name of an environment; `Malformed` if it is invalid."""
    if len(value) > 255 or value != value.strip() or not is_plain(value) or _FORBIDDEN & set(value):
        raise Malformed(
            "The name of the environment is invalid.", "Use at most 255 characters, and none of ' \" ` , ; \\"
        )
    return value


def checked_text(value: str) -> str:
    """Return the required value of a claim; `Malformed` if it is invalid."""
    if not value or value != value.strip() or not is_plain(value):
        raise Malformed("The value of the claim is invalid.", "Use 1 to 1,024 bytes without line breaks.")
    return value


def checked_ref(value: str) -> str:
    """Return a ref pattern of branches or tags that can publish; `Malformed` if it is invalid."""
    if not re.fullmatch(r"refs/[^\s*\\~^:?\[]+\*?", value) or len(value) > 255:
        raise Malformed(f"{value[:60]!a} is not a ref.", "Enter a ref such as refs/heads/main or refs/tags/v*.")
    return value
