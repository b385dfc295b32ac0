"""
Add and change publishers: the one way for the page, the API and the command line.

1. Whether the caller may do it is checked before anything is counted or requested, and again when it is written.
2. What makes the server ask GitHub for an owner is counted for the user; the operator is not limited.
3. GitHub is asked outside a transaction. If it does not answer, the first token pins the id.
"""

from collections.abc import Callable
from dataclasses import replace

from seaway.accounts import throttle
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Rate
from seaway.trust import issuers, publishers
from seaway.trust.exchange import Exchanging
from seaway.trust.issuers import Issuer
from seaway.trust.publishers import Draft, Publisher


def add(parts: Exchanging, by: Principal, channel: str, issuer_name: str, draft: Draft) -> Publisher:
    """Add a publisher to a channel."""
    now_ms = parts.clock.now_ms()
    with parts.database.read() as tx:
        publishers.require_change(tx, by, channel)
        issuer = issuers.get(tx, issuer_name)
    draft = _looked_up(parts, now_ms, by, draft, issuer)
    with parts.database.write_channel(channel) as tx:
        return publishers.add(tx, now_ms, by, parts.teller, channel, issuer_name, draft)


def change(
    parts: Exchanging, by: Principal, channel: str, publisher_id: int, edit: Callable[[Draft], Draft]
) -> Publisher:
    """Change a publisher to what `edit` makes of its draft; another workflow than before is looked up as a new one."""
    now_ms = parts.clock.now_ms()
    with parts.database.read() as tx:
        publishers.require_change(tx, by, channel)
        before = publishers.get(tx, channel, publisher_id)
        issuer = publishers.issuer_of(tx, before)
    wanted = edit(publishers.draft_of(before))
    is_another = publishers.is_another(issuer, before, wanted)
    found = _looked_up(parts, now_ms, by, wanted, issuer) if is_another else wanted
    with parts.database.write_channel(channel) as tx:
        publishers.require_change(tx, by, channel)
        edited = edit(publishers.draft_of(publishers.get(tx, channel, publisher_id)))
        if edited.matched == wanted.matched:  # else it was changed meanwhile, and the first token pins the id
            edited = replace(edited, matched=found.matched, pins=found.pins)
        return publishers.change(tx, now_ms, by, channel, publisher_id, edited)


def _looked_up(parts: Exchanging, now_ms: int, by: Principal, draft: Draft, issuer: Issuer) -> Draft:
    if not by.is_operator:
        throttle.take(parts.database, now_ms, Rate.PUBLISHER_ADD, str(by.user_id))
    return parts.look_up_owner(draft, issuer)
