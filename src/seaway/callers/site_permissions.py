"""
Permission checks for accounts and the site, by the table `SiteAction`.

1. An action reserved for sessions is refused for every key, whatever its access mode (`RequiredCredential`).
2. A cookie alone may have been stolen: actions that give others access to an account or a channel require a sign-in or
   confirmation (password, code or passkey) within the last half hour. `channels.roles` declares this for each action in
   a channel, `SiteAction` for all others; nothing else requires one.
3. Actions beyond single channels are refused for credentials restricted to some channels or packages.
"""

from enum import Enum
from typing import Self

from seaway.callers.caller import Caller, CredentialKind, Mode
from seaway.errors import BadCredential, ConfirmationRequired, NotAllowed


class RequiredCredential(Enum):
    """What an action requires of the credential besides its access mode; workflows never satisfy the PERSON kinds."""

    ANY = "any"  # a key, a tool, or a session of any age
    FRESH = "fresh"  # a key or a tool, or a recently confirmed session
    PERSON = "person"  # a session of any age
    FRESH_PERSON = "fresh-person"  # a recently confirmed session
    NEW_SESSION = "new-session"  # a session that started recently, by any sign-in method

    @property
    def needs_person(self) -> bool:
        """Return whether a session is required, so that no key is enough."""
        return self not in (RequiredCredential.ANY, RequiredCredential.FRESH)

    def is_too_old(self, by: Caller) -> bool:
        """Return whether a signed-in user has to sign in again, or confirm the session, first."""
        if by.credential is not CredentialKind.PERSON:
            return False
        if self is RequiredCredential.NEW_SESSION:
            return not by.is_new
        return self in (RequiredCredential.FRESH, RequiredCredential.FRESH_PERSON) and not by.is_fresh


class SiteAction(Enum):
    """An action outside channels; `phrase` completes "is not allowed to ..."."""

    phrase: str
    proof: RequiredCredential

    ADD_CHANNEL = "add-channel", "create a channel", RequiredCredential.ANY
    ADD_GROUP = "add-group", "create a group", RequiredCredential.FRESH
    CHANGE_GROUP = "change-group", "change this group", RequiredCredential.FRESH
    LEAVE_GROUP = "leave-group", "leave this group", RequiredCredential.ANY
    FIND_USERS = "find-users", "search for users", RequiredCredential.ANY
    READ_ACCOUNT = "read-account", "read this account", RequiredCredential.ANY
    # Set the display name; end sessions; revoke keys and OAuth grants.
    CHANGE_ACCOUNT = "change-account", "change this account", RequiredCredential.PERSON
    # Also create keys and approve OAuth grants.
    OPEN_ACCOUNT = "open-account", "change the credentials of this account", RequiredCredential.FRESH_PERSON
    # For users who have no means to confirm a session.
    ADD_FIRST_FACTOR = "add-first-factor", "add a second factor", RequiredCredential.NEW_SESSION
    REMOVE_ACCOUNT = "remove-account", "delete this account", RequiredCredential.FRESH_PERSON
    JOIN = "join", "respond to an invitation or offer", RequiredCredential.PERSON
    TAKE_CHANNEL = "take-channel", "become the owner of a channel", RequiredCredential.FRESH_PERSON
    ADMINISTER = "administer", "administer this site", RequiredCredential.PERSON
    CHANGE_SITE = "change-site", "change this site", RequiredCredential.FRESH_PERSON

    def __new__(cls, value: str, phrase: str, proof: RequiredCredential) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.phrase = phrase
        member.proof = proof
        return member


FOR_ADMINS = frozenset({SiteAction.ADMINISTER, SiteAction.CHANGE_SITE})

# Actions beyond single channels or packages, which need a credential without such restrictions.
NEEDS_UNRESTRICTED = frozenset(
    {SiteAction.ADD_CHANNEL, SiteAction.ADD_GROUP, SiteAction.CHANGE_GROUP, SiteAction.LEAVE_GROUP}
)


def require_site(by: Caller, action: SiteAction) -> None:
    """Return if the caller is allowed to do this; raise the refusal otherwise."""
    if by.is_operator:
        return
    if by.user_id is None:
        if by.is_anonymous:
            raise needs_credential()
        raise NotAllowed(f"{by.name} is not allowed to {action.phrase}.", "Sign in as a user.")
    if action.proof.needs_person and not by.is_person:
        raise NotAllowed(f"An API key is not allowed to {action.phrase}.", "Sign in with a browser and do it there.")
    if action in FOR_ADMINS:
        if not by.is_admin:
            raise NotAllowed(f"{by.name} is not allowed to {action.phrase}.", "Ask a site admin.")
        require_second_factor(by)
    if action in NEEDS_UNRESTRICTED:
        require_verified(by)
        _require_unnarrowed(by, action)
    if action is SiteAction.ADD_CHANNEL:
        require_factor_to_own(by)
    require_fresh(by, action.proof)


def require_fresh(by: Caller, proof: RequiredCredential) -> None:
    """Return unless the session must be confirmed again; raise `ConfirmationRequired` otherwise."""
    if proof.is_too_old(by):
        first = "Sign in again" if proof is RequiredCredential.NEW_SESSION else "Confirm your identity"
        raise ConfirmationRequired("This requires a recent sign-in.", f"{first}, then try again.")


def require_verified(by: Caller) -> None:
    """Return if the caller has a verified email address and any required second factor."""
    require_second_factor(by)
    if not by.is_verified:
        raise NotAllowed(
            "The email address of this account is not verified.", "Open the link in the verification email."
        )


def require_factor_to_own(by: Caller) -> None:
    """Return unless owning a channel here requires a second factor that the caller lacks."""
    if by.lacks_factor_to_own:
        raise NotAllowed(
            "This site requires a second factor of channel owners, and this account has none.",
            "Set one up in your account.",
        )


def require_second_factor(by: Caller) -> None:
    """Return unless this site requires a second factor that the caller lacks."""
    if by.lacks_second_factor:
        raise NotAllowed(
            "This site requires a second factor, and this account has none.", "Set one up in your account."
        )


def needs_credential() -> BadCredential:
    """Return the refusal of a request without a credential."""
    return BadCredential("This requires an API key.", "Send one as a bearer token, or check that yours is still valid.")


def _require_unnarrowed(by: Caller, action: SiteAction) -> None:
    if by.mode < Mode.MANAGE or by.channel_ids is not None or by.patterns:
        raise NotAllowed(
            f"{by.actor.name} is not allowed to {action.phrase}.",
            "Use a key with access mode MANAGE for all channels, or do it in a browser."
            if by.credential is CredentialKind.KEY
            else "Sign in with a browser and do it there.",
        )
