"""
The key that signs ID tokens, created once for all workers and stored encrypted in the database.

1. There is one key; the first worker that needs it creates it under a lock.
2. A copy of the database does not reveal it: it is encrypted with a key that is not in the database (`encryption`).

RS256, since every OpenID client must support it (OpenID Connect Core, 15.1).
"""

from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from seaway.database import site_values
from seaway.database.engine import Database
from seaway.encryption.cipher import Encryption

ALGORITHM = "RS256"
_BITS = 2048
_NAME = "id-token-key"


class SigningKey:
    """The ID token signing key of the site."""

    def __init__(self, database: Database, sealer: Encryption) -> None:
        self._database, self._sealer = database, sealer
        self._key: RSAKey | None = None  # the key never changes, so a race between threads is harmless

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a signed ID token. Do not call this in a transaction: the first call opens one to create the key."""
        key = self._current()
        return jwt.encode({"alg": ALGORITHM, "kid": key.thumbprint()}, claims, key, algorithms=[ALGORITHM])

    def public(self) -> dict[str, Any]:
        """Return the JWKS with which clients verify signatures (RFC 7517, 5)."""
        key = self._current()
        extra = {"kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM}
        return {"keys": [key.as_dict(private=False) | extra]}

    def _current(self) -> RSAKey:
        if self._key is None:
            with self._database.read() as tx:
                stored = site_values.get(tx, _NAME)
            self._key = RSAKey.import_key(self._sealer.decrypt(stored or self._create(), _NAME))
        return self._key

    def _create(self) -> bytes:
        encrypted = self._sealer.encrypt(RSAKey.generate_key(_BITS).as_pem(private=True), _NAME)
        with self._database.write_unlocked() as tx:
            self._database.lock(tx, _NAME)
            stored = site_values.get(tx, _NAME)
            if stored is None:
                site_values.put(tx, _NAME, encrypted)
            return stored or encrypted
