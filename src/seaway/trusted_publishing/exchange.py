"""
Exchange a workflow's token for a short-lived publish token (`POST /api/oidc/mint_token`).

1. The order of the checks is fixed: only `iss` is read before the signature is verified, and no network call is made
   for an unregistered issuer.
2. A token is exchanged once, for the publishers that match its identity: its use and the new token are written in one
   transaction, which also reads the matching publishers.
3. A refusal quotes the caller's own token and reveals nothing about a channel's configuration, except that the ids of
   the caller's repository differ from those of every publisher that names it.
4. Neither token is ever logged or stored; only a hash of a used token is stored.
5. A channel owner sees nothing about a run before it uploads to the channel: anyone can add a publisher for a
   repository of another user. The exchange is in the site's audit log only; ids are pinned at once, for the next token,
   and shown after an upload (`trusted_publishing.publisher_uploads`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from joserfc.jwk import Key

from seaway import audit
from seaway.audit import Actor, Event
from seaway.callers import rate_limits
from seaway.callers.caller import Workflow
from seaway.callers.rate_limits import Rate
from seaway.clock import MINUTE_MS, SECOND_MS
from seaway.database.engine import Tx
from seaway.errors import TooManyRequests
from seaway.mail.outbox import Outbox
from seaway.metric_events import EventCounter
from seaway.oidc import jwt
from seaway.oidc.jwt import BadTime, ExpiredToken, ImmatureToken, InvalidToken, MalformedToken, ParsedToken
from seaway.oidc.key_sets import KeySets, KeysUnavailable
from seaway.site import Site
from seaway.trusted_publishing import issuers, publishers, tokens
from seaway.trusted_publishing.issuer_kinds.issuer_kind import Claims, IssuerKind, invalid, missing
from seaway.trusted_publishing.issuers import RULES, Issuer
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.refusals import Code, TokenRefused
from seaway.trusted_publishing.repository_ids import RepositoryIds

_TOKEN_LIFETIME_MS = 30 * MINUTE_MS  # a release of many large files is uploaded well within it
_MAX_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class TokenExchange:
    """Dependencies of the token exchange."""

    site: Site
    key_sets: KeySets
    outbox: Outbox
    look_up_owner: Callable[[PublisherSettings, Issuer], PublisherSettings]  # called before a publisher is saved
    repository_ids: RepositoryIds
    audience: str  # the host of the public URL; never taken from a request
    counts: EventCounter
    slots: CapacityLimiter  # separate: waiting for an issuer must not occupy the threads that readers need


@dataclass(frozen=True, slots=True)
class _Signed:
    """A token whose signature was verified, with its issuer."""

    issuer: Issuer
    token: ParsedToken

    @property
    def kind(self) -> IssuerKind:
        return self.issuer.kind

    @property
    def claims(self) -> Claims:
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


def audience_of(site_url: str) -> str:
    """Return the audience (`aud`) of tokens for this site: its host as clients write it, without the port."""
    host = (urlsplit(site_url).hostname or "").encode("idna").decode()
    return f"[{host}]" if ":" in host else host


def exchange(parts: TokenExchange, text: str, *, address: str) -> str:
    """Return a publish token for a workflow's token; the code of `TokenRefused` gives the reason for a refusal."""
    rate_limits.count_attempt(parts.site.database, parts.site.clock.now_ms(), Rate.EXCHANGE_ADDRESS, address)
    signed = _require_signed(parts, text)
    try:
        return _redeem(parts, signed, address)
    except TokenRefused as refusal:
        _audit_refusal(parts.site, signed, refusal, address)
        raise


def _require_signed(parts: TokenExchange, text: str) -> _Signed:
    """Parse a token and verify its signature."""
    try:
        token = jwt.read(text, RULES)
        issuer = _issuer_of(parts.site, token)
        jwt.verify(token, _key(parts, issuer, token))
    except MalformedToken as error:
        raise TokenRefused(Code.MALFORMED_TOKEN, f"The token {error}.") from None
    except InvalidToken as error:
        raise TokenRefused(Code.INVALID_TOKEN, f"The token {error}.") from None
    return _Signed(issuer, token)


def _key(parts: TokenExchange, issuer: Issuer, token: ParsedToken) -> Key:
    try:
        return parts.key_sets.key(issuer.key_source, token)
    except KeysUnavailable:
        raise TokenRefused(
            Code.ISSUER_UNAVAILABLE, f"The keys of {issuer.issuer} cannot be fetched now. Try again in a moment."
        ) from None


def _redeem(parts: TokenExchange, signed: _Signed, address: str) -> str:
    """Check the claims of a signed token and exchange it."""
    now_ms = parts.site.clock.now_ms()
    _require_audience(signed.claims, parts.audience)
    _require_times(signed.claims, now_ms, signed.kind)
    signed.kind.require_claims(signed.claims)
    signed.kind.check(signed.claims)
    if unknown := signed.kind.unknown(signed.claims):
        parts.counts.unknown_claims(signed.kind.name, len(unknown))
    with parts.site.database.read() as tx:  # tokens without a publisher must not open a write transaction
        _require_publishers(tx, signed)
    rate_limits.count_attempt(
        parts.site.database, now_ms, Rate.EXCHANGE_REPOSITORY, signed.issuer.issuer, signed.subject
    )
    with parts.site.database.write_unlocked() as tx:
        parts.site.database.lock(tx, f"exchange/{signed.issuer.issuer}/{signed.subject}")
        return _mint(tx, now_ms, signed, address)


def _mint(tx: Tx, now_ms: int, signed: _Signed, address: str) -> str:
    """Mark the token as used and create the publish token, in one transaction."""
    matched = _require_unused(tx, signed, _require_publishers(tx, signed, hold=True))
    workflow = _workflow_of(signed, matched[0])
    secret = tokens.mint(tx, now_ms, workflow, matched, life_ms=_TOKEN_LIFETIME_MS)
    for publisher in matched:
        _pin(tx, signed, publisher)
    audit.write(
        tx, now_ms, Actor(workflow.name, ip_address=address), Event.TOKEN_MINTED, target=workflow.name,
        publishers=",".join(str(publisher.id) for publisher in matched), issuer=workflow.issuer,
        repository=workflow.repository, repository_id=workflow.repository_id, ref=workflow.ref, sha=workflow.sha,
        run_id=workflow.run_id, jti_sha256=signed.digest.hex(),
    )  # fmt: skip
    return secret


def _issuer_of(site: Site, token: ParsedToken) -> Issuer:
    with site.database.read() as tx:
        issuer = issuers.find(tx, token.claims.get("iss"))
    if issuer is None:
        raise TokenRefused(Code.UNKNOWN_ISSUER, "The issuer of the token is not registered on this server.")
    if not issuer.is_enabled:
        raise TokenRefused(Code.NOT_ENABLED, f"Publishing from {issuer.kind.label} is disabled on this server.")
    return issuer


def _require_audience(claims: Claims, audience: str) -> None:
    found = claims.get("aud")
    if not isinstance(found, str) or found != audience:
        raise TokenRefused(
            Code.INVALID_AUDIENCE, f"The token is for another server. Request a token with the audience {audience}."
        )


def _require_times(claims: Claims, now_ms: int, kind: IssuerKind) -> None:
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
    if not 0 < (claims["exp"] - claims["iat"]) * SECOND_MS <= kind.max_lifetime_ms:
        raise invalid("exp")


def _require_publishers(tx: Tx, signed: _Signed, *, hold: bool = False) -> list[Publisher]:
    """Return the publishers that match the token, one per channel; raise the refusal if there is none."""
    kind, claims, issuer = signed.kind, signed.claims, signed.issuer.issuer
    candidates = publishers.enabled_for(tx, issuer, kind.subject(claims), lock=hold)
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


def _one_for_each_channel(matching: Sequence[Publisher]) -> list[Publisher]:
    """Select the strictest of several matching publishers per channel, since it was added for this very job."""
    strictest: dict[int, Publisher] = {}
    for publisher in sorted(matching, key=_strictness, reverse=True):
        strictest.setdefault(publisher.channel_id, publisher)
    return sorted(strictest.values(), key=lambda publisher: publisher.id)


def _strictness(publisher: Publisher) -> tuple[int, int, int]:
    named = sum(1 for value in publisher.fields.values() if value)
    return named, len(publisher.conditions), -publisher.id


def _require_unused(tx: Tx, signed: _Signed, matched: Sequence[Publisher]) -> list[Publisher]:
    """Return the publishers for which the token can be exchanged once more; count this exchange."""
    expires_ms = signed.claims["exp"] * SECOND_MS + RULES.leeway_ms
    before = tokens.count_exchange(tx, signed.issuer.issuer, signed.digest, expires_ms)
    remaining = [publisher for publisher in matched if before < publisher.exchanges]
    if not remaining:
        hint = "Upload all files with one command"
        if signed.kind.max_exchanges > 1:
            hint += ', or ask the owner of the channel to raise "exchanges per job token"'
        raise TokenRefused(Code.REUSED_TOKEN, f"The token was already exchanged. {hint}.")
    return remaining


def _pin(tx: Tx, signed: _Signed, publisher: Publisher) -> None:
    pins = {
        name: signed.claims[claim] for name, claim in signed.kind.pins.items() if name not in publisher.criteria.pins
    }
    if pins:
        publishers.pin(tx, publisher, pins)


def _workflow_of(signed: _Signed, publisher: Publisher) -> Workflow:
    workflow = signed.kind.workflow(signed.claims, signed.issuer.issuer)
    return replace(workflow, name=f"{signed.kind.label}: {publisher.name}")


def _audit_refusal(site: Site, signed: _Signed, refusal: TokenRefused, address: str) -> None:
    """
    Write the refusal of a signed token to the audit log, rate-limited per repository.

    Tokens without a valid signature are in the server's log only: anyone can send them, up to the rate limit.
    """
    now_ms = site.clock.now_ms()
    workflow = signed.kind.workflow(signed.claims, signed.issuer.issuer)
    source = workflow.repository or workflow.account
    try:
        rate_limits.count_attempt(site.database, now_ms, Rate.EXCHANGE_REFUSED, workflow.issuer, source)
    except TooManyRequests:
        return
    with site.database.write_unlocked() as tx:
        audit.write(
            tx, now_ms, Actor("workflow", ip_address=address), Event.TOKEN_REFUSED,
            target=source, code=refusal.code, issuer=workflow.issuer,
        )  # fmt: skip


def _described(signed: _Signed) -> str:
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
