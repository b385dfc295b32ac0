"""A real mail server (aiosmtpd) on loopback, and the emails that a server has sent."""

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
    """Handler that stores received emails; `replies` are its SMTP replies by recipient."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.was_tls: list[bool] = []
        self.users: list[bytes] = []
        self.replies: dict[str, str] = {}
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - called by aiosmtpd
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
    """Controller on a free port that is known before the start."""

    def __init__(self, handler: MailServer, **options: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[SMTP] = []
        super().__init__(handler, hostname="127.0.0.1", port=self._listener.getsockname()[1], **options)

    def _create_server(self) -> Coroutine[Any, Any, asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)

    def factory(self) -> SMTP:
        self._connections.append(SMTP(self.handler, **self.SMTP_kwargs))
        return self._connections[-1]

    def cancel_tasks(self, stop_loop: bool = True) -> None:
        """Close the connections, then stop: a stopped loop leaves the sockets of its connections open."""
        for connection in self._connections:
            for transport in (connection.transport, connection._original_transport):
                if transport is not None:
                    transport.abort()
        self.loop.call_soon(super().cancel_tasks, stop_loop)


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[MailServer]:
    """Run a mail server on a free port; with `tls` it offers STARTTLS, with `login` it requires a password."""
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
    """Run the due jobs; return all emails in the mail folder, oldest first."""
    seaway.runner.run_due()
    return emails_in(seaway.settings.mail_folder)


def emails_in(folder: Path) -> list[EmailMessage]:
    """Return the emails in a folder, oldest first."""
    paths = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]  # type: ignore[misc]


def emails_to(seaway: Seaway, address: str) -> list[EmailMessage]:
    """Run the due jobs; return the emails to this address, oldest first."""
    return [message for message in sent_emails(seaway) if message["To"] == address]


def text_of(message: EmailMessage) -> str:
    """Return the plain text of an email."""
    part = message.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content


def link_secret(message: EmailMessage) -> str:
    """Return the secret in the link of an email."""
    return next(line.rpartition("/")[2] for line in text_of(message).splitlines() if "/swy-" in line)
