"""API keys: what they are made of, who carries one, and from when on it is good for nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from seaway import secret_tokens
from seaway.callers.caller import OPERATOR, Caller, Mode
from seaway.clock import DAY_MS
from seaway.database import tables
from seaway.errors import NameTaken, NotFound
from seaway.keys import api_keys
from seaway.server.wiring import Seaway
from seaway.sign_in import user_access
from seaway.users import users
from tests.support.clock import TurnedClock
from tests.support.house import People

KEY = secret_tokens.new_key(secret_tokens.KeyKind.USER)


# The text of a key


def test_a_key_can_stand_in_a_path() -> None:
    """A key is made of letters, digits and hyphens alone: conda cuts a token in a path at anything else."""
    made = {secret_tokens.new_key(secret_tokens.KeyKind.USER) for _ in range(100)}
    assert all(re.fullmatch(r"swy-u-[0-9A-Za-z]{42}", key) for key in made)
    assert 100 == len(made)


def test_a_fresh_key_is_well_formed() -> None:
    """What is given out is accepted."""
    assert all(secret_tokens.is_well_formed(secret_tokens.new_key(secret_tokens.KeyKind.USER)) for _ in range(100))


@given(place=st.integers(min_value=6, max_value=len(KEY) - 1), character=st.sampled_from("0aZ9zA-_."))
def test_a_key_with_another_character_is_garbage(place: int, character: str) -> None:
    """A mistyped key is known by its checksum."""
    changed = KEY[:place] + character + KEY[place + 1 :]
    assert (changed == KEY) is secret_tokens.is_well_formed(changed)


@given(st.text(max_size=80))
def test_no_other_text_is_a_key(text: str) -> None:
    """Garbage of any kind is refused, and never an error."""
    assert not secret_tokens.is_well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        KEY + "\n",
        " " + KEY,
        KEY + " ",
        KEY[:-1],
        KEY + "0",
        KEY.upper(),
        KEY.replace("swy-u", "swy-x"),
        KEY.replace("-", "_"),
    ],
    ids=["line end", "blank before", "blank behind", "short", "long", "upper case", "another kind", "underscores"],
)
def test_a_key_with_something_about_it_is_none(text: str) -> None:
    """A key is the whole text and nothing else."""
    assert not secret_tokens.is_well_formed(text)


@given(before=st.text(max_size=20), after=st.text(alphabet=" /?&\"'\n:,;", max_size=20))
def test_a_key_is_masked_wherever_it_stands(before: str, after: str) -> None:
    """In whatever text a key stands, the masked text does not hold it."""
    assert KEY[6:] not in secret_tokens.mask(before + KEY + after)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /t/secret/chan/noarch/x", "GET /t/***/chan/noarch/x"),
        ("/t/secret", "/t/***"),
        ("/t//chan/x", "/t//chan/x"),
        ("https://host/t/a-b_c.d/chan", "https://host/t/***/chan"),
        (f"/{KEY}/x", "/swy-u-***/x"),
        (f"{KEY[:20]} was cut", "swy-u-*** was cut"),
        ("nothing secret at /chan/noarch", "nothing secret at /chan/noarch"),
        ("", ""),
    ],
    ids=["token in a path", "token at the end", "no token", "foreign token", "key in a path", "part of a key", "nothing", "empty"],
)  # fmt: skip
def test_tokens_in_paths_are_masked(text: str, masked: str) -> None:
    """What stands where a token stands is masked, whosever it is, and the rest stays readable."""
    assert masked == secret_tokens.mask(text)


def test_a_key_is_stored_as_a_hash(seaway: Seaway, people: People) -> None:
    """The rows hold what a key can be compared with, and nothing to use."""
    secret = people.key("ada")
    with seaway.database.read() as tx:
        row = tx.execute(select(tables.keys)).mappings().one()
    assert secret_tokens.hash_key(secret) == row["digest"]
    assert secret[6:] not in str(dict(row))


# Who carries it


def carrier(seaway: Seaway, secret: str) -> Caller | None:
    with seaway.database.read() as tx:
        return api_keys.caller_of(tx, secret, seaway.clock.now_ms())


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_a_key_speaks_for_its_user(seaway: Seaway, people: People, mode: Mode) -> None:
    """A key tells who asks, how far it goes, and that no channel is left out."""
    principal = carrier(seaway, people.key("ada", mode=mode))
    assert principal is not None
    assert ("ada", mode, None, False) == (principal.name, principal.mode, principal.channel_ids, principal.is_anonymous)


def test_a_key_for_some_channels_says_which(seaway: Seaway, people: People) -> None:
    """A key that was made for two channels names those two."""
    for name in ("one", "two", "three"):
        people.channel(name)
    principal = carrier(seaway, people.key("owner", only=["one", "two"]))
    assert principal is not None
    assert principal.channel_ids is not None
    assert 2 == len(principal.channel_ids)


def test_garbage_is_refused_without_a_query(seaway: Seaway) -> None:
    """A key with a wrong checksum costs no look at the database: here there is none to look at."""
    with seaway.database.read() as tx:
        pass
    assert api_keys.caller_of(tx, KEY[:-1] + ("a" if KEY[-1] != "a" else "b"), 0) is None


def test_a_well_formed_key_that_nobody_has_is_refused(seaway: Seaway) -> None:
    """The checksum alone opens nothing."""
    assert carrier(seaway, KEY) is None


@pytest.mark.parametrize(("moved_ms", "good"), [(-1, True), (0, False), (1, False)], ids=["before", "at", "after"])
def test_a_key_is_good_until_it_expires(
    seaway: Seaway, people: People, clock: TurnedClock, moved_ms: int, good: bool
) -> None:
    """From the millisecond at which it expires a key opens nothing."""
    secret = people.key("ada", days=30)
    clock.move(30 * DAY_MS + moved_ms)
    assert good is (carrier(seaway, secret) is not None)


def test_a_key_without_an_end_goes_on(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """A key that never expires is good in a hundred years."""
    secret = people.key("ada", days=None)
    clock.move(36_500 * DAY_MS)
    assert carrier(seaway, secret) is not None


def test_a_revoked_key_is_good_for_nothing(seaway: Seaway, people: People) -> None:
    """Revoking ends one key, keeps it in the list, and leaves the others."""
    one, two = people.key("ada"), people.key("ada")
    with seaway.database.write_site() as tx:
        api_keys.revoke(tx, seaway.clock.now_ms(), OPERATOR, users.get(tx, "ada"), "key 0")
        listed = api_keys.all_keys(tx, users.get(tx, "ada").id)
    assert [True, False] == [carrier(seaway, secret) is None for secret in (one, two)]
    assert [seaway.clock.now_ms(), None] == [key.revoked_at_ms for key in listed]


def test_revoking_again_does_not_move_the_time(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """When a key was revoked stays on record."""
    people.key("ada")
    first = seaway.clock.now_ms()
    for _ in range(2):
        with seaway.database.write_site() as tx:
            key = api_keys.revoke(tx, seaway.clock.now_ms(), OPERATOR, users.get(tx, "ada"), "key 0")
        clock.move(DAY_MS)
    assert first == key.revoked_at_ms


def test_the_keys_of_a_disabled_user_rest(seaway: Seaway, people: People) -> None:
    """Shutting an account stops its keys, opening it starts them again."""
    secret = people.key("ada")
    seen = []
    for disabled in (True, False):
        with seaway.database.write_site() as tx:
            user_access.set_disabled(tx, seaway.clock.now_ms(), OPERATOR, "ada", disabled=disabled)
        seen.append(carrier(seaway, secret) is None)
    assert [True, False] == seen


# Names of keys


def add(seaway: Seaway, user: str, name: str) -> None:
    with seaway.database.write_site() as tx:
        api_keys.add(tx, 0, OPERATOR, users.get(tx, user), name, mode=Mode.READ, channel_ids=None, expires_at_ms=None)


def test_a_key_has_a_printable_name(seaway: Seaway, people: People) -> None:
    """The name of a key stands in lists, logs and refusals, so it is one short printable line."""
    people.user("ada")
    for name in ("", "k" * 101, "a\nb", "a\0b", "a\u202eb"):
        with pytest.raises(NameTaken, match="not a valid key name"):
            add(seaway, "ada", name)


def test_a_key_name_is_given_once_for_each_user(seaway: Seaway, people: People) -> None:
    """A user tells keys apart by name; another user may use the same one."""
    people.user("ada")
    people.user("bob")
    add(seaway, "ada", "laptop")
    add(seaway, "bob", "laptop")
    with pytest.raises(NameTaken, match="already has a key named 'laptop'"):
        add(seaway, "ada", "laptop")


def test_an_unknown_key_is_not_found(seaway: Seaway, people: People) -> None:
    """Revoking what is not there is told."""
    people.user("ada")
    with seaway.database.write_site() as tx, pytest.raises(NotFound, match="has no key named"):
        api_keys.revoke(tx, 0, OPERATOR, users.get(tx, "ada"), "nothing")
