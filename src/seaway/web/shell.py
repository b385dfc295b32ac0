"""
A page: its template, who is signed in, the headers that keep it safe.

1. Nothing that a page holds can run or load anything but our own files: the policy names no other source and no
   inline script or style, and templates escape everything.
2. Pages are for the one who asked: no cache between keeps them.
"""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.http import identity
from seaway.http.house import House
from seaway.http.site_address import site_url_of
from seaway.web import assets, done, words
from seaway.web.markdown import first_sentence, unmasked

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    for_anyone: bool = False,
    policy: str = POLICY,
    headers: dict[str, str] | None = None,
    **values: object,
) -> Response:
    """
    The page. Who is signed in is taken from `identity.principal_of`, which the caller has awaited.

    Forms hold the token of the session; `for_anyone` is for those that work before anybody is signed in.
    """
    principal = identity.known_principal(request)
    viewer = principal if principal.is_person else None
    is_anyones = for_anyone or viewer is None

    def csrf_token() -> str:
        return identity.anonymous_token_for(request) if is_anyones else identity.token_for(request)

    content = _templates.get_template(template).render(
        viewer=viewer,
        path=request.url.path,
        site=site_url_of(request),
        now_ms=_house(request).reading.clock.now_ms(),
        csrf_token=csrf_token,
        done="" if viewer is None else done.said(request),
        **values,
    )
    response = HTMLResponse(content, status, headers=_headers(policy) | (headers or {}))
    mark = identity.new_mark_of(request)
    if mark is not None:
        identity.cookies_of(request).keep_form(response, mark)
    return response


def see(path: str) -> Response:
    """Go on there with GET, after something was done."""
    return RedirectResponse(path, 303)


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "Vary": "Authorization, Cookie, Accept",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def day(at_ms: int) -> str:
    """A date as people read it everywhere."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y}"


def moment(at_ms: int) -> str:
    """Date and time, for a `time` element."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago, or in how long, in the one unit that tells."""
    distance = abs(now_ms - at_ms)
    if distance < MINUTE_MS:
        return "just now" if at_ms <= now_ms else "in a moment"
    size, unit = next((size, unit) for least, size, unit in _UNITS if distance >= least)
    said = f"{distance // size} {unit}{'s' if distance // size > 1 else ''}"
    return f"{said} ago" if at_ms <= now_ms else f"in {said}"


# From when on a unit is used, its length, its name: «in 90 days» says more than «in 2 months».
_UNITS = (
    (DAY_MS * 730, DAY_MS * 365, "year"),
    (DAY_MS * 120, DAY_MS * 30, "month"),
    (DAY_MS, DAY_MS, "day"),
    (HOUR_MS, HOUR_MS, "hour"),
    (MINUTE_MS, MINUTE_MS, "minute"),
)

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "day": day,
    "moment": moment,
    "plain": unmasked,
    "first_sentence": first_sentence,
    "bytes": words.size,
    "grown": words.grown,
    "address": words.address,
    "initials": words.initials,
    "tint": words.tint,
}
_templates.globals |= {"asset": assets.address, "ago": ago}
