"""
Passwords: what is asked of them, and how they are kept.

1. The length is looked at first: a megabyte is refused before anything is done with it.
2. Few are hashed at once, and few wait; more are told to come back. A hundred at once would hold 2 GB.
3. Whether there is a user, and whether they have a password, does not show in the time that an answer takes.
4. A hash made with other parameters is made again at the next sign-in.
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

from seaway.errors import TooMany, WeakPassword

MIN_CHARS = 12
MAX_CHARS = 256
_MAX_BYTES = 4096
_LEAST_SCORE = 2  # of zxcvbn: more than 10^8 guesses
_SCORED_CHARS = 40  # made to be slow, 100 characters take it 2.5 s, and 40 0.4 s

THREADS = 2
WAITING = 30

# OWASP's least for argon2id. One verification takes 36 ms on the reference machine (26 a second on two
# cores); the library's default, 64 MiB, takes 283 ms (4.4 a second) and a hundred at once hold 6 GB.
PARAMETERS = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether the password is right, and the hash to keep instead of the old one if that is out of date."""

    is_right: bool
    better_hash: str | None = None


def hash_new(password: str, *, about: Sequence[str] = (), parameters: PasswordHasher = PARAMETERS) -> str:
    """
    The argon2id hash of a new password, or `WeakPassword`; in this thread.

    `about` are words that whoever knows the account would guess first: its name, its address.
    """
    _require_length(password, MIN_CHARS)
    known = [part for word in about for part in (word, *word.split("@")) if part]
    if zxcvbn(password[:_SCORED_CHARS], user_inputs=known, max_length=_SCORED_CHARS)["score"] < _LEAST_SCORE:
        raise WeakPassword(
            "This password is easy to guess.", "Use a longer one, such as four words that have no order."
        )
    return parameters.hash(_normal(password))


class Hasher:
    """Hashes and verifies off the event loop, a few at a time."""

    def __init__(
        self, *, threads: int = THREADS, waiting: int = WAITING, parameters: PasswordHasher = PARAMETERS
    ) -> None:
        # Threads of their own: the allocator keeps what a thread has hashed with, 19 MiB in each of those that others
        # share (measured: 250 MB more after two hundred sign-ins at one moment, 43 MB like this).
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._room = threads + waiting
        self._inside = 0
        self._parameters = parameters

    async def hash_new(self, password: str, *, about: Sequence[str] = ()) -> str:
        """As the function of this name."""
        _require_length(password, MIN_CHARS)
        return await self._in_turn(lambda: hash_new(password, about=about, parameters=self._parameters))

    async def verify(self, password: str, kept: str | None) -> Checked:
        """Whether this is the password of `kept`; with None, for an unknown user, the same work for nothing."""
        _require_length(password, 0)
        return await self._in_turn(lambda: self._verify(password, kept))

    async def hash_code(self, code: str) -> str:
        """The hash of a code of ours, which needs no looking at."""
        return await self._in_turn(lambda: self._parameters.hash(code))

    def _verify(self, password: str, kept: str | None) -> Checked:
        normal = _normal(password)
        if kept is None:
            self._parameters.hash(normal)
            return Checked(is_right=False)
        try:
            self._parameters.verify(kept, normal)
        except (VerificationError, InvalidHashError):
            return Checked(is_right=False)
        is_old = self._parameters.check_needs_rehash(kept)
        return Checked(is_right=True, better_hash=self._parameters.hash(normal) if is_old else None)

    async def _in_turn(self, work: Callable[[], R]) -> R:
        if self._inside >= self._room:
            raise TooMany("Too many people sign in at this moment.", "Try again in a moment.", retry_after_seconds=5)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1


def _require_length(password: str, least: int) -> None:
    try:
        is_short_enough = len(password) <= MAX_CHARS and len(password.encode()) <= _MAX_BYTES
    except UnicodeEncodeError:  # half a character, which JSON can write and nobody can type
        is_short_enough = False
    if len(password) < least or not is_short_enough:
        raise WeakPassword(f"A password has {MIN_CHARS} to {MAX_CHARS} characters.", "Choose another one.")


def _normal(password: str) -> str:
    """One form for what keyboards write in several (NFKC)."""
    return unicodedata.normalize("NFKC", password)
