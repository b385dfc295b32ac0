"""API keys: format, caller, expiry, revocation and names."""

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
from tests.support.clock import ManualClock
from tests.support.sites import Factory

KEY = secret_tokens.new_key(secret_tokens.KeyKind.USER)


# Format


def test_key_can_be_used_in_a_path() -> None:
    """A key consists of letters, digits and hyphens only: conda truncates a token in a path at any other character."""
    keys = {secret_tokens.new_key(secret_tokens.KeyKind.USER) for _ in range(100)}
    assert all(re.fullmatch(r"swy-u-[0-9A-Za-z]{42}", key) for key in keys)
    assert 100 == len(keys)


def test_new_key_is_well_formed() -> None:
    assert all(secret_tokens.is_well_formed(secret_tokens.new_key(secret_tokens.KeyKind.USER)) for _ in range(100))


@given(position=st.integers(min_value=6, max_value=len(KEY) - 1), character=st.sampled_from("0aZ9zA-_."))
def test_key_with_a_changed_character_is_malformed(position: int, character: str) -> None:
    """The checksum detects typing errors."""
    changed = KEY[:position] + character + KEY[position + 1 :]
    assert (changed == KEY) is secret_tokens.is_well_formed(changed)


@given(st.text(max_size=80))
def test_arbitrary_text_is_no_key(text: str) -> None:
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
    ids=[
        "trailing newline",
        "leading space",
        "trailing space",
        "short",
        "long",
        "upper case",
        "another kind",
        "underscores",
    ],
)
def test_key_with_extra_or_missing_characters_is_malformed(text: str) -> None:
    assert not secret_tokens.is_well_formed(text)


@given(before=st.text(max_size=20), after=st.text(alphabet=" /?&\"'\n:,;", max_size=20))
def test_key_is_masked_in_any_text(before: str, after: str) -> None:
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
    """Tokens of other servers are masked too; the rest of the text stays readable."""
    assert masked == secret_tokens.mask(text)


def test_key_is_stored_as_a_hash(seaway: Seaway, factory: Factory) -> None:
    secret = factory.key("ada")
    with seaway.site.database.read() as tx:
        row = tx.execute(select(tables.keys)).mappings().one()
    assert secret_tokens.hash_key(secret) == row["digest"]
    assert secret[6:] not in str(dict(row))


# Caller


def caller_of(seaway: Seaway, secret: str) -> Caller | None:
    with seaway.site.database.read() as tx:
        return api_keys.caller_of(tx, secret, seaway.site.clock.now_ms())


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_key_identifies_its_user_and_mode(seaway: Seaway, factory: Factory, mode: Mode) -> None:
    """The caller has the user's name, the key's mode and no channel restriction."""
    caller = caller_of(seaway, factory.key("ada", mode=mode))
    assert caller is not None
    assert ("ada", mode, None, False) == (caller.name, caller.mode, caller.channel_ids, caller.is_anonymous)


def test_key_for_two_channels_is_restricted_to_them(seaway: Seaway, factory: Factory) -> None:
    for name in ("one", "two", "three"):
        factory.channel(name)
    caller = caller_of(seaway, factory.key("owner", only=["one", "two"]))
    assert caller is not None
    assert caller.channel_ids is not None
    assert 2 == len(caller.channel_ids)


def test_malformed_key_is_refused_without_a_query(seaway: Seaway) -> None:
    """The checksum fails first: the transaction is closed, so a query would raise."""
    with seaway.site.database.read() as tx:
        pass
    assert api_keys.caller_of(tx, KEY[:-1] + ("a" if KEY[-1] != "a" else "b"), 0) is None


def test_unknown_well_formed_key_is_refused(seaway: Seaway) -> None:
    """A correct checksum alone grants nothing."""
    assert caller_of(seaway, KEY) is None


@pytest.mark.parametrize(("offset_ms", "valid"), [(-1, True), (0, False), (1, False)], ids=["before", "at", "after"])
def test_key_is_valid_until_it_expires(
    seaway: Seaway, factory: Factory, clock: ManualClock, offset_ms: int, valid: bool
) -> None:
    """The key is refused from the exact millisecond of its expiry."""
    secret = factory.key("ada", days=30)
    clock.move(30 * DAY_MS + offset_ms)
    assert valid is (caller_of(seaway, secret) is not None)


def test_key_without_expiry_stays_valid(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    secret = factory.key("ada", days=None)
    clock.move(36_500 * DAY_MS)
    assert caller_of(seaway, secret) is not None


def test_revoked_key_is_refused(seaway: Seaway, factory: Factory) -> None:
    """The revoked key stays in the list; other keys are not affected."""
    first, second = factory.key("ada"), factory.key("ada")
    with seaway.site.database.write_site() as tx:
        api_keys.revoke(tx, seaway.site.clock.now_ms(), OPERATOR, users.get(tx, "ada"), "key 0")
        listed = api_keys.all_keys(tx, users.get(tx, "ada").id)
    assert [True, False] == [caller_of(seaway, secret) is None for secret in (first, second)]
    assert [seaway.site.clock.now_ms(), None] == [key.revoked_at_ms for key in listed]


def test_revoking_again_keeps_the_first_time(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    factory.key("ada")
    first = seaway.site.clock.now_ms()
    for _ in range(2):
        with seaway.site.database.write_site() as tx:
            key = api_keys.revoke(tx, seaway.site.clock.now_ms(), OPERATOR, users.get(tx, "ada"), "key 0")
        clock.move(DAY_MS)
    assert first == key.revoked_at_ms


def test_keys_of_disabled_user_are_refused(seaway: Seaway, factory: Factory) -> None:
    """They work again once the account is enabled."""
    secret = factory.key("ada")
    refused = []
    for disabled in (True, False):
        with seaway.site.database.write_site() as tx:
            user_access.set_disabled(tx, seaway.site.clock.now_ms(), OPERATOR, "ada", disabled=disabled)
        refused.append(caller_of(seaway, secret) is None)
    assert [True, False] == refused


# Names


def add(seaway: Seaway, user: str, name: str) -> None:
    with seaway.site.database.write_site() as tx:
        api_keys.add(tx, 0, OPERATOR, users.get(tx, user), name, mode=Mode.READ, channel_ids=None, expires_at_ms=None)


def test_key_name_must_be_printable(seaway: Seaway, factory: Factory) -> None:
    """Key names appear in lists, logs and error messages, so they are one short printable line."""
    factory.user("ada")
    for name in ("", "k" * 101, "a\nb", "a\0b", "a\u202eb"):
        with pytest.raises(NameTaken, match="not a valid key name"):
            add(seaway, "ada", name)


def test_key_name_is_unique_per_user(seaway: Seaway, factory: Factory) -> None:
    factory.user("ada")
    factory.user("bob")
    add(seaway, "ada", "laptop")
    add(seaway, "bob", "laptop")
    with pytest.raises(NameTaken, match="already has a key named 'laptop'"):
        add(seaway, "ada", "laptop")


def test_revoking_unknown_key_raises_not_found(seaway: Seaway, factory: Factory) -> None:
    factory.user("ada")
    with seaway.site.database.write_site() as tx, pytest.raises(NotFound, match="has no key named"):
        api_keys.revoke(tx, 0, OPERATOR, users.get(tx, "ada"), "nothing")
