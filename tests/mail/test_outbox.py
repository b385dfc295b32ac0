"""Letters from a transaction to a real mail server (mail/outbox.py)."""

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
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.mail import MailServer

LETTER = messages.reset("ada@example.com", site_url="https://conda.example.com", name="ada", link="https://x/swy-ln-1")


@pytest.fixture
def posted(tmp_path: Path, clock: TurnedClock, server: MailServer) -> Iterator[Seaway]:
    """A house whose letters go to the server."""
    url = f"smtp://127.0.0.1:{server.port}"
    built = house.build(tmp_path, clock, mail_url=url, mail_from="Seaway <seaway@conda.example.com>")
    yield built
    built.close()


def send(seaway: Seaway, letter: OutgoingEmail = LETTER) -> None:
    with seaway.database.write_site() as tx:
        seaway.request_parts.accounts.outbox.send(tx, seaway.clock.now_ms(), letter, cause=None)


def waiting(seaway: Seaway) -> list[str]:
    with seaway.database.read() as tx:
        return list(tx.execute(select(jobs.c.args).where(jobs.c.kind == "send-email")).scalars())


def plain(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


def test_a_letter_has_its_headers_and_both_forms(posted: Seaway, server: MailServer, clock: TurnedClock) -> None:
    """From, date and Message-ID are ours; nobody's out-of-office answers it."""
    send(posted)
    posted.runner.run_due()
    (found,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert ("Seaway <seaway@conda.example.com>", "auto-generated") == (found["From"], found["Auto-Submitted"])
    assert found["Message-ID"].endswith("@conda.example.com>")
    assert clock.now_ms() // 1000 == parsedate_to_datetime(found["Date"]).timestamp()
    assert LETTER.text == plain(found)
    html = found.get_body(("html",))
    assert html is not None
    assert '<a href="https://x/swy-ln-1">Reset password</a>' in html.get_content()
    assert [] == waiting(posted)


def test_a_letter_of_what_was_not_done_is_not_sent(posted: Seaway, server: MailServer) -> None:
    """It belongs to the transaction (1)."""
    with suppress(RuntimeError), posted.database.write_site() as tx:
        posted.request_parts.accounts.outbox.send(tx, 0, LETTER, cause=None)
        raise RuntimeError
    assert [] == waiting(posted)
    posted.runner.run_due()
    assert [] == server.received


def test_a_letter_waits_sealed(posted: Seaway) -> None:
    """Neither to whom it goes nor what it says can be read in the table (2)."""
    send(posted)
    (args,) = waiting(posted)
    assert not any(word in args for word in ("ada", "swy-ln", "password"))


def test_a_server_that_is_away_gets_it_later(posted: Seaway, server: MailServer, clock: TurnedClock) -> None:
    """The job is tried again, and the letter is the same one, by its Message-ID (3)."""
    server.replies["ada@example.com"] = "451 busy"
    send(posted)
    posted.runner.run_due()
    assert ([], 1) == (server.received, len(waiting(posted)))
    server.replies.clear()
    clock.move(MINUTE_MS)
    posted.runner.run_due()
    assert (1, []) == (len(server.received), waiting(posted))


def test_a_mailbox_that_refuses_ends_it(posted: Seaway, server: MailServer) -> None:
    """Trying again would be refused again (4)."""
    server.replies["ada@example.com"] = "550 no such mailbox"
    send(posted)
    posted.runner.run_due()
    assert ([], []) == (server.received, waiting(posted))


def test_the_same_letter_again_is_the_same_message(posted: Seaway, server: MailServer) -> None:
    """After a crash between the sending and the end of the job (3)."""
    send(posted)
    with posted.database.read() as tx:
        job = msgspec.json.decode(tx.execute(select(jobs.c.args)).scalar_one(), type=SendEmail)
    for _ in range(2):
        posted.request_parts.accounts.outbox.deliver(job)
    one, two = server.received
    assert (one["Message-ID"], one["Date"]) == (two["Message-ID"], two["Date"])


LINES = ["\r\nBcc: all@example.com", "\nSubject: other", "\x00", "\u2028x", "<script>", "=?utf-8?q?x?="]


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_a_name_adds_no_header_and_no_markup(posted: Seaway, server: MailServer, line: str) -> None:
    """Names are checked where they are made; a letter does not rely on that (letters 1)."""
    send(posted, messages.transfer_offered("ada@example.com", site_url="https://c.example", channel=line, by=line))
    posted.runner.run_due()
    (found,) = server.received
    assert ["ada@example.com"] == server.recipients
    assert found["Bcc"] is None
    assert 1 == len(found.get_all("Subject"))  # type: ignore[arg-type]
    html = found.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


WRITTEN = [
    name
    for name, value in vars(messages).items()
    if getattr(value, "__module__", "") == messages.__name__ and name.islower() and not name.startswith("_")
]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_letter_is_whole(name: str) -> None:
    """Both forms say the same link; no secret stands in a subject, and each says who sent it (letters 2)."""
    function = getattr(messages, name)
    words = function.__annotations__
    values = {word: f"the-{word.replace('_', '-')}" for word, kind in words.items() if kind is str and word != "to"}
    values |= {"site_url": "https://conda.example.com"}
    if "link" in words:
        values["link"] = "https://conda.example.com/verify/swy-ln-secret"
    letter = function("ada@example.com", **values)
    assert "ada@example.com" == letter.to
    assert "swy-" not in letter.subject
    assert 10 < len(letter.subject) < 120
    assert ("link" in words) == ("swy-ln-secret" in letter.text) == ("swy-ln-secret" in letter.html)
    assert all("Sent by Seaway at https://conda.example.com" in form for form in (letter.text, letter.html))
