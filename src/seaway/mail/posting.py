"""
Where letters go: a mail server, a folder, or nowhere but a line in the log.

1. A password is sent to a mail server only after TLS, or on this machine.
2. Files of letters are readable by their owner alone: links in them open accounts.
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

Post = Callable[[EmailMessage], None]


class Undeliverable(Exception):
    """The mail server refuses this letter for good: no such mailbox, not wanted."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. `starttls` of None takes TLS where the server offers it, and demands it where a password is sent."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    is_tls: bool = False
    starttls: bool | None = None
    seconds: float = _SECONDS

    def __call__(self, message: EmailMessage) -> None:
        """Send, in this thread."""
        try:
            asyncio.run(self._send(message))
        except SMTPRecipientsRefused as error:
            raise _for_good(error.recipients[0].code, error.recipients[0].message) from None
        except SMTPResponseException as error:
            raise _for_good(error.code, error.message) from None
        except (SMTPException, OSError) as error:
            raise Unavailable("The mail server does not answer.", "Look at `mail_url`.", cause=str(error)) from error

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
    """A folder with a file for each letter, for trials and for other programs that send them."""

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


def nowhere(_message: EmailMessage) -> None:
    """Send nothing; the outbox logs to whom it would have been, and about what."""


def open_post(url: str, folder: Path) -> Post:
    """The post that `mail_url` names; `folder` is where letters go when it names none."""
    parts = urlsplit(url)
    if parts.scheme == "log":
        return nowhere
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
        "The setting mail_url cannot be used.", "Give smtp://user:password@host:587, smtps://..., or folder:."
    )


def _starttls(query: str) -> bool | None:
    return {"yes": True, "no": False}.get(parse_qs(query).get("starttls", [""])[0])


def _for_good(code: int, message: str) -> Exception:
    """A code that begins with 5 will be the same the next time; any other may not."""
    reason = f"{code} {message}"[:200]
    if 500 <= code < 600 and code not in (530, 534, 535, 538):  # these are about our login, not about the letter
        return Undeliverable(reason)
    return Unavailable("The mail server did not take the letter.", "It is tried again.", cause=reason)
