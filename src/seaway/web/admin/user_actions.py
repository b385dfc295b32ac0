"""Actions of site admins on an account, their effects, which the confirmation shows, and the message afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from seaway.api.v1 import users as users_api
from seaway.api.v1.users import UserUpdate
from seaway.channels import channels, quotas
from seaway.channels.channel import Channel
from seaway.channels.quotas import QuotaUsage
from seaway.channels.roles import Role
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.http.page_forms import Form
from seaway.http.request_context import RequestContext
from seaway.keys import api_keys
from seaway.oauth import grants
from seaway.sign_in import second_factors, sessions, user_invitations
from seaway.sign_in.second_factors import Factors
from seaway.sign_in.sessions import Session
from seaway.trusted_publishing import publishers
from seaway.users import emails, users
from seaway.users.emails import Email
from seaway.users.users import User


@dataclass(frozen=True, slots=True)
class UserFacts:
    """Facts about an account that a site admin sees."""

    user: User
    emails: Sequence[Email]
    factors: Factors
    ends_at_ms: int | None  # when the second factors will be removed
    storage: QuotaUsage
    owned: Sequence[Channel]
    joined: Sequence[tuple[Channel, Role]]
    sessions: Sequence[Session]
    keys: int  # that are valid
    tools: int
    publishers: int
    is_invited: bool  # the invitation is not accepted yet
    invitation_expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class UserAction:
    """An action on an account; an action with effects is confirmed on a page."""

    work: Callable[[RequestContext, str, Form], object]
    message: str  # `{}` stands for the name
    question: str = ""
    button: str = ""
    effects: Callable[[UserFacts], list[str]] | None = None
    refused: Callable[[UserFacts], str] = lambda _facts: ""
    is_danger: bool = True
    is_typed: bool = False
    then: str = "/admin/users/{}"


def facts_of(name: str, call: RequestContext, tx: Tx) -> UserFacts:
    """Return the facts about an account that a site admin sees."""
    user, now_ms = users.get(tx, name), call.now_ms
    joined = channels.with_role_of(tx, user.id)
    keys = api_keys.all_keys(tx, user.id)
    return UserFacts(
        user=user,
        emails=emails.of_user(tx, user.id),
        factors=second_factors.of_user(tx, user.id),
        ends_at_ms=second_factors.ends_at(tx, user.id),
        storage=quotas.of_user(tx, user.id, call.parts.publishing.user_quota),
        owned=[channel for channel, role in joined if role is Role.OWNER],
        joined=[(channel, role) for channel, role in joined if role is not Role.OWNER],
        sessions=sessions.of_user(tx, user.id, now_ms),
        keys=sum(key.revoked_at_ms is None and (key.expires_at_ms or now_ms + 1) > now_ms for key in keys),
        tools=len(grants.of_user(tx, user.id, now_ms)),
        publishers=publishers.count_added_by(tx, user.id),
        is_invited=user_invitations.is_open(tx, user.id),
        invitation_expires_at_ms=user_invitations.expires_at(tx, user.id),
    )


def _those(number: int, noun: str, rest: str, plural: str = "") -> list[str]:
    """Return a sentence about a number of things, which `rest` completes after "is" or "are"; none without any."""
    return [f"{counted(number, noun, plural)} {'is' if number == 1 else 'are'} {rest}."] if number else []


def _stay(number: int, noun: str, rest: str) -> list[str]:
    return [f"{counted(number, noun)} {'stays' if number == 1 else 'stay'}{rest}."] if number else []


def _effects_of_disabling(facts: UserFacts) -> list[str]:
    name = facts.user.name
    return [
        f"{name} cannot sign in until the account is enabled again.",
        *_those(len(facts.sessions), "browser", "signed out immediately"),
        *_those(facts.keys, "API key", "refused until then"),
        *_those(facts.tools, "command-line tool", "refused until then"),
        *_stay(
            facts.publishers, "trusted publisher", f" that {name} added, but the current publish tokens stop working"
        ),
        *_stay(len(facts.owned), "owned channel", ", with packages and members"),
    ]


def _effects_of_enabling(facts: UserFacts) -> list[str]:
    return [
        f"{facts.user.name} can sign in again.",
        *_those(facts.keys, "API key", "accepted again immediately"),
        *_those(facts.tools, "command-line tool", "accepted again immediately"),
    ]


def _effects_of_promoting(facts: UserFacts) -> list[str]:
    return [
        f"{facts.user.name} can read and change every channel, including private ones.",
        f"{facts.user.name} can use these pages, and disable or delete accounts.",
    ]


def _effects_of_demoting(facts: UserFacts) -> list[str]:
    return [
        f"{facts.user.name} can no longer use these pages, or read private channels of others.",
        *_stay(len(facts.owned), "owned channel", ""),
        *_stay(len(facts.joined), "membership", ""),
    ]


def _effects_of_reset(facts: UserFacts) -> list[str]:
    factors, verified = facts.factors, sum(email.verified_at_ms is not None for email in facts.emails)
    return [
        "First make sure that the request comes from the user.",
        *(["The authenticator app is removed in 72 hours."] if factors.has_totp else []),
        *_those(factors.passkeys, "passkey", "removed in 72 hours"),
        *_those(factors.recovery_codes, "recovery code", "removed in 72 hours"),
        *_those(verified, "verified email address", "notified now", "verified email addresses"),
        "The user can sign in and cancel this. The removal signs out every browser.",
        f"To remove them immediately, the operator runs seaway user reset-2fa {facts.user.name}.",
    ]


def _effects_of_deleting(facts: UserFacts) -> list[str]:
    name = facts.user.name
    return [
        *_those(facts.keys, "valid API key", "revoked"),
        *_those(facts.tools, "command-line tool", "logged out"),
        *_those(len(facts.sessions), "browser", "signed out"),
        *_those(len(facts.joined), "membership", "removed"),
        f"Files that {name} uploaded stay, with the name.",
        *_stay(facts.publishers, "trusted publisher", f" that {name} added"),
        f"The name {name} cannot be used for a year.",
        "This cannot be undone. To keep the account, disable it instead.",
    ]


def _owner_is_not_deleted(facts: UserFacts) -> str:
    if not facts.owned:
        return ""
    return f"{facts.user.name} owns {counted(len(facts.owned), 'channel')}. Transfer or delete them first."


def _nothing_to_reset(facts: UserFacts) -> str:
    return "" if facts.factors.any else f"{facts.user.name} has no second factor."


def _update(call: RequestContext, name: str, _form: Form, **fields: bool) -> None:
    users_api.change_user(call, name, UserUpdate(**fields))


def _schedule_reset(call: RequestContext, name: str, _form: Form) -> None:
    users_api.request_second_factor_reset(call, name)


def _cancel_reset(call: RequestContext, name: str, _form: Form) -> None:
    users_api.cancel_second_factor_reset(call, name)


def _invite_again(call: RequestContext, name: str, _form: Form) -> None:
    users_api.send_user_invitation(call, name)


def _delete(call: RequestContext, name: str, form: Form) -> None:
    users_api.delete_user(call, name, confirm=form.text("name"))


ACTIONS: Mapping[str, UserAction] = {
    "disable": UserAction(
        partial(_update, disabled=True),
        "{} is disabled. The account can be enabled again.",
        "Disable the account {}?",
        "Disable account",
        _effects_of_disabling,
    ),
    "enable": UserAction(
        partial(_update, disabled=False),
        "{} is enabled and can sign in again.",
        "Enable the account {}?",
        "Enable account",
        _effects_of_enabling,
        is_danger=False,
    ),
    "promote": UserAction(
        partial(_update, admin=True),
        "{} is now a site admin.",
        "Make {} a site admin?",
        "Make site admin",
        _effects_of_promoting,
    ),
    "demote": UserAction(
        partial(_update, admin=False),
        "{} is no longer a site admin.",
        "Remove the admin rights of {}?",
        "Remove admin rights",
        _effects_of_demoting,
    ),
    "reset": UserAction(
        _schedule_reset,
        "The second factors of {} will be removed in 72 hours.",
        "Remove the second factors of {}?",
        "Remove in 72 hours",
        _effects_of_reset,
        _nothing_to_reset,
    ),
    "delete": UserAction(
        _delete,
        "The account {} was deleted. Its name is reserved for a year.",
        "Delete the account {}?",
        "Delete account",
        _effects_of_deleting,
        _owner_is_not_deleted,
        is_typed=True,
        then="/admin/users",
    ),
    "cancel-reset": UserAction(_cancel_reset, "The removal of the second factors of {} was canceled."),
    "invite": UserAction(
        _invite_again, "A new invitation was sent to {}. The link in the earlier email no longer works."
    ),
}
