"""
Who may do what in a channel: the table.

                    read, see members,  upload, yank  delete, overwrite        members, settings   transfer, remove
                    leave
    Viewer          yes
    Contributor     yes                 yes           files that they uploaded
    Owner           yes, but not leave  yes           yes                      yes                 yes
    site admin      yes                               yes                      yes                 yes
    workflow        read                as the mode of its publisher says
"""

from enum import Enum
from typing import Self

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
    needs_person: bool

    READ = "read", "read", Mode.READ
    SEE_MEMBERS = "see-members", "see the members of", Mode.READ
    UPLOAD = "upload", "upload to", Mode.READ_WRITE
    YANK = "yank", "yank or unyank files of", Mode.READ_WRITE
    DELETE = "delete", "delete files of", Mode.READ_WRITE_DELETE
    OVERWRITE = "overwrite", "overwrite files of", Mode.READ_WRITE_DELETE
    MANAGE = "manage", "change members and settings of", Mode.MANAGE
    LEAVE = "leave", "leave", Mode.MANAGE
    TRANSFER = "transfer", "give away", Mode.MANAGE, True
    REMOVE = "remove", "delete", Mode.MANAGE, True

    def __new__(cls, value: str, said: str, least_mode: Mode, needs_person: bool = False) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.said = said
        member.least_mode = least_mode
        member.needs_person = needs_person
        return member


class SiteAction(Enum):
    """What somebody may want to do that is in no channel; `said` completes «may not ...»."""

    said: str
    needs_person: bool

    ADD_CHANNEL = "add-channel", "make a channel", False
    ADD_GROUP = "add-group", "make a group", False
    CHANGE_GROUP = "change-group", "change this group", False
    FIND_USERS = "find-users", "look for users", False
    READ_ACCOUNT = "read-account", "read this account", False
    JOIN = "join", "answer what was offered to a user", True
    CHANGE_ACCOUNT = "change-account", "change this account", True  # keys too: no key makes another
    ADMINISTER = "administer", "administer this site", True

    def __new__(cls, value: str, said: str, needs_person: bool) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.said = said
        member.needs_person = needs_person
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
