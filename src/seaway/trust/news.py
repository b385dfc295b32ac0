"""Emails to channel owners about changes and use of their publishers, since a publisher grants upload access."""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import select

from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import emails, members
from seaway.mail import letters
from seaway.mail.outbox import Outbox


class News(Enum):
    """An event of a publisher; the value is the end of a sentence in the email."""

    ADDED = "is trusted to publish to the channel from now on."
    REMOVED = "is not trusted to publish to the channel any more."
    USED_FIRST = "has published to the channel for the first time."
    PINNED = (
        "is known by the numbers of its owner and its repository from now on. "
        "If either is deleted and made again by somebody else, it is not trusted."
    )
    ENVIRONMENT_IGNORED = (
        "publishes from an environment, and the publisher does not ask for one. "
        "Name the environment there, so that its rules, such as an approval, cannot be gone round."
    )
    TOKEN_LEAKED = (
        "had a token that was found where everybody can read it. It opens nothing any more. Look at what was uploaded "
        "with it, and keep the workflow from printing its tokens."
    )


@dataclass(frozen=True, slots=True)
class Teller:
    """Queues emails to channel owners in the caller's transaction."""

    outbox: Outbox
    site_url: str

    def tell(self, tx: Tx, now_ms: int, channel_id: int, channel: str, publisher: str, news: News) -> None:
        """Email the channel owner if they have a verified address."""
        to = tx.execute(
            select(emails.c.address)
            .join(members, members.c.user_id == emails.c.user_id)
            .where(
                members.c.channel_id == channel_id,
                members.c.role == Role.OWNER.value,
                emails.c.is_primary,
                emails.c.verified_at.is_not(None),
            )
        ).scalar()
        if to is not None:
            letter = letters.publisher_news(
                to, site_url=self.site_url, channel=channel, publisher=publisher, what=news.value
            )
            self.outbox.send(tx, now_ms, letter, cause=None)  # no rate limit: it concerns the security of the channel
