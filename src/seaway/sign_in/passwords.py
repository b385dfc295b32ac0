"""
Password requirements and hashing.

1. The length is checked first: a password of a megabyte is refused before any other work.
2. At most `THREADS` passwords are hashed at once and `WAITING` wait; further ones are refused with Retry-After. A
   hundred at once would need 2 GB.
3. The response time does not reveal whether a user exists or has a password.
4. A hash with outdated parameters is replaced at the next sign-in.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn  # type: ignore[import-untyped]

from seaway.errors import TooManyRequests, WeakPassword

MIN_CHARS = 12
MAX_CHARS = 256
_MAX_BYTES = 4096
_MIN_SCORE = 2  # zxcvbn score: more than 10^8 guesses
_SCORED_CHARS = 40  # in the worst case, zxcvbn takes 2.5 s for 100 characters and 0.4 s for 40

THREADS = 2
WAITING = 30

# OWASP's minimum for argon2id. One verification takes 36 ms on the reference machine (26 a second on two
# cores); the library's default, 64 MiB, takes 283 ms (4.4 a second), and a hundred at once need 6 GB.
PARAMETERS = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether the password is correct, and a hash to replace the stored one if its parameters are outdated."""

    is_right: bool
    better_hash: str | None = None


def hash_new(password: str, *, about: Sequence[str] = (), parameters: PasswordHasher = PARAMETERS) -> str:
    """
    Return the argon2id hash of a new password, computed in this thread; raise `WeakPassword` if it is not acceptable.

    `about` are words that an attacker who knows the account would try first: user name and email address.
    """
    _require_length(password, MIN_CHARS)
    guesses = [part for word in about for part in (word, *word.split("@")) if part]
    if zxcvbn(password[:_SCORED_CHARS], user_inputs=guesses, max_length=_SCORED_CHARS)["score"] < _MIN_SCORE:
        raise WeakPassword(
            "This password is too easy to guess.",
            "Use a longer one, such as a passphrase of four random words.",
            field="password",
        )
    return parameters.hash(_normal(password))


class Hasher:
    """Hashes and verifies passwords in threads, a few at a time."""

    def __init__(
        self, *, threads: int = THREADS, waiting: int = WAITING, parameters: PasswordHasher = PARAMETERS
    ) -> None:
        # Dedicated threads: the allocator keeps 19 MiB for each thread that has hashed. Measured after two hundred
        # concurrent sign-ins: 250 MB more with the shared thread pool, 43 MB with dedicated threads.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._capacity = threads + waiting
        self._active = 0
        self._parameters = parameters

    async def hash_new(self, password: str, *, about: Sequence[str] = ()) -> str:
        """Call the function `hash_new` in a hashing thread."""
        _require_length(password, MIN_CHARS)
        return await self._run(lambda: hash_new(password, about=about, parameters=self._parameters))

    async def verify(self, password: str, stored_hash: str | None) -> PasswordCheck:
        """Check a password against the stored hash; None (unknown user) takes the same time and fails."""
        _require_length(password, 0)
        return await self._run(lambda: self._verify(password, stored_hash))

    async def hash_code(self, code: str) -> str:
        """Return the hash of a generated code, which needs no strength check."""
        return await self._run(lambda: self._parameters.hash(code))

    def _verify(self, password: str, stored_hash: str | None) -> PasswordCheck:
        normal = _normal(password)
        if stored_hash is None:
            self._parameters.hash(normal)
            return PasswordCheck(is_right=False)
        try:
            self._parameters.verify(stored_hash, normal)
        except (VerificationError, InvalidHashError):
            return PasswordCheck(is_right=False)
        is_old = self._parameters.check_needs_rehash(stored_hash)
        return PasswordCheck(is_right=True, better_hash=self._parameters.hash(normal) if is_old else None)

    async def _run(self, work: Callable[[], R]) -> R:
        if self._active >= self._capacity:
            raise TooManyRequests(
                "Too many users are signing in at the moment.", "Try again in a moment.", retry_after_seconds=5
            )
        self._active += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._active -= 1


def _require_length(password: str, min_chars: int) -> None:
    try:
        is_short_enough = len(password) <= MAX_CHARS and len(password.encode()) <= _MAX_BYTES
    except UnicodeEncodeError:  # a lone surrogate, which JSON can encode
        is_short_enough = False
    if len(password) < min_chars or not is_short_enough:
        raise WeakPassword(
            f"A password must have {MIN_CHARS} to {MAX_CHARS} characters.", "Choose another one.", field="password"
        )


def _normal(password: str) -> str:
    """Normalize to NFKC: keyboards encode the same character in several ways."""
    return unicodedata.normalize("NFKC", password)
