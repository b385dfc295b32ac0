"""
Who asks, by whatever the request carries; and whether a page of ours sent it.

1. An Authorization header decides alone: a bad one is refused, and a cookie never stands in for it.
2. A cookie alone changes nothing: the browser must say that one of our pages sent the request (`Sec-Fetch-Site`,
   or `Origin` where it is older), and the request must hold the token that only our pages hold.
3. A form that nobody is signed in for is bound to the browser that got it, by a mark of its own (double submit), so
   that nobody can sign a stranger's browser in to an account of theirs.
4. What comes from another site is refused even with the right token.
"""

import hmac

from anyio import to_thread
from starlette.requests import Request

from seaway.accounts import sessions
from seaway.accounts.principal import ANONYMOUS, Principal
from seaway.errors import BadCredential, NotAllowed
from seaway.http import credentials
from seaway.http.cookies import Cookies, new_mark
from seaway.http.forms import form_of
from seaway.http.house import House
from seaway.http.site_address import site_url_of
from seaway.serving.identity import Accepted, Secrets, identify

TOKEN_FIELD = "csrf_token"
TOKEN_HEADER = "x-csrf-token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_KNOWN = "seaway.principal"
_MARK = "seaway.mark"


async def principal_of(request: Request, accepted: Accepted = Accepted.ANY) -> Principal:
    """
    Return the caller, with the address of the request; identified once for each request.

    `BadCredential` where an Authorization header holds nothing good of an accepted kind. An unsafe request with a
    cookie must come from a page of ours.
    """
    known: Principal | None = request.scope.get(_KNOWN)
    if known is None:
        known = await _find(request, accepted)
        known = request.scope[_KNOWN] = known.seen_from(credentials.address_of(request))
    return known


def known_principal(request: Request) -> Principal:
    """Who asks, if that was asked already; nobody otherwise."""
    known: Principal = request.scope.get(_KNOWN, ANONYMOUS)
    return known


async def check_own_form(request: Request) -> None:
    """Return if a page of ours, shown to this very browser, sent this form; whoever is signed in."""
    _require_own_site(request)
    mark = cookies_of(request).form_of(request)
    if not mark or not await _holds(request, sessions.csrf_token(mark)):
        raise _stale()


async def person_beside(request: Request) -> Principal | None:
    """Who is signed in in a browser whose form was proved otherwise (`check_own_form`)."""
    secret = cookies_of(request).session_of(request)
    found = await to_thread.run_sync(_identify, request, Secrets(session=secret), Accepted.SESSION)
    return found if found.is_person else None


def token_for(request: Request) -> str:
    """What a form of the signed-in person carries along."""
    return sessions.csrf_token(cookies_of(request).session_of(request))


def anonymous_token_for(request: Request) -> str:
    """What a form for nobody in particular carries along; `new_mark_of` has the cookie that goes with it."""
    mark = cookies_of(request).form_of(request) or request.scope.setdefault(_MARK, new_mark())
    return sessions.csrf_token(mark)


def new_mark_of(request: Request) -> str | None:
    """The mark that this answer must give the browser, if a form on it needs one."""
    mark: str | None = request.scope.get(_MARK)
    return mark


def cookies_of(request: Request) -> Cookies:
    """How cookies are named here."""
    house: House = request.app.state.house
    return Cookies.of_site(house.site_url)


async def _find(request: Request, accepted: Accepted) -> Principal:
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
    if found.is_person and request.method not in _SAFE:
        _require_own_site(request)
        if not await _holds(request, sessions.csrf_token(secrets.session)):
            raise _stale()
    return found


def _identify(request: Request, secrets: Secrets, accepted: Accepted) -> Principal:
    house: House = request.app.state.house
    reading = house.reading
    with reading.database.read() as tx:
        found = identify(tx, reading.identifying, secrets, accepted)
    if found.session_id is not None:
        sessions.touch(reading.database, reading.clock.now_ms(), found)
    return found


def _require_own_site(request: Request) -> None:
    site, origin, own = request.headers.get("sec-fetch-site"), request.headers.get("origin"), site_url_of(request)
    is_ours = site in ("same-origin", "none") if site else origin == own
    if not is_ours or (site == "none" and origin not in (None, own)):
        raise NotAllowed("This was not sent by a page of this site.", "Open the page here and do it there.")


async def _holds(request: Request, expected: str) -> bool:
    sent = request.headers.get(TOKEN_HEADER) or (await form_of(request)).exact(TOKEN_FIELD)
    return hmac.compare_digest(sent.encode(), expected.encode())


def _stale() -> NotAllowed:
    return NotAllowed("This page is too old, or was opened before you signed in or out.", "Load it again and repeat.")
