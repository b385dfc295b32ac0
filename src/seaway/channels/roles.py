"""
Who may do what in a channel: the table.

                    read  upload, yank  delete, overwrite        members, settings   transfer, remove
    Viewer          yes
    Contributor     yes   yes           files that they uploaded
    Owner           yes   yes           yes                      yes                 yes
    site admin      yes                 yes                      yes                 yes
"""

from enum import Enum
from typing import Self

from seaway.accounts.principal import Mode


class Role(Enum):
    """What a member is in a channel; exactly one is its owner."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    OWNER = "owner"


class Action(Enum):
    """What somebody may want to do with a channel; `said` completes «may not ...»."""

    said: str
    least_mode: Mode
    needs_person: bool

    READ = "read", "read", Mode.READ
    UPLOAD = "upload", "upload to", Mode.READ_WRITE
    YANK = "yank", "yank or unyank files of", Mode.READ_WRITE
    DELETE = "delete", "delete files of", Mode.READ_WRITE_DELETE
    OVERWRITE = "overwrite", "overwrite files of", Mode.READ_WRITE_DELETE
    MANAGE = "manage", "change members and settings of", Mode.MANAGE
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
    FIND_USERS = "find-users", "look for users", False
    READ_ACCOUNT = "read-account", "read this account", False
    CHANGE_ACCOUNT = "change-account", "change this account", True  # keys too: no key makes another
    ADMINISTER = "administer", "administer this site", True

    def __new__(cls, value: str, said: str, needs_person: bool) -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.said = said
        member.needs_person = needs_person
        return member


BY_ROLE = {
    Role.VIEWER: frozenset({Action.READ}),
    Role.CONTRIBUTOR: frozenset({Action.READ, Action.UPLOAD, Action.YANK}),
    Role.OWNER: frozenset(Action),
}

BY_ADMIN = frozenset({Action.READ, Action.DELETE, Action.OVERWRITE, Action.MANAGE, Action.TRANSFER, Action.REMOVE})

# What a Contributor may do to the files that they uploaded themselves.
TO_OWN_FILES = {Role.CONTRIBUTOR: frozenset({Action.DELETE, Action.OVERWRITE})}
