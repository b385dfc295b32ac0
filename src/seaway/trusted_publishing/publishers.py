"""
Publishers: the external workflows that are trusted to publish to a channel.

1. A publisher belongs to one issuer: a token of another issuer never matches it, whatever its claims are.
2. Names are pinned to ids when a token first matches them. Changing what is matched removes the pins.
3. Only the channel owner, freshly signed in and with a verified email address, or a key with the mode MANAGE can change
   publishers; a workflow never can.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Row, Select, delete, func, insert, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import require_verified
from seaway.channels import channels, permissions
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import publishers as rows
from seaway.database.tables import token_publishers, users
from seaway.errors import Conflict, Malformed, NameTaken, NotFound, at_field, check_all
from seaway.keys.api_keys import check_patterns
from seaway.mail.outbox import Outbox
from seaway.trusted_publishing import issuers
from seaway.trusted_publishing.issuer_kinds.issuer_kind import Field, Gate, GateValue, IssuerKind
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.publisher_emails import PublisherEvent, notify_owner

MAX_IN_CHANNEL = 50
_UNSEEN = "unseen"  # in the JSON of pins; no kind of issuer has an id of this name


def add(
    tx: Tx,
    now_ms: int,
    by: Caller,
    outbox: Outbox,
    channel: str,
    issuer_name: str,
    settings: PublisherSettings,
) -> Publisher:
    """Add a publisher to a channel, at most 50 in each."""
    channel_id = require_can_change(tx, by, channel)
    issuer = issuers.get(tx, issuer_name)
    values = _values(issuer, settings)
    count = tx.execute(select(func.count()).select_from(rows).where(rows.c.channel_id == channel_id)).scalar_one()
    if count >= MAX_IN_CHANNEL:
        raise Conflict(f"{channel} already has {MAX_IN_CHANNEL} publishers.", "Remove one that is no longer used.")
    _require_new(tx, channel_id, values["identity"])
    pins = _checked_pins(issuer.kind, settings.pinned or {})
    publisher_id = tx.execute(
        insert(rows)
        .values(channel_id=channel_id, created_by=by.user_id, created_at=now_ms, pins=_json(pins), **values)
        .returning(rows.c.id)
    ).scalar_one()
    publisher = get(tx, channel, publisher_id)
    _audit(tx, now_ms, by, Event.PUBLISHER_ADDED, publisher)
    notify_owner(tx, now_ms, outbox, channel_id, channel, publisher.name, PublisherEvent.ADDED)
    return publisher


def change(tx: Tx, now_ms: int, by: Caller, channel: str, publisher_id: int, given: PublisherSettings) -> Publisher:
    """Change the given settings of a publisher; if it then names another workflow, the pins are removed."""
    channel_id = require_can_change(tx, by, channel)
    before = get(tx, channel, publisher_id)
    issuer = issuer_of(tx, before)
    values = _values(issuer, before.with_changes(given))
    is_another = values["identity"] != _identity(issuer.issuer, before.fields)
    if is_another:
        _require_new(tx, channel_id, values["identity"])
        values |= {"hinted_at": None, "used_at": None}
    if given.pinned is not None or is_another:
        values |= {"pins": _json(_checked_pins(issuer.kind, given.pinned or {}))}
    tx.execute(update(rows).where(rows.c.id == publisher_id).values(values))
    changed = get(tx, channel, publisher_id)
    _audit(tx, now_ms, by, Event.PUBLISHER_CHANGED, changed)
    return changed


def is_another(issuer: Issuer, publisher: Publisher, settings: PublisherSettings) -> bool:
    """Return whether the settings name another workflow than the publisher."""
    wanted = _checked_fields(issuer.kind, settings.fields)
    return _identity(issuer.issuer, wanted) != _identity(issuer.issuer, publisher.fields)


def issuer_of(tx: Tx, publisher: Publisher) -> Issuer:
    """Return the issuer of a publisher; `NotFound` if it is no longer registered."""
    found = issuers.find(tx, publisher.issuer)
    if found is None:
        raise NotFound(
            f"The issuer {publisher.issuer} is no longer registered.", "Ask the site admin, or remove the publisher."
        )
    return found


def remove(tx: Tx, now_ms: int, by: Caller, outbox: Outbox, channel: str, publisher_id: int) -> Publisher:
    """Remove a publisher; its tokens are invalid from the next request on."""
    require_can_change(tx, by, channel)
    publisher = get(tx, channel, publisher_id)
    tx.execute(delete(rows).where(rows.c.id == publisher_id))
    _audit(tx, now_ms, by, Event.PUBLISHER_REMOVED, publisher)
    notify_owner(tx, now_ms, outbox, publisher.channel_id, channel, publisher.name, PublisherEvent.REMOVED)
    return publisher


def list_for_owner(tx: Tx, by: Caller, channel: str) -> list[Publisher]:
    """Return every publisher of a channel, oldest first; requires permission to manage the channel."""
    return in_channel(tx, channels.require(tx, by, Action.MANAGE, channel).channel_id)


def in_channel(tx: Tx, channel_id: int) -> list[Publisher]:
    """Return every publisher of a channel, oldest first."""
    return [_publisher(row) for row in tx.execute(_listing().where(rows.c.channel_id == channel_id))]


def count_added_by(tx: Tx, user_id: int) -> int:
    """Return the number of publishers that a user added, in all channels."""
    found: int = tx.execute(select(func.count()).where(rows.c.created_by == user_id)).scalar_one()
    return found


def get(tx: Tx, channel: str, publisher_id: int) -> Publisher:
    """Return one publisher of a channel."""
    row = tx.execute(_listing().where(channel_rows.c.name == channel, rows.c.id == publisher_id)).one_or_none()
    if row is None:
        raise NotFound(f"{channel} has no publisher {publisher_id}.", "It may have been removed already.")
    return _publisher(row)


def enabled_for(tx: Tx, issuer: str, subject: str, *, lock: bool = False) -> list[Publisher]:
    """
    Return the enabled publishers for this issuer and repository or account (`subject`), oldest first.

    With `lock`, the rows are locked until the transaction ends.
    """
    has_subject = rows.c.subject == _subject(issuer, subject)
    query = _listing().where(has_subject, rows.c.issuer == issuer, rows.c.is_enabled)
    return [_publisher(row) for row in tx.execute(_locked(query) if lock else query)]


def by_token(tx: Tx, token_id: int) -> list[Publisher]:
    """Return the remaining publishers of a publish token, oldest first."""
    query = _listing().join(token_publishers, token_publishers.c.publisher_id == rows.c.id)
    return [_publisher(row) for row in tx.execute(query.where(token_publishers.c.token_id == token_id))]


def lock_by_ids(tx: Tx, numbers: Sequence[int]) -> list[Publisher]:
    """Return the publishers with these ids, oldest first, locked until the transaction ends."""
    if not numbers:
        return []
    return [_publisher(row) for row in tx.execute(_locked(_listing().where(rows.c.id.in_(numbers))))]


def pin(tx: Tx, publisher: Publisher, pins: Mapping[str, str]) -> None:
    """Pin the ids in the first token, which later tokens must have; they are not shown before an upload."""
    kept = {**publisher.pinned, _UNSEEN: {**publisher.unseen_pins, **pins}}
    tx.execute(update(rows).where(rows.c.id == publisher.id).values(pins=_json(kept)))


def show_pins(tx: Tx, publisher: Publisher) -> None:
    """Make all pinned ids visible to the channel owner."""
    tx.execute(update(rows).where(rows.c.id == publisher.id).values(pins=_json(publisher.criteria.pins)))


def set_times(tx: Tx, publisher: Publisher, **moments: int) -> None:
    """Store when the publisher was used or its owner was notified; keys are column names, values milliseconds."""
    tx.execute(update(rows).where(rows.c.id == publisher.id).values(moments))


def require_can_change(tx: Tx, by: Caller, channel: str) -> int:
    """Return the channel's id if the caller is allowed to change its publishers now; raise the refusal otherwise."""
    access = channels.access_of(tx, channel, by)
    allowed = permissions.require(by, Action.ADMIT, access, channel_name=channel)
    require_verified(by)
    return allowed.channel_id


def require_valid(issuer: Issuer, settings: PublisherSettings) -> None:
    """Refuse settings with invalid fields or conditions; the error names all of them."""
    kind, given = issuer.kind, settings.fields
    _require_known(
        kind, "field", set(given) - {field.name for field in kind.fields}, {field.name for field in kind.fields}
    )
    check_all(
        *(partial(_checked_field, kind, field, given.get(field.name, "") or field.default) for field in kind.fields),
        *(partial(_checked_gates, kind, {name: value}) for name, value in settings.conditions.items()),
        partial(at_field, "patterns", partial(check_patterns, settings.packages)),
    )


def _values(issuer: Issuer, settings: PublisherSettings) -> dict[str, Any]:
    require_valid(issuer, settings)
    kind = issuer.kind
    fields = _checked_fields(kind, settings.fields)
    return {
        "kind": kind.name,
        "issuer": issuer.issuer,
        "matched": _json(fields),
        "identity": _identity(issuer.issuer, fields),
        "subject": _subject(issuer.issuer, kind.publisher_subject(fields)),
        "gates": _json(_checked_gates(kind, settings.conditions)),
        "mode": settings.mode,
        "patterns": _json(settings.packages),
        "exchanges": _checked_exchanges(kind, settings.exchanges),
        "is_enabled": settings.enabled,
    }


def _checked_fields(kind: IssuerKind, given: Mapping[str, str]) -> dict[str, str]:
    known = {field.name for field in kind.fields}
    _require_known(kind, "field", set(given) - known, known)
    return {
        field.name: _checked_field(kind, field, given.get(field.name, "") or field.default) for field in kind.fields
    }


def _checked_field(kind: IssuerKind, field: Field, value: str) -> str:
    if value:
        return at_field(field.name, lambda: field.check(value))
    if field.is_required:
        error = Malformed(f"{field.label} ({field.name}) is missing.", f"{kind.label} publishers need it.")
        error.fields = {field.name: "This field is required."}
        raise error
    return ""


def _checked_gates(kind: IssuerKind, given: Mapping[str, GateValue]) -> dict[str, GateValue]:
    known = {gate.name: gate for gate in kind.gates}
    _require_known(kind, "condition", set(given) - set(known), set(known))
    checked: dict[str, GateValue] = {}
    for name, value in given.items():
        checked[name] = at_field(name, partial(_checked_gate, known[name], value))
    return {name: value for name, value in checked.items() if value}


def _checked_gate(gate: Gate, value: GateValue) -> GateValue:
    if gate.is_list and isinstance(value, list) and len(value) <= 20:
        return [gate.check(text) for text in value]
    if gate.is_switch and isinstance(value, bool):
        return value
    if isinstance(value, str) and not (gate.is_list or gate.is_switch):
        return gate.check(value) if value else ""
    raise Malformed(
        f"{gate.label} ({gate.name}) has an invalid value.", "Enter at most 20 values, or yes or no for a switch."
    )


def _checked_pins(kind: IssuerKind, given: Mapping[str, str]) -> dict[str, str]:
    _require_known(kind, "id", set(given) - set(kind.pins), set(kind.pins))
    for name, value in given.items():
        if not kind.required[kind.pins[name]].fits(value):
            raise Malformed(f"{value[:40]!a} is not a valid {name}.", "Enter the numeric id.")
    return dict(given)


def _checked_exchanges(kind: IssuerKind, given: int | None) -> int:
    wanted = kind.default_exchanges if given is None else given
    if not 1 <= wanted <= kind.max_exchanges:
        raise Malformed(
            f"A token of {kind.label} cannot be exchanged {wanted} times.", f"Enter 1 to {kind.max_exchanges}."
        )
    return wanted


def _require_known(kind: IssuerKind, what: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        raise Malformed(
            f"A publisher on {kind.label} has no {what} {min(unknown)[:60]!a}.",
            f"Use one of {', '.join(sorted(known))}." if known else "",
        )


def _require_new(tx: Tx, channel_id: int, identity: bytes) -> None:
    query = select(rows.c.id).where(rows.c.channel_id == channel_id, rows.c.identity == identity)
    if tx.execute(query).scalar() is not None:
        raise NameTaken("The channel already trusts this workflow.", "Change that publisher, or remove it first.")


def _identity(issuer: str, matched: Mapping[str, str]) -> bytes:
    """Return the hash that identifies a workflow; case is ignored, as GitHub and GitLab do."""
    text = _json([issuer, {name: value.casefold() for name, value in matched.items()}])
    return hashlib.sha256(text.encode()).digest()


def _subject(issuer: str, subject: str) -> bytes:
    return hashlib.sha256(_json([issuer, subject.casefold()]).encode()).digest()


def _audit(tx: Tx, now_ms: int, by: Caller, event: Event, publisher: Publisher) -> None:
    audit.write(
        tx, now_ms, by.actor, event, channel=publisher.channel, target=publisher.name,
        publisher=publisher.id, issuer=publisher.issuer, mode=publisher.mode, enabled=publisher.enabled,
        matched=_json(publisher.fields),
    )  # fmt: skip


def _listing() -> Select[Any]:
    return (
        select(rows, channel_rows.c.name.label("channel"), users.c.name.label("creator"), users.c.disabled_at)
        .join(channel_rows, channel_rows.c.id == rows.c.channel_id)
        .outerjoin(users, users.c.id == rows.c.created_by)
        .order_by(rows.c.id)
    )


def _locked(query: Select[Any]) -> Select[Any]:
    return query.with_for_update(key_share=True, of=rows)


def _publisher(row: Row[Any]) -> Publisher:
    fields, pins, conditions, packages = (
        msgspec.json.decode(text) for text in (row.matched, row.pins, row.gates, row.patterns)
    )
    unseen = pins.pop(_UNSEEN, {})
    columns = {
        **row._mapping,  # noqa: SLF001
        "fields": fields,
        "pinned": pins,
        "unseen_pins": unseen,
        "conditions": conditions,
        "packages": packages,
        "enabled": row.is_enabled,
        "created_by": row.creator,
        "is_orphaned": row.disabled_at is not None,
        "created_at_ms": row.created_at,
        "used_at_ms": row.used_at,
        "environment_hint_at_ms": row.hinted_at,
    }
    return Publisher.model_construct(**columns)


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
