"""Emails to channel owners about changes and use of their publishers, since a publisher grants upload access."""

from enum import Enum

from seaway.channels import members
from seaway.channels.notify import notify_user
from seaway.database.engine import Tx
from seaway.mail import messages
from seaway.mail.outbox import Outbox


class PublisherEvent(Enum):
    """An event of a publisher; the value is the end of a sentence in the email."""

    ADDED = "is now trusted to publish to the channel."
    REMOVED = "is no longer trusted to publish to the channel."
    USED_FIRST = "has published to the channel for the first time."
    PINNED = (
        "is now identified by the ids of its owner and its repository. "
        "If either is deleted and created again by another user, it is not trusted."
    )
    ENVIRONMENT_IGNORED = (
        "publishes from an environment, but the publisher does not require one. "
        "Add the environment to the publisher, so that its rules, such as an approval, cannot be bypassed."
    )
    TOKEN_LEAKED = (
        "leaked a token in a public place. The token was revoked. Check what was uploaded with it, and make sure that "
        "the workflow does not print its tokens."
    )


def notify_owner(
    tx: Tx, now_ms: int, outbox: Outbox, channel_id: int, channel: str, publisher: str, event: PublisherEvent
) -> None:
    """Queue an email to the channel owner, without a rate limit: it concerns the security of the channel."""
    notify_user(
        tx, now_ms, outbox, members.owner_id(tx, channel_id), messages.publisher_changed,
        cause=None, channel=channel, publisher=publisher, what=event.value,
    )  # fmt: skip
