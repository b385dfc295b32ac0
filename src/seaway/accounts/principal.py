"""The one who asks: nobody, a user (in a browser, by key, by a tool that they logged in), a workflow, or the operator."""

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from seaway.audit import Actor


class Mode(IntEnum):
    """How far a key goes; each mode includes those before it."""

    READ = 1
    READ_WRITE = 2  # also upload, yank
    READ_WRITE_DELETE = 3  # also delete, overwrite
    MANAGE = 4  # also members, publishers, settings


class Carrier(Enum):
    """What vouches for a principal."""

    NOTHING = "nothing"
    PERSON = "person"  # signed in, in a browser
    KEY = "key"
    TOOL = "tool"  # a command-line tool that the user logged in
    WORKFLOW = "workflow"  # a minted token of trusted publishing
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a workflow's issuer vouched for when its token was exchanged; kept with the token and with every upload."""

    issuer: str
    kind: str  # of the issuer: github, gitlab, google, ...
    repository: str = ""  # with its owner or namespace
    repository_id: str = ""
    owner_id: str = ""  # of the owner or namespace
    ref: str = ""
    sha: str = ""
    run_id: str = ""
    run_attempt: str = ""
    workflow_ref: str = ""  # the workflow that was called
    job_workflow_ref: str = ""  # the one whose job it is, where that can be another
    environment: str = ""
    event_name: str = ""
    account: str = ""  # the service account, where there is no repository
    name: str = ""  # what people call it, with the kind of its issuer


@dataclass(frozen=True, slots=True)
class Grant:
    """What one publisher gives to its workflow in its channel."""

    channel_id: int
    publisher_id: int
    mode: Mode
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who a request speaks for, with what the credential narrows.

    `patterns` are the names of packages that may be written, a `*` at the end standing for anything; none: all.
    `is_fresh` tells whether the person proved to be there a short while ago (`permissions.Proof`), `is_new` whether
    the session began then, which an external provider may allow without anything typed.

    `channel_ids` of None means every channel of the user. The role in a channel is not part of it: it is
    asked of the database at each request, so that a demotion works on the next one.

    A workflow has a grant for each channel whose publisher it is, and `channel_ids` are those; what it may do in a
    channel is what the principal `within` that channel may do.
    """

    name: str
    user_id: int | None = None
    carrier: Carrier = Carrier.NOTHING
    is_admin: bool = False
    is_verified: bool = True
    lacks_second_factor: bool = False  # that this site asks of them
    lacks_factor_to_own: bool = False  # that this site would ask of them if they owned a channel
    mode: Mode = Mode.MANAGE
    channel_ids: frozenset[int] | None = None
    patterns: tuple[str, ...] = ()
    key_id: int | None = None
    key_name: str = ""
    tool: str = ""
    session_id: int | None = None
    is_fresh: bool = False
    is_new: bool = False
    expires_at_ms: int | None = None
    token_id: int | None = None
    workflow: Workflow | None = None
    grants: tuple[Grant, ...] = ()
    publisher_id: int | None = None  # the one whose grant counts; only `within` a channel
    address: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Whether no good credential came with the request."""
        return self.carrier is Carrier.NOTHING

    @property
    def is_operator(self) -> bool:
        """Whether it is somebody at the command line beside the data."""
        return self.carrier is Carrier.OPERATOR

    @property
    def is_person(self) -> bool:
        """Whether somebody signed in asks, rather than a secret that lies somewhere."""
        return self.carrier in (Carrier.PERSON, Carrier.OPERATOR)

    def may_write(self, package: str) -> bool:
        """Whether the credential is meant for packages of this name."""
        return not self.patterns or any(_matches(pattern, package) for pattern in self.patterns)

    @property
    def actor(self) -> Actor:
        """The principal as the audit log names it."""
        by = f" (key {self.key_name})" if self.key_name else f" (tool {self.tool})" if self.tool else ""
        return Actor(self.name + by, self.user_id, self.address)

    def within(self, channel_id: int) -> "Principal":
        """The same principal with what counts in this channel: the mode and the patterns of its publisher there."""
        grant = next((grant for grant in self.grants if grant.channel_id == channel_id), None)
        if grant is None:
            return self
        return replace(self, mode=grant.mode, patterns=grant.patterns, publisher_id=grant.publisher_id)

    def seen_from(self, address: str) -> "Principal":
        """The same principal, at the address that its request came from."""
        return replace(self, address=address)


ANONYMOUS = Principal(name="anonymous", mode=Mode.READ)

# Whoever can run commands beside the data owns the data already; commands say in the audit log that it was them.
OPERATOR = Principal(name="operator", carrier=Carrier.OPERATOR)


def _matches(pattern: str, package: str) -> bool:
    return package.startswith(pattern[:-1]) if pattern.endswith("*") else package == pattern
