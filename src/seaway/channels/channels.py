"""Channels: create, find, change and delete them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    union,
    update,
)

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller, CredentialKind
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import permissions
from seaway.channels.channel import Attestations, Channel, ChannelSettings, stored
from seaway.channels.permissions import Access
from seaway.channels.roles import Action, Role, strongest
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import (
    channel_groups,
    channels,
    damaged_blobs,
    group_members,
    logos,
    members,
    released_names,
    shards,
    subdirs,
    users,
)
from seaway.errors import Malformed, NameTaken, NotAllowed, NotFound
from seaway.jobs import queue
from seaway.jobs.queue import JobArgs
from seaway.search_terms import search_terms
from seaway.users.reserved_names import is_reserved
from seaway.users.users import User

NAME_RESERVED_MS = 365 * DAY_MS

_RESTRICTING = frozenset({"is_public", "only_publishers", "attestations"})


_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,126}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class ChangeCursor:
    """Position in the public channels by last change: a change of a subdir, or the name of a channel without packages."""

    changed_at_ms: int = 0
    subdir_id: int = 0
    name: str = ""


class RemoveRelations(JobArgs, frozen=True):
    """Remove the relations to a channel that others can no longer read (`indexing.relations`)."""

    kind: ClassVar = "remove-relations"
    channel: str


def has_valid_form(name: str) -> bool:
    """Return whether a name has the form of a channel name (CEP 26)."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_possible_name(name: str) -> bool:
    """Return whether this name is valid for a channel and not reserved by the site."""
    return has_valid_form(name) and not is_reserved(name)


def add(tx: Tx, now_ms: int, by: Caller, name: str, owner: User, *, description: str, is_public: bool) -> Channel:
    """Create a channel owned by `owner`: the caller, or any user if the caller is an admin or the operator."""
    require_site(by, SiteAction.ADD_CHANNEL)
    if by.user_id != owner.id:
        require_site(by, SiteAction.ADMINISTER)
    require_free(tx, now_ms, name, owner.id)
    tx.execute(delete(released_names).where(released_names.c.name == name))
    settings = ChannelSettings(description=description, public=is_public)
    channel_id = tx.execute(
        insert(channels).values(name=name, created_at=now_ms, **stored(settings.columns())).returning(channels.c.id)
    ).scalar_one()
    tx.execute(insert(members).values(channel_id=channel_id, user_id=owner.id, role=Role.OWNER.value, added_at=now_ms))
    audit.write(tx, now_ms, by.actor, Event.CHANNEL_ADDED, channel=name, target=owner.name, public=is_public)
    return get(tx, name)


def require_free(tx: Tx, now_ms: int, name: str, owner_id: int | None) -> None:
    """Raise `NameTaken` unless this user can own a new channel of this name."""
    if not has_valid_form(name):
        raise NameTaken(
            f"{name[:60]!a} is not a valid channel name." if name else "A channel needs a name.",
            "Use lowercase letters and digits, with hyphens, underscores and dots between them, at most 128 characters.",
            field="name",
        )
    if is_reserved(name):
        raise NameTaken(
            f"The name {name!r} is reserved for a platform or a page of this site.",
            "Choose another name.",
            field="name",
        )
    if tx.execute(select(channels.c.id).where(channels.c.name == name)).scalar() is not None:
        raise NameTaken(f"A channel named {name!r} already exists.", "Choose another name.", field="name")
    if _is_reserved_for_other(tx, now_ms, name, owner_id):
        raise NameTaken(
            f"The name {name!r} belonged to a channel that was deleted less than a year ago.",
            "Choose another name.",
            field="name",
        )


# The strongest role of several groups: "contributor" sorts before "viewer", and groups have no other role (tested).
_ROLE_OF_GROUPS = (
    select(func.min(channel_groups.c.role))
    .join(group_members, group_members.c.group_id == channel_groups.c.group_id)
    .where(channel_groups.c.channel_id == channels.c.id, group_members.c.user_id == bindparam("user_id"))
    .scalar_subquery()
)
_ACCESS = (
    select(
        channels.c.id,
        channels.c.is_public,
        members.c.role,
        _ROLE_OF_GROUPS.label("role_of_groups"),
        channels.c.only_publishers,
    )
    .outerjoin(members, (members.c.channel_id == channels.c.id) & (members.c.user_id == bindparam("user_id")))
    .where(channels.c.name == bindparam("channel"))
)
_ACCESS_OF_ANONYMOUS = select(channels.c.id, channels.c.is_public, channels.c.only_publishers).where(
    channels.c.name == bindparam("channel")
)


def access_of(tx: Tx, name: str, by: Caller) -> Access | None:
    """Return the caller's access to a channel, in one query; None for an unknown name."""
    if by.user_id is None:
        found = tx.execute(_ACCESS_OF_ANONYMOUS, {"channel": name}).one_or_none()
        return None if found is None else Access(found.id, found.is_public, None, found.only_publishers)
    row = tx.execute(_ACCESS, {"channel": name, "user_id": by.user_id}).one_or_none()
    if row is None:
        return None
    return Access(row.id, row.is_public, strongest(row.role, row.role_of_groups), row.only_publishers)


def require(tx: Tx, by: Caller, action: Action, name: str) -> Access:
    """Return the caller's access to a channel; raise the refusal if it does not allow the action."""
    access = access_of(tx, name, by)
    if access is None and by.is_operator:
        raise _unknown(name)
    return permissions.require(by, action, access, channel_name=name)


def get(tx: Tx, name: str) -> Channel:
    """Return a channel by name, without a permission check; `NotFound` names it."""
    row = tx.execute(_listing().where(channels.c.name == name)).one_or_none()
    if row is None:
        raise _unknown(name)
    return _channel(row)


def by_ids(tx: Tx, ids: Collection[int]) -> dict[int, Channel]:
    """Return several channels by id, without a permission check."""
    rows = tx.execute(_listing().where(channels.c.id.in_(ids)))
    return {row.id: _channel(row) for row in rows}


def visible_to(tx: Tx, by: Caller, words: str = "", *, after: str = "", limit: int | None = None) -> list[Channel]:
    """Return channels that the caller can read, with all of the words in name or description, by name, after `after`."""
    query = _listing().where(_readable_by(by), channels.c.name > after).order_by(channels.c.name).limit(limit)
    return [_channel(row) for row in tx.execute(_with_words(query, words))]


def visible_ids(by: Caller) -> Select[Any]:
    """Select the ids of the channels that the caller can read, for queries over many channels."""
    return select(channels.c.id).where(_readable_by(by))


def readable_names(tx: Tx, by: Caller) -> dict[int, str]:
    """Return the names of the channels that the caller can read, by id; searches and feeds are limited to them."""
    query = select(channels.c.id, channels.c.name).where(_readable_by(by))
    return {row.id: row.name for row in tx.execute(query)}


def roles_of_group(tx: Tx, by: Caller, group_id: int) -> list[tuple[str, Role]]:
    """Return the channels that a group has a role in and the caller can read, by name, with the role."""
    rows = tx.execute(
        select(channels.c.name, channel_groups.c.role)
        .join(channel_groups, channel_groups.c.channel_id == channels.c.id)
        .where(channel_groups.c.group_id == group_id, _readable_by(by))
        .order_by(channels.c.name)
    )
    return [(channel, Role(role)) for channel, role in rows]


def public(tx: Tx, words: str = "", *, not_of: int | None = None, after: str = "", limit: int) -> list[Channel]:
    """
    Return public channels with all of the words in name or description, by name, after `after`.

    Channels in which the user `not_of` has a role are left out.
    """
    query = _listing().where(_public(not_of), channels.c.name > after).order_by(channels.c.name).limit(limit)
    return [_channel(row) for row in tx.execute(_with_words(query, words))]


def public_by_change(
    tx: Tx, words: str = "", *, not_of: int | None = None, after: ChangeCursor | None = None, limit: int
) -> list[tuple[Channel, ChangeCursor]]:
    """Return channels as `public`, last changed first, each with its position; those without packages are last, by name."""
    found: list[tuple[int, ChangeCursor]] = []
    if after is None or not after.name:
        rows = tx.execute(changed_query(words, not_of, after, limit))
        found = [(row.channel_id, ChangeCursor(row.changed_at, row.id)) for row in rows]
    if len(found) < limit:
        is_empty = ~exists().where(subdirs.c.channel_id == channels.c.id)
        query = select(channels.c.id, channels.c.name).where(_public(not_of), is_empty)
        query = query.where(channels.c.name > (after.name if after else "")).order_by(channels.c.name)
        rows = tx.execute(_with_words(query.limit(limit - len(found)), words))
        found += [(row.id, ChangeCursor(name=row.name)) for row in rows]
    by_id = by_ids(tx, [channel_id for channel_id, _ in found])
    return [(by_id[channel_id], cursor) for channel_id, cursor in found]


def changed_query(words: str, not_of: int | None, after: ChangeCursor | None, limit: int) -> Select[Any]:
    """Return the statement that selects the last changed subdir of each public channel, in the order of its index."""
    others = subdirs.alias()
    last = (
        select(others.c.id)
        .where(others.c.channel_id == subdirs.c.channel_id)
        .order_by(others.c.changed_at.desc(), others.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(subdirs.c.channel_id, subdirs.c.changed_at, subdirs.c.id).order_by(
        subdirs.c.changed_at.desc(), subdirs.c.id.desc()
    )
    if words:  # few channels match: they are found first, since most steps in the index would find none
        matching = _with_words(select(channels.c.id).where(_public(not_of)), words)
        query = query.where(subdirs.c.channel_id.in_(matching))
    else:
        query = query.join(channels, channels.c.id == subdirs.c.channel_id).where(_public(not_of))
    if after is not None:
        query = query.where(tuple_(subdirs.c.changed_at, subdirs.c.id) < tuple_(after.changed_at_ms, after.subdir_id))
    return query.where(subdirs.c.id == last).limit(limit)


def _public(not_of: int | None) -> ColumnElement[bool]:
    """Return the condition that a channel is public and not one of this user's."""
    if not_of is None:
        return channels.c.is_public
    return and_(channels.c.is_public, channels.c.id.not_in(_where_member(not_of)))


def matching(tx: Tx, by: Caller, words: str, *, limit: int) -> list[Channel]:
    """Return channels that the caller can read, with all of the words in their name, shortest name first."""
    query = _listing().where(_readable_by(by)).order_by(func.length(channels.c.name), channels.c.name)
    for word in search_terms(words):
        query = query.where(channels.c.name.contains(word, autoescape=True))
    return [_channel(row) for row in tx.execute(query.limit(limit))]


def with_role_of(tx: Tx, user_id: int) -> list[tuple[Channel, Role]]:
    """Return the channels in which a user has a role, directly or through a group, with the strongest role; by name."""
    direct = (
        select(members.c.role)
        .where(members.c.channel_id == channels.c.id, members.c.user_id == bindparam("user_id"))
        .scalar_subquery()
    )
    rows = tx.execute(
        _listing()
        .add_columns(direct.label("own_role"), _ROLE_OF_GROUPS.label("role_of_groups"))
        .where(channels.c.id.in_(_where_member(user_id)))
        .order_by(channels.c.name),
        {"user_id": user_id},
    ).all()
    roles = [strongest(row.own_role, row.role_of_groups) for row in rows]
    return [(_channel(row), role) for row, role in zip(rows, roles, strict=True) if role is not None]


def change(tx: Tx, now_ms: int, by: Caller, name: str, settings: ChannelSettings) -> Channel:
    """
    Change the given settings; a public channel that becomes private is private on the next request.

    Settings that decide who can read or upload require more than the others (`Action.RESTRICT`). If a setting is in
    the index, `indexing.relations.change_settings` also updates the index.
    """
    values = require_change(tx, by, name, settings)
    channel = get(tx, name)
    if "is_public" in values:
        _keep_relations_public(tx, now_ms, channel, becomes_public=values["is_public"])
    if values:
        tx.execute(update(channels).where(channels.c.id == channel.id).values(stored(values)))
        audit.write(tx, now_ms, by.actor, Event.CHANNEL_CHANGED, channel=name, changed=", ".join(sorted(values)))
    return get(tx, name)


def require_change(tx: Tx, by: Caller, name: str, settings: ChannelSettings) -> dict[str, Any]:
    """Return the columns that these settings change, if the caller can change them; raise the refusal otherwise."""
    require(tx, by, Action.MANAGE, name)
    current = get(tx, name).columns()
    values = {setting: new for setting, new in settings.columns(only_given=True).items() if new != current[setting]}
    if values.get("allows_overwrite"):
        raise NotAllowed(
            f"The channel {name!r} never overwrites files. This cannot be undone: caches keep its files for a year.",
            "Publish under another build number, or create another channel.",
        )
    if not _RESTRICTING.isdisjoint(values):
        require(tx, by, Action.RESTRICT, name)
    return values


def remove(tx: Tx, now_ms: int, by: Caller, name: str, *, typed: str | None = None) -> Channel:
    """
    Delete a channel with everything in it; the next sweep deletes its bytes, and its name is reserved for a year.

    `typed` is the name that the user typed to confirm; the operator confirms at the command line.
    Keys and publishers that are only for this channel stop working. Its owner can use the name again at once, unless
    the channel never overwrote files.
    """
    require(tx, by, Action.REMOVE, name)
    if typed != name and not by.is_operator:
        raise Malformed(
            "The typed name does not match; nothing was deleted.",
            "Type the name of the channel to confirm.",
            field="name",
        )
    channel = get(tx, name)
    # Caches may keep the files of a channel that never overwrote files for a year, so its owner cannot reuse the name.
    owner_id = None
    if channel.allows_overwrite:
        owner_id = tx.execute(select(users.c.id).where(users.c.name == channel.owner)).scalar_one()
    _enqueue_remove_relations(tx, now_ms, name)
    tx.execute(delete(channels).where(channels.c.id == channel.id))
    tx.execute(delete(released_names).where(released_names.c.name == name))
    tx.execute(insert(released_names).values(name=name, owner_id=owner_id, released_at=now_ms))
    audit.write(tx, now_ms, by.actor, Event.CHANNEL_REMOVED, channel=name, packages=channel.package_count)
    return channel


def is_free(tx: Tx, now_ms: int, by: Caller, name: str) -> bool:
    """
    Return whether the caller could create a channel of this name now, without a reason.

    This is the only query that reveals a hidden channel, so routes that use it are rate-limited.
    """
    require_site(by, SiteAction.ADD_CHANNEL)
    taken = select(channels.c.id).where(channels.c.name == name)
    return (
        is_possible_name(name)
        and tx.execute(taken).scalar() is None
        and not _is_reserved_for_other(tx, now_ms, name, by.user_id)
    )


def _readable_by(by: Caller) -> ColumnElement[bool]:
    """Return the condition under which `permissions.decide` allows READ, for a query over `channels`."""
    if by.is_operator:
        return true()
    sees_all = by.credential is CredentialKind.WORKFLOW or by.is_admin
    is_member: ColumnElement[bool] = true() if sees_all else channels.c.id.in_(_where_member(by.user_id or 0))
    if by.channel_ids is not None:
        is_member = and_(is_member, channels.c.id.in_(by.channel_ids))
    return or_(channels.c.is_public, is_member)


def _where_member(user_id: int) -> CompoundSelect[Any]:
    """Select the ids of the channels in which a user has a role, directly or through a group."""
    through_groups = (
        select(channel_groups.c.channel_id)
        .join(group_members, group_members.c.group_id == channel_groups.c.group_id)
        .where(group_members.c.user_id == user_id)
    )
    return union(select(members.c.channel_id).where(members.c.user_id == user_id), through_groups)


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no channel named {name[:60]!a}.", "Check the spelling.")


def _is_reserved_for_other(tx: Tx, now_ms: int, name: str, user_id: int | None) -> bool:
    # Lock files and configurations still name the channel, so a new owner would be trusted like the old one.
    released = tx.execute(
        select(released_names.c.owner_id, released_names.c.released_at).where(released_names.c.name == name)
    ).one_or_none()
    return (
        released is not None
        and (released.owner_id is None or released.owner_id != user_id)
        and now_ms < released.released_at + NAME_RESERVED_MS
    )


def _keep_relations_public(tx: Tx, now_ms: int, channel: Channel, *, becomes_public: bool) -> None:
    """Keep the names of private channels out of the index of a public one."""
    if not becomes_public:
        _enqueue_remove_relations(tx, now_ms, channel.name)
        return
    named = channels.c.name.in_({channel.base, channel.overrides})
    private = tx.execute(select(channels.c.name).where(named, ~channels.c.is_public)).scalars().first()
    if private is not None:
        raise Malformed(
            f"The relations of {channel.name} name {private}, which is private.",
            f"Make {private} public first, or remove the relation.",
        )


def _enqueue_remove_relations(tx: Tx, now_ms: int, name: str) -> None:
    naming = select(channels.c.id).where(or_(channels.c.base == name, channels.c.overrides == name)).limit(1)
    if tx.execute(naming).scalar() is not None:
        queue.enqueue(tx, now_ms, RemoveRelations(name))


def _with_words(query: Select[Any], words: str) -> Select[Any]:
    """Limit a query to channels with all of the words in name or description."""
    for word in search_terms(words):
        here = channels.c.name + " " + channels.c.folded_description
        query = query.where(here.contains(word, autoescape=True))
    return query


def _listing() -> Select[Any]:
    owner = (
        select(users.c.name)
        .join(members, members.c.user_id == users.c.id)
        .where(members.c.channel_id == channels.c.id, members.c.role == Role.OWNER.value)
        .scalar_subquery()
    )
    bad = select(damaged_blobs.c.sha256)
    logo = (
        select(logos.c.sha256).where(logos.c.channel_id == channels.c.id, logos.c.sha256.not_in(bad)).scalar_subquery()
    )
    package_count = (
        select(func.count(func.distinct(shards.c.name)))
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(subdirs.c.channel_id == channels.c.id, shards.c.sha256.is_not(None))
        .scalar_subquery()
    )
    return select(
        channels, logo.label("logo_sha256"), channels.c.created_at.label("created_at_ms"),
        case((owner.is_(None), ""), else_=owner).label("owner"), package_count.label("package_count"),
    )  # fmt: skip


def _channel(row: AnyRow) -> Channel:
    return Channel.model_construct(**{**row._mapping, "attestations": Attestations(row.attestations)})  # noqa: SLF001
