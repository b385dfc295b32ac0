"""
The forms that requests and answers are made of.

1. A request says nothing that we do not know: a misspelt field is refused and never silently ignored.
2. An answer has every field that its form has; those that are empty are null. Fields are added, never renamed.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from seaway.errors import Invalid

Moment = Annotated[
    str,
    Field(
        description="A time, ISO 8601 in UTC.",
        examples=["2026-11-24T09:30:00Z"],
        json_schema_extra={"format": "date-time"},
    ),
]

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")

_ID_DIGITS = 18  # fewer than a row id can have, and none that no database could compare


class Given(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Shown(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True)


class Page(Shown, Generic[_Item]):
    """A part of a list, in order."""

    items: list[_Item]
    next: str | None = Field(description="What to send as `after` for the items that follow; null behind the last one.")


class Problem(Shown):
    """Why a request failed."""

    code: str = Field(description="A word that stays the same, for programs.", examples=["not-allowed"])
    message: str = Field(description="What happened, to which thing, for people.")
    hint: str = Field(description="What to do about it; may be empty.")


def page(
    rows: Sequence[_Row], limit: int, shown: Callable[[_Row], _Item], cursor: Callable[[_Row], Any]
) -> Page[_Item]:
    """The page of `limit` rows; one row more tells that another page follows."""
    shown_rows = rows[:limit]
    more = len(rows) > limit
    return Page[_Item](items=[shown(row) for row in shown_rows], next=str(cursor(shown_rows[-1])) if more else None)


def whole(items: list[_Item]) -> Page[_Item]:
    """A list that is short enough for one page."""
    return Page[_Item](items=items, next=None)


def numbered(after: str) -> int | None:
    """The id that the cursor of a list by age holds; None before the first page."""
    if not after:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > _ID_DIGITS:
        raise Invalid("`after` is not what an answer gave as `next`.", "Send `next` as it came, or leave it out.")
    return int(after)
