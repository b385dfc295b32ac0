"""Storage of the identity: a row of `site_values` in the database, and the object `identity` in the store."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import literal, select

from seaway.database import site_values
from seaway.database.engine import Tx
from seaway.database.tables import files, logos
from seaway.errors import Unavailable
from seaway.pairing.identity import DatabaseIdentity, StoreIdentity
from seaway.storage import keys
from seaway.storage.blobs import BlobStore


class UnreadableIdentity(Unavailable):
    """The identity of the store is damaged."""


_NAME = "store-identity"
_MAX_BYTES = 1024


def of_database(tx: Tx) -> DatabaseIdentity | None:
    """Return the identity in the database; None before it was paired."""
    value = site_values.get(tx, _NAME)
    return None if value is None else msgspec.json.decode(value, type=DatabaseIdentity)


def of_rows(rows: Iterable[Mapping[str, Any]]) -> DatabaseIdentity | None:
    """Return the identity among rows of `site_values` from a backup."""
    found = next((row["value"] for row in rows if row["name"] == _NAME), None)
    return None if found is None else msgspec.json.decode(found, type=DatabaseIdentity)


def put_in_database(tx: Tx, identity: DatabaseIdentity) -> None:
    """Write the identity to the database, replacing any other."""
    site_values.put(tx, _NAME, msgspec.json.encode(identity))


def of_store(blobs: BlobStore) -> StoreIdentity | None:
    """Return the identity in the store, or None if there is none; `Unavailable` if it cannot be read."""
    try:
        with blobs.open(keys.IDENTITY) as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=StoreIdentity)
    except msgspec.MsgspecError as error:
        raise UnreadableIdentity(
            "The identity of the store cannot be read.", "Run `seaway adopt` to write a new one.", cause=str(error)
        ) from None


def put_in_store(blobs: BlobStore, identity: StoreIdentity) -> None:
    """Write the identity to the store, replacing any other."""
    blobs.write(keys.IDENTITY, msgspec.json.encode(identity))


def names_blobs(tx: Tx) -> bool:
    """Return whether any row names a blob."""
    return any(tx.execute(select(literal(1)).select_from(table).limit(1)).first() for table in (files, logos))


def has_blobs(blobs: BlobStore) -> bool:
    """Return whether the store has any blob."""
    return next(blobs.list(keys.BLOBS), None) is not None
