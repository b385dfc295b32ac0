"""
The secret key of the site: from the settings, or else created at the first start and kept in the store.

1. All workers and machines use the same key: they share the store, and only one of them at a time can create the key.
2. On disk, only the owner of the store can read it; Seaway refuses to start if other users can.
3. It is never in the database, since it protects copies of the database (`encryption`).
4. It is created once. If the store lost it, no new key is created silently: all encrypted values would be lost.
"""

import secrets
from contextlib import suppress

from seaway.database import site_values
from seaway.database.engine import Database, Tx
from seaway.errors import BadSetting, Unavailable
from seaway.storage import keys
from seaway.storage.blobs import BlobStore

MIN_CHARS = 32
_BYTES = 32
_OTHER_USERS_MODE = 0o077
_CREATED = "secret-key-made"


def of_setting(setting: str) -> list[bytes]:
    """Return the keys in the setting `secret_key`, the encrypting one first; empty if it is not set."""
    return [part.strip().encode() for part in setting.split(",") if part.strip()]


def of_store(database: Database, blobs: BlobStore) -> bytes:
    """Return the key in the store; create it if there is none."""
    found = _read(blobs)
    if found is None:
        with database.exclusive("secret-key"):
            found = _read(blobs) or _make(database, blobs)
    _record(database)
    return found


def forget_lost(tx: Tx, blobs: BlobStore) -> None:
    """Allow a new key to be created if the store lost its key (4)."""
    if _read(blobs) is None:
        site_values.remove(tx, _CREATED)


def for_backup(blobs: BlobStore) -> bytes | None:
    """Return the key in the store, for a backup or a copy of the store; None if the key is in the settings."""
    return _read(blobs)


def replace(blobs: BlobStore, secret: bytes) -> None:
    """Store a key from a backup, replacing any other: the values restored with it are encrypted with this key."""
    if _read(blobs) != secret:
        blobs.write(keys.SECRET_KEY, secret)


def _read(blobs: BlobStore) -> bytes | None:
    try:
        with blobs.open(keys.SECRET_KEY) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    path = blobs.local_path(keys.SECRET_KEY)
    if path is not None and path.stat().st_mode & _OTHER_USERS_MODE:
        raise BadSetting(
            f"Other users can read the secret key in {path}.", f"Run `chmod 600 {path}`, and find out who changed it."
        )
    if len(content) < _BYTES:
        raise BadSetting("The secret key in the store is truncated.", "Restore it from a backup of the store.")
    return content


def _make(database: Database, blobs: BlobStore) -> bytes:
    if _is_recorded(database):
        raise Unavailable(
            "The secret key of the site is missing from the store.",
            "Restore it from a backup of the store. After `seaway adopt`, a new key is created, and everything "
            "encrypted with the old one is lost.",
        )
    secret = secrets.token_hex(_BYTES).encode()
    blobs.write(keys.SECRET_KEY, secret)
    return secret


def _record(database: Database) -> None:
    """Record in the database that the store has a key (4)."""
    with suppress(Unavailable):  # read-only database: encrypted values can still be read
        if not _is_recorded(database):
            with database.write_unlocked() as tx:
                database.lock(tx, _CREATED)
                site_values.put(tx, _CREATED, b"")


def _is_recorded(database: Database) -> bool:
    with database.read() as tx:
        return site_values.get(tx, _CREATED) is not None
