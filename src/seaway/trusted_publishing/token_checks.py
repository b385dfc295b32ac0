"""
Checks of a workflow's token, in a fixed order, and the choice of the publishers that match it.

The exchange (`trusted_publishing.exchange`) stops at the first refusal; the test of a token on the page of publishers
(`trusted_publishing.token_test`) makes all checks. Both use these functions, so that they cannot disagree.

1. Only `iss` is read before the signature is verified, and no network call is made for an unregistered issuer.
2. A refusal quotes the token and reveals nothing about a channel's configuration, except that the ids of its repository
   differ from those of every publisher that names it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from joserfc.jwk import Key

from seaway.clock import SECOND_MS
from seaway.oidc import jwt
from seaway.oidc.jwt import BadTime, ExpiredToken, ImmatureToken, InvalidToken, MalformedToken, ParsedToken
from seaway.oidc.key_sets import KeySets, KeysUnavailable
from seaway.site import Site
from seaway.trusted_publishing import issuers
from seaway.trusted_publishing.issuer_kinds.issuer_kind import Claims, IssuerKind, invalid, missing
from seaway.trusted_publishing.issuers import RULES, Issuer
from seaway.trusted_publishing.publisher import Publisher
from seaway.trusted_publishing.refusals import Code, TokenRefused

_MAX_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature was verified, with its issuer."""

    issuer: Issuer
    token: ParsedToken

    @property
    def kind(self) -> IssuerKind:
        """Return the kind of its issuer."""
        return self.issuer.kind

    @property
    def claims(self) -> Claims:
        """Return its claims."""
        return self.token.claims

    @property
    def subject(self) -> str:
        """Return the repository or account of the token; call this only after `require_claims`."""
        return self.kind.subject(self.claims).casefold()

    @property
    def digest(self) -> bytes:
        """Return the hash that identifies this token among all tokens of its issuer."""
        text: str = self.claims["jti"] if self.kind.has_jti else self.token.text.rpartition(".")[0]
        return hashlib.sha256(text.encode()).digest()


class ClaimCheck(Enum):
    """A check of the claims of a signed token; the value is its name on pages."""

    AUDIENCE = "Audience"
    TIMES = "Validity"
    CLAIMS = "Claims"
    RUN = "Run"


def read_token(text: str) -> ParsedToken:
    """Parse a token."""
    try:
        return jwt.read(text, RULES)
    except MalformedToken as error:
        raise TokenRefused(Code.MALFORMED_TOKEN, f"The token {error}.") from None
    except InvalidToken as error:
        raise TokenRefused(Code.INVALID_TOKEN, f"The token {error}.") from None


def issuer_of(site: Site, token: ParsedToken) -> Issuer:
    """Return the registered and enabled issuer of a token."""
    with site.database.read() as tx:
        issuer = issuers.find(tx, token.claims.get("iss"))
    if issuer is None:
        raise TokenRefused(Code.UNKNOWN_ISSUER, "The issuer of the token is not registered on this server.")
    if not issuer.is_enabled:
        raise TokenRefused(Code.NOT_ENABLED, f"Publishing from {issuer.kind.label} is disabled on this server.")
    return issuer


def verify(key_sets: KeySets, issuer: Issuer, token: ParsedToken) -> SignedToken:
    """Verify the signature of a token; this may fetch the keys of the issuer."""
    try:
        jwt.verify(token, _key(key_sets, issuer, token))
    except InvalidToken as error:
        raise TokenRefused(Code.INVALID_TOKEN, f"The token {error}.") from None
    return SignedToken(issuer, token)


def _key(key_sets: KeySets, issuer: Issuer, token: ParsedToken) -> Key:
    try:
        return key_sets.key(issuer.key_source, token)
    except KeysUnavailable:
        raise TokenRefused(
            Code.ISSUER_UNAVAILABLE, f"The keys of {issuer.issuer} cannot be fetched now. Try again in a moment."
        ) from None


def _require_audience(signed: SignedToken, audience: str, _now_ms: int) -> None:
    found = signed.claims.get("aud")
    if not isinstance(found, str) or found != audience:
        raise TokenRefused(
            Code.INVALID_AUDIENCE, f"The token is for another server. Request a token with the audience {audience}."
        )


def _require_times(signed: SignedToken, _audience: str, now_ms: int) -> None:
    claims = signed.claims
    try:
        jwt.check_times(claims, now_ms, RULES)
    except BadTime as error:
        raise missing(error.claim) if error.is_missing else invalid(error.claim) from None
    except ExpiredToken:
        raise TokenRefused(
            Code.EXPIRED_TOKEN, "The token has expired. Request a new one right before the upload."
        ) from None
    except ImmatureToken:
        raise TokenRefused(
            Code.IMMATURE_TOKEN, "The token is not valid yet: the clock of the issuer or of this server is wrong."
        ) from None
    if not 0 < (claims["exp"] - claims["iat"]) * SECOND_MS <= signed.kind.max_lifetime_ms:
        raise invalid("exp")


def _require_claims(signed: SignedToken, _audience: str, _now_ms: int) -> None:
    signed.kind.require_claims(signed.claims)


def _check_run(signed: SignedToken, _audience: str, _now_ms: int) -> None:
    signed.kind.check(signed.claims)


CLAIM_CHECKS: Mapping[ClaimCheck, Callable[[SignedToken, str, int], None]] = MappingProxyType(
    {
        ClaimCheck.AUDIENCE: _require_audience,
        ClaimCheck.TIMES: _require_times,
        ClaimCheck.CLAIMS: _require_claims,
        ClaimCheck.RUN: _check_run,  # after the claims, which it reads
    }
)


def select_publishers(signed: SignedToken, candidates: Sequence[Publisher]) -> list[Publisher]:
    """
    Return those of the candidates that match the token, one per channel; raise the refusal if there is none.

    The candidates are enabled publishers for the issuer and the repository or account of the token.
    """
    kind, claims, issuer = signed.kind, signed.claims, signed.issuer.issuer
    matching = [publisher for publisher in candidates if kind.fits(claims, issuer, publisher.criteria)]
    pinned = [publisher for publisher in candidates if publisher.criteria.pins or kind.id_fields]
    if not matching and pinned and all(kind.has_other_ids(claims, publisher.criteria) for publisher in pinned):
        raise TokenRefused(
            Code.OTHER_IDS,
            f"The ids of {kind.label} {_shown(kind.subject(claims))} in the token differ from those of its publisher: "
            "it was recreated, renamed or moved. "
            "Ask the owner of the channel to remove the publisher and add it again.",
        )
    if not matching:
        raise TokenRefused(Code.INVALID_PUBLISHER, f"No channel on this server trusts {_described(signed)}.")
    allowed = [publisher for publisher in matching if kind.allows_reusable_workflow(claims, publisher.criteria)]
    if not allowed:
        raise TokenRefused(
            Code.REUSABLE_WORKFLOW_NOT_ALLOWED,
            f"The job runs the workflow {_shown(claims['job_workflow_ref'])} of another repository. "
            "Publish from a workflow of the same repository, or ask the owner of the channel to allow that one.",
        )
    return _one_for_each_channel(allowed)


def unused_for(signed: SignedToken, matched: Sequence[Publisher], earlier: int) -> list[Publisher]:
    """Return the publishers for which a token can be exchanged once more after `earlier` exchanges."""
    remaining = [publisher for publisher in matched if earlier < publisher.exchanges]
    if not remaining:
        hint = "Upload all files with one command"
        if signed.kind.max_exchanges > 1:
            hint += ', or ask the owner of the channel to raise "exchanges per job token"'
        raise TokenRefused(Code.REUSED_TOKEN, f"The token was already exchanged. {hint}.")
    return remaining


def _one_for_each_channel(matching: Sequence[Publisher]) -> list[Publisher]:
    """Select the strictest of several matching publishers per channel, since it was added for this very job."""
    strictest: dict[int, Publisher] = {}
    for publisher in sorted(matching, key=_strictness, reverse=True):
        strictest.setdefault(publisher.channel_id, publisher)
    return sorted(strictest.values(), key=lambda publisher: publisher.id)


def _strictness(publisher: Publisher) -> tuple[int, int, int]:
    named = sum(1 for value in publisher.fields.values() if value)
    return named, len(publisher.conditions), -publisher.id


def _described(signed: SignedToken) -> str:
    """Describe the workflow with values from the token."""
    workflow = signed.kind.workflow(signed.claims, signed.issuer.issuer)
    subject = _shown(signed.kind.subject(signed.claims))
    described = [f"with {what} {_shown(value)}" for what, value in (
        ("the workflow", workflow.workflow_ref.partition("@")[0].rpartition("/")[2]),
        ("the environment", workflow.environment),
        ("the ref", workflow.ref),
    ) if value]  # fmt: skip
    return " ".join([f"{signed.kind.label} {subject}", *described])


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text.encode("ascii", "backslashreplace").decode()[:_MAX_SHOWN_CHARS]
