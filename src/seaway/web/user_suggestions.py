"""Suggestions for a field in which a user is chosen; with `groups=1`, also groups that the caller can add to channels."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import groups
from seaway.errors import TooManyRequests
from seaway.http.request_context import RequestContext
from seaway.users import user_search
from seaway.web.rendering import page
from seaway.web.user_pages import for_user

_MAX_GROUPS = 5


@for_user
async def options(request: Request, call: RequestContext) -> Response:
    """Return users and groups whose names start with the typed text; none over the rate limit, so that typing can continue."""
    require_site(call.by, SiteAction.FIND_USERS)
    prefix = request.query_params.get("q", "").strip().lower()[:40]
    find = partial(_find, call, prefix, with_groups=request.query_params.get("groups") == "1")
    try:
        found = await to_thread.run_sync(find)
    except TooManyRequests:
        found = []
    return page(request, "user_options.html", found=found)


def _find(call: RequestContext, prefix: str, *, with_groups: bool) -> list[tuple[str, str]]:
    """Return kinds and names."""
    database = call.parts.site.database
    names = user_search.find(database, call.now_ms, str(call.by.user_id), prefix)
    found = [("user", name) for name in names]
    if not with_groups or len(prefix) < user_search.MIN_CHARS:
        return found
    with call.read() as tx:
        return [("group", name) for name in groups.starting_with(tx, call.by, prefix, _MAX_GROUPS)] + found
