"""
Add and change publishers. The pages, the API and the command line all use this module.

1. The caller's permission is checked before anything is counted or requested, and again in the writing transaction.
2. Changes that make the server look up an owner at GitHub are rate-limited per user; the operator is not limited.
3. GitHub is queried outside a transaction. If it does not respond, the first token pins the owner's id.
"""

from collections.abc import Callable
from dataclasses import replace

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.exchange import TokenExchange
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.publishers import Draft, Publisher


def add(parts: TokenExchange, by: Caller, channel: str, issuer_name: str, draft: Draft) -> Publisher:
    """Add a publisher to a channel."""
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.read() as tx:
        publishers.require_can_change(tx, by, channel)
        issuer = issuers.get(tx, issuer_name)
    draft = _with_owner_id(parts, now_ms, by, draft, issuer)
    with parts.site.database.write_channel(channel) as tx:
        return publishers.add(tx, now_ms, by, parts.outbox, channel, issuer_name, draft)


def change(
    parts: TokenExchange, by: Caller, channel: str, publisher_id: int, edit: Callable[[Draft], Draft]
) -> Publisher:
    """Apply `edit` to the draft of a publisher and save it; look up the owner again if the workflow changes."""
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.read() as tx:
        publishers.require_can_change(tx, by, channel)
        before = publishers.get(tx, channel, publisher_id)
        issuer = publishers.issuer_of(tx, before)
    wanted = edit(publishers.draft_of(before))
    is_another = publishers.is_another(issuer, before, wanted)
    completed = _with_owner_id(parts, now_ms, by, wanted, issuer) if is_another else wanted
    with parts.site.database.write_channel(channel) as tx:
        publishers.require_can_change(tx, by, channel)
        edited = edit(publishers.draft_of(publishers.get(tx, channel, publisher_id)))
        if edited.matched == wanted.matched:  # otherwise it was changed concurrently, and the first token pins the id
            edited = replace(edited, matched=completed.matched, pins=completed.pins)
        return publishers.change(tx, now_ms, by, channel, publisher_id, edited)


def _with_owner_id(parts: TokenExchange, now_ms: int, by: Caller, draft: Draft, issuer: Issuer) -> Draft:
    if not by.is_operator:
        rate_limits.count_attempt(parts.site.database, now_ms, Rate.PUBLISHER_ADD, str(by.user_id))
    return parts.look_up_owner(draft, issuer)
