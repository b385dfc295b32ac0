"""
Pages on which users authorize a command-line tool: by a device code, or by an authorization request of a browser.

1. Users approve only after seeing which tool requests access, from where and for what, and after a recent confirmation.
2. Lookups of device codes are rate-limited, because the codes are short (RFC 8628, 5.1).
3. A request with an unknown client, or with a redirect URI that is not on the user's machine, is refused here and never
   redirected there (RFC 6749, 4.1.2.1).
4. The form of an authorization request can end only at its redirect URI (`form-action`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from seaway.accounts import clients, throttle, tool_codes, tools
from seaway.accounts.clients import CLIENTS
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site, require_verified
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Rate
from seaway.accounts.tool_codes import Device, Wish
from seaway.errors import Malformed, NotFound, SeawayError
from seaway.http.forms import form_of
from seaway.web.asking import accounts_of, for_person, refused
from seaway.web.shell import POLICY, page

_MAX_FIELD = 500
_MAY: Mapping[str, str] = {
    "openid": "see your user name",
    "profile": "see your user name",
    "channel:read": "read channels that you can read",
    "channel:upload": "upload to channels that you can upload to",
    "channel:delete": "delete and overwrite files that you can delete",
    "offline_access": "stay logged in until you log it out or it is unused for 90 days",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error that is returned to the tool through the browser (RFC 6749, 4.1.2.1)."""

    error: str
    description: str


@for_person
async def show_device(request: Request, by: Principal) -> Response:
    """Ask for the code that the tool shows; a code in the URL is filled in, and the user still has to compare it."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    return page(request, "device.html", problem=None, user_code=request.query_params.get("user_code", "")[:20])


@for_person
async def find_device(request: Request, by: Principal) -> Response:
    """Show the tool that waits with this code, and ask the user to approve it."""
    user_code = (await form_of(request)).text("user_code")[:20]
    try:
        device = await to_thread.run_sync(partial(_find, accounts_of(request), by, user_code))
    except SeawayError as error:
        if error.code == "not-confirmed":
            raise
        return refused(request, "device.html", error, user_code=user_code)
    told: dict[str, Any] = {
        "tool": CLIENTS[device.client_id].title,
        "may": _may(device.scope),
        "address": device.address,
    }
    return page(request, "device_allow.html", user_code=tool_codes.plain(user_code), **told)


@for_person
async def answer_device(request: Request, by: Principal) -> Response:
    """Record whether the user approved the tool."""
    form = await form_of(request)
    is_yes = form.text("answer") == "allow"
    try:
        await to_thread.run_sync(partial(_answer, accounts_of(request), by, form.text("user_code"), approved=is_yes))
    except NotFound as error:
        return refused(request, "device.html", error, user_code="")
    return page(request, "device_done.html", is_yes=is_yes)


@for_person
async def show_authorize(request: Request, by: Principal) -> Response:
    """Ask the user to approve the tool."""
    wish = _wish(request)
    if isinstance(wish, Refusal):
        return _back(request, {"error": wish.error, "error_description": wish.description})
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    policy = POLICY.replace("form-action 'self'", f"form-action 'self' {_origin(wish.redirect_uri)}")
    told: dict[str, Any] = {
        "tool": CLIENTS[wish.client_id].title,
        "may": _may(wish.scope),
        "place": urlsplit(wish.redirect_uri).netloc,
    }
    return page(request, "authorize.html", policy=policy, query=request.url.query, **told)


@for_person
async def authorize(request: Request, by: Principal) -> Response:
    """Return the user's decision to the tool."""
    wish = _wish(request)
    if isinstance(wish, Refusal):
        return _back(request, {"error": wish.error, "error_description": wish.description})
    if (await form_of(request)).text("answer") != "allow":
        return _back(request, {"error": "access_denied", "error_description": "The user refused the login."})
    return _back(request, {"code": await to_thread.run_sync(partial(_agree, accounts_of(request), by, wish))})


def _find(house: Accounts, by: Principal, user_code: str) -> Device:
    now_ms = house.clock.now_ms()
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    throttle.take(house.database, now_ms, Rate.TOOL_CODE, str(by.user_id))
    with house.database.read() as tx:
        device = tool_codes.find_device(tx, now_ms, user_code)
    if device is None:
        raise _no_device()
    return device


def _answer(house: Accounts, by: Principal, user_code: str, *, approved: bool) -> None:
    now_ms = house.clock.now_ms()
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    throttle.take(house.database, now_ms, Rate.TOOL_CODE, str(by.user_id))
    with house.database.write_part() as tx:
        tools.hold(house.database, tx)
        if not tool_codes.answer_device(tx, now_ms, by, user_code, approved=approved):
            raise _no_device()


def _agree(house: Accounts, by: Principal, wish: Wish) -> str:
    now_ms = house.clock.now_ms()
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)
    with house.database.write_part() as tx:
        tools.hold(house.database, tx)
        return tool_codes.add_code(tx, now_ms, by, wish)


def _no_device() -> NotFound:
    return NotFound("No tool is waiting with this code.", "Compare it with the tool. Codes expire after ten minutes.")


def _wish(request: Request) -> Wish | Refusal:
    """Parse an authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3); `Malformed` if redirecting back is unsafe."""
    asked = dict(request.query_params)
    if len(asked) != len(request.query_params.multi_items()) or any(
        len(value) > _MAX_FIELD for value in asked.values()
    ):
        raise Malformed("A parameter of this login request is repeated or too long.", "Start the login again.")
    if asked.get("client_id") not in CLIENTS or not clients.is_loopback(asked.get("redirect_uri", "")):
        raise Malformed(
            "The client_id is unknown, or the redirect_uri is not a loopback address.",
            f"Known clients: {', '.join(CLIENTS)}.",
        )
    scope = clients.granted(asked.get("scope", ""))
    if asked.get("response_type") != "code":
        return Refusal("unsupported_response_type", "The response_type must be code.")
    if asked.get("code_challenge_method") != "S256" or not clients.is_challenge(asked.get("code_challenge", "")):
        return Refusal("invalid_request", "A code_challenge with the method S256 is required.")
    if scope is None:
        return Refusal("invalid_scope", f"Supported scopes: {', '.join(clients.SCOPES)}.")
    if asked.get("prompt") == "none":
        return Refusal("consent_required", "The user must approve every login.")
    return Wish(asked["client_id"], asked["redirect_uri"], scope, asked["code_challenge"], asked.get("nonce", ""))


def _back(request: Request, told: dict[str, str]) -> Response:
    """Redirect the browser to the tool's redirect URI, which `_wish` has validated."""
    state = request.query_params.get("state")
    address = request.query_params["redirect_uri"]
    query = urlencode(told | ({} if state is None else {"state": state}))
    return RedirectResponse(f"{address}?{query}", 303, headers={"Referrer-Policy": "no-referrer"})


def _origin(redirect_uri: str) -> str:
    """Return the redirect URI as a CSP source; CSP can name IPv6 hosts only by their scheme (CSP 3, 2.3.1)."""
    parts = urlsplit(redirect_uri)
    return "http:" if "[" in parts.netloc else f"http://{parts.netloc}"


def _may(scope: str) -> list[str]:
    """Return the descriptions of the scopes, without duplicates."""
    return list(dict.fromkeys(_MAY[word] for word in scope.split()))
