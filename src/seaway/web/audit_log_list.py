"""A page of the audit log with its filters, for the settings of a channel and for site admins."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from seaway.audit import Event
from seaway.audit.action_labels import LABELS
from seaway.audit.log import MAX_FILTER, Entry, LogFilter
from seaway.web.channel_pages import number_of

PER_PAGE = 100
_FILTERS = ("person", "action", "channel", "file")

# Kinds of actions by the first word of their code, as the filter groups them; the first ones also concern channels.
_CHANNEL_KINDS = {
    "file": "Files",
    "member": "Members",
    "invitation": "Invitations",
    "publisher": "Trusted publishers",
    "channel": "Channel",
    "notice": "Notices",
    "transfer": "Transfer",
    "quota": "Quota",
}
_SITE_KINDS = {
    "user": "Users",
    "session": "Sessions",
    "email": "Email addresses",
    "key": "API keys",
    "tool": "Command-line tools",
    "group": "Groups",
    "issuer": "Issuers",
}

Find = Callable[[int | None, int, LogFilter], Sequence[Entry]]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Filters and position of a page of the log, from the URL."""

    where: LogFilter
    before: int | None

    def href(self, path: str, before: int | None = None) -> str:
        """Return the URL of the newest page with the same filters, or of the page before an entry."""
        given = {**{name: getattr(self.where, name) for name in _FILTERS}, "before": before}
        pairs = {name: value for name, value in given.items() if value}
        return f"{path}?{urlencode(pairs)}" if pairs else path


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log: its entries, and the position of the next page."""

    query: LogQuery
    entries: Sequence[Entry]
    older: int | None  # the id before which the next page starts


def query_of(request: Request) -> LogQuery:
    """Return the filters in the URL; an unknown action matches nothing, as any other text does."""
    given = {name: request.query_params.get(name, "").strip()[:MAX_FILTER] for name in _FILTERS}
    return LogQuery(LogFilter(**given), number_of(request, "before"))


def read_page(query: LogQuery, find: Find) -> LogPage:
    """Return the page; `find` returns entries before an id, up to a number, that match the filters."""
    entries = find(query.before, PER_PAGE + 1, query.where)
    older = entries[PER_PAGE - 1].id if len(entries) > PER_PAGE else None
    return LogPage(query, entries[:PER_PAGE], older)


def actions_of_channels() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the actions in logs of channels, with their labels, in groups."""
    return _grouped(_CHANNEL_KINDS)


def actions_of_site() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return all actions, with their labels, in groups."""
    return _grouped(_CHANNEL_KINDS | _SITE_KINDS, others="Security and server")


def _grouped(kinds: dict[str, str], others: str = "") -> list[tuple[str, list[tuple[str, str]]]]:
    groups = [(label, _options(event for event in Event if _kind(event) == kind)) for kind, label in kinds.items()]
    rest = _options(event for event in Event if _kind(event) not in kinds) if others else []
    return [*groups, (others, rest)] if rest else groups


def _kind(event: Event) -> str:
    return event.value.partition(".")[0]


def _options(events: Iterable[Event]) -> list[tuple[str, str]]:
    return [(event.value, LABELS[event]) for event in events]
