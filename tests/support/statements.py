"""How many statements a piece of work sends to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from seaway.database.engine import Database


class Statements(list[str]):
    """The statements so far."""


@contextmanager
def record_statements(database: Database) -> Iterator[Statements]:
    """The statements that are sent meanwhile, by any thread."""
    seen = Statements()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "SET ", "PRAGMA", "ROLLBACK", "COMMIT")):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
