"""The caller: anonymous, a user (session, key or command-line tool), a workflow, or the operator."""

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from seaway.audit import Actor


class Mode(IntEnum):
    """Access mode of a key; each mode includes the previous ones."""

    READ = 1
    READ_WRITE = 2  # also upload, yank
    READ_WRITE_DELETE = 3  # also delete, overwrite
    MANAGE = 4  # also members, publishers, settings


class CredentialKind(Enum):
    """Kind of credential that identifies the caller."""

    NOTHING = "nothing"
    PERSON = "person"  # signed in, in a browser
    KEY = "key"
    TOOL = "tool"  # a command-line tool that the user logged in
    WORKFLOW = "workflow"  # a token minted for trusted publishing
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Workflow:
    """Verified claims of a workflow, from its token exchange; stored with the minted token and with every upload."""

    issuer: str
    kind: str  # of the issuer: github, gitlab, google, ...
    repository: str = ""  # including its owner or namespace
    repository_id: str = ""
    owner_id: str = ""  # of the owner or namespace
    ref: str = ""
    sha: str = ""
    run_id: str = ""
    run_attempt: str = ""
    workflow_ref: str = ""  # the workflow that was called
    job_workflow_ref: str = ""  # the workflow that defines the job, which can be a different (reusable) one
    environment: str = ""
    event_name: str = ""
    account: str = ""  # the service account, where there is no repository
    name: str = ""  # display name, with the kind of its issuer


@dataclass(frozen=True, slots=True)
class PublisherGrant:
    """Access that a publisher grants to its workflow in its channel."""

    channel_id: int
    publisher_id: int
    mode: Mode
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The caller of a request, with the restrictions of its credential.

    `patterns` are the package names that can be written, where a trailing `*` matches anything; empty means all.
    `is_fresh` is whether the session was confirmed recently (`RequiredCredential.FRESH`). `is_new` is whether the
    session started recently, which an identity provider may allow without anything typed.

    `channel_ids` of None means every channel of the user. The role in a channel is not included: it is read from the
    database at each request, so that a demotion takes effect on the next one.

    A workflow has a grant for each channel that trusts it, and `channel_ids` are these channels. Its permissions in a
    channel are those of the caller returned by `within`.
    """

    name: str
    user_id: int | None = None
    credential: CredentialKind = CredentialKind.NOTHING
    is_admin: bool = False
    is_verified: bool = True
    lacks_second_factor: bool = False  # the site requires one of this user
    lacks_factor_to_own: bool = False  # the site would require one if this user owned a channel
    mode: Mode = Mode.MANAGE
    channel_ids: frozenset[int] | None = None
    patterns: tuple[str, ...] = ()
    key_id: int | None = None
    key_name: str = ""
    tool: str = ""
    session_id: int | None = None
    pending_count: int = 0  # of a session: invitations and transfer offers that the user has not answered
    is_fresh: bool = False
    is_new: bool = False
    expires_at_ms: int | None = None
    token_id: int | None = None
    workflow: Workflow | None = None
    grants: tuple[PublisherGrant, ...] = ()
    publisher_id: int | None = None  # the publisher whose grant applies; set by `within` only
    address: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Return whether the request has no valid credential."""
        return self.credential is CredentialKind.NOTHING

    @property
    def is_operator(self) -> bool:
        """Return whether the caller is a command run on the server."""
        return self.credential is CredentialKind.OPERATOR

    @property
    def is_person(self) -> bool:
        """Return whether the caller is a user's session or the command line, and not a stored secret."""
        return self.credential in (CredentialKind.PERSON, CredentialKind.OPERATOR)

    def can_write(self, package: str) -> bool:
        """Return whether the credential's patterns include this package name."""
        return not self.patterns or any(_matches(pattern, package) for pattern in self.patterns)

    @property
    def actor(self) -> Actor:
        """Return the caller as the audit log names it."""
        by = f" (key {self.key_name})" if self.key_name else f" (tool {self.tool})" if self.tool else ""
        return Actor(self.name + by, self.user_id, self.address)

    def in_channel(self, channel_id: int) -> "Caller":
        """Return the caller with the mode and patterns of its publisher in this channel."""
        grant = next((grant for grant in self.grants if grant.channel_id == channel_id), None)
        if grant is None:
            return self
        return replace(self, mode=grant.mode, patterns=grant.patterns, publisher_id=grant.publisher_id)

    def with_address(self, address: str) -> "Caller":
        """Return the caller with the IP address of its request."""
        return replace(self, address=address)


ANONYMOUS = Caller(name="anonymous", mode=Mode.READ)

# Commands on the server need no permission: running them already requires full access to the data. The audit log names
# them as "operator".
OPERATOR = Caller(name="operator", credential=CredentialKind.OPERATOR)


def _matches(pattern: str, package: str) -> bool:
    return package.startswith(pattern[:-1]) if pattern.endswith("*") else package == pattern
