"""
Permissions of each role in a channel.

                    read, see members,  upload, yank  delete, overwrite         manage, correct, admit, restrict,
                    leave                                                       transfer, remove
    Viewer          yes
    Contributor     yes                 yes           files that they uploaded
    Owner           yes, but not leave  yes           yes                       yes
    site admin      yes                               yes                       yes
    workflow        read                according to the mode of its publisher

`Action` lists what each action requires of the credential: the minimum mode of a key, and the `RequiredCredential`.
"""

from enum import Enum
from typing import Self

from seaway.callers.caller import Mode
from seaway.callers.site_permissions import RequiredCredential


class Role(Enum):
    """Role of a member in a channel, weakest first; exactly one member is the owner."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    OWNER = "owner"


_STRENGTH = {role: strength for strength, role in enumerate(Role)}


def strongest(*roles: str | None) -> Role | None:
    """Return the strongest of role values from rows, or None if there is none."""
    return max((Role(role) for role in roles if role is not None), key=_STRENGTH.__getitem__, default=None)


class Action(Enum):
    """An action in a channel; `phrase` completes "is not allowed to ..."."""

    phrase: str
    min_mode: Mode
    proof: RequiredCredential

    READ = "read", "read", Mode.READ
    SEE_MEMBERS = "see-members", "see the members of", Mode.READ
    UPLOAD = "upload", "upload to", Mode.READ_WRITE
    YANK = "yank", "yank or unyank files of", Mode.READ_WRITE
    DELETE = "delete", "delete files of", Mode.READ_WRITE_DELETE
    OVERWRITE = "overwrite", "overwrite files of", Mode.READ_WRITE_DELETE
    MANAGE = "manage", "see and change the settings of", Mode.MANAGE  # ordinary settings, and the audit log
    CORRECT = "correct", "correct the metadata of files of", Mode.MANAGE
    ADMIT = "admit", "change members and publishers of", Mode.MANAGE, RequiredCredential.FRESH
    RESTRICT = "restrict", "change who can read or upload to", Mode.MANAGE, RequiredCredential.FRESH_PERSON
    LEAVE = "leave", "leave", Mode.MANAGE
    TRANSFER = "transfer", "transfer", Mode.MANAGE, RequiredCredential.FRESH_PERSON
    REMOVE = "remove", "delete", Mode.MANAGE, RequiredCredential.FRESH_PERSON

    def __new__(
        cls, value: str, phrase: str, min_mode: Mode, proof: RequiredCredential = RequiredCredential.ANY
    ) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.phrase = phrase
        member.min_mode = min_mode
        member.proof = proof
        return member


BY_ROLE = {
    Role.VIEWER: frozenset({Action.READ, Action.SEE_MEMBERS, Action.LEAVE}),
    Role.CONTRIBUTOR: frozenset({Action.READ, Action.SEE_MEMBERS, Action.LEAVE, Action.UPLOAD, Action.YANK}),
    Role.OWNER: frozenset(Action) - {Action.LEAVE},
}

BY_ADMIN = frozenset(Action) - {Action.UPLOAD, Action.YANK, Action.LEAVE}

# The most that a workflow can be allowed: nothing that concerns members or settings.
BY_WORKFLOW = frozenset({Action.READ, Action.UPLOAD, Action.YANK, Action.DELETE, Action.OVERWRITE})

# Additional actions on files that the caller uploaded.
ON_OWN_FILES = {Role.CONTRIBUTOR: frozenset({Action.DELETE, Action.OVERWRITE})}
