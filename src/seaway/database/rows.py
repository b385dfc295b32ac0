"""Convert rows of the database to dataclasses, add up columns, and divide values among statements."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, select

T = TypeVar("T")

AnyRow = Row[*tuple[Any, ...]]  # of any columns


def from_row(kind: type[T], row: AnyRow) -> T:
    """
    Return an instance of the dataclass with the columns of the row as fields; enums are converted from their values.

    Labels count as column names. Columns that are not fields are ignored. A value of the wrong type raises
    `msgspec.ValidationError`, since the type checker cannot see what a query returns.
    """
    columns = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
    return msgspec.convert({str(name): value for name, value in columns.items()}, kind)


def total(tx: Connection, column: ColumnElement[int], *conditions: ColumnElement[bool]) -> int:
    """Return the sum of a column, 0 without rows; the sum of big integers is a decimal in PostgreSQL."""
    return int(tx.execute(select(func.coalesce(func.sum(column), 0)).where(*conditions)).scalar_one())


def in_batches(values: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    """Yield the values in batches of at most `length`; databases limit the values of a statement."""
    return (values[start : start + length] for start in range(0, len(values), length))
