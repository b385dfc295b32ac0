"""
Reasons for refusing to exchange a token.

Clients and the audit log get the value of a `Code`; `meaning` is its row in the manual
(`docs/use/trusted-publishing.md`), which a test compares. A message quotes only the caller's own token, never the
configuration of a publisher: names in a private channel's configuration must not be revealed to callers without access.
Only `OTHER_IDS` reveals that a publisher names the repository of the token, and nothing else about it.
"""

from enum import Enum
from typing import Self

from seaway.errors import SeawayError


class Code(Enum):
    """Reason for a refusal; the value is stable."""

    status: int
    meaning: str

    MALFORMED_REQUEST = (
        "malformed-request",
        400,
        'The body is not JSON of the form {"token": "..."}; 413 if it is too large, 415 if it is not sent as JSON.',
    )
    MALFORMED_TOKEN = (
        "malformed-token",
        422,
        "The token is not three parts of plain base64url with JSON in two of them.",
    )
    INVALID_TOKEN = (
        "invalid-token",
        422,
        "The token is not signed by its issuer, or its header is not allowed.",
    )
    UNKNOWN_ISSUER = "unknown-issuer", 422, "The issuer of the token is not registered on this server."
    NOT_ENABLED = "not-enabled", 403, "Trusted publishing, or this issuer, is disabled on this server."
    ISSUER_UNAVAILABLE = "issuer-unavailable", 503, "The keys of the issuer cannot be fetched now; try again."
    INVALID_AUDIENCE = "invalid-audience", 422, "The token is for another server."
    EXPIRED_TOKEN = "expired-token", 422, "The token has expired."
    IMMATURE_TOKEN = "immature-token", 422, "The token is not valid yet: a clock is wrong."
    MISSING_CLAIM = "missing-claim", 422, "A required claim is absent or null, or the `jti` is empty."
    INVALID_CLAIM = "invalid-claim", 422, "A claim has the wrong type or format, or contradicts another claim."
    INVALID_PUBLISHER = "invalid-publisher", 422, "No channel trusts the workflow of the token."
    OTHER_IDS = (
        "other-ids",
        422,
        "The ids of the repository or account differ from those of its publisher: it was recreated, renamed or moved.",
    )
    EVENT_NOT_ALLOWED = (
        "event-not-allowed",
        422,
        "The workflow was started by an event that users without access can trigger.",
    )
    REUSABLE_WORKFLOW_NOT_ALLOWED = (
        "reusable-workflow-not-allowed",
        422,
        "The job runs a workflow of another repository, which the publisher does not allow.",
    )
    REUSED_TOKEN = "reused-token", 422, "The token was already exchanged."
    TOO_MANY = (
        "too-many",
        429,
        "Too many exchanges from one IP address or for one repository; `Retry-After` gives the time to wait.",
    )
    UNAVAILABLE = "unavailable", 503, "The server cannot exchange tokens now; try again."

    def __new__(cls, value: str, status: int, meaning: str) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.status = status
        member.meaning = meaning
        return member


class TokenRefused(SeawayError):
    """A token, or the request with it, was refused."""

    def __init__(self, code: Code, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = code
        self.code = code.value
        self.status = code.status if status is None else status
