"""The audit log: who made each change and from which IP address, written in the transaction of the change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec
from sqlalchemy import insert

from seaway.conda import filename
from seaway.conda.refusals import Refused
from seaway.database.engine import Tx
from seaway.database.tables import audit


class Event(Enum):
    """Every action that is recorded in the audit log."""

    USER_ADDED = "user.added"
    USER_INVITED = "user.invited"
    USER_PASSWORD_SET = "user.password-set"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_PROMOTED = "user.promoted"
    USER_DEMOTED = "user.demoted"
    USER_REMOVED = "user.removed"
    USER_RENAMED = "user.display-name-set"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    EMAIL_ADDED = "email.added"
    EMAIL_VERIFIED = "email.verified"
    EMAIL_PRIMARY = "email.primary-set"
    EMAIL_REMOVED = "email.removed"
    TOTP_ADDED = "totp.added"
    TOTP_REMOVED = "totp.removed"
    PASSKEY_ADDED = "passkey.added"
    PASSKEY_REMOVED = "passkey.removed"
    PASSKEY_RENAMED = "passkey.renamed"
    RECOVERY_CODES_MADE = "recovery-codes.created"
    RECOVERY_CODE_USED = "recovery-code.used"
    SECOND_FACTOR_RESET_REQUESTED = "second-factor.reset-requested"
    SECOND_FACTOR_RESET_CANCELED = "second-factor.reset-canceled"
    SECOND_FACTOR_RESET = "second-factor.reset"
    KEY_ADDED = "key.added"
    KEY_REVOKED = "key.revoked"
    IDENTITY_LINKED = "identity.linked"
    IDENTITY_UNLINKED = "identity.unlinked"
    KEY_REMOVED = "key.removed"
    TOOL_ALLOWED = "tool.allowed"
    TOOL_DENIED = "tool.denied"
    TOOL_LOGGED_IN = "tool.logged-in"
    TOOL_REVOKED = "tool.revoked"
    TOOL_ENDED = "tool.ended"
    CHANNEL_ADDED = "channel.added"
    CHANNEL_CHANGED = "channel.changed"
    CHANNEL_TRANSFERRED = "channel.transferred"
    CHANNEL_REMOVED = "channel.removed"
    CHANNEL_REBUILT = "channel.rebuilt"
    MEMBER_ADDED = "member.added"
    MEMBER_CHANGED = "member.changed"
    MEMBER_REMOVED = "member.removed"
    INVITATION_SENT = "invitation.sent"
    INVITATION_WITHDRAWN = "invitation.withdrawn"
    INVITATION_DECLINED = "invitation.declined"
    TRANSFER_OFFERED = "transfer.offered"
    TRANSFER_DECLINED = "transfer.declined"
    TRANSFER_CANCELED = "transfer.canceled"
    NOTICE_ADDED = "notice.added"
    NOTICE_REMOVED = "notice.removed"
    QUOTA_CHANGED = "quota.changed"
    GROUP_ADDED = "group.added"
    GROUP_CHANGED = "group.changed"
    GROUP_REMOVED = "group.removed"
    GROUP_MEMBER_ADDED = "group.member-added"
    GROUP_MEMBER_CHANGED = "group.member-changed"
    GROUP_MEMBER_REMOVED = "group.member-removed"
    FILE_UPLOADED = "file.uploaded"
    FILE_OVERWRITTEN = "file.overwritten"
    FILE_YANKED = "file.yanked"
    FILE_UNYANKED = "file.unyanked"
    FILE_DELETED = "file.deleted"
    FILE_CORRECTED = "file.corrected"
    FILE_CORRECTION_REMOVED = "file.correction-removed"
    FILE_REBUILT = "file.rebuilt"
    ISSUER_ADDED = "issuer.added"
    ISSUER_CHANGED = "issuer.changed"
    ISSUER_REMOVED = "issuer.removed"
    PUBLISHER_ADDED = "publisher.added"
    PUBLISHER_CHANGED = "publisher.changed"
    PUBLISHER_REMOVED = "publisher.removed"
    PUBLISHER_PINNED = "publisher.pinned"
    STORE_ADOPTED = "store.adopted"
    PUBLISHER_USED_FIRST = "publisher.used-first"
    TOKEN_MINTED = "oidc.minted"
    TOKEN_REFUSED = "oidc.refused"
    TOKEN_REVOKED = "token.revoked"
    JOBS_RETRIED = "jobs.retried"
    TRUSTED_ROOT_CHANGED = "trusted-root.changed"


@dataclass(frozen=True, slots=True)
class Actor:
    """The user name (kept when the account is deleted) and IP address that an action is attributed to."""

    name: str
    user_id: int | None = None
    ip_address: str = ""


Detail = str | int | bool | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An audit log entry to be written."""

    at_ms: int
    actor: Actor
    event: Event
    channel: str
    target: str
    detail: Mapping[str, Detail]


_INSERT_ENTRY = insert(audit)

_MAX_PERSON = 200  # an index of PostgreSQL holds 2,704 bytes; the names of workflows contain claims of their issuers
SEVERAL_PACKAGES = "*"  # the package of an entry about files of several packages; no package has this name


def write(
    tx: Tx, now_ms: int, actor: Actor, event: Event, *, channel: str = "", target: str = "", **detail: Detail
) -> None:
    """Record a change; the entry commits or rolls back with it."""
    write_all(tx, [NewEntry(now_ms, actor, event, channel, target, detail)])


def write_all(tx: Tx, entries: Sequence[NewEntry]) -> None:
    """Record several changes, in order."""
    rows = [
        {
            "at": entry.at_ms,
            "actor": entry.actor.name,
            "person": indexed_person(entry.actor.name),
            "actor_id": entry.actor.user_id,
            "address": entry.actor.ip_address,
            "action": entry.event.value,
            "channel": entry.channel,
            "target": entry.target,
            "package": _package_in(entry),
            "detail": msgspec.json.encode(entry.detail, order="sorted").decode(),
        }
        for entry in entries
    ]
    if rows:
        tx.execute(_INSERT_ENTRY, rows)


def person_of(actor: str) -> str:
    """Return the name of an actor without the key or tool that was used: `ada` of `ada (key ci)`."""
    return actor.partition(" (")[0]


def indexed_person(actor: str) -> str:
    """Return the person of an actor as the log stores it for its filter: an index cannot hold a name of any length."""
    return person_of(actor)[:_MAX_PERSON]


def package_of_file(path: str) -> str | None:
    """Return the name of the package of a file, with or without its subdir; None if it is no file name."""
    try:
        return filename.parse(path.rpartition("/")[2]).name
    except Refused:
        return None


def _package_in(entry: NewEntry) -> str | None:
    """Return the package of the files of an entry, for the filter by package."""
    if not entry.event.value.startswith("file."):
        return None
    files = entry.detail.get("sha256")
    found = {package_of_file(path) for path in (files if isinstance(files, Mapping) else [entry.target])}
    return found.pop() if len(found) == 1 else SEVERAL_PACKAGES
