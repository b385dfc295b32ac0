"""Passwords: refused passwords, stored hashes and the limit on simultaneous hashing (sign_in/passwords.py)."""

import unicodedata

import anyio
import pytest
from argon2 import PasswordHasher

from seaway.errors import TooManyRequests, WeakPassword
from seaway.sign_in.passwords import Hasher, PasswordCheck, hash_new
from tests.support.accounts import CountingHasher

GOOD = "mossy lantern over weir"
OLD = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "password",
    ["", "short", "x" * 11, "x" * 257, "x" * 1_000_000, "ü" * 256 * 8, "lantern weir \ud800"],
    ids=lambda value: ascii(value)[:16],
)
async def test_password_length_is_bounded(password: str) -> None:
    """Short passwords, passwords that would be expensive to hash, and lone surrogates are refused (1)."""
    with pytest.raises(WeakPassword, match="12 to 256 characters"):
        await Hasher().hash_new(password)


async def test_megabyte_password_is_refused_before_hashing() -> None:
    """Case 10: a huge password costs no hashing at sign-in (1)."""
    counting_hasher = CountingHasher()
    with pytest.raises(WeakPassword):
        await Hasher(parameters=counting_hasher).verify("x" * 1_000_000, hash_new(GOOD))
    assert 0 == counting_hasher.hashes


@pytest.mark.parametrize("password", ["passwordpassword", "111111111111", "qwertyuiop[]", "ada-lovelace1815"])
async def test_easily_guessed_password_is_refused(password: str) -> None:
    """Common words and words from the account itself are refused, however long."""
    with pytest.raises(WeakPassword, match="easy to guess"):
        await Hasher().hash_new(password, about=["ada-lovelace", "ada-lovelace1815@example.com"])


async def test_only_the_beginning_of_a_password_is_scored() -> None:
    """Characters that can substitute several letters make scoring slow, so the rest of the password is ignored."""
    with pytest.raises(WeakPassword, match="easy to guess"):
        hash_new("a" * 40 + GOOD, parameters=OLD)
    assert hash_new("a" * 10 + GOOD, parameters=OLD)
    assert hash_new("4@8({[<369&#!1i|0$5+7%2" * 11, parameters=OLD)


async def test_password_is_stored_as_salted_hash() -> None:
    first, second = hash_new(GOOD), hash_new(GOOD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert "lantern" not in first


async def test_only_the_right_password_is_accepted() -> None:
    hasher = Hasher()
    stored = await hasher.hash_new(GOOD)
    assert [PasswordCheck(True), PasswordCheck(False)] == [
        await hasher.verify(password, stored) for password in (GOOD, GOOD + "!")
    ]


async def test_composed_and_decomposed_characters_are_the_same_password() -> None:
    """Passwords are normalized (NFKC)."""
    stored = hash_new(unicodedata.normalize("NFC", "müßig läuft der Böse"))
    assert (await Hasher().verify(unicodedata.normalize("NFD", "müßig läuft der Böse"), stored)).is_right


async def test_hash_with_old_parameters_is_replaced() -> None:
    """Case 11: verifying returns a better hash at sign-in (4)."""
    result = await Hasher().verify(GOOD, OLD.hash(GOOD))
    assert result.is_right
    assert result.better_hash is not None
    assert result.better_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("stored", [None, "", "$argon2id$nonsense", "plain"])
async def test_missing_or_damaged_hash_never_matches(stored: str | None) -> None:
    """Unknown users, users without a password and damaged rows count as wrong passwords, not as errors (3)."""
    assert PasswordCheck(False) == await Hasher().verify(GOOD, stored)


async def test_hashing_over_capacity_is_refused() -> None:
    """Two passwords are hashed, some wait, and the rest are refused at once (2)."""
    hasher = Hasher(threads=2, waiting=3, parameters=OLD)
    refused: list[TooManyRequests] = []

    async def verify() -> None:
        try:
            await hasher.verify(GOOD, None)
        except TooManyRequests as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(verify)
    assert 20 - 2 - 3 == len(refused)
    assert all(error.retry_after_seconds > 0 for error in refused)
