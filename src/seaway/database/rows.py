"""Convert rows of the database to dataclasses."""

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

T = TypeVar("T")

AnyRow = Row[*tuple[Any, ...]]  # of any columns


def from_row(kind: type[T], row: AnyRow) -> T:
    """
    Return the dataclass whose fields are the columns of these names; enums are made from their values.

    A column may carry its name as a label. Columns that are no field are left out. A value of another type than the
    field declares raises `msgspec.ValidationError`, since the type checker cannot see what a query returns.
    """
    columns = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
    return msgspec.convert({str(name): value for name, value in columns.items()}, kind)
