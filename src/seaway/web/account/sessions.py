"""Sessions of the user."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import sessions
from seaway.sign_in.sessions import Session
from seaway.web.rendering import page, redirect
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
    found = await to_thread.run_sync(_look, call)
    return page(request, "account/sessions.html", sessions=found, browser_of=browser_of)


@for_user
async def end(request: Request, call: RequestContext) -> Response:
    """End one of the user's sessions."""
    await to_thread.run_sync(_end, call, (await form_of(request)).number("session"))
    return redirect("/account/sessions")


@for_user
async def end_others(_request: Request, call: RequestContext) -> Response:
    """End all other sessions of the user."""
    await to_thread.run_sync(_end_others, call)
    return redirect("/account/sessions")


def browser_of(agent: str) -> str:
    """Return a readable name for a user agent: the first match, because user agents also name other browsers."""
    name = next((label for part, label in _BROWSERS if part in agent), "")
    system = next((label for part, label in _SYSTEMS if part in agent), "")
    return f"{name or 'A browser'} on {system}" if system else name or agent[:60] or "Unknown"


def _look(call: RequestContext) -> list[Session]:
    with call.read() as tx:
        return sessions.of_user(tx, call.by.user_id or 0, call.now_ms)


def _end(call: RequestContext, session_id: int) -> None:
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        sessions.end_own(tx, call.now_ms, call.by, session_id)


def _end_others(call: RequestContext) -> None:
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        sessions.end_others_of(tx, call.now_ms, call.by)
