"""
Checks of every API request before routing, and the format of error responses.

1. A path must be valid by `http.paths`: no `%2F`, and nothing else that two parsers could split differently.
2. A body must be JSON with a JSON Content-Type, at most 64 KiB, and arrive at a minimum rate. NaN, lone surrogates and
   NUL (which PostgreSQL does not store) are refused. The body is complete before the route runs.
3. Errors are JSON by the table in `http.problems`; error texts of the framework are never sent.
"""

import re

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seaway.errors import Malformed, NotFound
from seaway.http import paths, problems
from seaway.http.bodies import read_body
from seaway.models import invalid_fields

MAX_BODY_BYTES = 64 * 1024
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JSON = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)


class RequestChecks:
    """ASGI middleware that checks requests before the routes."""

    def __init__(self, routes: ASGIApp) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[problems.RESPONSE_BUILDER] = problems.json_response_for
            _check_path(scope)
            request = Request(scope, receive)
            body = await read_body(request, MAX_BODY_BYTES, hint="Split the request.")
            if body:
                _check_body(body, request.headers.get("content-type", ""))
            receive = _replaying(body, receive)
        try:
            await self._routes(scope, receive, send)
        except RequestValidationError as error:
            raise invalid_fields(error.errors(), "See /api/v1/openapi.json for the format of each request.") from None


def _check_path(scope: Scope) -> None:
    if paths.segments(scope) is None:
        raise NotFound("This page does not exist.", "Check the URL.")


def _check_body(body: bytes, content_type: str) -> None:
    # A form on another site cannot send this type without a CORS preflight.
    if not _JSON.fullmatch(content_type):
        raise Malformed("The Content-Type is not JSON.", "Send the header Content-Type: application/json.")
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.", "Send one JSON object in UTF-8.") from None
    if _NUL_ESCAPE.search(body):
        raise Malformed("The body contains a NUL character.", "Remove it.")


def _replaying(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
