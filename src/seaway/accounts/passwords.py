"""Passwords: what is asked of them, and how they are kept."""

import unicodedata

from argon2 import PasswordHasher

from seaway.errors import Malformed

MIN_CHARS = 12
MAX_CHARS = 256
_MAX_BYTES = 4096

# OWASP's least for argon2id. One verification takes 36 ms on the reference machine (26 a second on two
# cores); the library's default, 64 MiB, takes 283 ms (4.4 a second) and a hundred at once hold 6 GB.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hash_new(password: str) -> str:
    """The argon2id hash of a new password; `Malformed` when it is too short or long. Its length is looked at first."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS or len(password.encode()) > _MAX_BYTES:
        raise Malformed(f"A password has {MIN_CHARS} to {MAX_CHARS} characters.", "Choose another one.")
    return _hasher.hash(unicodedata.normalize("NFKC", password))
