"""A real mail server on loopback."""

from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from seaway.mail.messages import OutgoingEmail
from seaway.mail.mime import to_message
from tests.support.mail import MailServer, mail_server


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def message(to: str = "ada@example.com") -> EmailMessage:
    """Return a short email as it is sent."""
    email = OutgoingEmail(to, "Grüße", "Line one\n.\nend\n", "<p>Grüße</p>")
    return to_message(email, sender="Seaway <seaway@conda.example.com>", message_id="abc", at_ms=1_800_000_000_000)
