"""Accounts: names, the first admin."""

import pytest

from seaway.callers.caller import OPERATOR
from seaway.conda.subdir import KNOWN_SUBDIRS
from seaway.errors import NameTaken, NotFound
from seaway.server.wiring import Seaway
from seaway.users import users


def add(seaway: Seaway, name: str) -> users.User:
    with seaway.database.write_site() as tx:
        return users.add(tx, seaway.clock.now_ms(), OPERATOR, name, email=None, password_hash=None, is_admin=False)


GOOD_NAMES = ["a", "ada", "ada-lovelace", "0x", "a" * 39, "a--b"]
BAD_NAMES = ["", "A", "-a", "a-", "a" * 40, "a_b", "a.b", "a b", "ä", "a\n", "a/b", "a@b", "a\0", "me too"]
RESERVED = ["admin", "api", "root", "seaway", "operator", "t", *KNOWN_SUBDIRS]


def test_a_plain_name_is_taken(seaway: Seaway) -> None:
    """Lower case letters, digits and hyphens between them make a user name."""
    assert GOOD_NAMES == [add(seaway, name).name for name in GOOD_NAMES]


def test_any_other_name_is_refused(seaway: Seaway) -> None:
    """A name that would read like another, or break a line or a path, or is a word of the site, is refused."""
    for name in (*BAD_NAMES, *RESERVED):
        with pytest.raises(NameTaken, match="not a valid user name"):
            add(seaway, name)


def test_a_name_is_given_once(seaway: Seaway) -> None:
    """Two users of one name cannot be."""
    add(seaway, "ada")
    with pytest.raises(NameTaken, match="already exists"):
        add(seaway, "ada")


def test_the_first_user_is_admin(seaway: Seaway) -> None:
    """Whoever makes the first account looks after the site; later ones do not."""
    assert [True, False] == [add(seaway, name).is_admin for name in ("first", "second")]


def test_an_unknown_user_is_not_found(seaway: Seaway) -> None:
    """A mistyped name is told."""
    with seaway.database.read() as tx, pytest.raises(NotFound, match="no user named 'nobody'"):
        users.get(tx, "nobody")
