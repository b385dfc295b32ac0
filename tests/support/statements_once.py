"""Statements are compiled once for all SQLite files of this process: compiling them for each took a third of the time."""

from sqlalchemy import Engine

from seaway.database.engine import Database
from seaway.database.sqlite import SqliteDatabase

_first: list[Engine] = []


def share(database: Database) -> None:
    """Let this database use what was compiled for the first one; a compiled statement belongs to a dialect."""
    if not isinstance(database, SqliteDatabase):
        return  # measured: no gain
    engine = database.engine
    if not _first:
        _first.append(engine)
    with engine.connect():  # the first connection tells a dialect which server it speaks with
        pass
    engine.dialect = engine.pool._dialect = _first[0].dialect
    engine._compiled_cache = _first[0]._compiled_cache
