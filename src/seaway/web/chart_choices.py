"""The choices of a chart page, in its URL: the period, and the split of downloads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from seaway.packages.downloads import Split

PERIODS = (30, 90, 365)  # days
_NAMES = {
    None: "Total",
    Split.PACKAGE: "Package",
    Split.VERSION: "Version",
    Split.SUBDIR: "Platform",
    Split.CLIENT: "Client",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A link that chooses one value."""

    label: str
    href: str
    is_chosen: bool


def period_of(request: Request) -> int:
    """Return the chosen number of days; an unknown one counts as the shortest."""
    value = request.query_params.get("days", "")
    return next((days for days in PERIODS if str(days) == value), PERIODS[0])


def split_of(request: Request, splits: Sequence[Split]) -> Split | None:
    """Return the chosen split of downloads, or None."""
    value = request.query_params.get("by", "")
    return next((split for split in splits if split.value == value), None)


def query_of(days: int, split: Split | None) -> dict[str, str]:
    """Return the query parameters of the choices; defaults are left out."""
    return {"by": "" if split is None else split.value, "days": "" if days == PERIODS[0] else str(days)}


def period_choices(path: str, kept: Mapping[str, str], days: int, split: Split | None) -> list[Choice]:
    """Return a link for each period; `kept` are query parameters of the page."""
    return [
        Choice(f"{period} days", _url(path, {**kept, **query_of(period, split)}), period == days) for period in PERIODS
    ]


def split_choices(
    path: str, kept: Mapping[str, str], splits: Sequence[Split], days: int, split: Split | None
) -> list[Choice]:
    """Return a link for each split of downloads; `kept` are query parameters of the page."""
    return [
        Choice(_NAMES[other], _url(path, {**kept, **query_of(days, other)}), other is split)
        for other in (None, *splits)
    ]


def _url(path: str, query: Mapping[str, str]) -> str:
    text = urlencode({name: value for name, value in query.items() if value})
    return f"{path}{'?' if text else ''}{text}#downloads"
