"""Who belongs to a channel, and as what."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from seaway import audit
from seaway.accounts.principal import Principal
from seaway.accounts.users import User
from seaway.audit import Event
from seaway.channels.channels import Channel
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import members, users
from seaway.errors import Malformed, NotFound


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a channel."""

    user: str
    role: Role
    added_at_ms: int


def all_members(tx: Tx, channel_id: int) -> list[Member]:
    """Every member, by name."""
    rows = tx.execute(
        select(users.c.name, members.c.role, members.c.added_at)
        .join(users, users.c.id == members.c.user_id)
        .where(members.c.channel_id == channel_id)
        .order_by(users.c.name)
    )
    return [Member(row[0], Role(row[1]), row[2]) for row in rows]


def put(tx: Tx, now_ms: int, by: Principal, channel: Channel, user: User, role: Role) -> Member:
    """Make a user a member at once, or change the role; ownership moves only by transfer."""
    if role is Role.OWNER or user.name == channel.owner:
        raise Malformed(
            f"{channel.name} has exactly one owner, {channel.owner}.", "Give it away with `seaway channel transfer`."
        )
    known = tx.execute(
        select(members.c.role).where(members.c.channel_id == channel.id, members.c.user_id == user.id)
    ).scalar()
    if known is None:
        tx.execute(insert(members).values(channel_id=channel.id, user_id=user.id, role=role.value, added_at=now_ms))
    else:
        tx.execute(
            update(members)
            .where(members.c.channel_id == channel.id, members.c.user_id == user.id)
            .values(role=role.value)
        )
    event = Event.MEMBER_ADDED if known is None else Event.MEMBER_CHANGED
    audit.write(tx, now_ms, by.actor, event, channel=channel.name, target=user.name, role=role.value)
    return next(member for member in all_members(tx, channel.id) if member.user == user.name)


def remove(tx: Tx, now_ms: int, by: Principal, channel: Channel, user: User) -> None:
    """End a membership; what the user uploaded stays."""
    if user.name == channel.owner:
        raise Malformed(
            f"{user.name} owns {channel.name}, and a channel always has an owner.",
            "Give it away first with `seaway channel transfer`.",
        )
    removed = tx.execute(delete(members).where(members.c.channel_id == channel.id, members.c.user_id == user.id))
    if not removed.rowcount:
        raise NotFound(f"{user.name} is not a member of {channel.name}.", "`seaway channel show` lists the members.")
    audit.write(tx, now_ms, by.actor, Event.MEMBER_REMOVED, channel=channel.name, target=user.name)
