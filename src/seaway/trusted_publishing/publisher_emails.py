"""Emails to channel owners about changes and use of their publishers, since a publisher grants upload access."""

from dataclasses import dataclass
from enum import Enum

from seaway.channels import members
from seaway.channels.notify import verified_email_of
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


@dataclass(frozen=True, slots=True)
class PublisherNotifier:
    """Queues emails to channel owners in the caller's transaction."""

    outbox: Outbox
    site_url: str

    def notify_owner(
        self, tx: Tx, now_ms: int, channel_id: int, channel: str, publisher: str, news: PublisherEvent
    ) -> None:
        """Email the channel owner if they have a verified address."""
        to = verified_email_of(tx, members.owner_of(tx, channel_id).user_id)
        if to is not None:
            email = messages.publisher_changed(
                to, site_url=self.site_url, channel=channel, publisher=publisher, what=news.value
            )
            self.outbox.send(tx, now_ms, email, cause=None)  # no rate limit: it concerns the security of the channel
