"""Command-line tools that the user has logged in."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.http.page_forms import form_of
from seaway.oauth import grants
from seaway.oauth.clients import CLIENTS
from seaway.sign_in.parts import AccountParts
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user


@for_user
async def show_tools(request: Request, by: Caller) -> Response:
    """Show the user's OAuth grants."""
    found = await to_thread.run_sync(_tools, accounts_of(request), by)
    return page(request, "account/tools.html", tools=found, clients=CLIENTS)


@for_user
async def end_tool(request: Request, by: Caller) -> Response:
    """Revoke an OAuth grant; the tool is logged out at its next request."""
    await to_thread.run_sync(_end_tool, accounts_of(request), by, (await form_of(request)).number("tool"))
    return redirect("/account/tools")


def _tools(accounts: AccountParts, by: Caller) -> list[grants.OAuthGrant]:
    assert by.user_id is not None
    with accounts.database.read() as tx:
        return grants.of_user(tx, by.user_id, accounts.clock.now_ms())


def _end_tool(accounts: AccountParts, by: Caller, grant_id: int) -> None:
    assert by.user_id is not None
    with accounts.database.write_user(by.user_id) as tx:
        grants.revoke(tx, accounts.clock.now_ms(), by, by.user_id, grant_id)
