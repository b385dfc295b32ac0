"""Command-line tools that the user has logged in."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.oauth import grants
from seaway.oauth.clients import CLIENTS
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import for_user


@for_user
async def show_tools(request: Request, call: RequestContext) -> Response:
    """Show the user's OAuth grants."""
    found = await to_thread.run_sync(_tools, call)
    return page(request, "account/tools.html", tools=found, clients=CLIENTS)


@for_user
async def end_tool(request: Request, call: RequestContext) -> Response:
    """Revoke an OAuth grant; the tool is logged out at its next request."""
    await to_thread.run_sync(_end_tool, call, (await form_of(request)).number("tool"))
    return redirect("/account/tools")


def _tools(call: RequestContext) -> list[grants.OAuthGrant]:
    with call.read() as tx:
        return grants.of_user(tx, call.by.user_id or 0, call.now_ms)


def _end_tool(call: RequestContext, grant_id: int) -> None:
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        grants.revoke(call.parts.site.database, tx, call.now_ms, call.by, call.by.user_id or 0, grant_id)
