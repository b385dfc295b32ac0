"""
Record the use of publishers and notify the channel owner, in the transaction of the upload.

1. A publisher counts as used, and its pinned ids become visible, at the first upload, not at the first token: a run
   that does not upload to the channel leaves no trace there (`trusted_publishing.exchange` 5).
2. Each event is logged and emailed once.
"""

from collections.abc import Sequence
from functools import partial

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.publisher import Publisher
from seaway.trusted_publishing.publisher_emails import PublisherEvent, PublisherNotifier


def record_use(tx: Tx, now_ms: int, notifier: PublisherNotifier, channel_id: int, senders: Sequence[Caller]) -> None:
    """Record the publishers that these senders have just used to upload to the channel."""
    by_publisher = {sender.in_channel(channel_id).publisher_id: sender for sender in senders if sender.workflow}
    for publisher in publishers.lock_by_ids(tx, [number for number in by_publisher if number is not None]):
        _record_use(tx, now_ms, notifier, publisher, by_publisher[publisher.id])


def _record_use(tx: Tx, now_ms: int, notifier: PublisherNotifier, publisher: Publisher, sender: Caller) -> None:
    write = partial(
        audit.write, tx, now_ms, sender.actor,
        channel=publisher.channel, target=publisher.name, publisher=publisher.id,
    )  # fmt: skip
    notify = partial(notifier.notify_owner, tx, now_ms, publisher.channel_id, publisher.channel, publisher.name)
    if publisher.used_at_ms is None:
        write(Event.PUBLISHER_USED_FIRST)
        notify(PublisherEvent.USED_FIRST)
    if publisher.unseen_pins:
        publishers.show_pins(tx, publisher)
        write(Event.PUBLISHER_PINNED, **publisher.unseen_pins)
        notify(PublisherEvent.PINNED)
    if publisher.environment_hint_at_ms is None and _ignores_environment(tx, publisher, sender):
        publishers.set_times(tx, publisher, hinted_at=now_ms)
        notify(PublisherEvent.ENVIRONMENT_IGNORED)
    publishers.set_times(tx, publisher, used_at=now_ms)


def _ignores_environment(tx: Tx, publisher: Publisher, sender: Caller) -> bool:
    if sender.workflow is None or not sender.workflow.environment:
        return False
    issuer = issuers.find(tx, publisher.issuer)
    field = "" if issuer is None else issuer.kind.environment_field
    return bool(field) and publisher.fields.get(field) == ""
