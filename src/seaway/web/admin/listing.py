"""Filters, order and page of a list, all from the query of its URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

_Option = TypeVar("_Option", bound=Enum)
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The query of a list: its path, and the parameters that are not the default."""

    path: str
    given: Mapping[str, str]

    @property
    def is_filtered(self) -> bool:
        """Return whether the list shows only some entries."""
        return any(name != "sort" for name in self.given)

    @property
    def href(self) -> str:
        """Return the URL with the filters and the order, to which the parameter of a page can be appended."""
        return f"{self.path}?{urlencode(self.given)}&" if self.given else f"{self.path}?"


def query_of(request: Request, *names: str) -> ListQuery:
    """Return the query of a list with these parameters; empty ones are the default."""
    texts = {name: text_of(request, name) for name in names}
    return ListQuery(request.url.path, {name: text for name, text in texts.items() if text})


def text_of(request: Request, name: str) -> str:
    """Return a parameter without surrounding spaces, or ""."""
    return request.query_params.get(name, "")[:_MAX_TEXT].strip()


def option_of(request: Request, name: str, default: _Option) -> _Option:
    """Return the option that a parameter names; the default for an unknown one."""
    text = text_of(request, name)
    return next((option for option in type(default) if option.value == text), default)
