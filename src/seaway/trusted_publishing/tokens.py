"""
Publish tokens, which workflows get in exchange for their own tokens; valid for minutes in the publishers' channels.

1. A publish token is stored as a hash and shown once.
2. Its permissions are those of its publishers at the time of the request. It becomes invalid when the publisher or the
   channel is deleted, when the channel's owner changes, when its issuer is disabled, and when it is revoked. Disabling
   the user who added the publisher also invalidates the tokens issued until then; the publisher is kept for review.
3. It is checked at the start of a request, so an upload that takes longer than the token's lifetime succeeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, delete, insert, or_, select, update

from seaway import audit, secret_tokens
from seaway.audit import Event
from seaway.callers.caller import Caller, CredentialKind, Mode, PublisherGrant, Workflow
from seaway.channels import upload_log
from seaway.clock import CLOCK_TOLERANCE_MS, HOUR_MS
from seaway.database.engine import Tx
from seaway.database.tables import issuers, publishers, token_publishers, used_tokens, users
from seaway.database.tables import workflow_tokens as rows
from seaway.trusted_publishing.publisher import Publisher
from seaway.trusted_publishing.publishers import by_token

_PREFIX = f"swy-{secret_tokens.KeyKind.WORKFLOW.value}-"


def mint(tx: Tx, now_ms: int, workflow: Workflow, matched: Sequence[Publisher], *, life_ms: int) -> str:
    """Create a publish token for these publishers; return its text, which is not stored."""
    secret = secret_tokens.new_key(secret_tokens.KeyKind.WORKFLOW)
    token_id = tx.execute(
        insert(rows)
        .values(
            digest=secret_tokens.hash_key(secret),
            issuer=workflow.issuer,
            workflow=msgspec.json.encode(workflow).decode(),
            created_at=now_ms,
            expires_at=now_ms + life_ms,
        )
        .returning(rows.c.id)
    ).scalar_one()
    tx.execute(
        insert(token_publishers), [{"token_id": token_id, "publisher_id": publisher.id} for publisher in matched]
    )
    return secret


_CARRIER = (
    select(
        rows.c.id, rows.c.workflow, rows.c.expires_at, publishers.c.id.label("publisher_id"), publishers.c.channel_id,
        publishers.c.mode, publishers.c.patterns,
    )
    .join(token_publishers, token_publishers.c.token_id == rows.c.id)
    .join(publishers, publishers.c.id == token_publishers.c.publisher_id)
    .outerjoin(issuers, issuers.c.issuer == rows.c.issuer)
    .outerjoin(users, users.c.id == publishers.c.created_by)
    .where(
        rows.c.digest == bindparam("digest"),
        rows.c.revoked_at.is_(None),
        rows.c.expires_at > bindparam("now_ms"),
        rows.c.created_at <= bindparam("latest"),
        publishers.c.is_enabled,
        issuers.c.is_enabled.is_not(False),
        or_(users.c.disabled_at.is_(None), users.c.disabled_at < rows.c.created_at),
    )
    .order_by(publishers.c.id)
)  # fmt: skip


def caller_of(tx: Tx, secret: str, now_ms: int) -> Caller | None:
    """Return the workflow that this token authenticates, or None if the token is not valid now."""
    if not secret.startswith(_PREFIX) or not secret_tokens.is_well_formed(secret):
        return None
    found = tx.execute(
        _CARRIER, {"digest": secret_tokens.hash_key(secret), "now_ms": now_ms, "latest": now_ms + CLOCK_TOLERANCE_MS}
    ).all()
    if not found:
        return None
    grants = tuple(
        PublisherGrant(row.channel_id, row.publisher_id, Mode[row.mode], tuple(msgspec.json.decode(row.patterns)))
        for row in found
    )
    workflow = msgspec.json.decode(found[0].workflow, type=Workflow)
    return Caller(
        name=workflow.name,
        credential=CredentialKind.WORKFLOW,
        mode=Mode.READ,  # the grant of each channel has the access mode there
        channel_ids=frozenset(grant.channel_id for grant in grants),
        expires_at_ms=found[0].expires_at,
        token_id=found[0].id,
        workflow=workflow,
        grants=grants,
    )


@dataclass(frozen=True, slots=True)
class PublishToken:
    """A publish token of this server, valid or not."""

    id: int
    revoked_at_ms: int | None


def find(tx: Tx, secret: str) -> PublishToken | None:
    """Return the token with this text, even if it is not valid, for leak reports."""
    row = tx.execute(
        select(rows.c.id, rows.c.revoked_at).where(rows.c.digest == secret_tokens.hash_key(secret))
    ).one_or_none()
    return None if row is None else PublishToken(row.id, row.revoked_at)


def revoke(tx: Tx, now_ms: int, by: Caller, token_id: int) -> list[Publisher]:
    """
    Revoke a token, effective on its next request; return the publishers in whose channels its run uploaded.

    The event is written to the audit logs of those channels. If there are none, it is written to the site's log only:
    owners of other channels must not learn that the run exists.
    """
    text = tx.execute(
        update(rows).where(rows.c.id == token_id).values(revoked_at=now_ms).returning(rows.c.workflow)
    ).scalar()
    if text is None:  # deleted since it was looked up
        return []
    workflow = msgspec.json.decode(text, type=Workflow)
    affected = [
        publisher
        for publisher in by_token(tx, token_id)
        if upload_log.has_upload_from(tx, publisher.channel_id, publisher.id, workflow)
    ]
    for publisher in affected:
        audit.write(
            tx, now_ms, by.actor, Event.TOKEN_REVOKED,
            channel=publisher.channel, target=publisher.name, token=token_id, publisher=publisher.id,
        )  # fmt: skip
    if not affected:
        audit.write(tx, now_ms, by.actor, Event.TOKEN_REVOKED, target=workflow.name, token=token_id)
    return affected


def count_exchange(tx: Tx, issuer: str, digest: bytes, expires_at_ms: int) -> int:
    """Count one more exchange of an issuer's token; return the number of earlier exchanges."""
    before = exchanges_of(tx, issuer, digest)
    if before == 0:
        tx.execute(insert(used_tokens).values(issuer=issuer, digest=digest, count=1, expires_at=expires_at_ms))
    else:
        where = (used_tokens.c.issuer == issuer, used_tokens.c.digest == digest)
        tx.execute(update(used_tokens).where(*where).values(count=before + 1))
    return before


def exchanges_of(tx: Tx, issuer: str, digest: bytes) -> int:
    """Return how often an issuer's token was exchanged."""
    where = (used_tokens.c.issuer == issuer, used_tokens.c.digest == digest)
    return tx.execute(select(used_tokens.c.count).where(*where)).scalar() or 0


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete tokens that expired over an hour ago (clocks can step back); return the number of publish tokens."""
    tx.execute(delete(used_tokens).where(used_tokens.c.expires_at < now_ms - HOUR_MS))
    return tx.execute(delete(rows).where(rows.c.expires_at < now_ms - HOUR_MS)).rowcount
