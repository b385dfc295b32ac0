"""Search the stored data of an instance for secrets."""

import re

from sqlalchemy import select

from seaway.database import tables
from seaway.server.wiring import Seaway

# API keys, sessions, links and other secrets of Seaway; tokens of issuers.
_SECRET = re.compile(r"swy-[a-z]{1,4}-[0-9A-Za-z]{42}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+")
_KEY_IN_PATH = re.compile(r"/t/(?!\*\*\*)[^/\s]+/")


def secrets_in(content: bytes) -> list[str]:
    """Return the secrets in stored bytes."""
    return _SECRET.findall(content.decode(errors="replace"))


def secrets_of_log(line: str) -> list[str]:
    """Return the secrets in a log line, including anything in the place of a key in a path."""
    return [*_SECRET.findall(line), *_KEY_IN_PATH.findall(line)]


def dump(seaway: Seaway) -> bytes:
    """Return every value of every table as bytes."""
    content = bytearray()
    with seaway.site.database.read() as tx:
        for table in tables.metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    content += value if isinstance(value, bytes) else str(value).encode()
                    content += b"\n"
    return bytes(content)
