"""Conversion of an email to a MIME message with headers, text and HTML."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from seaway.mail.messages import OutgoingEmail


def to_message(email: OutgoingEmail, *, sender: str, message_id: str, at_ms: int) -> EmailMessage:
    """
    Return the MIME message. Its policy refuses line breaks in headers, which prevents injected headers and recipients.

    Each attempt gives the same message, with the date on which the email was queued.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = email.to
    message["Subject"] = email.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(at_ms // 1000, UTC))
    message["Message-ID"] = f"<{message_id}@{domain_of(sender)}>"
    message["Auto-Submitted"] = "auto-generated"  # prevents automatic replies (RFC 3834)
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    return message


def domain_of(sender: str) -> str:
    """Return the domain of a sender such as `Seaway <seaway@example.com>`."""
    return parseaddr(sender)[1].rpartition("@")[2]
