"""A real mail server (aiosmtpd) on loopback, and the letters that a house has sent."""

import asyncio
import email
import email.policy
import socket
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from seaway.server.wiring import Seaway

USER, PASSWORD = "seaway", "p@ss:word/1"


class MailServer:
    """Keeps what it gets; `replies` says how it answers to a recipient."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.was_tls: list[bool] = []
        self.users: list[bytes] = []
        self.replies: dict[str, str] = {}
        self.port = 0

    async def handle_RCPT(  # noqa: N802  aiosmtpd's own name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.received.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        self.recipients += envelope.rcpt_tos
        self.was_tls.append(session.ssl is not None)
        return "250 OK"

    def check(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login)
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


class _Controller(Controller):
    """Listens on a free port, which it knows before it starts."""

    def __init__(self, handler: MailServer, **options: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        super().__init__(handler, hostname="127.0.0.1", port=self._listener.getsockname()[1], **options)

    def _create_server(self) -> Coroutine[Any, Any, asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[MailServer]:
    """Run one on a free port; with `tls` it offers STARTTLS, with `login` it wants a password."""
    server = MailServer()
    options = {"authenticator": server.check, "auth_require_tls": tls is not None}
    controller = _Controller(server, tls_context=tls, **(options if login else {}))
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


def sent_emails(seaway: Seaway) -> list[EmailMessage]:
    """Every letter that the house has sent into its folder, the oldest first, after the jobs that are due."""
    seaway.runner.run_due()
    return emails_in(seaway.settings.mail_folder)


def emails_in(folder: Path) -> list[EmailMessage]:
    """The letters in a folder."""
    paths = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]  # type: ignore[misc]


def emails_to(seaway: Seaway, address: str) -> list[EmailMessage]:
    """Those to one address."""
    return [letter for letter in sent_emails(seaway) if letter["To"] == address]


def text_of(letter: EmailMessage) -> str:
    """The plain form."""
    part = letter.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content


def link_secret(letter: EmailMessage) -> str:
    """The secret in the link of a letter."""
    return next(line.rpartition("/")[2] for line in text_of(letter).splitlines() if "/swy-" in line)
