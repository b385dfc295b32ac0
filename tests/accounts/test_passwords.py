"""Passwords: what is refused, how they are kept, and that only a few are hashed at once (sign_in/passwords.py)."""

import unicodedata

import anyio
import pytest
from argon2 import PasswordHasher

from seaway.errors import TooManyRequests, WeakPassword
from seaway.sign_in.passwords import Hasher, PasswordCheck, hash_new
from tests.accounts.conftest import CountingHasher

GOOD = "mossy lantern over weir"
OLD = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "password",
    ["", "short", "x" * 11, "x" * 257, "x" * 1_000_000, "ü" * 256 * 8, "lantern weir \ud800"],
    ids=lambda value: ascii(value)[:16],
)
async def test_a_password_has_bounds(password: str) -> None:
    """One is neither short nor so long that hashing it is work for nothing, nor half a character (1)."""
    with pytest.raises(WeakPassword, match="12 to 256 characters"):
        await Hasher().hash_new(password)


async def test_a_megabyte_is_refused_before_it_is_hashed() -> None:
    """Case 10: a huge password costs nothing, also at a sign-in (1)."""
    counting = CountingHasher()
    with pytest.raises(WeakPassword):
        await Hasher(parameters=counting).verify("x" * 1_000_000, hash_new(GOOD))
    assert 0 == counting.hashes


@pytest.mark.parametrize("password", ["passwordpassword", "111111111111", "qwertyuiop[]", "ada-lovelace1815"])
async def test_what_is_guessed_first_is_refused(password: str) -> None:
    """Long is not enough: words that everybody tries, or that stand in the account itself."""
    with pytest.raises(WeakPassword, match="easy to guess"):
        await Hasher().hash_new(password, about=["ada-lovelace", "ada-lovelace1815@example.com"])


async def test_only_the_beginning_is_scored() -> None:
    """Signs that may stand for many letters make the scoring slow, by their number: what stands behind is cut off."""
    with pytest.raises(WeakPassword, match="easy to guess"):
        hash_new("a" * 40 + GOOD, parameters=OLD)
    assert hash_new("a" * 10 + GOOD, parameters=OLD)
    assert hash_new("4@8({[<369&#!1i|0$5+7%2" * 11, parameters=OLD)


async def test_a_password_is_kept_as_a_salted_hash() -> None:
    """Equal passwords have different hashes, and neither shows the password."""
    one, two = hash_new(GOOD), hash_new(GOOD)
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != two
    assert "lantern" not in one


async def test_the_right_password_is_right() -> None:
    """And any other is not."""
    hasher = Hasher()
    kept = await hasher.hash_new(GOOD)
    assert [PasswordCheck(True), PasswordCheck(False)] == [
        await hasher.verify(word, kept) for word in (GOOD, GOOD + "!")
    ]


async def test_how_a_keyboard_writes_an_umlaut_does_not_matter() -> None:
    """A letter with its accent apart is the same password (NFKC)."""
    kept = hash_new(unicodedata.normalize("NFC", "müßig läuft der Böse"))
    assert (await Hasher().verify(unicodedata.normalize("NFD", "müßig läuft der Böse"), kept)).is_right


async def test_an_old_hash_is_made_again() -> None:
    """Case 11: parameters of yesterday are replaced at the sign-in (4)."""
    found = await Hasher().verify(GOOD, OLD.hash(GOOD))
    assert found.is_right
    assert found.better_hash is not None
    assert found.better_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("kept", [None, "", "$argon2id$nonsense", "plain"])
async def test_no_hash_fits_no_password(kept: str | None) -> None:
    """An unknown user, one without a password, a damaged row: wrong, not an error (3)."""
    assert PasswordCheck(False) == await Hasher().verify(GOOD, kept)


async def test_more_than_can_wait_are_told_to_come_back() -> None:
    """Two are hashed, some wait, the rest is refused at once (2)."""
    hasher = Hasher(threads=2, waiting=3, parameters=OLD)
    refused: list[TooManyRequests] = []

    async def try_it() -> None:
        try:
            await hasher.verify(GOOD, None)
        except TooManyRequests as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(try_it)
    assert 20 - 2 - 3 == len(refused)
    assert all(error.retry_after_seconds > 0 for error in refused)
