"""The one who asks: nobody, a user (by key), or the operator at the command line."""

from dataclasses import dataclass, replace
from enum import IntEnum

from seaway.audit import Actor


class Mode(IntEnum):
    """How far a key goes; each mode includes those before it."""

    READ = 1
    READ_WRITE = 2  # also upload, yank
    READ_WRITE_DELETE = 3  # also delete, overwrite
    MANAGE = 4  # also members, publishers, settings


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who a request speaks for, with what the credential narrows.

    `channel_ids` of None means every channel of the user. The role in a channel is not part of it: it is
    asked of the database at each request, so that a demotion works on the next one.
    """

    name: str
    user_id: int | None = None
    is_admin: bool = False
    is_operator: bool = False
    mode: Mode = Mode.MANAGE
    channel_ids: frozenset[int] | None = None
    key_name: str = ""
    expires_at_ms: int | None = None
    address: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Whether no good credential came with the request."""
        return self.user_id is None and not self.is_operator

    @property
    def actor(self) -> Actor:
        """The principal as the audit log names it."""
        key = f" (key {self.key_name})" if self.key_name else ""
        return Actor(self.name + key, self.user_id, self.address)

    def seen_from(self, address: str) -> "Principal":
        """The same principal, at the address that its request came from."""
        return replace(self, address=address)


ANONYMOUS = Principal(name="anonymous", mode=Mode.READ)

# Whoever can run commands beside the data owns the data already; commands say in the audit log that it was them.
OPERATOR = Principal(name="operator", is_operator=True)
