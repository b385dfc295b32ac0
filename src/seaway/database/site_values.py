"""Single values of the site: a name and its bytes."""

from sqlalchemy import delete, insert, select

from seaway.database import tables
from seaway.database.engine import Tx

_rows = tables.site_values


def get(tx: Tx, name: str) -> bytes | None:
    """Return the value of this name; None where there is none."""
    value: bytes | None = tx.execute(select(_rows.c.value).where(_rows.c.name == name)).scalar()
    return value


def put(tx: Tx, name: str, value: bytes) -> None:
    """Keep a value, in place of any other of this name."""
    remove(tx, name)
    tx.execute(insert(_rows).values(name=name, value=value))


def remove(tx: Tx, name: str) -> None:
    """Remove the value of this name, if there is one."""
    tx.execute(delete(_rows).where(_rows.c.name == name))
