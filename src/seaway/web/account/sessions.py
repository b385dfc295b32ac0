"""Sessions of the user."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.http.page_forms import form_of
from seaway.sign_in import sessions
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.sessions import Session
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user

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
async def show(request: Request, by: Caller) -> Response:
    """Show the user's sessions, most recently used first."""
    found = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/sessions.html", sessions=found, browser_of=browser_of)


@for_user
async def end(request: Request, by: Caller) -> Response:
    """End one of the user's sessions."""
    await to_thread.run_sync(_end, accounts_of(request), by, (await form_of(request)).number("session"))
    return redirect("/account/sessions")


@for_user
async def end_others(request: Request, by: Caller) -> Response:
    """End all other sessions of the user."""
    await to_thread.run_sync(_end_others, accounts_of(request), by)
    return redirect("/account/sessions")


def browser_of(agent: str) -> str:
    """Return a readable name for a user agent: the first match, because user agents also name other browsers."""
    name = next((label for part, label in _BROWSERS if part in agent), "")
    system = next((label for part, label in _SYSTEMS if part in agent), "")
    return f"{name or 'A browser'} on {system}" if system else name or agent[:60] or "Unknown"


def _look(accounts: AccountParts, by: Caller) -> list[Session]:
    assert by.user_id is not None
    with accounts.database.read() as tx:
        return sessions.of_user(tx, by.user_id, accounts.clock.now_ms())


def _end(accounts: AccountParts, by: Caller, session_id: int) -> None:
    assert by.user_id is not None
    with accounts.database.write_user(by.user_id) as tx:
        sessions.end_own(tx, accounts.clock.now_ms(), by, session_id)


def _end_others(accounts: AccountParts, by: Caller) -> None:
    assert by.user_id is not None
    with accounts.database.write_user(by.user_id) as tx:
        sessions.end_others_of(tx, accounts.clock.now_ms(), by)
