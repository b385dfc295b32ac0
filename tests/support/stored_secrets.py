"""What a house keeps, and whether there are secrets in it."""

import re

from sqlalchemy import select

from seaway.database import tables
from seaway.server.wiring import Seaway

# A key, a session, a link ... of any kind; the token of a workflow.
_SECRET = re.compile(r"swy-[a-z]{1,4}-[0-9A-Za-z]{42}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+")
_IN_A_PATH = re.compile(r"/t/(?!\*\*\*)[^/\s]+/")


def secrets_in(kept: bytes) -> list[str]:
    """Everything in what a house keeps that opens something."""
    return _SECRET.findall(kept.decode(errors="replace"))


def secrets_of_log(line: str) -> list[str]:
    """The same in a line of its log, and what stands where clients put a key into a path."""
    return [*_SECRET.findall(line), *_IN_A_PATH.findall(line)]


def dump(seaway: Seaway) -> bytes:
    """Every value of every table, as bytes."""
    found = bytearray()
    with seaway.site.database.read() as tx:
        for table in tables.metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    found += value if isinstance(value, bytes) else str(value).encode()
                    found += b"\n"
    return bytes(found)
