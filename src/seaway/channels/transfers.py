"""
Transfers: a channel is offered to one of its members, who becomes its owner by accepting.

1. Nothing changes until the offer is accepted. It ends after a week, when it is declined or canceled, when its
   recipient is no longer a member, or when the channel gets a new owner in another way.
2. Exactly one user owns the channel at every moment: owners are only ever exchanged, in one transaction. Of two
   requests that accept at the same moment, one finds no offer.
3. Offering and accepting require a fresh sign-in. A key cannot transfer a channel.
4. The previous owner becomes a contributor.
"""

from dataclasses import dataclass

from sqlalchemy import delete, exists, insert, select

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_factor_to_own, require_site, require_verified
from seaway.channels import channels, invitations, members
from seaway.channels.notify import caused_by, notify_user
from seaway.channels.roles import Action, Role
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import emails, transfers
from seaway.database.tables import users as user_rows
from seaway.errors import Conflict, Malformed, NotFound
from seaway.mail import messages
from seaway.mail.outbox import Outbox
from seaway.users import pending_offers, users

LIFETIME_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Transfer:
    """A pending offer."""

    channel: str
    to_user: str
    offered_by: str
    offered_at_ms: int
    expires_at_ms: int
    channel_id: int
    offered_by_id: int


def offer(tx: Tx, now_ms: int, by: Caller, channel: str, to_user: str, *, outbox: Outbox | None = None) -> Transfer:
    """Offer a channel to one of its members."""
    access = channels.require(tx, by, Action.TRANSFER, channel)
    to = users.get(tx, to_user)
    if members.role_of(tx, access.channel_id, to.id) in (None, Role.OWNER):
        raise Conflict(f"{to_user} cannot become the owner of {channel}.", "Offer it to a member who does not own it.")
    if to.disabled_at_ms is not None or not _is_verified(tx, to.id):
        raise Conflict(
            f"The account {to_user} is disabled or has no verified email address.",
            "Offer the channel to another member.",
        )
    if of_channel(tx, now_ms, access.channel_id) is not None:
        raise Conflict(f"{channel} already has a pending transfer.", "Cancel it first.")
    if by.user_id is None:
        raise Malformed("The operator cannot offer a channel.", "Transfer it at once with `seaway channel transfer`.")
    delete_offer(tx, access.channel_id)  # an expired offer
    tx.execute(
        insert(transfers).values(
            channel_id=access.channel_id,
            to_user_id=to.id,
            offered_by=by.user_id,
            offered_at=now_ms,
            expires_at=now_ms + LIFETIME_MS,
        )
    )
    audit.write(tx, now_ms, by.actor, Event.TRANSFER_OFFERED, channel=channel, target=to_user)
    notify_user(
        tx, now_ms, outbox, to.id, messages.transfer_offered,
        cause=caused_by(by, "transfer_offered", channel), channel=channel, by=by.name,
    )  # fmt: skip
    made = of_channel(tx, now_ms, access.channel_id)
    assert made is not None
    return made


def accept(tx: Tx, now_ms: int, by: Caller, channel: str, *, outbox: Outbox | None = None) -> Transfer:
    """Make the caller the owner of a channel offered to them; in a transaction of that channel, or of the site."""
    transfer = _take(tx, now_ms, by, channel, to_accept=True)
    assert by.user_id is not None
    _exchange_owner(tx, now_ms, by, transfer.channel_id, channel, by.user_id, by.name, offered_by=transfer.offered_by)
    _notify_of_decision(tx, now_ms, by, outbox, transfer, "accepted")
    return transfer


def decline(tx: Tx, now_ms: int, by: Caller, channel: str, *, outbox: Outbox | None = None) -> Transfer:
    """Decline a channel that was offered to the caller."""
    transfer = _take(tx, now_ms, by, channel, to_accept=False)
    audit.write(tx, now_ms, by.actor, Event.TRANSFER_DECLINED, channel=channel, target=by.name)
    _notify_of_decision(tx, now_ms, by, outbox, transfer, "declined")
    return transfer


def cancel(tx: Tx, now_ms: int, by: Caller, channel: str) -> Transfer:
    """Cancel the pending offer of a channel."""
    access = channels.require(tx, by, Action.TRANSFER, channel)
    transfer = of_channel(tx, now_ms, access.channel_id)
    if transfer is None or not delete_offer(tx, access.channel_id):
        raise _no_transfer()
    audit.write(tx, now_ms, by.actor, Event.TRANSFER_CANCELED, channel=channel, target=transfer.to_user)
    return transfer


def transfer_now(
    tx: Tx, now_ms: int, by: Caller, channel: str, new_owner: str, *, outbox: Outbox | None = None
) -> None:
    """Transfer a channel to a user at once; for the operator and admins, since its owner may have left permanently."""
    require_site(by, SiteAction.CHANGE_SITE)
    access = channels.require(tx, by, Action.TRANSFER, channel)
    previous, to = users.find(tx, channels.get(tx, channel).owner), users.get(tx, new_owner)
    _exchange_owner(tx, now_ms, by, access.channel_id, channel, to.id, new_owner)
    for user in (previous, to):
        if user is not None and previous != to:
            notify_user(
                tx, now_ms, outbox, user.id, messages.channel_transferred,
                cause=None, channel=channel, new_owner=new_owner,
            )  # fmt: skip


def _exchange_owner(
    tx: Tx, now_ms: int, by: Caller, channel_id: int, channel: str, to_id: int, to: str, **detail: str
) -> None:
    members.exchange_owner(tx, now_ms, channel_id, to_id)
    invitations.withdraw_all(tx, channel_id)
    audit.write(tx, now_ms, by.actor, Event.CHANNEL_TRANSFERRED, channel=channel, target=to, **detail)


def _notify_of_decision(
    tx: Tx, now_ms: int, by: Caller, outbox: Outbox | None, transfer: Transfer, decision: str
) -> None:
    notify_user(
        tx, now_ms, outbox, transfer.offered_by_id, messages.transfer_decided,
        cause=caused_by(by, "transfer_answered", transfer.channel), channel=transfer.channel,
        decision=f"{by.name} {decision}",
    )  # fmt: skip


def of_channel(tx: Tx, now_ms: int, channel_id: int) -> Transfer | None:
    """Return the pending offer of a channel, or None, without a permission check."""
    row = tx.execute(
        _TRANSFER.where(transfers.c.channel_id == channel_id, transfers.c.expires_at > now_ms)
    ).one_or_none()
    return None if row is None else from_row(Transfer, row)


def pending_for(tx: Tx, now_ms: int, user_id: int) -> list[Transfer]:
    """Return the pending offers to a user, by channel."""
    rows = tx.execute(_TRANSFER.where(*pending_offers.offered(user_id, now_ms)).order_by(channel_rows.c.name))
    return [from_row(Transfer, row) for row in rows]


def all_pending(tx: Tx, now_ms: int, *, limit: int) -> list[Transfer]:
    """Return the pending offers of all channels, the oldest first, without a permission check."""
    query = _TRANSFER.where(transfers.c.expires_at > now_ms).order_by(transfers.c.offered_at, channel_rows.c.name)
    return [from_row(Transfer, row) for row in tx.execute(query.limit(limit))]


def delete_offer(tx: Tx, channel_id: int) -> bool:
    """Delete the offer of a channel; return whether there was one."""
    return bool(tx.execute(delete(transfers).where(transfers.c.channel_id == channel_id)).rowcount)


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired offers; return the count."""
    return tx.execute(delete(transfers).where(transfers.c.expires_at <= now_ms)).rowcount


_sender = user_rows.alias("by_whom")
_TRANSFER = (
    select(
        channel_rows.c.name.label("channel"), user_rows.c.name.label("to_user"), _sender.c.name.label("offered_by"),
        transfers.c.offered_at.label("offered_at_ms"), transfers.c.expires_at.label("expires_at_ms"),
        transfers.c.channel_id, transfers.c.offered_by.label("offered_by_id"),
    )
    .join(channel_rows, channel_rows.c.id == transfers.c.channel_id)
    .join(user_rows, user_rows.c.id == transfers.c.to_user_id)
    .join(_sender, _sender.c.id == transfers.c.offered_by)
)  # fmt: skip


def require_offer(tx: Tx, by: Caller, name: str, *, now_ms: int, to_accept: bool) -> Transfer:
    """Return the offer of a channel to the caller, who can accept or decline it; raise the refusal otherwise."""
    require_site(by, SiteAction.TAKE_CHANNEL if to_accept else SiteAction.JOIN)
    if to_accept:
        require_verified(by)
        require_factor_to_own(by)
    offered = [transfer for transfer in pending_for(tx, now_ms, by.user_id or 0) if transfer.channel == name]
    if not offered:
        raise _no_transfer()
    return offered[0]


def _take(tx: Tx, now_ms: int, by: Caller, channel: str, *, to_accept: bool) -> Transfer:
    """Delete an offer to the caller and return it; of two requests at the same moment, the second is refused."""
    offer = require_offer(tx, by, channel, now_ms=now_ms, to_accept=to_accept)
    answered = delete(transfers).where(transfers.c.channel_id == offer.channel_id, transfers.c.to_user_id == by.user_id)
    if not tx.execute(answered).rowcount:
        raise _no_transfer()
    return offer


def _is_verified(tx: Tx, user_id: int) -> bool:
    """Return whether a user has a verified address, or none at all (created at the command line); as in `sessions`."""
    of_user = select(exists().where(emails.c.user_id == user_id))
    verified = select(exists().where(emails.c.user_id == user_id, emails.c.verified_at.is_not(None)))
    return bool(tx.execute(verified).scalar_one()) or not tx.execute(of_user).scalar_one()


def _no_transfer() -> NotFound:
    return NotFound("This channel has no pending transfer.", "It may have expired or been canceled.")
