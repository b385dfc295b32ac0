"""
What a kind of issuer is: which claims its tokens have, which of them a publisher names, and what else must hold.

1. Ids are compared, not only names: a name can be given to somebody else, an id cannot.
2. A claim that names a file in a repository is compared with the text that we build, and never taken apart.
3. Whatever is not named here is ignored: issuers add claims, and publishing goes on.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from seaway.accounts.principal import Workflow
from seaway.clock import HOUR_MS
from seaway.errors import Malformed
from seaway.trust.refusals import Code, TokenRefused

MAX_CLAIM_BYTES = 1024
_STANDARD = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti", "sub"})

Claims = Mapping[str, Any]


class Form(Enum):
    """What a claim must look like."""

    TEXT = "text"
    TEXT_OR_NULL = "text, or null"
    TOKEN_ID = "text that identifies the token"  # an empty one identifies none: it is missing
    REPOSITORY = "owner/name"
    PROJECT = "two or more names with slashes between them"
    SERVICE_ACCOUNT = "an address that ends in .gserviceaccount.com"
    ID = "a number, written as text"
    SUBJECT = "a long number, written as text"
    TRUE = "true"

    def fits(self, value: object) -> bool:
        """Whether the value looks like that."""
        if self is Form.TRUE:
            return value is True
        if self is Form.TEXT_OR_NULL and value is None:
            return True
        if not isinstance(value, str) or not is_plain(value):
            return False
        return _PATTERNS[self].fullmatch(value) is not None

    def is_missing(self, value: object) -> bool:
        """Whether the value (None where the claim is absent or null) says nothing; what must be true is never missing."""
        return (value is None and self is not Form.TRUE) or (value == "" and self is Form.TOKEN_ID)


_PATTERNS = {
    Form.TEXT: re.compile(r".+"),  # without line breaks, which `is_plain` refuses
    Form.TEXT_OR_NULL: re.compile(r".+"),
    Form.TOKEN_ID: re.compile(r".+"),
    Form.REPOSITORY: re.compile(r"[^/]+/[^/]+"),
    Form.PROJECT: re.compile(r"[^/]+(?:/[^/]+)+"),
    Form.SERVICE_ACCOUNT: re.compile(r"[^@]+@[^@]+\.gserviceaccount\.com"),
    Form.ID: re.compile(r"[0-9]{1,20}"),
    Form.SUBJECT: re.compile(r"[0-9]{1,64}"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """What a publisher names: `check` returns the text as it is kept, or raises `Malformed`."""

    name: str
    label: str
    check: Callable[[str], str]
    is_required: bool = True
    default: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a publisher may ask for besides; `is_list` for several texts, `is_switch` for yes or no, else a text."""

    name: str
    label: str
    check: Callable[[str], str] = str
    is_list: bool = False
    is_switch: bool = False


GateValue = str | bool | list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one publisher asks of a token."""

    matched: Mapping[str, str]
    pins: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, GateValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of issuer."""

    name: str
    label: str
    required: Mapping[str, Form]
    fields: tuple[Field, ...]
    pins: Mapping[str, str]  # what is pinned -> the claim that it is in
    stored: Mapping[str, str]  # a field of `Workflow` -> the claim that it is in
    subject: Callable[[Claims], str]  # the repository that a token is from, or the account
    subject_wanted: Callable[[Mapping[str, str]], str]  # the same of a publisher; case does not matter
    fits: Callable[[Claims, str, Wanted], bool]
    optional: Mapping[str, Form] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    has_jti: bool = True
    exchanges: int = 1  # how often one token can be exchanged, unless the publisher says otherwise
    most_exchanges: int = 1
    longest_ms: int = HOUR_MS
    refuse: Callable[[Claims], None] = lambda _claims: None  # claims that disagree, and what no publisher can allow
    is_allowed_here: Callable[[Claims, Wanted], bool] = lambda _claims, _wanted: True  # else: reusable workflow
    # What its tokens are known to have besides, which is not looked at: a trailing * stands for anything. None: not known.
    ignored: tuple[str, ...] | None = None
    of_environment: str = "environment"  # the field whose absence is worth a hint when the token has one
    id_fields: tuple[str, ...] = ()  # fields of a publisher that are ids of what its other fields name

    def workflow(self, claims: Claims, issuer: str) -> Workflow:
        """What is kept of a token."""
        told = {name: _as_text(claims.get(claim)) for name, claim in self.stored.items()}
        return Workflow(issuer=issuer, kind=self.name, **told)

    def has_other_ids(self, claims: Claims, wanted: Wanted) -> bool:
        """Return whether the ids in a token for the same repository or account differ from those of the publisher."""
        is_same = is_pinned(claims, wanted, self.pins)
        return not is_same or any(claims[name] != wanted.matched[name] for name in self.id_fields)

    def unknown(self, claims: Claims) -> set[str]:
        """Claims that nobody here has heard of: they change nothing, but whoever runs this may want to read of them."""
        if self.ignored is None:
            return set()
        known = {*_STANDARD, *self.required, *self.optional, *self.stored.values(), *self.pins.values(), *self.ignored}
        begins = tuple(name[:-1] for name in self.ignored if name.endswith("*"))
        return {name for name in claims if name not in known and not name.startswith(begins)}

    def require_claims(self, claims: Claims) -> None:
        """Return if every claim that counts is there and in form."""
        for name, form in self.required.items():
            if form.is_missing(claims.get(name)):
                raise missing(name)
            if not form.fits(claims.get(name)):
                raise invalid(name)
        for name, form in self.optional.items():
            if name in claims and claims[name] != "" and not form.fits(claims[name]):
                raise invalid(name)


def _as_text(value: object) -> str:
    """A stored claim: numbers are written out, and what is no text is not kept."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return str(value)
    return value if isinstance(value, str) and is_plain(value) else ""


def missing(claim: str) -> TokenRefused:
    """The refusal of a token that lacks a claim."""
    return TokenRefused(Code.MISSING_CLAIM, f"The token has no claim {claim!r}.")


def invalid(claim: str) -> TokenRefused:
    """The refusal of a token with a claim in the wrong form."""
    return TokenRefused(Code.INVALID_CLAIM, f"The claim {claim!r} of the token has the wrong form.")


def disagreeing(one: str, other: str) -> TokenRefused:
    """The refusal of a token of which two claims contradict each other."""
    return TokenRefused(Code.INVALID_CLAIM, f"The claims {one!r} and {other!r} of the token disagree.")


def is_plain(text: str) -> bool:
    """Whether a text is short and can be shown."""
    return len(text.encode()) <= MAX_CLAIM_BYTES and not any(unicodedata.category(char) == "Cc" for char in text)


def same_name(one: str, other: str) -> bool:
    """Whether two names are one to issuers that ignore case. ASCII only: other letters fold into these (the sign of Kelvin)."""
    return one.isascii() and other.isascii() and one.lower() == other.lower()


def is_pinned(claims: Claims, wanted: Wanted, pins: Mapping[str, str]) -> bool:
    """Whether the token has the ids that were pinned; what is not pinned yet fits."""
    return all(claims[claim] == wanted.pins[name] for name, claim in pins.items() if name in wanted.pins)


def fits_a_ref(ref: str, allowed: GateValue | None) -> bool:
    """Whether a ref is one of those that are allowed, a `*` at the end standing for anything."""
    if not isinstance(allowed, list) or not allowed:
        return True
    return any(ref.startswith(one[:-1]) if one.endswith("*") else ref == one for one in allowed)


def without_git(repository: str) -> str:
    """Return the name of a repository as its tokens have it; the address to clone it from ends in `.git`."""
    return repository[:-4] if repository.lower().endswith(".git") else repository


_ODD = frozenset("'\"`,;\\")


def checked_environment(value: str) -> str:
    """The name of an environment as a publisher has it."""
    if len(value) > 255 or value != value.strip() or not is_plain(value) or _ODD & set(value):
        raise Malformed(
            "This cannot be the name of an environment.", "It has at most 255 characters, and none of ' \" ` , ; \\"
        )
    return value


def checked_text(value: str) -> str:
    """A text that a claim must be, byte for byte."""
    if not value or value != value.strip() or not is_plain(value):
        raise Malformed("This cannot be what a claim says.", "Give 1 to 1,024 bytes without line breaks.")
    return value


def checked_ref(value: str) -> str:
    """A branch or tag that may publish."""
    if not re.fullmatch(r"refs/[^\s*\\~^:?\[]+\*?", value) or len(value) > 255:
        raise Malformed(f"{value[:60]!a} is not a ref.", "Give refs/heads/main, refs/tags/v*, or the like.")
    return value
