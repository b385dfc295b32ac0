"""
What every request to the API passes before a route sees it, and what becomes of its failure.

1. A path is what `http.paths` says it is: no `%2F`, nothing that two readers could split in two ways.
2. A body is JSON of at most 64 KiB that says it is JSON, arrives at a bearable pace, and has no NaN, no half of a
   surrogate pair and no NUL, which PostgreSQL does not store. It has arrived before anything is done.
3. A failure leaves as JSON, by the one table of `http.problems`; a framework's own words never do.
"""

import re

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seaway.errors import Invalid, Malformed, NotFound, TooLarge
from seaway.http import paths, problems
from seaway.http.bodies import body_of

MAX_BODY_BYTES = 64 * 1024
_MAX_PROBLEMS = 3
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JSON = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)


class Entry:
    """The routes behind the checks."""

    def __init__(self, routes: ASGIApp) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[problems.FORM] = problems.json_response_for
            _check_address(scope)
            receive = _already_read(await _body(Request(scope, receive)), receive)
        try:
            await self._routes(scope, receive, send)
        except RequestValidationError as error:
            raise _invalid(error) from None


def _check_address(scope: Scope) -> None:
    if paths.segments(scope) is None:
        raise NotFound("This page does not exist.", "Check the URL.")


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    body = b""
    async for chunk in body_of(request):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    if body:
        _check_body(body, request.headers.get("content-type", ""))
    return body


def _check_body(body: bytes, content_type: str) -> None:
    # A form of another site cannot send this type without asking us first.
    if not _JSON.fullmatch(content_type):
        raise Malformed("The body is not sent as JSON.", "Send it with the header Content-Type: application/json.")
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("The body cannot be read as JSON.", "Send one JSON object in UTF-8.") from None
    if _NUL_ESCAPE.search(body):
        raise Malformed("The body holds a NUL character.", "Leave it out.")


def _too_large() -> TooLarge:
    return TooLarge(f"The body has more than {MAX_BODY_BYTES:,} bytes.", "Send less at once.")


def _already_read(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _invalid(error: RequestValidationError) -> Invalid:
    """What is wrong with the fields, in a sentence that names the first few of them, never what was sent in them."""
    found = [f"{_place(one['loc'])}: {one['msg']}" for one in error.errors()[:_MAX_PROBLEMS]]
    return Invalid("; ".join(found) + ".", "See /api/v1/openapi.json for what each request may say.")


def _place(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part)[:60] for part in loc) or "request"
