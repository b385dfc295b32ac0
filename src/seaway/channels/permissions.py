"""
May this principal do this here? The only answer; nothing else decides.

1. Who may not read a channel learns nothing of it: an unknown and a hidden channel are the same refusal.
2. A key never gives more than its user's role gives at this moment, and its mode and channels narrow that.
3. The verdict is a function of values: what they are is asked of the database at each request.
"""

from dataclasses import dataclass
from enum import Enum

from seaway.accounts.principal import Principal
from seaway.channels.roles import BY_ADMIN, BY_ROLE, TO_OWN_FILES, Action, Role
from seaway.errors import BadCredential, NotAllowed, NotFound


class Verdict(Enum):
    """The three answers."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"  # may know of the channel, may not do this
    HIDDEN = "hidden"  # may not know of the channel


@dataclass(frozen=True, slots=True)
class Access:
    """What decides in a channel: the channel's own state and the asker's role in it."""

    channel_id: int
    is_public: bool
    role: Role | None


def decide(principal: Principal, action: Action, access: Access | None, *, own_file: bool = False) -> Verdict:
    """The verdict; `own_file` tells that the file in question was uploaded by this very principal."""
    if access is None:
        return Verdict.HIDDEN
    if principal.is_operator:
        return Verdict.ALLOWED
    in_scope = principal.channel_ids is None or access.channel_id in principal.channel_ids
    granted = _granted(principal, access, own_file=own_file) if in_scope else frozenset()
    if action in granted and principal.mode >= action.least_mode:
        return Verdict.ALLOWED
    if access.is_public:
        return Verdict.ALLOWED if action is Action.READ else Verdict.FORBIDDEN
    return Verdict.FORBIDDEN if Action.READ in granted else Verdict.HIDDEN


def require(
    principal: Principal, action: Action, access: Access | None, *, channel_name: str, own_file: bool = False
) -> Access:
    """The access when it is allowed; otherwise the refusal that gives nothing away."""
    verdict = decide(principal, action, access, own_file=own_file)
    if verdict is Verdict.ALLOWED and access is not None:
        return access
    if principal.is_anonymous and (action is not Action.READ or verdict is Verdict.HIDDEN):
        raise BadCredential("This needs an API key.", "Send one as a bearer token, or check that yours is still good.")
    if verdict is Verdict.HIDDEN or access is None:
        raise NotFound("There is no such channel, or it is not for you.", "Check its name and your membership.")
    raise NotAllowed(_refusal(principal, action, access, channel_name), _cure(principal, action, access))


def _granted(principal: Principal, access: Access, *, own_file: bool) -> frozenset[Action]:
    granted: frozenset[Action] = frozenset()
    if access.role is not None:
        granted |= BY_ROLE[access.role]
        if own_file:
            granted |= TO_OWN_FILES.get(access.role, frozenset())
    if principal.is_admin:
        granted |= BY_ADMIN
    return granted


def _refusal(principal: Principal, action: Action, access: Access, channel_name: str) -> str:
    if principal.key_name and _key_is_what_lacks(principal, action, access):
        return f"The API key {principal.key_name!r} may not {action.said} the channel {channel_name!r}."
    return f"{principal.name} may not {action.said} the channel {channel_name!r}."


def _cure(principal: Principal, action: Action, access: Access) -> str:
    if principal.key_name and _key_is_what_lacks(principal, action, access):
        return f"Use a key for this channel with the mode {action.least_mode.name} or a wider one."
    if action in (Action.DELETE, Action.OVERWRITE) and access.role is Role.CONTRIBUTOR:
        return "A contributor may do that only to files that they uploaded; ask the owner of the channel."
    needed = "Contributor" if action in BY_ROLE[Role.CONTRIBUTOR] else "Owner"
    return f"Ask the owner of the channel for the role of {needed}."


def _key_is_what_lacks(principal: Principal, action: Action, access: Access) -> bool:
    in_scope = principal.channel_ids is None or access.channel_id in principal.channel_ids
    return not in_scope or principal.mode < action.least_mode
