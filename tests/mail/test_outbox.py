"""Emails from a transaction to a real mail server (mail/outbox.py)."""

from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from seaway.clock import MINUTE_MS
from seaway.database.tables import jobs
from seaway.mail import messages
from seaway.mail.messages import OutgoingEmail
from seaway.mail.outbox import SendEmail
from seaway.server.wiring import Seaway
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.mail import MailServer

EMAIL = messages.reset("ada@example.com", site_url="https://conda.example.com", name="ada", link="https://x/swy-ln-1")


@pytest.fixture
def seaway(tmp_path: Path, clock: ManualClock, server: MailServer) -> Iterator[Seaway]:
    """A server that sends its emails to `server`."""
    url = f"smtp://127.0.0.1:{server.port}"
    seaway = sites.build(tmp_path, clock, mail_url=url, mail_from="Seaway <seaway@conda.example.com>")
    yield seaway
    seaway.close()


def send(seaway: Seaway, email: OutgoingEmail = EMAIL) -> None:
    with seaway.site.database.write_site() as tx:
        seaway.request_parts.accounts.outbox.send(tx, seaway.site.clock.now_ms(), email, cause=None)


def queued(seaway: Seaway) -> list[str]:
    with seaway.site.database.read() as tx:
        return list(tx.execute(select(jobs.c.args).where(jobs.c.kind == "send-email")).scalars())


def plain_text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def test_email_has_headers_text_and_html(seaway: Seaway, server: MailServer, clock: ManualClock) -> None:
    """From, Date and Message-ID are set by Seaway; Auto-Submitted prevents out-of-office replies."""
    send(seaway)
    seaway.runner.run_due()
    (received,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert ("Seaway <seaway@conda.example.com>", "auto-generated") == (received["From"], received["Auto-Submitted"])
    assert received["Message-ID"].endswith("@conda.example.com>")
    assert clock.now_ms() // 1000 == parsedate_to_datetime(received["Date"]).timestamp()
    assert EMAIL.text == plain_text(received)
    html = received.get_body(("html",))
    assert html is not None
    assert '<a href="https://x/swy-ln-1">Reset password</a>' in html.get_content()
    assert [] == queued(seaway)


def test_email_of_rolled_back_transaction_is_not_sent(seaway: Seaway, server: MailServer) -> None:
    """The email belongs to the transaction (1)."""
    with suppress(RuntimeError), seaway.site.database.write_site() as tx:
        seaway.request_parts.accounts.outbox.send(tx, 0, EMAIL, cause=None)
        raise RuntimeError
    assert [] == queued(seaway)
    seaway.runner.run_due()
    assert [] == server.received


def test_queued_email_is_encrypted(seaway: Seaway) -> None:
    """Neither the recipient nor the content can be read in the table (2)."""
    send(seaway)
    (args,) = queued(seaway)
    assert not any(word in args for word in ("ada", "swy-ln", "password"))


def test_email_is_sent_again_after_temporary_error(seaway: Seaway, server: MailServer, clock: ManualClock) -> None:
    """The job is retried with the same Message-ID (3)."""
    server.replies["ada@example.com"] = "451 busy"
    send(seaway)
    seaway.runner.run_due()
    assert ([], 1) == (server.received, len(queued(seaway)))
    server.replies.clear()
    clock.move(MINUTE_MS)
    seaway.runner.run_due()
    assert (1, []) == (len(server.received), queued(seaway))


def test_email_is_dropped_after_permanent_error(seaway: Seaway, server: MailServer) -> None:
    """A retry would be refused again (4)."""
    server.replies["ada@example.com"] = "550 no such mailbox"
    send(seaway)
    seaway.runner.run_due()
    assert ([], []) == (server.received, queued(seaway))


def test_email_sent_twice_is_the_same_message(seaway: Seaway, server: MailServer) -> None:
    """A crash between sending and the end of the job sends it again; mail clients can detect the duplicate (3)."""
    send(seaway)
    with seaway.site.database.read() as tx:
        job = msgspec.json.decode(tx.execute(select(jobs.c.args)).scalar_one(), type=SendEmail)
    for _ in range(2):
        seaway.request_parts.accounts.outbox.deliver(job)
    first, second = server.received
    assert (first["Message-ID"], first["Date"]) == (second["Message-ID"], second["Date"])


LINES = ["\r\nBcc: all@example.com", "\nSubject: other", "\x00", "\u2028x", "<script>", "=?utf-8?q?x?="]


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_names_cannot_inject_headers_or_markup(seaway: Seaway, server: MailServer, line: str) -> None:
    """Names are validated when they are created, but emails do not rely on that (messages 1)."""
    send(seaway, messages.transfer_offered("ada@example.com", site_url="https://c.example", channel=line, by=line))
    seaway.runner.run_due()
    (received,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert received["Bcc"] is None
    assert 1 == len(received.get_all("Subject"))  # type: ignore[arg-type]
    html = received.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


MESSAGE_FUNCTIONS = [
    name
    for name, value in vars(messages).items()
    if getattr(value, "__module__", "") == messages.__name__ and name.islower() and not name.startswith("_")
]


@pytest.mark.parametrize("name", MESSAGE_FUNCTIONS)
def test_every_email_is_complete(name: str) -> None:
    """Text and HTML contain the same link and the sender's URL, and no secret is in the subject (messages 2)."""
    function = getattr(messages, name)
    parameters = function.__annotations__
    values = {
        word: f"the-{word.replace('_', '-')}" for word, kind in parameters.items() if kind is str and word != "to"
    }
    values |= {"site_url": "https://conda.example.com"}
    if "link" in parameters:
        values["link"] = "https://conda.example.com/verify/swy-ln-secret"
    email = function("ada@example.com", **values)
    assert "ada@example.com" == email.to
    assert "swy-" not in email.subject
    assert 10 < len(email.subject) < 120
    assert ("link" in parameters) == ("swy-ln-secret" in email.text) == ("swy-ln-secret" in email.html)
    assert all("Sent by Seaway at https://conda.example.com" in form for form in (email.text, email.html))
