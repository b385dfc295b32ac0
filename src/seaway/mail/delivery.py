"""
Delivery of emails to a mail server, to a folder, or only to the log.

1. A password is sent to a mail server only over TLS, or on this machine.
2. Email files are readable by their owner only: their links give access to accounts.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from seaway.errors import BadSetting, Unavailable

SCHEMES = ("smtp", "smtps", "folder", "log")
_PORTS = {"smtp": 587, "smtps": 465}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SECONDS = 30

Delivery = Callable[[EmailMessage], None]


class Undeliverable(Exception):
    """The mail server refuses this email permanently, for example because the mailbox does not exist."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. `starttls` of None uses TLS if the server offers it, and requires it if a password is sent."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    is_tls: bool = False
    starttls: bool | None = None
    seconds: float = _SECONDS

    def __call__(self, message: EmailMessage) -> None:
        """Send the message in this thread."""
        try:
            asyncio.run(self._send(message))
        except SMTPRecipientsRefused as error:
            raise _failure(error.recipients[0].code, error.recipients[0].message) from None
        except SMTPResponseException as error:
            raise _failure(error.code, error.message) from None
        except (SMTPException, OSError) as error:
            raise Unavailable("The mail server does not respond.", "Check `mail_url`.", cause=str(error)) from error

    async def _send(self, message: EmailMessage) -> None:
        starttls = self.starttls
        if starttls is None and self.user and self.host not in _LOOPBACK:
            starttls = True
        await aiosmtplib.send(
            message,
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password or None,
            use_tls=self.is_tls,
            start_tls=False if self.is_tls else starttls,
            timeout=self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with one file per email, for tests and for other programs that send them."""

    path: Path

    def __call__(self, message: EmailMessage) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        when = message["Date"].datetime
        descriptor = os.open(
            self.path / f"{when:%Y%m%dT%H%M%S}-{name}.eml", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())


def log_only(_message: EmailMessage) -> None:
    """Send nothing; the outbox logs recipient and subject."""


def open_delivery(url: str, folder: Path) -> Delivery:
    """Return the delivery for a `mail_url`; `folder` is used by `folder:` URLs without a path."""
    parts = urlsplit(url)
    if parts.scheme == "log":
        return log_only
    if parts.scheme == "folder":
        return Folder(Path(unquote(parts.path)) if parts.path else folder)
    if parts.scheme in _PORTS and parts.hostname:
        return Smtp(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            is_tls=parts.scheme == "smtps",
            starttls=_starttls(parts.query),
        )
    raise BadSetting(
        "The setting mail_url is not valid.", "Use smtp://user:password@host:587, smtps://..., folder: or log:."
    )


def _starttls(query: str) -> bool | None:
    return {"yes": True, "no": False}.get(parse_qs(query).get("starttls", [""])[0])


def _failure(code: int, message: str) -> Exception:
    """Return the exception for an SMTP code: 5xx is permanent, unless it concerns our login; others are retried."""
    reason = f"{code} {message}"[:200]
    if 500 <= code < 600 and code not in (530, 534, 535, 538):  # these concern our login, not the email
        return Undeliverable(reason)
    return Unavailable("The mail server did not accept the email.", "It will be retried.", cause=reason)
