"""
What must be read again is encrypted with a key that is not in the database: seeds of codes, letters that wait.

1. A copy of the database opens nothing: each sealed value needs the secret key of the site.
2. A value is sealed for one purpose, and opens for no other: what was taken from one row cannot be put into another.
3. The first secret key seals, all of them open. A new one is put before the old one, which may go when nothing that
   it sealed is left.

A sealed value is the name of its key (4 bytes of a hash), a nonce (12) and what AES-256-GCM made.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from seaway.errors import Unavailable

_NAME_BYTES = 4
_NONCE_BYTES = 12


class Sealer:
    """
    Seals and opens with the secret keys of the site, of which there is at least one.

    They are read when they are first needed, and kept: a store that is away at the start keeps nobody from serving
    what needs no secret.
    """

    def __init__(self, read_secrets: Callable[[], Sequence[bytes]]) -> None:
        self._read_secrets = read_secrets
        self._secrets: dict[bytes, bytes] = {}  # by their names, the one that seals first

    def read_ahead(self) -> None:
        """Read the keys now, if what keeps them answers; one that is unusable stops the start."""
        with suppress(Unavailable, OSError):
            self._known()

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt for one purpose."""
        nonce = os.urandom(_NONCE_BYTES)
        first, secret = next(iter(self._known().items()))
        cipher = _cipher(secret, purpose)
        return first + nonce + cipher.encrypt(nonce, plain, None)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed for this purpose; `Unavailable` when its key is gone, or it is not what we sealed."""
        name, nonce = sealed[:_NAME_BYTES], sealed[_NAME_BYTES : _NAME_BYTES + _NONCE_BYTES]
        secret = self._known().get(name)
        if secret is None:
            raise Unavailable(
                "This was encrypted with a secret key that is gone.", "The operator must restore `secret_key`."
            )
        try:
            return _cipher(secret, purpose).decrypt(nonce, sealed[_NAME_BYTES + _NONCE_BYTES :], None)
        except (InvalidTag, ValueError):
            raise Unavailable(
                "What is kept here encrypted is damaged.", "The operator must restore a backup."
            ) from None

    def _known(self) -> dict[bytes, bytes]:
        if not self._secrets:
            self._secrets = {name_of(secret): secret for secret in self._read_secrets()}
        return self._secrets


def name_of(secret: bytes) -> bytes:
    """How a key is called where it was used: 4 bytes that tell nothing of it."""
    return hashlib.sha256(b"seaway key name\0" + secret).digest()[:_NAME_BYTES]


def _cipher(secret: bytes, purpose: str) -> AESGCM:
    # A key for each purpose: no two purposes ever share a key and a nonce.
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"seaway/" + purpose.encode()).derive(secret))
