"""
Encryption of secrets that must be read again (TOTP seeds, queued emails), with keys that are not in the database.

1. A copy of the database reveals nothing: each encrypted value needs the secret key of the site.
2. A value is encrypted for one purpose and can be decrypted only for it, so a value cannot be moved to another row.
3. The first secret key encrypts, and every key decrypts. To rotate, put a new key before the old one, and remove the
   old one when no value encrypted with it is left.

An encrypted value is the id of its key (4 bytes of a hash), a nonce (12 bytes) and the AES-256-GCM output.
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

_KEY_ID_BYTES = 4
_NONCE_BYTES = 12


class Encryption:
    """
    Encrypts and decrypts with the secret keys of the site, of which there is at least one.

    Keys are read on first use and cached: if the store is unavailable at start-up, requests that need no secret can
    still be served.
    """

    def __init__(self, read_secrets: Callable[[], Sequence[bytes]]) -> None:
        self._read_secrets = read_secrets
        self._secrets: dict[bytes, bytes] = {}  # by key id; the first one encrypts

    def read_ahead(self) -> None:
        """Read the keys now if the store is available; an unusable key stops the start-up."""
        with suppress(Unavailable, OSError):
            self._keys()

    def encrypt(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt for one purpose."""
        nonce = os.urandom(_NONCE_BYTES)
        key_id, secret = next(iter(self._keys().items()))
        cipher = _cipher(secret, purpose)
        return key_id + nonce + cipher.encrypt(nonce, plain, None)

    def decrypt(self, encrypted: bytes, purpose: str) -> bytes:
        """Decrypt a value for its purpose; raise `Unavailable` if its key is missing or the value is damaged."""
        key_id, nonce = encrypted[:_KEY_ID_BYTES], encrypted[_KEY_ID_BYTES : _KEY_ID_BYTES + _NONCE_BYTES]
        secret = self._keys().get(key_id)
        if secret is None:
            raise Unavailable(
                "This value was encrypted with a secret key that is missing.", "The operator must restore `secret_key`."
            )
        try:
            return _cipher(secret, purpose).decrypt(nonce, encrypted[_KEY_ID_BYTES + _NONCE_BYTES :], None)
        except (InvalidTag, ValueError):
            raise Unavailable("This encrypted value is damaged.", "The operator must restore a backup.") from None

    def _keys(self) -> dict[bytes, bytes]:
        if not self._secrets:
            self._secrets = {key_id_of(secret): secret for secret in self._read_secrets()}
        return self._secrets


def key_id_of(secret: bytes) -> bytes:
    """Return the id of a key: 4 bytes of a hash, which reveal nothing about it."""
    return hashlib.sha256(b"seaway key name\0" + secret).digest()[:_KEY_ID_BYTES]


def _cipher(secret: bytes, purpose: str) -> AESGCM:
    # A separate key per purpose, so that two purposes never share a key and a nonce.
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"seaway/" + purpose.encode()).derive(secret))
