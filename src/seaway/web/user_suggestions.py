"""Suggestions for a field in which a user name is typed."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import TooManyRequests
from seaway.http.request_context import RequestContext
from seaway.users import user_search
from seaway.web.rendering import page
from seaway.web.user_pages import accounts_of, for_user


@for_user
async def options(request: Request, call: RequestContext) -> Response:
    """Return users whose names start with the typed text; none over the rate limit, so that typing can continue."""
    require_site(call.by, SiteAction.FIND_USERS)
    accounts = accounts_of(request)
    prefix = next(iter(request.query_params.values()), "")[:40]
    try:
        names = await to_thread.run_sync(
            user_search.find, accounts.site.database, accounts.site.clock.now_ms(), str(call.by.user_id), prefix
        )
    except TooManyRequests:
        names = []
    return page(request, "user_options.html", names=names)
