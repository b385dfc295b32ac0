"""User names and the first admin."""

import pytest

from seaway.callers.caller import OPERATOR
from seaway.conda.subdir import KNOWN_SUBDIRS
from seaway.errors import NameTaken, NotFound
from seaway.server.wiring import Seaway
from seaway.users import users


def add(seaway: Seaway, name: str) -> users.User:
    with seaway.site.database.write_site() as tx:
        return users.add(tx, seaway.site.clock.now_ms(), OPERATOR, name, email=None, password_hash=None, is_admin=False)


GOOD_NAMES = ["a", "ada", "ada-lovelace", "0x", "a" * 39, "a--b"]
BAD_NAMES = ["", "A", "-a", "a-", "a" * 40, "a_b", "a.b", "a b", "ä", "a\n", "a/b", "a@b", "a\0", "me too"]
RESERVED = ["admin", "api", "root", "seaway", "operator", "t", *KNOWN_SUBDIRS]


def test_valid_name_is_accepted(seaway: Seaway) -> None:
    """User names consist of lowercase letters and digits, with hyphens between them."""
    assert GOOD_NAMES == [add(seaway, name).name for name in GOOD_NAMES]


def test_invalid_or_reserved_name_is_refused(seaway: Seaway) -> None:
    """Names that look alike, break a line or a path, or are reserved by the site."""
    for name in (*BAD_NAMES, *RESERVED):
        with pytest.raises(NameTaken, match="not a valid user name"):
            add(seaway, name)


def test_user_name_is_unique(seaway: Seaway) -> None:
    add(seaway, "ada")
    with pytest.raises(NameTaken, match="already exists"):
        add(seaway, "ada")


def test_first_user_is_admin(seaway: Seaway) -> None:
    assert [True, False] == [add(seaway, name).is_admin for name in ("first", "second")]


def test_unknown_user_raises_not_found(seaway: Seaway) -> None:
    with seaway.site.database.read() as tx, pytest.raises(NotFound, match="no user named 'unknown'"):
        users.get(tx, "unknown")
