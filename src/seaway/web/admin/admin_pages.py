"""
Shared code of the pages for site admins.

1. Only signed-in site admins get these pages; all other callers get the same response as for an unknown path.
2. A change requires a recent confirmation and is made by a function of the API. A refusal is shown on the page.
"""

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar

from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.caller import caller_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.web.rendering import page
from seaway.web.user_pages import Handler, Report, UserHandler, for_user, submit

T = TypeVar("T")
ReadValues = Callable[[Tx], Mapping[str, Any]]
PER_PAGE = 50


def for_admin(handler: UserHandler) -> Handler:
    """Require a signed-in site admin."""
    signed_in_handler = for_user(handler)

    @wraps(handler)
    async def wrapped(request: Request) -> Response:
        by = await caller_of(request)
        if not (by.is_person and by.is_admin):
            raise NotFound("This page does not exist.", "Check the URL.")
        require_site(by, SiteAction.ADMINISTER)
        return await signed_in_handler(request)

    return wrapped


async def show(
    request: Request,
    call: RequestContext,
    template: str,
    read_values: ReadValues,
    limiter: CapacityLimiter | None = None,
) -> Response:
    """Show the page; `limiter` limits expensive queries."""
    values = await in_transaction(call.read(), read_values, limiter)
    return page(request, f"admin/{template}.html", problem=None, **values)


async def change(
    request: Request,
    call: RequestContext,
    template: str,
    read_values: ReadValues,
    work: Callable[[], T],
    *,
    then: str,
    message: Report[T],
) -> Response:
    """Make the change and redirect to `then`; if it is refused, show the page again with the reason."""
    return await submit(
        request, work, then, f"admin/{template}.html", partial(_read, call, read_values), message=message
    )


def require_recent_confirmation(by: Caller) -> None:
    """Require a recent confirmation before the form is examined."""
    require_site(by, SiteAction.CHANGE_SITE)


def _read(call: RequestContext, read_values: ReadValues) -> Mapping[str, Any]:
    with call.read() as tx:
        return read_values(tx)
