"""
Correct stored times after a clock that was far ahead has been set back.

1. No stored time decides anything until the clock has caught up with it: it is moved to now, or the row ends.
2. Every column of times has one place below, or is history, which is never rewritten. A test checks it.
3. Each correction is logged with its table and how many rows it concerned.

This runs with the hourly cleanup, which is due at once when its own schedule lies too far ahead (`jobs.queue`).
What cannot wait for it is decided where it is read: buckets, sessions, logins of tools, workflow tokens, TOTP steps.
"""

import structlog
from sqlalchemy import Column, Table, delete, select, update

from seaway.accounts import links, second_factors, sign_ins, tool_codes
from seaway.channels import invitations, notices, transfers
from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS
from seaway.database import tables
from seaway.database.engine import Tx
from seaway.indexing.change import ask_for_documents, raise_revision
from seaway.jobs import queue
from seaway.publishing import resumable

log = structlog.get_logger()

# When something happened: cannot lie ahead, so it becomes now.
PAST: tuple[Column[int], ...] = (
    tables.users.c.created_at, tables.users.c.disabled_at, tables.emails.c.added_at, tables.emails.c.verified_at,
    tables.identities.c.created_at, tables.identities.c.used_at, tables.passkeys.c.created_at,
    tables.passkeys.c.used_at, tables.totp.c.confirmed_at, tables.recovery_codes.c.used_at,
    tables.mailed_links.c.used_at, tables.released_user_names.c.released_at, tables.groups.c.created_at,
    tables.group_members.c.added_at, tables.channels.c.created_at, tables.released_names.c.released_at,
    tables.members.c.added_at, tables.channel_groups.c.added_at, tables.invitations.c.created_at,
    tables.transfers.c.offered_at, tables.notices.c.created_at, tables.keys.c.revoked_at, tables.keys.c.used_at,
    tables.retired_shards.c.retired_at, tables.damaged_blobs.c.found_at, tables.cli_devices.c.polled_at,
    tables.cli_tokens.c.replaced_at, tables.issuers.c.added_at, tables.publishers.c.created_at,
    tables.publishers.c.used_at, tables.publishers.c.hinted_at, tables.workflow_tokens.c.revoked_at,
)  # fmt: skip

# When something ends, and how long it lasts at most: one that lasts longer ends after that time.
ENDS: dict[Column[int], int] = {
    tables.users.c.second_factor_ends_at: second_factors.RESET_AFTER_MS,
    tables.invitations.c.expires_at: invitations.LASTS_MS,
    tables.transfers.c.expires_at: transfers.LASTS_MS,
    tables.notices.c.expires_at: notices.LONGEST_DAYS * DAY_MS,
    tables.resumable_uploads.c.expires_at: resumable.LASTS_MS,
}

# Short-lived secrets: one that would last longer than they do has ended, and its person begins again.
ENDED: dict[Column[int], int] = {
    tables.sign_ins.c.expires_at: sign_ins.LASTS_MS,
    tables.mailed_links.c.expires_at: max(links.LASTS_MS.values()),
    tables.cli_devices.c.expires_at: tool_codes.DEVICE_MS,
    tables.cli_codes.c.expires_at: tool_codes.CODE_MS,
}

# Corrected by the module of their table, or here in a way of their own.
ELSEWHERE: tuple[Column[int], ...] = (
    tables.buckets.c.at, tables.buckets.c.empty_at, tables.sessions.c.created_at, tables.sessions.c.seen_at,
    tables.sessions.c.confirmed_at, tables.cli_grants.c.created_at, tables.cli_grants.c.used_at,
    tables.cli_tokens.c.expires_at, tables.workflow_tokens.c.created_at, tables.workflow_tokens.c.expires_at,
    tables.keys.c.created_at, tables.keys.c.expires_at, tables.subdirs.c.changed_at, tables.jobs.c.created_at,
    tables.jobs.c.run_at, tables.jobs.c.lease_until, tables.schedules.c.next_at, tables.issuer_keys.c.fetched_at,
    tables.issuer_keys.c.tried_at,
)  # fmt: skip

# What was written down stays as it was: records that readers got, chained uploads, lines of the audit log. The end of
# an exchanged token comes from its issuer, and forgetting it early would let the token be exchanged again.
HISTORY: tuple[Column[int], ...] = (
    tables.files.c.indexed_at, tables.uploads.c.at, tables.audit.c.at, tables.attestations.c.accepted_at,
    tables.attestations.c.superseded_at, tables.used_tokens.c.expires_at,
)  # fmt: skip


def correct(tx: Tx, now_ms: int) -> None:
    """Correct every time that lies implausibly far ahead of `now_ms`."""
    latest_ms = now_ms + CLOCK_TOLERANCE_MS
    for column in PAST:
        _note(column.table, _set(tx, column, latest_ms, now_ms))
    for column, lasts_ms in ENDS.items():
        _note(column.table, _set(tx, column, latest_ms + lasts_ms, now_ms + lasts_ms))
    for column, lasts_ms in ENDED.items():
        _note(column.table, tx.execute(delete(column.table).where(column > latest_ms + lasts_ms)).rowcount)
    _correct_keys(tx, now_ms, latest_ms)
    _correct_subdirs(tx, now_ms, latest_ms)
    queue.correct_times(tx, now_ms)


def _set(tx: Tx, column: Column[int], latest_ms: int, value_ms: int) -> int:
    return tx.execute(update(column.table).where(column > latest_ms).values({column: value_ms})).rowcount


def _correct_keys(tx: Tx, now_ms: int, latest_ms: int) -> None:
    """Move the keys made by a wrong clock: each lasts as long as its user said."""
    keys = tables.keys
    expires_at = keys.c.expires_at - keys.c.created_at + now_ms  # NULL where the key has no end
    is_ahead = keys.c.created_at > latest_ms
    _note(keys, tx.execute(update(keys).where(is_ahead).values(created_at=now_ms, expires_at=expires_at)).rowcount)


def _correct_subdirs(tx: Tx, now_ms: int, latest_ms: int) -> None:
    """Give a new revision to subdirs that a wrong clock changed: documents of one revision state one time."""
    subdirs = tables.subdirs
    found = tx.execute(select(subdirs.c.id).where(subdirs.c.changed_at > latest_ms)).scalars().all()
    for subdir_id in found:
        raise_revision(tx, subdir_id, (), now_ms)
        ask_for_documents(tx, now_ms, subdir_id)
    _note(subdirs, len(found))


def _note(table: object, count: int) -> None:
    if count:
        assert isinstance(table, Table)
        log.warning("clock.times_corrected", table=table.name, rows=count)
