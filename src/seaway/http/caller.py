"""
The caller of a request, and protection against cross-site request forgery (CSRF).

1. If there is an Authorization header, the cookie is ignored. An invalid header is refused.
2. A cookie alone authorizes no change: the browser must report that a page of this site sent the request
   (`Sec-Fetch-Site`, or `Origin` in older browsers), and the request must contain the CSRF token.
3. A form for callers who are not signed in is bound to the browser that received it by a mark (double submit), so that
   an attacker cannot sign another user's browser in to the attacker's account.
4. A request from another site is refused even with the right token.
"""

import hmac

from anyio import to_thread
from starlette.requests import Request

from seaway.callers.caller import ANONYMOUS, Caller
from seaway.errors import BadCredential, NotAllowed, OutdatedForm
from seaway.http import credentials
from seaway.http.cookies import Cookies, new_form_mark
from seaway.http.page_forms import form_of
from seaway.http.parts import parts_of
from seaway.http.site_url import site_url_of
from seaway.serving.caller_identification import Accepted, Secrets, identify
from seaway.sign_in import sessions

TOKEN_FIELD = "csrf_token"
TOKEN_HEADER = "x-csrf-token"
_RELOAD = "Reload it and try again."
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CALLERS_KEY = "seaway.callers"
_MARK_KEY = "seaway.mark"
_ANONYMOUS_FORM_KEY = "seaway.anonymous_form"


async def caller_of(request: Request, accepted: Accepted = Accepted.ANY) -> Caller:
    """
    Return the caller with their IP address; identified once per request and set of accepted kinds.

    Raise `BadCredential` if the Authorization header has no valid credential of an accepted kind. An unsafe request
    with a cookie must come from a page of this site. Update the last use of the API key.
    """
    known: dict[Accepted, Caller] = request.scope.setdefault(_CALLERS_KEY, {})
    if accepted not in known:
        address = credentials.client_ip(request)
        known[accepted] = (await _identify_caller(request, accepted)).with_address(address)
        parts_of(request).usage_counter.count_key_use(known[accepted].key_id, address)
    return known[accepted]


def identified_caller(request: Request) -> Caller:
    """Return the caller of a page if already identified, else the anonymous caller."""
    known: dict[Accepted, Caller] = request.scope.get(_CALLERS_KEY, {})
    return known.get(Accepted.ANY, ANONYMOUS)


async def check_anonymous_form(request: Request) -> None:
    """Raise `NotAllowed` unless a page of this site, shown in this browser, sent the form; ignores the session."""
    request.scope[_ANONYMOUS_FORM_KEY] = True
    check_same_origin(request)
    mark = cookies_of(request).form_mark_of(request)
    if not mark or not await _has_token(request, sessions.csrf_token(mark)):
        raise OutdatedForm("This page is outdated, for example because you signed in or out.", _RELOAD)


def is_anonymous_form(request: Request) -> bool:
    """Return whether the handler has called `check_anonymous_form`; such a form may contain a password."""
    return _ANONYMOUS_FORM_KEY in request.scope


async def signed_in_user(request: Request) -> Caller | None:
    """Return the signed-in user, or None; for forms that were checked by `check_anonymous_form`."""
    secret = cookies_of(request).session_of(request)
    found = await to_thread.run_sync(_identify, request, Secrets(session=secret), Accepted.SESSION)
    return found if found.is_person else None


def check_same_origin(request: Request) -> None:
    """Raise `NotAllowed` unless a page of this site sent the request."""
    site, origin, site_url = request.headers.get("sec-fetch-site"), request.headers.get("origin"), site_url_of(request)
    is_same_origin = site in ("same-origin", "none") if site else origin == site_url
    if not is_same_origin or (site == "none" and origin not in (None, site_url)):
        raise NotAllowed("The request did not come from a page of this site.", "Open the page here and try again.")


def csrf_token_for(request: Request) -> str:
    """Return the CSRF token for forms of the signed-in user."""
    return sessions.csrf_token(cookies_of(request).session_of(request))


def anonymous_csrf_token_for(request: Request) -> str:
    """Return the CSRF token for forms of callers who are not signed in; `new_mark_of` returns its cookie."""
    mark = cookies_of(request).form_mark_of(request) or request.scope.setdefault(_MARK_KEY, new_form_mark())
    return sessions.csrf_token(mark)


def new_mark_of(request: Request) -> str | None:
    """Return the mark that the response must set as a cookie, or None."""
    mark: str | None = request.scope.get(_MARK_KEY)
    return mark


def cookies_of(request: Request) -> Cookies:
    """Return the names and attributes of this site's cookies."""
    return Cookies.of_site(parts_of(request).site.url)


async def _identify_caller(request: Request, accepted: Accepted) -> Caller:
    authorizations = request.headers.getlist("authorization")
    secrets = credentials.secrets_of(authorizations, cookies_of(request).session_of(request))
    if not (secrets.bearer or secrets.session):
        return ANONYMOUS
    found = await to_thread.run_sync(_identify, request, secrets, accepted)
    if authorizations and found.is_anonymous:
        raise BadCredential(
            "The API key or token in the Authorization header is not valid for this request.",
            "Check that it has not expired or been revoked, or send another one.",
        )
    if found.is_person and request.method not in _SAFE_METHODS:
        check_same_origin(request)
        if not await _has_token(request, sessions.csrf_token(secrets.session)):
            raise OutdatedForm("You signed in again after this page was opened.", _RELOAD)
    return found


def _identify(request: Request, secrets: Secrets, accepted: Accepted) -> Caller:
    parts = parts_of(request)
    database, now_ms = parts.site.database, parts.site.clock.now_ms()
    with database.read() as tx:
        found = identify(tx, now_ms, parts.reading.policy, secrets, accepted)
    if found.session_id is not None:
        sessions.touch(database, now_ms, found)
    return found


async def _has_token(request: Request, expected: str) -> bool:
    sent = request.headers.get(TOKEN_HEADER) or (await form_of(request)).exact(TOKEN_FIELD)
    return hmac.compare_digest(sent.encode(), expected.encode())
