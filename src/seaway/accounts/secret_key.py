"""
The secret key of the site: the one of the settings, else one that is made at the first start and kept in the store.

1. All workers and machines have the same: they share the store, and one of them at a time makes the key.
2. On disk nobody but the owner of the store may read it; a start with one that others can read is refused.
3. It is never in the database, whose copies it protects (`sealing`).
4. It is made once. A store that lost it does not get another one silently: what was encrypted would be lost with it.
"""

import secrets
from contextlib import suppress

from seaway.database import site_values
from seaway.database.engine import Database, Tx
from seaway.errors import BadSetting, Unavailable
from seaway.storage import keys
from seaway.storage.blobs import Blobs

MIN_CHARS = 32
_BYTES = 32
_OTHERS = 0o077
_MADE = "secret-key-made"


def of_setting(setting: str) -> list[bytes]:
    """The keys that `secret_key` lists, the one that seals first; none when it is empty."""
    return [part.strip().encode() for part in setting.split(",") if part.strip()]


def of_store(database: Database, blobs: Blobs) -> bytes:
    """The key in the store, made if there is none."""
    found = _read(blobs)
    if found is None:
        with database.alone("secret-key"):
            found = _read(blobs) or _make(database, blobs)
    _note(database)
    return found


def forget_lost(tx: Tx, blobs: Blobs) -> None:
    """Allow a new key to be made, if the one of the store is lost (4)."""
    if _read(blobs) is None:
        site_values.remove(tx, _MADE)


def carried(blobs: Blobs) -> bytes | None:
    """The key as a backup or a move of the store carries it; None where the settings have one instead."""
    return _read(blobs)


def put(blobs: Blobs, secret: bytes) -> None:
    """Keep a key that was carried here, in the place of any other: what comes with it was encrypted by it."""
    if _read(blobs) != secret:
        blobs.write(keys.SECRET_KEY, secret)


def _read(blobs: Blobs) -> bytes | None:
    try:
        with blobs.open(keys.SECRET_KEY) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    path = blobs.local_path(keys.SECRET_KEY)
    if path is not None and path.stat().st_mode & _OTHERS:
        raise BadSetting(f"Others can read the secret key in {path}.", f"Run `chmod 600 {path}`, and look who did.")
    if len(content) < _BYTES:
        raise BadSetting("The secret key in the store is cut off.", "Restore it from a backup of the store.")
    return content


def _make(database: Database, blobs: Blobs) -> bytes:
    if _is_noted(database):
        raise Unavailable(
            "The secret key of the site is missing from the store.",
            "Restore it from a backup of the store; after `seaway adopt` a new one is made, and what was "
            "encrypted with the old one is lost.",
        )
    secret = secrets.token_hex(_BYTES).encode()
    blobs.write(keys.SECRET_KEY, secret)
    return secret


def _note(database: Database) -> None:
    """Keep in the database that the store has a key (4)."""
    with suppress(Unavailable):  # a database that cannot be written now: what the key opens can still be read
        if not _is_noted(database):
            with database.write_part() as tx:
                database.hold(tx, _MADE)
                site_values.put(tx, _MADE, b"")


def _is_noted(database: Database) -> bool:
    with database.read() as tx:
        return site_values.get(tx, _MADE) is not None
