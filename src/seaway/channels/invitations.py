"""
Invitations to become a member of a channel, sent to an email address.

1. The link is sent to that address. Anyone who has it can use it once, within a week, until it is withdrawn.
   Only a digest of its secret is stored. The user who verified that address can also answer without the link.
2. Accepting requires a signed-in user with a verified account, which need not have that address if it has the link.
3. Accepting never lowers a role, and never makes the user an owner. The owner is not invited: only callers who know
   the owner's email addresses can invite, so that refusal reveals nothing; for other members it would.
4. Expired, withdrawn, answered and invented invitations get the same refusal.
"""

from dataclasses import dataclass, replace

from sqlalchemy import delete, func, insert, select

from seaway import audit, secret_tokens
from seaway.audit import Event
from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site, require_verified
from seaway.channels import channels, members
from seaway.channels.notify import caused_by, notify_user
from seaway.channels.permissions import Access
from seaway.channels.roles import Action, Role, strongest
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import invitations, users
from seaway.errors import Conflict, Malformed, NotFound, TooManyRequests
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.users import emails, pending_offers

LIFETIME_MS = 7 * DAY_MS
MAX_OPEN = 100  # per channel: each one sends an unsolicited email
_KEPT_MS = 30 * DAY_MS  # for how long the owner sees an expired invitation


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as the channel owner and the recipient see it, without the secret."""

    id: int
    channel: str
    address: str
    role: Role
    invited_by: str
    created_at_ms: int
    expires_at_ms: int


def invite(
    tx: Tx, now_ms: int, by: Caller, channel: str, address: str, role: Role, *, outbox: Outbox | None
) -> tuple[Invitation, str]:
    """
    Invite an email address to become a member; this replaces an earlier invitation of the same address.

    The secret of the link is returned for the operator, whose Seaway may send no email; it is not shown to users.
    """
    access = channels.require(tx, by, Action.ADMIT, channel)
    if role is Role.OWNER:
        raise Malformed(f"{channel} has exactly one owner.", "Choose the role viewer or contributor.")
    folded = emails.case_folded(address)
    _refuse_owner(tx, access.channel_id, channel, address)
    _count_email(tx, now_ms, by, folded)
    of_address = (invitations.c.channel_id == access.channel_id, invitations.c.folded == folded)
    tx.execute(delete(invitations).where(*of_address))
    _refuse_too_many(tx, now_ms, access.channel_id, channel)
    invitation, secret = _make(tx, now_ms, by, access.channel_id, emails.normalize(address), folded, role)
    _send(tx, now_ms, by, invitation, secret, outbox)
    audit.write(
        tx, now_ms, by.actor, Event.INVITATION_SENT, channel=channel, target=invitation.address, role=role.value
    )
    return invitation, secret


def resend(
    tx: Tx, now_ms: int, by: Caller, channel: str, invitation_id: int, *, outbox: Outbox | None
) -> tuple[Invitation, str]:
    """Send a new link, which is valid for a week; the previous link stops working."""
    old = _of_channel(tx, channels.require(tx, by, Action.ADMIT, channel), invitation_id)
    return invite(tx, now_ms, by, channel, old.address, old.role, outbox=outbox)


def withdraw(tx: Tx, now_ms: int, by: Caller, channel: str, invitation_id: int) -> None:
    """Withdraw an invitation."""
    old = _of_channel(tx, channels.require(tx, by, Action.ADMIT, channel), invitation_id)
    tx.execute(delete(invitations).where(invitations.c.id == invitation_id))
    audit.write(tx, now_ms, by.actor, Event.INVITATION_WITHDRAWN, channel=channel, target=old.address)


def withdraw_all(tx: Tx, channel_id: int) -> None:
    """Delete every invitation of a channel whose owner changed: the previous owner may have their links."""
    tx.execute(delete(invitations).where(invitations.c.channel_id == channel_id))


def of_channel(tx: Tx, by: Caller, channel: str) -> list[Invitation]:
    """Return the invitations of a channel, newest first, including those that expired within the last 30 days."""
    access = channels.require(tx, by, Action.MANAGE, channel)
    rows = tx.execute(
        _INVITATION.where(invitations.c.channel_id == access.channel_id).order_by(invitations.c.id.desc())
    )
    return [from_row(Invitation, row) for row in rows]


def get(tx: Tx, by: Caller, channel: str, invitation_id: int) -> Invitation:
    """Return one invitation of a channel."""
    return _of_channel(tx, channels.require(tx, by, Action.MANAGE, channel), invitation_id)


def get_by_secret(tx: Tx, now_ms: int, secret: str) -> Invitation:
    """Return the invitation of a link; `NotFound` if it is no longer valid."""
    row = tx.execute(
        _INVITATION.where(invitations.c.digest == secret_tokens.hash_key(secret), invitations.c.expires_at > now_ms)
    ).one_or_none()
    if row is None:
        raise _no_longer_valid()
    return from_row(Invitation, row)


def addressed_to(tx: Tx, now_ms: int, user_id: int) -> list[Invitation]:
    """Return the pending invitations to a user's verified email addresses, newest first."""
    rows = tx.execute(_INVITATION.where(*pending_offers.invited(user_id, now_ms)).order_by(invitations.c.id.desc()))
    return [from_row(Invitation, row) for row in rows]


def get_addressed(tx: Tx, now_ms: int, by: Caller, invitation_id: int) -> Invitation:
    """Return an invitation to one of the caller's verified email addresses; `NotFound` if it is no longer valid."""
    require_site(by, SiteAction.JOIN)
    row = tx.execute(
        _INVITATION.where(invitations.c.id == invitation_id, *pending_offers.invited(by.user_id or 0, now_ms))
    ).one_or_none()
    if row is None:
        raise _no_longer_valid()
    return from_row(Invitation, row)


def accept(tx: Tx, now_ms: int, by: Caller, secret: str, *, outbox: Outbox | None = None) -> Invitation:
    """
    Make the caller a member, and return the invitation with the role that the caller has now.

    In a transaction of the channel that `get_by_secret` returns, or of the site.
    """
    require_site(by, SiteAction.JOIN)
    require_verified(by)
    return _accept(tx, now_ms, by, get_by_secret(tx, now_ms, secret), outbox)


def accept_addressed(
    tx: Tx, now_ms: int, by: Caller, invitation_id: int, *, outbox: Outbox | None = None
) -> Invitation:
    """Like `accept`, without the link; in a transaction of the channel that `get_addressed` returns."""
    require_verified(by)
    return _accept(tx, now_ms, by, get_addressed(tx, now_ms, by, invitation_id), outbox)


def decline(tx: Tx, now_ms: int, by: Caller, secret: str, *, outbox: Outbox | None = None) -> Invitation:
    """Decline an invitation; anyone who has the link can, with or without an account."""
    return _decline(tx, now_ms, by, get_by_secret(tx, now_ms, secret), outbox)


def decline_addressed(
    tx: Tx, now_ms: int, by: Caller, invitation_id: int, *, outbox: Outbox | None = None
) -> Invitation:
    """Decline an invitation to one of the caller's email addresses without the link."""
    return _decline(tx, now_ms, by, get_addressed(tx, now_ms, by, invitation_id), outbox)


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete invitations that expired more than 30 days ago; return the count."""
    return tx.execute(delete(invitations).where(invitations.c.expires_at < now_ms - _KEPT_MS)).rowcount


def _accept(tx: Tx, now_ms: int, by: Caller, invitation: Invitation, outbox: Outbox | None) -> Invitation:
    _take(tx, invitation)
    access = channels.access_of(tx, invitation.channel, by)
    assert access is not None
    assert by.user_id is not None
    known = members.role_of(tx, access.channel_id, by.user_id)
    role = strongest(invitation.role.value, None if known is None else known.value) or invitation.role
    members.store_role(tx, now_ms, access.channel_id, by.user_id, role)
    event = Event.MEMBER_ADDED if known is None else Event.MEMBER_CHANGED
    audit.write(
        tx,
        now_ms,
        by.actor,
        event,
        channel=invitation.channel,
        target=by.name,
        role=role.value,
        invited=invitation.address,
    )
    _tell_owner(tx, now_ms, by, access.channel_id, invitation, outbox, decision=f"{by.name} accepted")
    return replace(invitation, role=role)


def _decline(tx: Tx, now_ms: int, by: Caller, invitation: Invitation, outbox: Outbox | None) -> Invitation:
    _take(tx, invitation)
    audit.write(tx, now_ms, by.actor, Event.INVITATION_DECLINED, channel=invitation.channel, target=invitation.address)
    channel_id = tx.execute(select(channel_rows.c.id).where(channel_rows.c.name == invitation.channel)).scalar_one()
    _tell_owner(tx, now_ms, by, channel_id, invitation, outbox, decision=f"{invitation.address} declined")
    return invitation


_INVITATION = (
    select(
        invitations.c.id, channel_rows.c.name.label("channel"), invitations.c.address, invitations.c.role,
        func.coalesce(users.c.name, "").label("invited_by"), invitations.c.created_at.label("created_at_ms"),
        invitations.c.expires_at.label("expires_at_ms"),
    )
    .join(channel_rows, channel_rows.c.id == invitations.c.channel_id)
    .outerjoin(users, users.c.id == invitations.c.invited_by)
)  # fmt: skip


def _of_channel(tx: Tx, access: Access, invitation_id: int) -> Invitation:
    row = tx.execute(
        _INVITATION.where(invitations.c.channel_id == access.channel_id, invitations.c.id == invitation_id)
    ).one_or_none()
    if row is None:
        raise NotFound("This invitation does not exist.", "It may already have been answered.")
    return from_row(Invitation, row)


def _count_email(tx: Tx, now_ms: int, by: Caller, folded: str) -> None:
    rates = ((Rate.EMAILS_TO_ADDRESS, (folded,)), (Rate.EMAILS_FROM_ADDRESS, (by.address,)))
    refusal = None if by.is_operator else rate_limits.count_all_in(tx, now_ms, *rates)
    if refusal is not None:
        raise refusal


def _refuse_owner(tx: Tx, channel_id: int, channel: str, address: str) -> None:
    user_id = emails.owner_of(tx, address)
    if user_id is not None and user_id == members.owner_id(tx, channel_id):
        raise Conflict(f"{emails.normalize(address)} belongs to the owner of {channel}.", "Invite someone else.")


def _refuse_too_many(tx: Tx, now_ms: int, channel_id: int, channel: str) -> None:
    count = tx.execute(
        select(func.count()).where(invitations.c.channel_id == channel_id, invitations.c.expires_at > now_ms)
    ).scalar_one()
    if count >= MAX_OPEN:
        raise TooManyRequests(
            f"{channel} has {count} open invitations, and no more are allowed.",
            "Withdraw some of them.",
            retry_after_seconds=DAY_MS // 1000,
        )


def _make(
    tx: Tx, now_ms: int, by: Caller, channel_id: int, address: str, folded: str, role: Role
) -> tuple[Invitation, str]:
    secret = secret_tokens.new_key(secret_tokens.KeyKind.INVITATION)
    invitation_id = tx.execute(
        insert(invitations)
        .values(
            channel_id=channel_id,
            address=address,
            folded=folded,
            role=role.value,
            digest=secret_tokens.hash_key(secret),
            invited_by=by.user_id,
            created_at=now_ms,
            expires_at=now_ms + LIFETIME_MS,
        )
        .returning(invitations.c.id)
    ).scalar_one()
    return from_row(Invitation, tx.execute(_INVITATION.where(invitations.c.id == invitation_id)).one()), secret


def _take(tx: Tx, invitation: Invitation) -> None:
    """Delete the invitation; of two requests at the same moment, the second is refused."""
    if not tx.execute(delete(invitations).where(invitations.c.id == invitation.id)).rowcount:
        raise _no_longer_valid()


def _send(tx: Tx, now_ms: int, by: Caller, invitation: Invitation, secret: str, outbox: Outbox | None) -> None:
    if outbox is None:
        return
    email = messages.invitation(
        invitation.address,
        site_url=outbox.site_url,
        channel=invitation.channel,
        role=invitation.role.value,
        by=invitation.invited_by or "The operator",
        link=f"{outbox.site_url}/invitations/{secret}",
    )
    cause = caused_by(by, "invitation", invitation.channel, is_required=True)
    outbox.send(tx, now_ms, email, cause=cause)


def _tell_owner(
    tx: Tx,
    now_ms: int,
    by: Caller,
    channel_id: int,
    invitation: Invitation,
    outbox: Outbox | None,
    *,
    decision: str,
) -> None:
    # The id makes the answers to two invitations two subjects, so the limit per subject does not drop one of them.
    cause = caused_by(by, "invitation_answered", f"{invitation.channel}/{invitation.id}")
    notify_user(
        tx, now_ms, outbox, members.owner_id(tx, channel_id), messages.invitation_decided,
        cause=cause, channel=invitation.channel, decision=decision,
    )  # fmt: skip


def _no_longer_valid() -> NotFound:
    return NotFound("This invitation is no longer valid.", "Ask the sender for a new one.")
