"""Site-wide values: bytes stored under a name."""

from sqlalchemy import delete, insert, select

from seaway.database import tables
from seaway.database.engine import Tx

_rows = tables.site_values


def get(tx: Tx, name: str) -> bytes | None:
    """Return the value with this name, or None."""
    value: bytes | None = tx.execute(select(_rows.c.value).where(_rows.c.name == name)).scalar()
    return value


def put(tx: Tx, name: str, value: bytes) -> None:
    """Store a value; replace an existing one with this name."""
    remove(tx, name)
    tx.execute(insert(_rows).values(name=name, value=value))


def remove(tx: Tx, name: str) -> None:
    """Delete the value with this name, if there is one."""
    tx.execute(delete(_rows).where(_rows.c.name == name))
