"""
Exchange a workflow's token for a short-lived publish token (`POST /api/oidc/mint_token`).

1. The order of the checks is fixed (`trusted_publishing.token_checks`).
2. A token is exchanged once, for the publishers that match its identity: its use and the new token are written in one
   transaction, which also reads the matching publishers.
3. Neither token is ever logged or stored; only a hash of a used token is stored.
4. A channel owner sees nothing about a run before it uploads to the channel: anyone can add a publisher for a
   repository of another user. The exchange is in the site's audit log only; ids are pinned at once, for the next token,
   and shown after an upload (`trusted_publishing.publisher_uploads`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from anyio import CapacityLimiter

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
from seaway.oidc.key_sets import KeySets
from seaway.site import Site
from seaway.trusted_publishing import publishers, token_checks, tokens
from seaway.trusted_publishing.issuers import RULES, Issuer
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.refusals import TokenRefused
from seaway.trusted_publishing.repository_ids import RepositoryIds
from seaway.trusted_publishing.token_checks import CLAIM_CHECKS, SignedToken

_TOKEN_LIFETIME_MS = 30 * MINUTE_MS  # a release of many large files is uploaded well within it


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


def audience_of(site_url: str) -> str:
    """Return the audience (`aud`) of tokens for this site: its host as clients write it, without the port."""
    host = (urlsplit(site_url).hostname or "").encode("idna").decode()
    return f"[{host}]" if ":" in host else host


def exchange(parts: TokenExchange, text: str, *, address: str) -> str:
    """Return a publish token for a workflow's token; the code of `TokenRefused` gives the reason for a refusal."""
    rate_limits.count_attempt(parts.site.database, parts.site.clock.now_ms(), Rate.EXCHANGE_ADDRESS, address)
    token = token_checks.read_token(text)
    signed = token_checks.verify(parts.key_sets, token_checks.issuer_of(parts.site, token), token)
    try:
        return _redeem(parts, signed, address)
    except TokenRefused as refusal:
        _audit_refusal(parts.site, signed, refusal, address)
        raise


def _redeem(parts: TokenExchange, signed: SignedToken, address: str) -> str:
    """Check the claims of a signed token and exchange it."""
    now_ms = parts.site.clock.now_ms()
    for check in CLAIM_CHECKS.values():
        check(signed, parts.audience, now_ms)
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


def _mint(tx: Tx, now_ms: int, signed: SignedToken, address: str) -> str:
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


def _require_publishers(tx: Tx, signed: SignedToken, *, hold: bool = False) -> list[Publisher]:
    """Return the publishers that match the token, one per channel; raise the refusal if there is none."""
    candidates = publishers.enabled_for(tx, signed.issuer.issuer, signed.kind.subject(signed.claims), lock=hold)
    return token_checks.select_publishers(signed, candidates)


def _require_unused(tx: Tx, signed: SignedToken, matched: list[Publisher]) -> list[Publisher]:
    """Return the publishers for which the token can be exchanged once more; count this exchange."""
    expires_ms = signed.claims["exp"] * SECOND_MS + RULES.leeway_ms
    before = tokens.count_exchange(tx, signed.issuer.issuer, signed.digest, expires_ms)
    return token_checks.unused_for(signed, matched, before)


def _pin(tx: Tx, signed: SignedToken, publisher: Publisher) -> None:
    pins = {
        name: signed.claims[claim] for name, claim in signed.kind.pins.items() if name not in publisher.criteria.pins
    }
    if pins:
        publishers.pin(tx, publisher, pins)


def _workflow_of(signed: SignedToken, publisher: Publisher) -> Workflow:
    workflow = signed.kind.workflow(signed.claims, signed.issuer.issuer)
    return replace(workflow, name=f"{signed.kind.label}: {publisher.name}")


def _audit_refusal(site: Site, signed: SignedToken, refusal: TokenRefused, address: str) -> None:
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
