"""
Permission checks for channels; `callers.site_permissions` has those for accounts and the site.

1. Callers who are not allowed to read a channel learn nothing of it: unknown and hidden channels get the same refusal.
2. A key never grants more than its user's role grants at this moment, and its mode, its channels and its package
   names narrow that. A workflow has no role: the mode of its publisher alone decides, in that publisher's channel.
3. Actions that require a signed-in user are refused to keys of any mode; actions that require a fresh sign-in are
   refused to an older session (`callers.site_permissions.RequiredCredential`).
4. The verdict is a function of values, which are read from the database at each request.
"""

from dataclasses import dataclass
from enum import Enum

from seaway.callers.caller import Caller, CredentialKind, Mode
from seaway.callers.site_permissions import (
    SiteAction,
    needs_credential,
    require_fresh,
    require_second_factor,
    require_site,
)
from seaway.channels.roles import BY_ADMIN, BY_ROLE, BY_WORKFLOW, ON_OWN_FILES, Action, Role
from seaway.errors import NotAllowed, NotFound


class Verdict(Enum):
    """Result of a permission check."""

    ALLOWED = "allowed"
    STALE = "stale"  # allowed after a fresh sign-in
    FORBIDDEN = "forbidden"  # can see the channel, but not do this
    HIDDEN = "hidden"  # must not learn that the channel exists


@dataclass(frozen=True, slots=True)
class Access:
    """The settings of a channel and the caller's role in it, which decide about permissions."""

    channel_id: int
    is_public: bool
    role: Role | None
    only_publishers: bool = False  # whether uploads must come from trusted publishers


def decide(
    caller: Caller,
    action: Action,
    access: Access | None,
    *,
    own_file: bool = False,
    package: str | None = None,
) -> Verdict:
    """
    Return the verdict.

    `own_file` means that the caller uploaded the file in question; `package` is the name of the package to change, if
    there is one.
    """
    if access is None:
        return Verdict.HIDDEN
    if caller.is_operator:
        return Verdict.ALLOWED
    caller = caller.in_channel(access.channel_id)
    granted = _granted(caller, access, own_file=own_file) if _in_scope(caller, access) else frozenset()
    if action in granted and not _is_too_weak(caller, action, package) and not _needs_publisher(caller, action, access):
        return Verdict.STALE if action.proof.is_too_old(caller) else Verdict.ALLOWED
    if access.is_public:
        return Verdict.ALLOWED if action is Action.READ else Verdict.FORBIDDEN
    return Verdict.FORBIDDEN if Action.READ in granted else Verdict.HIDDEN


def require(
    caller: Caller,
    action: Action,
    access: Access | None,
    *,
    channel_name: str,
    own_file: bool = False,
    package: str | None = None,
) -> Access:
    """Return the access if the action is allowed; otherwise raise a refusal that reveals nothing."""
    verdict = decide(caller, action, access, own_file=own_file, package=package)
    if verdict is Verdict.ALLOWED and access is not None:
        return access
    if verdict is Verdict.STALE:
        require_fresh(caller, action.proof)
    if caller.is_anonymous and (action is not Action.READ or verdict is Verdict.HIDDEN):
        raise needs_credential()
    if verdict is Verdict.HIDDEN or access is None:
        raise NotFound(
            "There is no such channel, or you do not have access to it.", "Check its name and your membership."
        )
    require_second_factor(caller)
    if _needs_publisher(caller, action, access):
        raise NotAllowed(
            f"The channel {channel_name!r} accepts uploads from trusted publishers only.",
            "Publish from a workflow that its owner has added as a publisher, without an API key.",
        )
    within = caller.in_channel(access.channel_id)
    raise NotAllowed(_refusal(within, action, access, channel_name), _hint(within, action, access))


def require_group(caller: Caller, *, name: str, is_member: bool, is_manager: bool, change: bool) -> None:
    """Return if the caller is allowed to see a group, or with `change` to change it; otherwise raise the refusal."""
    if change:
        require_site(caller, SiteAction.CHANGE_GROUP)
    elif caller.is_anonymous:
        raise needs_credential()
    if caller.is_operator or caller.is_admin or (is_manager if change else is_member):
        return
    if not is_member:
        raise NotAllowed(
            f"{caller.name} is not in the group {name!r}.", "Only its members and site admins can see or use it."
        )
    raise NotAllowed(f"{caller.name} is not allowed to change the group {name!r}.", "Ask one of its managers.")


def _in_scope(caller: Caller, access: Access) -> bool:
    return caller.channel_ids is None or access.channel_id in caller.channel_ids


def _is_too_weak(caller: Caller, action: Action, package: str | None) -> bool:
    """Return whether the credential itself is too weak, regardless of its user's permissions."""
    return (
        caller.mode < action.min_mode
        or (action.proof.needs_person and not caller.is_person)
        or (caller.lacks_second_factor and action is not Action.READ)
        or (package is not None and action is not Action.READ and not caller.can_write(package))
    )


def _needs_publisher(caller: Caller, action: Action, access: Access) -> bool:
    """Return whether the channel accepts this action from trusted publishers only."""
    is_upload = action in (Action.UPLOAD, Action.OVERWRITE)
    return access.only_publishers and is_upload and caller.credential is not CredentialKind.WORKFLOW


def _granted(caller: Caller, access: Access, *, own_file: bool) -> frozenset[Action]:
    if caller.credential is CredentialKind.WORKFLOW:
        return BY_WORKFLOW
    granted: frozenset[Action] = frozenset()
    if access.role is not None:
        granted |= BY_ROLE[access.role]
        if own_file:
            granted |= ON_OWN_FILES.get(access.role, frozenset())
    if caller.is_admin:
        granted |= BY_ADMIN
    return granted


def _refusal(caller: Caller, action: Action, access: Access, channel_name: str) -> str:
    if caller.key_name and not _in_scope(caller, access):
        return f"The API key {caller.key_name!r} is not allowed to {action.phrase} the channel {channel_name!r}."
    if caller.key_name and action.proof.needs_person:
        return f"API keys are not allowed to {action.phrase} the channel {channel_name!r}."
    if caller.tool and caller.mode < action.min_mode:
        return f"The OAuth grant of {caller.tool} is not allowed to {action.phrase} the channel {channel_name!r}."
    if caller.key_name and caller.mode < action.min_mode:
        return f"The API key {caller.key_name!r} is not allowed to {action.phrase} the channel {channel_name!r}."
    if caller.patterns and (
        caller.credential is CredentialKind.WORKFLOW or action in _granted(caller, access, own_file=True)
    ):
        return (
            f"{caller.actor.name} is not allowed to {action.phrase} the channel {channel_name!r} for a package of "
            "this name."
        )
    return f"{caller.name} is not allowed to {action.phrase} the channel {channel_name!r}."


# OAuth scope of each mode; no scope grants MANAGE.
_SCOPES = {Mode.READ: "channel:read", Mode.READ_WRITE: "channel:upload", Mode.READ_WRITE_DELETE: "channel:delete"}


def hint(caller: Caller, action: Action, access: Access) -> str:
    """Return the hint on how to get this permission with this credential, for refusals with their own message."""
    return _hint(caller.in_channel(access.channel_id), action, access)


def _hint_for_credential(caller: Caller, action: Action) -> str:
    if action.proof.needs_person:
        return "Sign in with a browser and do it there."
    if caller.tool and action.min_mode in _SCOPES:
        return f"Log in again with --oauth-scope {_SCOPES[action.min_mode]}."
    if caller.tool:
        return "Sign in with a browser and do it there."
    return f"Use a key for this channel with the mode {action.min_mode.name} or a wider one."


def _hint(caller: Caller, action: Action, access: Access) -> str:
    narrow = not _in_scope(caller, access) or caller.mode < action.min_mode
    if (caller.key_name or caller.tool) and (action.proof.needs_person or narrow):
        return _hint_for_credential(caller, action)
    if caller.credential is CredentialKind.WORKFLOW:
        return f"Ask the owner of the channel for a publisher with the mode {action.min_mode.name} and this package."
    if caller.patterns:
        return f"It is limited to {', '.join(caller.patterns)}."
    if action in (Action.DELETE, Action.OVERWRITE) and access.role is Role.CONTRIBUTOR:
        return "Contributors can do this only to files that they uploaded; ask the owner of the channel."
    needed = "Contributor" if action in BY_ROLE[Role.CONTRIBUTOR] else "Owner"
    return f"Ask the owner of the channel for the role of {needed}."
