"""
Shared code of the channel settings: permission checks, the channel, and forms shown again with an error.

1. Callers get a page if `channels.permissions` allows them its action; others get the same refusal as everywhere.
2. A form is processed in one transaction of the channel. A refused form changes nothing, and shows the reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import channels, permissions
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.errors import SeawayError
from seaway.http.request_context import Permission, RequestContext
from seaway.http.site_url import site_url_of
from seaway.web.rendering import page
from seaway.web.user_pages import Report, show_refusal, submit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SettingsContext(RequestContext):
    """Context in which a settings page reads or changes its channel, in a transaction."""

    tx: Tx
    channel: str
    channel_id: int
    site: str


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """One settings page: the end of its path, the action it requires, and the values it shows."""

    name: str
    action: Action
    read_values: Callable[[SettingsContext], Mapping[str, Any]]

    @property
    def template(self) -> str:
        """Template, named like the page."""
        return f"settings/{self.name or 'general'}.html"

    def address(self, channel: str) -> str:
        """Return the path of this page for a channel."""
        return f"/channels/{channel}/settings/{self.name}".rstrip("/")


async def show(request: Request, call: RequestContext, section: SettingsPage, **values: Any) -> Response:
    """Show the page."""
    found = await to_thread.run_sync(read_values, request, call, section)
    return page(request, section.template, problem=None, **(found | values))


async def show_refused(
    request: Request, call: RequestContext, section: SettingsPage, error: SeawayError, **values: Any
) -> Response:
    """Show the page with the reason why a form was refused."""
    found = await to_thread.run_sync(read_values, request, call, section)
    return show_refusal(request, section.template, error, **(found | values))


async def change(
    request: Request,
    call: RequestContext,
    section: SettingsPage,
    act: Callable[[SettingsContext], T],
    *,
    message: Report[T] = "Your changes were saved.",
    requires: Permission = None,
    then: str | None = None,
    uses_reserve: bool = False,
    **typed: Any,
) -> Response:
    """
    Make the change and redirect; if it is refused, show the form again with the `typed` values.

    `requires` is what the change requires, if not the action of the section. With `uses_reserve`, the change also works
    on a full disk.
    """
    acting: Callable[[], T] = partial(_act, request, call, section, act, requires or section.action)
    if uses_reserve:
        acting = partial(call.parts.site.reserve.retry_with_reserve, acting)
    return await _apply(request, call, section, acting, message, then, typed)


async def change_without_transaction(
    request: Request,
    call: RequestContext,
    section: SettingsPage,
    act: Callable[[RequestContext], T],
    *,
    message: Report[T] = "Your changes were saved.",
    then: str | None = None,
    **typed: Any,
) -> Response:
    """Like `change`, for a function that opens its transactions and checks the permission itself."""
    return await _apply(request, call, section, partial(act, call), message, then, typed)


async def _apply(
    request: Request,
    call: RequestContext,
    section: SettingsPage,
    act: Callable[[], T],
    message: Report[T],
    then: str | None,
    typed: dict[str, Any],
) -> Response:
    reading = partial(read_values, request, call, section)
    next_page = then or section.address(request.path_params["channel"])
    return await submit(request, act, next_page, section.template, reading, message=message, **typed)


def read_values(request: Request, call: RequestContext, section: SettingsPage) -> dict[str, Any]:
    """Return the values of the template; an error means that the caller cannot see the page."""
    name = request.path_params["channel"]
    with call.read() as tx:
        access = call.require(tx, section.action, name)
        shown = {
            "channel": channels.get(tx, name),
            "manages": permissions.decide(call.by, Action.MANAGE, access) is Verdict.ALLOWED,
            "uploads": permissions.decide(call.by, Action.UPLOAD, access) is Verdict.ALLOWED,
        }
        return shown | dict(section.read_values(_context(request, call, tx, access)))


def _act(
    request: Request,
    call: RequestContext,
    section: SettingsPage,
    act: Callable[[SettingsContext], T],
    requires: Permission,
) -> T:
    name = request.path_params["channel"]
    with call.write_channel(name, requires) as tx:
        return act(_context(request, call, tx, call.require(tx, section.action, name)))


def _context(request: Request, call: RequestContext, tx: Tx, access: Access) -> SettingsContext:
    channel = request.path_params["channel"]
    return SettingsContext(call.parts, call.by, tx, channel, access.channel_id, site_url_of(request))
