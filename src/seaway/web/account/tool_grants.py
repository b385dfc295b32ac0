"""Command-line tools that the user has logged in."""

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.oauth import grants
from seaway.oauth.clients import CLIENTS
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user


@for_user
async def show_tools(request: Request, call: RequestContext) -> Response:
    """Show the user's OAuth grants."""
    found = await in_transaction(call.read(), lambda tx: grants.of_user(tx, call.by.user_id or 0, call.now_ms))
    return page(request, "account/tools.html", tools=found, clients=CLIENTS)


@for_user
async def end_tool(request: Request, call: RequestContext) -> Response:
    """Revoke an OAuth grant; the tool is logged out at its next request."""
    grant_id, database = (await form_of(request)).number("tool"), call.parts.accounts.site.database
    client_id = await in_transaction(
        call.write_user(SiteAction.CHANGE_ACCOUNT),
        lambda tx: grants.revoke(database, tx, call.now_ms, call.by, call.by.user_id or 0, grant_id),
    )
    title = CLIENTS[client_id].title if client_id in CLIENTS else client_id
    return redirect_with_message(request, "/account/tools", f"{title} was logged out.")
