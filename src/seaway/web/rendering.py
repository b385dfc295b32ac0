"""
Rendering of pages: template, signed-in user and security headers.

1. Pages can run and load only our own files: the CSP names no other source and no inline script or style, and
   templates escape everything.
2. A refused form says why: at its field, or above the form if there are several reasons, or if it lacks the field.
3. Pages depend on the caller, so shared caches do not store them.
"""

from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seaway.audit.action_labels import label_of
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.counted_nouns import counted
from seaway.errors import SeawayError
from seaway.http import caller
from seaway.http.parts import parts_of
from seaway.http.site_url import site_url_of
from seaway.sign_in import sessions
from seaway.web import assets, formats, page_message
from seaway.web.markdown import first_sentence, unmasked
from seaway.web.page_message import Message
from seaway.web.template_cache import TemplateCache

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
    csp: str = POLICY,
    headers: dict[str, str] | None = None,
    **values: object,
) -> Response:
    """
    Render a page. Await `caller.caller_of` first: it finds the signed-in user.

    Forms contain the CSRF token of the session; `for_anyone` is for forms that work before sign-in.
    """
    by = caller.identified_caller(request)
    viewer = by if by.is_person else None
    is_anonymous_form = for_anyone or viewer is None

    def csrf_token() -> str:
        return caller.anonymous_csrf_token_for(request) if is_anonymous_form else caller.csrf_token_for(request)

    message = _message_of(request)
    render = partial(
        _render,
        template,
        viewer=viewer,
        sign_up_open=parts_of(request).accounts.policy.sign_up_open,
        pending_count=0 if viewer is None else viewer.pending_count,
        path=request.url.path,
        site=site_url_of(request),
        now_ms=parts_of(request).reading.site.clock.now_ms(),
        csrf_token=csrf_token,
        anonymous_csrf_token=lambda: caller.anonymous_csrf_token_for(request),
        message=message,
        **values,
    )
    content, problem = render(), values.get("problem")
    if isinstance(problem, SeawayError) and not _is_shown(problem, content):
        problem.fields = {}
        content = render()
    response = HTMLResponse(content, status, headers=_headers(csp) | (headers or {}))
    if message is not None:
        caller.cookies_of(request).drop_message(response)
    _keep_new_mark(request, response)
    return response


def _render(template: str, *, problem: object = None, **values: object) -> str:
    errors = problem.fields if isinstance(problem, SeawayError) else {}
    return _templates.get_template(template).render(problem=problem, errors=defaultdict(str, errors), **values)


def _is_shown(problem: SeawayError, content: str) -> bool:
    """Return whether the page shows the error: a single one is shown at its field only, if the page has that field."""
    return len(problem.fields) != 1 or f'id="{next(iter(problem.fields))}-error"' in content


def redirect(path: str) -> Response:
    """Redirect with GET (303). After an action that changed something, use `redirect_with_message`."""
    return RedirectResponse(path, 303)


def redirect_with_message(
    request: Request, path: str, message: str | Message, *, session: str | None = None
) -> Response:
    """
    Redirect with GET (303) and report the action in a sentence on the next page.

    `session` is the new secret of the session if the action changed it, "" if the action ended it.
    """
    response = redirect(path)
    reported = Message(message) if isinstance(message, str) else message
    value = page_message.signed(reported, _message_key(request, session))
    caller.cookies_of(request).keep_message(response, value)
    _keep_new_mark(request, response)
    return response


def _message_of(request: Request) -> Message | None:
    value = caller.cookies_of(request).message_of(request)
    return page_message.verified(value, _message_key(request)) if value else None


def _message_key(request: Request, session: str | None = None) -> str:
    """Return the key that signs messages for this browser."""
    secret = caller.cookies_of(request).session_of(request) if session is None else session
    return sessions.csrf_token(secret) if secret else caller.anonymous_csrf_token_for(request)


def _keep_new_mark(request: Request, response: Response) -> None:
    mark = caller.new_mark_of(request)
    if mark is not None:
        caller.cookies_of(request).keep_form(response, mark)


def wants_page(request: Request) -> bool:
    """Return whether to respond with a page, for browsers, or with a plain sentence, for programs."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def _headers(csp: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": csp,
        "Vary": "Authorization, Cookie, Accept",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def day(at_ms: int) -> str:
    """Format a date, for example 5 May 2026."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y}"


def moment(at_ms: int) -> str:
    """Format a date and time for a `time` element."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at_ms: int, now_ms: int) -> str:
    """Format the time since or until a moment, in one unit, rounded: a key for 90 days expires "in 90 days"."""
    distance = abs(now_ms - at_ms)
    if distance < MINUTE_MS:
        return "just now" if at_ms <= now_ms else "in a moment"
    size, unit = next((size, unit) for least, size, unit in _UNITS if distance >= least)
    number = (distance + size // 2) // size
    text = f"{number} {unit}{'s' if number > 1 else ''}"
    return f"{text} ago" if at_ms <= now_ms else f"in {text}"


# Shortest distance, length and name of each unit: "in 90 days" is more exact than "in 3 months". A unit starts where the
# next smaller one would be rounded up to it: 59.5 minutes are an hour.
_UNITS = (
    (DAY_MS * 715, DAY_MS * 365, "year"),
    (DAY_MS * 120 - DAY_MS // 2, DAY_MS * 30, "month"),
    (DAY_MS - HOUR_MS // 2, DAY_MS, "day"),
    (HOUR_MS - MINUTE_MS // 2, HOUR_MS, "hour"),
    (MINUTE_MS, MINUTE_MS, "minute"),
)

_FOLDER = Path(__file__).parent / "templates"
_templates = Environment(
    loader=FileSystemLoader(_FOLDER),
    bytecode_cache=TemplateCache(_FOLDER),
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
    "bytes": formats.size,
    "size_difference": formats.size_difference,
    "breakable_url": formats.breakable_url,
    "meta_description": formats.meta_description,
    "initials": formats.initials,
    "tint": formats.color_index,
    "quoted_key": formats.quoted_key,
    "is_long_detail": formats.is_long_detail,
    "action_label": label_of,
}
_templates.globals |= {"asset": assets.asset_path, "ago": ago, "counted": counted}
