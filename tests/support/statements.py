"""Record the statements that are sent to a database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from seaway.database.engine import Database


class Statements(list[str]):
    """The recorded statements."""


@contextmanager
def record_statements(database: Database) -> Iterator[Statements]:
    """Record the statements that any thread sends during the block."""
    recorded = Statements()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "SET ", "PRAGMA", "ROLLBACK", "COMMIT")):
            recorded.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield recorded
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
