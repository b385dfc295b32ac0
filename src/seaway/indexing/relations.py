"""
Relations of a channel to other channels of this server (CEP 42), and its message about v3 records (CEP 48).

1. Both are in every index document of the channel, so changing them raises the revision of each subdir in the same
   commit: the documents of one revision never disagree. A subdir without files has no row and stays at revision 0.
2. A relation names a channel that its editor can read; a public channel can only name public channels. An unknown
   channel and one that the editor cannot read are refused with the same error.
3. When a neighbor is deleted, or becomes private under a public channel, a job removes the relations that name it,
   because the name could belong to another owner a year later. Until then clients find nothing there. The job changes
   each channel in its own transaction, so the deletion does not depend on the number of channels that name it.
4. Relations are changed one at a time, with both channels locked: two changes can never form a cycle together, and the
   job of (3) misses none.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter

from sqlalchemy import or_, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import OPERATOR, Caller
from seaway.channels import channels, permissions
from seaway.channels.channel import Channel, ChannelSettings
from seaway.channels.channels import is_possible_name
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.conda.repodata import NO_RELATIONS, ChannelRelations
from seaway.database.engine import Database, Tx, lock_channel
from seaway.database.tables import channels as channel_rows
from seaway.errors import Malformed, at_field, check_all
from seaway.indexing.shard_index import relations_of
from seaway.indexing.updates import raise_revisions
from seaway.site import Site


def change(
    site: Site, by: Caller, channel: str, *, base: str | None = None, overrides: str | None = None
) -> ChannelRelations:
    """Set relations as in `set_relations`, in a transaction of their own."""
    given = {"base": base, "overrides": overrides}
    with site.database.read() as tx:  # before any lock
        channels.require(tx, by, Action.MANAGE, channel)
    with site.database.write_unlocked() as tx:
        lock(site.database, tx, channel, given)
        return set_relations(tx, site, by, channel, given)


def lock(database: Database, tx: Tx, channel: str, given: Mapping[str, str | None]) -> None:
    """Lock what a change of these relations needs: all relations, then the channels."""
    database.lock(tx, "channel-relations")
    for name in sorted({channel, *filter(None, _requested(given).values())}):
        lock_channel(database, tx, name)


def set_relations(tx: Tx, site: Site, by: Caller, channel: str, given: Mapping[str, str | None]) -> ChannelRelations:
    """
    Set the given relations (`base`, `overrides`) of a channel and return all of them; the caller has locked them.

    Each is a channel name, a reference such as `../NAME`, or empty to remove it; None leaves it unchanged.
    """
    access = channels.require(tx, by, Action.MANAGE, channel)
    current = relations_of(tx, access.channel_id)
    wanted = replace(current, **_requested(given))
    if wanted == current:
        return current
    # Before the rules of the CEP, which depend on the relations of the neighbors.
    known = {current.base, current.overrides, ""}
    new = {relation: name for relation, name in _requested(given).items() if name not in known}
    check_all(
        *(
            partial(at_field, relation, partial(_require_allowed, tx, by, channel, access, name))
            for relation, name in new.items()
        )
    )
    check(channel, wanted, {**_declared(tx), channel: wanted})
    _write(tx, site, by, channel, access.channel_id, current, wanted)
    return wanted


def _requested(given: Mapping[str, str | None]) -> dict[str, str]:
    return {
        relation: at_field(relation, partial(_channel_name, text))
        for relation, text in given.items()
        if text is not None
    }


def drop(site: Site, neighbor: str) -> None:
    """Remove relations to a deleted channel, and those of public channels to a private one (3)."""
    with site.database.read() as tx:
        naming = select(channel_rows.c.name).where(
            or_(channel_rows.c.base == neighbor, channel_rows.c.overrides == neighbor)
        )
        names = list(tx.execute(naming.order_by(channel_rows.c.name)).scalars())
    for name in names:
        with site.database.write_channel(name) as tx:
            access, there = channels.access_of(tx, name, OPERATOR), channels.access_of(tx, neighbor, OPERATOR)
            if access is None or (there is not None and (there.is_public or not access.is_public)):
                continue
            current = relations_of(tx, access.channel_id)
            remaining = ChannelRelations(
                "" if current.base == neighbor else current.base,
                "" if current.overrides == neighbor else current.overrides,
            )
            _write(tx, site, OPERATOR, name, access.channel_id, current, remaining)


def change_settings(tx: Tx, site: Site, by: Caller, channel: str, settings: ChannelSettings) -> Channel:
    """Change the given settings of a channel, and its index where that contains them."""
    changes_index = "v3_message" in channels.require_change(tx, by, channel, settings)
    now_ms = site.clock.now_ms()
    changed = channels.change(tx, now_ms, by, channel, settings)
    if changes_index:
        raise_revisions(tx, changed.id, now_ms, site.whole_document_limit, only_v3=True)
    return changed


def check(channel: str, wanted: ChannelRelations, declared: Mapping[str, ChannelRelations]) -> None:
    """Refuse relations that CEP 42 forbids; `declared` has those of every channel, including the new ones."""
    if channel in (wanted.base, wanted.overrides):
        raise Malformed(f"{channel} cannot be related to itself.", "Name another channel.")
    if wanted.base and wanted.base == wanted.overrides:
        raise Malformed(
            f"{wanted.base} cannot be both the base of {channel} and overridden by it.",
            "A base has priority over the channel, and the channel over an overridden one: choose one of the two.",
        )
    if _has_cycle(channel, declared):
        raise Malformed(
            f"The relations of {channel} would form a cycle.",
            "Clients reject cycles. Name other channels.",
        )


def _has_cycle(channel: str, declared: Mapping[str, ChannelRelations]) -> bool:
    """Return whether a client that starts at the channel finds a cycle; only channels it reaches count (CEP 42)."""
    order: TopologicalSorter[str] = TopologicalSorter()
    found, waiting = {channel}, [channel]
    while waiting:
        name = waiting.pop()
        relations = declared.get(name, NO_RELATIONS)
        if relations.base:
            order.add(name, relations.base)
        if relations.overrides:
            order.add(relations.overrides, name)
        new = {relations.base, relations.overrides} - found - {""}
        found |= new
        waiting += new
    try:
        order.prepare()
    except CycleError:
        return True
    return False


def _channel_name(text: str) -> str:
    """Return the channel name in a relation, possibly empty; refuse references to other hosts or folders (CEP 42)."""
    name = text.strip().removeprefix("../")
    if name and not is_possible_name(name):
        raise Malformed(
            f"{text[:80]!a} is not a valid channel name.",
            "Enter a channel of this server, such as conda-forge; relations cannot point to other servers.",
        )
    return name


def _declared(tx: Tx) -> dict[str, ChannelRelations]:
    related = or_(channel_rows.c.base != "", channel_rows.c.overrides != "")
    query = select(channel_rows.c.name, channel_rows.c.base, channel_rows.c.overrides).where(related)
    return {name: ChannelRelations(base, overrides) for name, base, overrides in tx.execute(query)}


def _require_allowed(tx: Tx, by: Caller, channel: str, access: Access, neighbor: str) -> None:
    there = channels.access_of(tx, neighbor, by)
    if there is None or permissions.decide(by, Action.READ, there) is not Verdict.ALLOWED:
        raise Malformed(f"There is no channel {neighbor!r} that you can read.", "Check the name.")
    if access.is_public and not there.is_public:
        raise Malformed(
            f"{neighbor} is private, and a public channel can only name public channels.",
            f"Make {neighbor} public first, or {channel} private.",
        )


def _write(
    tx: Tx,
    site: Site,
    by: Caller,
    channel: str,
    channel_id: int,
    old: ChannelRelations,
    new: ChannelRelations,
) -> None:
    now_ms = site.clock.now_ms()
    values = {"base": new.base, "overrides": new.overrides}
    changed = [relation for relation, name in values.items() if name != getattr(old, relation)]
    if not changed:
        return
    tx.execute(update(channel_rows).where(channel_rows.c.id == channel_id).values(values))
    raise_revisions(tx, channel_id, now_ms, site.whole_document_limit)
    detail = {relation: values[relation] for relation in changed}
    audit.write(tx, now_ms, by.actor, Event.CHANNEL_CHANGED, channel=channel, changed=", ".join(changed), **detail)
