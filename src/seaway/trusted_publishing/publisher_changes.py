"""
Add and change publishers. The pages, the API and the command line all use this module.

1. The caller's permission is checked before anything is counted or requested, and again in the writing transaction.
2. Changes that make the server look up an owner at GitHub are rate-limited per user; the operator is not limited.
3. GitHub is queried outside a transaction. If it does not respond, the first token pins the owner's id.
"""

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.exchange import TokenExchange
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings


def add(parts: TokenExchange, by: Caller, channel: str, issuer_name: str, settings: PublisherSettings) -> Publisher:
    """Add a publisher to a channel."""
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.read() as tx:
        publishers.require_can_change(tx, by, channel)
        issuer = issuers.get(tx, issuer_name)
    publishers.require_valid(issuer, settings)
    settings = _with_owner_id(parts, now_ms, by, settings, issuer)
    with parts.site.database.write_channel(channel) as tx:
        return publishers.add(tx, now_ms, by, parts.outbox, channel, issuer_name, settings)


def change(parts: TokenExchange, by: Caller, channel: str, publisher_id: int, given: PublisherSettings) -> Publisher:
    """Change the given settings of a publisher; look up the owner again if the workflow changes."""
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.read() as tx:
        publishers.require_can_change(tx, by, channel)
        before = publishers.get(tx, channel, publisher_id)
        issuer = publishers.issuer_of(tx, before)
    wanted = before.with_changes(given)
    is_another = publishers.is_another(issuer, before, wanted)
    completed = _with_owner_id(parts, now_ms, by, wanted, issuer) if is_another else wanted
    with parts.site.database.write_channel(channel) as tx:
        publishers.require_can_change(tx, by, channel)
        is_current = publishers.get(tx, channel, publisher_id).with_changes(given).fields == wanted.fields
        if is_another and is_current:  # otherwise it was changed concurrently, and the first token pins the id
            given = given.model_copy(update={"fields": completed.fields, "pinned": completed.pinned})
        return publishers.change(tx, now_ms, by, channel, publisher_id, given)


def _with_owner_id(
    parts: TokenExchange, now_ms: int, by: Caller, settings: PublisherSettings, issuer: Issuer
) -> PublisherSettings:
    if not by.is_operator:
        rate_limits.count_attempt(parts.site.database, now_ms, Rate.PUBLISHER_ADD, str(by.user_id))
    return parts.look_up_owner(settings, issuer)
