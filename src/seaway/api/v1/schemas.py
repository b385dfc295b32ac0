"""
Base classes of request and response bodies, and lists.

1. A response contains every field of its schema; missing values are null. Fields may be added but are never renamed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from seaway import models
from seaway.errors import Invalid

Moment = models.Moment

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")

_ID_DIGITS = 18  # always fits the 64-bit ids of both databases


class RequestBody(models.InputModel):
    """The body of a request."""


class ResponseBody(BaseModel):
    """A response body, or a part of one."""

    model_config = ConfigDict(frozen=True)


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
