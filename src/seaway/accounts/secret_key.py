"""
The secret key of the site: the one of the settings, else one that is made at the first start and kept in the store.

1. All workers and machines have the same: they share the store, and one of them at a time makes the key.
2. On disk nobody but the owner of the store may read it; a start with one that others can read is refused.
3. It is never in the database, whose copies it protects (`sealing`).
"""

import secrets
from pathlib import Path

from seaway.database.engine import Database
from seaway.errors import BadSetting
from seaway.storage import keys
from seaway.storage.blobs import Blobs
from seaway.storage.spool import Spool

MIN_CHARS = 32
_BYTES = 32
_OTHERS = 0o077


def of_setting(setting: str) -> list[bytes]:
    """The keys that `secret_key` lists, the one that seals first; none when it is empty."""
    return [part.strip().encode() for part in setting.split(",") if part.strip()]


def of_store(database: Database, blobs: Blobs, spool: Spool) -> bytes:
    """The key in the store, made if there is none."""
    found = _read(blobs)
    if found is not None:
        return found
    with database.alone("secret-key"):
        return _read(blobs) or _make(blobs, spool)


def carried(blobs: Blobs) -> bytes | None:
    """The key as a backup or a move of the store carries it; None where the settings have one instead."""
    return _read(blobs)


def put(blobs: Blobs, spool: Spool, secret: bytes) -> None:
    """Keep a key that was carried here, in the place of any other: what comes with it was encrypted by it."""
    if _read(blobs) != secret:
        blobs.delete(keys.SECRET_KEY)
        _put(blobs, spool, secret)


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
        raise BadSetting("The secret key in the store is cut off.", "Bring it back from a backup of the store.")
    return content


def _make(blobs: Blobs, spool: Spool) -> bytes:
    secret = secrets.token_hex(_BYTES).encode()
    _put(blobs, spool, secret)
    return secret


def _put(blobs: Blobs, spool: Spool, secret: bytes) -> None:
    with spool.private_file() as file:
        file.write(secret)
        file.flush()
        blobs.put_file(keys.SECRET_KEY, Path(file.name))
