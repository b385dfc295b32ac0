"""Sessions of the user."""

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction
from seaway.counted_nouns import counted
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.sign_in import sessions
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the user's sessions, most recently used first."""
    found = await in_transaction(call.read(), lambda tx: sessions.of_user(tx, call.by.user_id or 0, call.now_ms))
    return page(request, "account/sessions.html", sessions=found, browser_of=browser_of)


@for_user
async def end(request: Request, call: RequestContext) -> Response:
    """End one of the user's sessions."""
    number = (await form_of(request)).number("session")
    within = call.write_user(SiteAction.CHANGE_ACCOUNT)
    ended = await in_transaction(within, lambda tx: sessions.end_own(tx, call.now_ms, call.by, number))
    sentence = f"{browser_of(ended.agent)} at {ended.address} was signed out."
    return redirect_with_message(request, "/account/sessions", sentence)


@for_user
async def end_others(request: Request, call: RequestContext) -> Response:
    """End all other sessions of the user."""
    within = call.write_user(SiteAction.CHANGE_ACCOUNT)
    count = await in_transaction(within, lambda tx: sessions.end_others_of(tx, call.now_ms, call.by))
    sentence = f"{counted(count, 'other browser')} {'was' if count == 1 else 'were'} signed out."
    return redirect_with_message(request, "/account/sessions", sentence)


def browser_of(agent: str) -> str:
    """Return a readable name for a user agent: the first match, because user agents also name other browsers."""
    name = next((label for part, label in _BROWSERS if part in agent), "")
    system = next((label for part, label in _SYSTEMS if part in agent), "")
    return f"{name or 'A browser'} on {system}" if system else name or agent[:60] or "Unknown"
