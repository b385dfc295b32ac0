"""
Test whether a token of a CI job would be accepted for a channel, and by which publisher, or why not.

1. The checks and the choice of the publisher are those of the exchange (`trusted_publishing.token_checks`), but all of
   them are made, except those that need an earlier one.
2. The token is not exchanged, stored, logged or counted as used; no id is pinned.
3. Only callers who can manage the channel can test tokens; tests are rate-limited per user, because one can make this
   server fetch the keys of an issuer.
4. Pinned ids are compared, but not shown: some are hidden until an upload (`trusted_publishing.exchange`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.clock import SECOND_MS
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.trusted_publishing import publishers, token_checks, tokens
from seaway.trusted_publishing.exchange import TokenExchange
from seaway.trusted_publishing.issuer_kinds.issuer_kind import Comparison
from seaway.trusted_publishing.publisher import Publisher
from seaway.trusted_publishing.refusals import TokenRefused
from seaway.trusted_publishing.token_checks import CLAIM_CHECKS, ClaimCheck, SignedToken


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `is_passed` is None if it was not made, because an earlier one failed."""

    name: str
    is_passed: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class PublisherResult:
    """A publisher of the channel, and how the token compares to it."""

    publisher: Publisher
    is_match: bool
    comparisons: Sequence[Comparison]


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Result of all checks of a token."""

    checks: Sequence[CheckResult]
    publishers: Sequence[PublisherResult] = ()
    accepted: Publisher | None = None


_NAMES = ("Format", "Issuer", "Signature", *(check.value for check in ClaimCheck), "Publisher", "First use")


def report_on(parts: TokenExchange, by: Caller, channel: str, text: str) -> TokenReport:
    """Make all checks; call this in a thread, because it may wait for the issuer."""
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.read() as tx:
        channel_id = channels.require(tx, by, Action.MANAGE, channel).channel_id
    rate_limits.count_attempt(parts.site.database, now_ms, Rate.TOKEN_TEST, str(by.user_id))
    results: list[CheckResult] = []
    signed = _verify(parts, text, results)
    if signed is None:
        return TokenReport(_with_others(results) if _is_passed(results, "Format") else results)
    _check_claims(parts, signed, now_ms, results)
    if not _is_passed(results, ClaimCheck.CLAIMS.value):
        return TokenReport(_with_others(results))
    with parts.site.database.read() as tx:
        chosen = _choose(tx, signed, channel_id, results)
        listed = [
            _compare(signed, publisher, chosen)
            for publisher in publishers.in_channel(tx, channel_id)
            if publisher.issuer == signed.issuer.issuer
        ]
    is_accepted = all(result.is_passed for result in results)
    return TokenReport(_with_others(results), listed, chosen if is_accepted else None)


def _verify(parts: TokenExchange, text: str, results: list[CheckResult]) -> SignedToken | None:
    try:
        token = token_checks.read_token(text)
        results.append(CheckResult("Format", True, f"A token signed with {token.algorithm}."))
        issuer = token_checks.issuer_of(parts.site, token)
        results.append(CheckResult("Issuer", True, f"{issuer.kind.label}, {issuer.issuer}"))
        signed = token_checks.verify(parts.key_sets, issuer, token)
    except TokenRefused as refusal:
        results.append(CheckResult(_NAMES[len(results)], False, refusal.message))
        return None
    results.append(CheckResult("Signature", True, "Made with a key of the issuer."))
    return signed


def _check_claims(parts: TokenExchange, signed: SignedToken, now_ms: int, results: list[CheckResult]) -> None:
    for check, require in CLAIM_CHECKS.items():
        if check is ClaimCheck.RUN and not _is_passed(results, ClaimCheck.CLAIMS.value):
            return
        try:
            require(signed, parts.audience, now_ms)
        except TokenRefused as refusal:
            results.append(CheckResult(check.value, False, refusal.message))
        else:
            results.append(CheckResult(check.value, True, _PASSED[check](signed, now_ms)))


def _choose(tx: Tx, signed: SignedToken, channel_id: int, results: list[CheckResult]) -> Publisher | None:
    """Return the publisher that the exchange would choose in this channel."""
    candidates = publishers.enabled_for(tx, signed.issuer.issuer, signed.kind.subject(signed.claims))
    here = [publisher for publisher in candidates if publisher.channel_id == channel_id]
    try:
        matched = token_checks.select_publishers(signed, here)
        results.append(CheckResult("Publisher", True, matched[0].name))
        earlier = tokens.exchanges_of(tx, signed.issuer.issuer, signed.digest)
        token_checks.unused_for(signed, matched, earlier)
    except TokenRefused as refusal:
        text = refusal.message.replace("No channel on this server trusts", "This channel does not trust")
        results.append(CheckResult(_NAMES[len(results)], False, text))
        return None
    text = f"Exchanged {counted(earlier, 'time')} before." if earlier else "The token was not exchanged before."
    results.append(CheckResult("First use", True, text))
    return matched[0]


def _compare(signed: SignedToken, publisher: Publisher, chosen: Publisher | None) -> PublisherResult:
    compared = list(signed.kind.compare(signed.claims, signed.issuer.issuer, publisher.criteria))
    if not signed.kind.allows_reusable_workflow(signed.claims, publisher.criteria):
        wanted = str(publisher.conditions.get("allowed_reusable_workflow") or "a workflow of the same repository")
        compared.append(Comparison("Workflow of the job", wanted, str(signed.claims["job_workflow_ref"]), is_met=False))
    if not publisher.enabled:
        compared.append(Comparison("Publisher", "enabled", "disabled", is_met=False))
    return PublisherResult(publisher, chosen is not None and publisher.id == chosen.id, compared)


def _with_others(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the results, followed by the checks that were not made."""
    return [*results, *(CheckResult(name, None, "Not checked.") for name in _NAMES[len(results) :])]


def _is_passed(results: Sequence[CheckResult], name: str) -> bool:
    return any(result.name == name and result.is_passed for result in results)


def _remaining(signed: SignedToken, now_ms: int) -> str:
    seconds = max(1, int(signed.claims["exp"]) - now_ms // SECOND_MS)
    return f"Expires in {counted(seconds // 60, 'minute')}." if seconds >= 60 else f"Expires in {seconds} seconds."


def _run(signed: SignedToken, _now_ms: int) -> str:
    workflow = signed.kind.workflow(signed.claims, signed.issuer.issuer)
    return f"Started by {workflow.event_name}." if workflow.event_name else "Its claims agree with each other."


_PASSED: Mapping[ClaimCheck, Callable[[SignedToken, int], str]] = MappingProxyType(
    {
        ClaimCheck.AUDIENCE: lambda signed, _now_ms: str(signed.claims["aud"]),
        ClaimCheck.TIMES: _remaining,
        ClaimCheck.CLAIMS: lambda signed, _now_ms: f"All claims of {signed.kind.label} are present.",
        ClaimCheck.RUN: _run,
    }
)
