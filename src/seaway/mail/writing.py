"""A letter as a message: its headers, and both of its forms."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from seaway.mail.letters import Letter


def written(letter: Letter, *, sender: str, message_id: str, at_ms: int) -> EmailMessage:
    """
    The message. A line break in a header is refused by its policy, so nobody can add a header or a recipient.

    The same letter is the same message at each attempt, with the date on which it was written.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(at_ms // 1000, UTC))
    message["Message-ID"] = f"<{message_id}@{domain_of(sender)}>"
    message["Auto-Submitted"] = "auto-generated"  # nobody's out-of-office answers it (RFC 3834)
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def domain_of(sender: str) -> str:
    """The host of an address such as `Seaway <seaway@example.com>`."""
    return parseaddr(sender)[1].rpartition("@")[2]
