"""What a house keeps, and whether there are secrets in it."""

import re

from sqlalchemy import select

from seaway.database import tables
from seaway.server.wiring import Seaway

# A key, a session, a link ... of any kind; the token of a workflow; a key in a path.
_SECRET = re.compile(r"swy-[a-z]{1,4}-[0-9A-Za-z]{42}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+|/t/(?!\*\*\*)[^/\s]+/")


def secrets_in(text: str | bytes) -> list[str]:
    """Everything in a text that opens something."""
    return _SECRET.findall(text if isinstance(text, str) else text.decode(errors="replace"))


def dump(seaway: Seaway) -> bytes:
    """Every value of every table, as bytes."""
    found = bytearray()
    with seaway.database.read() as tx:
        for table in tables.metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    found += value if isinstance(value, bytes) else str(value).encode()
                    found += b"\n"
    return bytes(found)
