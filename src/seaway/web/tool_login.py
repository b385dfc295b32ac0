"""
Pages on which users authorize a command-line tool: by a device code, or by an authorization request of a browser.

1. Users approve only after seeing which tool requests access, from where and for what, and after a recent confirmation.
2. Lookups of device codes are rate-limited, because the codes are short (RFC 8628, 5.1).
3. A request with an unknown client, or with a redirect URI that is not on the user's machine, is refused here and never
   redirected there (RFC 6749, 4.1.2.1).
4. The form of an authorization request can end only at its redirect URI (`form-action`).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site, require_verified
from seaway.errors import Malformed, NotFound, SeawayError
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.oauth import clients, codes, grants
from seaway.oauth.clients import CLIENTS
from seaway.oauth.codes import AuthorizationRequest, DeviceAuthorization
from seaway.oauth.grants import OAuthError
from seaway.oauth.provider import BAD_SCOPE
from seaway.site import Site
from seaway.web.rendering import POLICY, page
from seaway.web.user_pages import accounts_of, for_user, show_refusal

_MAX_FIELD = 500
_SCOPE_TEXTS: Mapping[str, str] = {
    "openid": "see your user name",
    "profile": "see your user name",
    "channel:read": "read channels that you can read",
    "channel:upload": "upload to channels that you can upload to",
    "channel:delete": "delete and overwrite files that you can delete",
    "offline_access": "stay logged in until you log it out or it is unused for 90 days",
}


@for_user
async def show_device(request: Request, call: RequestContext) -> Response:
    """Ask for the code that the tool shows; a code in the URL is filled in, and the user still has to compare it."""
    require_site(call.by, SiteAction.OPEN_ACCOUNT)
    return page(request, "device.html", problem=None, user_code=request.query_params.get("user_code", "")[:20])


@for_user
async def find_device(request: Request, call: RequestContext) -> Response:
    """Show the tool that waits with this code, and ask the user to approve it."""
    user_code = (await form_of(request)).text("user_code")[:20]
    try:
        device = await to_thread.run_sync(partial(_find, accounts_of(request).site, call.by, user_code))
    except SeawayError as error:
        return show_refusal(request, "device.html", error, user_code=user_code)
    values: dict[str, Any] = {
        "tool": CLIENTS[device.client_id].title,
        "permissions": _describe(device.scope),
        "address": device.address,
    }
    return page(request, "device_allow.html", user_code=codes.normalize_user_code(user_code), **values)


@for_user
async def answer_device(request: Request, call: RequestContext) -> Response:
    """Record whether the user approved the tool."""
    form = await form_of(request)
    is_yes = form.text("answer") == "allow"
    try:
        await to_thread.run_sync(
            partial(_record_decision, accounts_of(request).site, call.by, form.text("user_code"), approved=is_yes)
        )
    except NotFound as error:
        return show_refusal(request, "device.html", error, user_code="")
    return page(request, "device_done.html", is_yes=is_yes)


@for_user
async def show_authorize(request: Request, call: RequestContext) -> Response:
    """Ask the user to approve the tool."""
    authorization = _parse_request(request)
    if isinstance(authorization, OAuthError):
        return _refuse(request, authorization)
    require_site(call.by, SiteAction.OPEN_ACCOUNT)
    policy = POLICY.replace("form-action 'self'", f"form-action 'self' {_origin(authorization.redirect_uri)}")
    values: dict[str, Any] = {
        "tool": CLIENTS[authorization.client_id].title,
        "permissions": _describe(authorization.scope),
        "place": urlsplit(authorization.redirect_uri).netloc,
    }
    return page(request, "authorize.html", csp=policy, query=request.url.query, **values)


@for_user
async def authorize(request: Request, call: RequestContext) -> Response:
    """Return the user's decision to the tool."""
    authorization = _parse_request(request)
    if isinstance(authorization, OAuthError):
        return _refuse(request, authorization)
    if (await form_of(request)).text("answer") != "allow":
        return _refuse(request, OAuthError("access_denied", "The user refused the login."))
    return _redirect_back(
        request,
        {"code": await to_thread.run_sync(partial(_approve, accounts_of(request).site, call.by, authorization))},
    )


def _find(site: Site, by: Caller, user_code: str) -> DeviceAuthorization:
    _require_approver(by)
    now_ms = site.clock.now_ms()
    rate_limits.count_attempt(site.database, now_ms, Rate.TOOL_CODE, str(by.user_id))
    with site.database.read() as tx:
        device = codes.find_device(tx, now_ms, user_code)
    if device is None:
        raise _no_device()
    return device


def _record_decision(site: Site, by: Caller, user_code: str, *, approved: bool) -> None:
    _require_approver(by)
    now_ms = site.clock.now_ms()
    rate_limits.count_attempt(site.database, now_ms, Rate.TOOL_CODE, str(by.user_id))
    with site.database.write_unlocked() as tx:
        grants.lock(site.database, tx)
        if not codes.decide_device(tx, now_ms, by, user_code, approved=approved):
            raise _no_device()


def _approve(site: Site, by: Caller, authorization: AuthorizationRequest) -> str:
    _require_approver(by)
    with site.database.write_unlocked() as tx:
        grants.lock(site.database, tx)
        return codes.add_code(tx, site.clock.now_ms(), by, authorization)


def _require_approver(by: Caller) -> None:
    require_site(by, SiteAction.OPEN_ACCOUNT)
    require_verified(by)


def _no_device() -> NotFound:
    return NotFound(
        "No tool is waiting with this code.",
        "Compare it with the tool. Codes expire after ten minutes.",
        field="user_code",
    )


def _parse_request(request: Request) -> AuthorizationRequest | OAuthError:
    """Parse an authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3); `Malformed` if redirecting back is unsafe."""
    params = dict(request.query_params)
    if len(params) != len(request.query_params.multi_items()) or any(
        len(value) > _MAX_FIELD for value in params.values()
    ):
        raise Malformed("A parameter of this login request is repeated or too long.", "Start the login again.")
    if params.get("client_id") not in CLIENTS or not clients.is_loopback(params.get("redirect_uri", "")):
        raise Malformed(
            "The client_id is unknown, or the redirect_uri is not a loopback address.",
            f"Known clients: {', '.join(CLIENTS)}.",
        )
    scope = clients.granted(params.get("scope", ""))
    if params.get("response_type") != "code":
        return OAuthError("unsupported_response_type", "The response_type must be code.")
    if params.get("code_challenge_method") != "S256" or not clients.is_challenge(params.get("code_challenge", "")):
        return OAuthError("invalid_request", "A code_challenge with the method S256 is required.")
    if scope is None:
        return BAD_SCOPE
    if params.get("prompt") == "none":
        return OAuthError("consent_required", "The user must approve every login.")
    return AuthorizationRequest(
        params["client_id"], params["redirect_uri"], scope, params["code_challenge"], params.get("nonce", "")
    )


def _refuse(request: Request, refusal: OAuthError) -> Response:
    """Return an error to the tool (RFC 6749, 4.1.2.1)."""
    return _redirect_back(request, {"error": refusal.code, "error_description": refusal.description})


def _redirect_back(request: Request, values: dict[str, str]) -> Response:
    """Redirect the browser to the tool's redirect URI, which `_parse_request` has validated."""
    state = request.query_params.get("state")
    address = request.query_params["redirect_uri"]
    query = urlencode(values | ({} if state is None else {"state": state}))
    return RedirectResponse(f"{address}?{query}", 303, headers={"Referrer-Policy": "no-referrer"})


def _origin(redirect_uri: str) -> str:
    """Return the redirect URI as a CSP source; CSP can name IPv6 hosts only by their scheme (CSP 3, 2.3.1)."""
    parts = urlsplit(redirect_uri)
    return "http:" if "[" in parts.netloc else f"http://{parts.netloc}"


def _describe(scope: str) -> list[str]:
    """Return the descriptions of the scopes, without duplicates."""
    return list(dict.fromkeys(_SCOPE_TEXTS[word] for word in scope.split()))
