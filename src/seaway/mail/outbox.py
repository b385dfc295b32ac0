"""
Queue of outgoing emails.

1. An email is sent if and only if the transaction that queued it commits: it is stored as a job.
2. It is stored encrypted, since its links are secrets that a copy of the database must not reveal.
3. It is sent at least once. A second copy, after a crash at the wrong moment, has the same Message-ID, so that mail
   programs show it once.
4. A permanent refusal by the mail server drops the email and is logged; if the server is unavailable, the job retries.
5. Every email that one user causes to another passes the limits (`callers.email_limits`). A dropped email is logged,
   and the action that caused it succeeds, unless the email is its purpose.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec
import structlog

from seaway.database.engine import Tx
from seaway.errors import TooManyRequests
from seaway.jobs import queue
from seaway.jobs.queue import JobArgs
from seaway.mail.delivery import Delivery, Undeliverable
from seaway.mail.messages import OutgoingEmail
from seaway.mail.mime import to_message

log = structlog.get_logger()

_PURPOSE = "email"


class SendEmail(JobArgs, frozen=True):
    """Send a queued email."""

    kind: ClassVar = "send-email"
    is_unique: ClassVar = False
    message_id: str
    queued_at_ms: int
    encrypted: bytes


class Encryption(Protocol):
    """Encrypts queued emails (`encryption.cipher`)."""

    def encrypt(self, plain: bytes, purpose: str) -> bytes: ...

    def decrypt(self, encrypted: bytes, purpose: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Cause:
    """Sender, kind and subject of an email that one user causes to another."""

    sender: str
    kind: str
    about: str
    is_required: bool = False  # whether the action is pointless without the email


Limits = Callable[[Tx, int, str, Cause], TooManyRequests | None]


@dataclass(frozen=True, slots=True)
class Outbox:
    """Queues emails in a transaction, and sends them from a job."""

    encryption: Encryption
    deliver_message: Delivery
    sender: str
    limits: Limits
    site_url: str

    def send(self, tx: Tx, now_ms: int, email: OutgoingEmail, *, cause: Cause | None) -> None:
        """
        Queue the email in this transaction.

        `cause` is None for emails about the recipient's account or channel, for those counted by another rate limit
        (sign-up, password reset), and for those caused by the operator.
        """
        refusal = None if cause is None else self.limits(tx, now_ms, email.to, cause)
        if cause is not None and refusal is not None:
            if cause.is_required:
                raise refusal
            log.info("mail.dropped", to=email.to, subject=email.subject, reason=refusal.message)
            return
        encrypted = self.encryption.encrypt(msgspec.json.encode(email), _PURPOSE)
        queue.enqueue(tx, now_ms, SendEmail(secrets.token_hex(16), now_ms, encrypted))

    def deliver(self, job: SendEmail) -> None:
        """Send a queued email (job handler)."""
        email = msgspec.json.decode(self.encryption.decrypt(job.encrypted, _PURPOSE), type=OutgoingEmail)
        try:
            self.deliver_message(
                to_message(email, sender=self.sender, message_id=job.message_id, at_ms=job.queued_at_ms)
            )
        except Undeliverable as error:
            log.warning("mail.refused", to=email.to, subject=email.subject, reason=str(error))
        else:
            log.info("mail.sent", to=email.to, subject=email.subject)
