"""
Who may do what in a channel: the table.

                    read, see members,  upload, yank  delete, overwrite         manage, correct, admit, restrict,
                    leave                                                       transfer, remove
    Viewer          yes
    Contributor     yes                 yes           files that they uploaded
    Owner           yes, but not leave  yes           yes                       yes
    site admin      yes                               yes                       yes
    workflow        read                as the mode of its publisher says

What an action takes of the credential stands beside it in `Action`: the least mode of a key, and the `Proof`.
"""

from enum import Enum
from typing import Self

from seaway.accounts.permissions import Proof
from seaway.accounts.principal import Mode


class Role(Enum):
    """What a member is in a channel, weakest first; exactly one is its owner."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    OWNER = "owner"


_STRENGTH = {role: strength for strength, role in enumerate(Role)}


def strongest(*roles: str | None) -> Role | None:
    """The strongest of roles as rows say them, or None where there is none."""
    return max((Role(role) for role in roles if role is not None), key=_STRENGTH.__getitem__, default=None)


class Action(Enum):
    """What somebody may want to do with a channel; `said` completes «may not ...»."""

    said: str
    least_mode: Mode
    proof: Proof

    READ = "read", "read", Mode.READ
    SEE_MEMBERS = "see-members", "see the members of", Mode.READ
    UPLOAD = "upload", "upload to", Mode.READ_WRITE
    YANK = "yank", "yank or unyank files of", Mode.READ_WRITE
    DELETE = "delete", "delete files of", Mode.READ_WRITE_DELETE
    OVERWRITE = "overwrite", "overwrite files of", Mode.READ_WRITE_DELETE
    MANAGE = "manage", "see and change the settings of", Mode.MANAGE  # the ordinary ones; its log too
    CORRECT = "correct", "correct the metadata of files of", Mode.MANAGE
    ADMIT = "admit", "change members and publishers of", Mode.MANAGE, Proof.FRESH
    RESTRICT = "restrict", "change who may read or upload to", Mode.MANAGE, Proof.FRESH_PERSON
    LEAVE = "leave", "leave", Mode.MANAGE
    TRANSFER = "transfer", "give away", Mode.MANAGE, Proof.FRESH_PERSON
    REMOVE = "remove", "delete", Mode.MANAGE, Proof.FRESH_PERSON

    def __new__(cls, value: str, said: str, least_mode: Mode, proof: Proof = Proof.ANY) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.said = said
        member.least_mode = least_mode
        member.proof = proof
        return member


BY_ROLE = {
    Role.VIEWER: frozenset({Action.READ, Action.SEE_MEMBERS, Action.LEAVE}),
    Role.CONTRIBUTOR: frozenset({Action.READ, Action.SEE_MEMBERS, Action.LEAVE, Action.UPLOAD, Action.YANK}),
    Role.OWNER: frozenset(Action) - {Action.LEAVE},
}

BY_ADMIN = frozenset(Action) - {Action.UPLOAD, Action.YANK, Action.LEAVE}

# What a workflow may be allowed at all: nothing that is about people.
BY_WORKFLOW = frozenset({Action.READ, Action.UPLOAD, Action.YANK, Action.DELETE, Action.OVERWRITE})

# What a Contributor may do to the files that they uploaded themselves.
TO_OWN_FILES = {Role.CONTRIBUTOR: frozenset({Action.DELETE, Action.OVERWRITE})}
