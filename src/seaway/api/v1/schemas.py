"""
Base classes of request and response bodies, and lists.

1. A response contains every field of its schema; missing values are null. Fields may be added but are never renamed.
2. `ResponseBody.model_validate` reads the fields from the attributes of an object. Where the attribute has another name,
   the field names it (`validation_alias`), except for times (`*_ms`) and yes or no (`is_*`).
"""

from collections.abc import Callable, Sequence
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from seaway import models
from seaway.clock import format_time
from seaway.errors import Invalid

Moment = Annotated[
    models.Moment, BeforeValidator(lambda value: format_time(value) if isinstance(value, int) else value)
]

# Text that is null where our objects have an empty one.
TextOrNull = Annotated[str | None, BeforeValidator(lambda text: text or None)]

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")

_ID_DIGITS = 18  # always fits the 64-bit ids of both databases


class RequestBody(models.InputModel):
    """The body of a request."""


class ResponseBody(BaseModel):
    """A response body, or a part of one."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        validate_by_name=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasChoices(name, f"is_{name}", f"{name}_ms")),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        """Return the name of a number such as an access mode, and the value of any other enumeration."""
        return value.name if isinstance(value, IntEnum) else value.value if isinstance(value, Enum) else value


class Page(ResponseBody, Generic[_Item]):
    """A page of a list."""

    items: list[_Item]
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class Problem(ResponseBody):
    """An error."""

    code: str = Field(description="Stable error code for programs.", examples=["not-allowed"])
    message: str = Field(description="What happened.")
    hint: str = Field(description="What to do; may be empty.")


def page(
    rows: Sequence[_Row], limit: int, shown: Callable[[_Row], _Item], cursor: Callable[[_Row], Any]
) -> Page[_Item]:
    """Build a page of up to `limit` items; `rows` has one more row if there is a next page."""
    shown_rows = rows[:limit]
    has_more = len(rows) > limit
    return Page[_Item](items=[shown(row) for row in shown_rows], next=str(cursor(shown_rows[-1])) if has_more else None)


def single_page(items: list[_Item]) -> Page[_Item]:
    """Build a single page of all items."""
    return Page[_Item](items=items, next=None)


def id_cursor(after: str) -> int | None:
    """Parse the cursor of a list ordered by id; None for the first page."""
    if not after:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > _ID_DIGITS:
        raise Invalid("`after` is not a valid cursor.", "Send `next` of the previous response unchanged, or omit it.")
    return int(after)
