"""Convert rows of the database to dataclasses."""

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

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
