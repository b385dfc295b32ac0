"""Recognize driver errors that mean a damaged database, and read damaged text."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, type_coerce
from sqlalchemy.types import NullType

_SQLITE_PRIMARY = 0xFF  # an extended result code holds the primary one in its lowest byte
_SQLITE_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
# Recognizable only by their text: a schema that lost or gained tables, and text that is not UTF-8.
_SQLITE_TEXTS = ("no such table", "no such column", "already exists", "Could not decode to UTF-8")
_POSTGRES_DAMAGE = {
    "42P01",  # undefined table
    "42703",  # undefined column
    "42P07",  # a table exists that the migration creates
    "XX001",  # data corrupted
    "XX002",  # index corrupted
}


def is_damage(error: BaseException | None) -> bool:
    """Return whether the driver's error means that the database is damaged, so that a retry cannot help."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_IOERR_SHORT_READ or (code or 0) & _SQLITE_PRIMARY in _SQLITE_DAMAGE:
            return True
        return any(text in str(error) for text in _SQLITE_TEXTS)
    return getattr(error, "sqlstate", None) in _POSTGRES_DAMAGE


@contextmanager
def tolerating_damage(tx: Connection) -> Iterator[None]:
    """Read text that is not UTF-8 as bytes instead of failing; only SQLite can contain such text."""
    connection = tx.connection.driver_connection
    if not isinstance(connection, sqlite3.Connection):
        yield
        return
    before, connection.text_factory = connection.text_factory, _text
    try:
        yield
    finally:
        connection.text_factory = before


def as_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Select the value as the driver returns it, since the conversion fails for a value of another type."""
    return type_coerce(column, NullType())


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
