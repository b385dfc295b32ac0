"""
Handling around each request: its id, its log line, the headers of every response, and unhandled errors.

1. A response is private unless it is marked as public: it gets `private, no-store` if it has no Cache-Control, and it
   varies by the caller's credentials. So a route that sets no header leaks nothing through a shared cache.
"""

import random
import time
from collections.abc import Iterable, Mapping

import structlog
from starlette.datastructures import State
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seaway import logs, os_errors, secret_tokens
from seaway.api.v1.app import PREFIX as DOCUMENTED
from seaway.errors import Malformed, NotFound, SeawayError
from seaway.http import problems
from seaway.http.bodies import ClientDisconnected
from seaway.http.parts import RequestParts
from seaway.web.problem_pages import ProblemPage
from seaway.web.rendering import wants_page

log = structlog.get_logger()

# Request ids are not secrets, so they need no cryptographic source, which would cost a system call for each.
_id_source = random.Random()  # noqa: S311

UNMATCHED_ROUTE = "other"  # route label of requests that matched no route
_COMMON_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_CACHE_CONTROL, _VARY, _PUBLIC = b"cache-control", b"vary", b"public"
_CREDENTIALS = (b"Authorization", b"Cookie")
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class Application:
    """Outermost ASGI layer: provides `request.app.state` to the routes, and handles all errors."""

    def __init__(self, routes: ASGIApp, parts: RequestParts) -> None:
        self._routes, self._counts = routes, parts.counts
        self._common_headers = (
            (*_COMMON_HEADERS, _STRICT_TRANSPORT) if parts.site.url.startswith("https://") else _COMMON_HEADERS
        )
        self.state = State({"parts": parts})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        request_id = f"{_id_source.getrandbits(64):016x}"
        started = time.perf_counter()
        status = 0
        code = ""

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._with_common_headers(message.get("headers", ()), request_id)
            await send(message)

        token = logs.REQUEST_ID.set(request_id)
        try:
            _refuse_nul(scope)
            await self._routes(scope, receive, send_with_headers)
        except ClientDisconnected:
            pass  # there is no client to respond to; the spool file has been deleted
        except Exception as error:  # responses must not show a traceback; the log does
            if status:
                unavailable = os_errors.as_unavailable(error)
                log.error(
                    "request.aborted", path=_path(scope), error=str(error), exc_info=None if unavailable else error
                )
                raise  # the head was sent: cut the connection, or the client takes a partial body as complete
            shown = os_errors.as_unavailable(error) or error
            if isinstance(shown, SeawayError):
                code = shown.code
            request = Request(scope, receive)
            default_form = ProblemPage if wants_page(request) else problems.response_for
            response: ASGIApp = scope.get(problems.RESPONSE_BUILDER, default_form)(error, request)
            await response(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = scope.get("route")
            self._counts.request(
                UNMATCHED_ROUTE if route is None else _label(scope, route), scope["method"], status, seconds
            )
            client = scope.get("client")
            logs.REQUEST_LOG.write(
                scope["method"], scope["path"], status, round(seconds * 1000, 1), client[0] if client else "", code
            )
            logs.REQUEST_ID.reset(token)

    def _with_common_headers(
        self, headers: Iterable[tuple[bytes, bytes]], request_id: str
    ) -> list[tuple[bytes, bytes]]:
        """Add the headers of every response; headers that the response sets itself are kept."""
        completed = [*headers, (b"seaway-request-id", request_id.encode())]
        own = dict(completed)
        completed += [header for header in self._common_headers if header[0] not in own]
        cache_control = own.get(_CACHE_CONTROL)
        if cache_control is None or not cache_control.startswith(_PUBLIC):
            completed = _as_private(completed, own, cache_control)
        return completed


def _as_private(
    headers: list[tuple[bytes, bytes]], own: Mapping[bytes, bytes], cache_control: bytes | None
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response that depends on the caller (invariant 1)."""
    vary = [name.strip() for name in own.get(_VARY, b"").split(b",") if name.strip()]
    vary += [name for name in _CREDENTIALS if name not in vary]
    others = [header for header in headers if header[0] != _VARY]
    return [*others, (_VARY, b", ".join(vary)), *([] if cache_control else [(_CACHE_CONTROL, b"private, no-store")])]


def _refuse_nul(scope: Scope) -> None:
    """Refuse NUL characters before routing: no name has one, and PostgreSQL fails on them."""
    in_path = "\0" in scope["path"]
    if not in_path and b"%00" not in scope.get("query_string", b""):
        return
    if scope["path"].startswith(f"{DOCUMENTED}/"):
        scope[problems.RESPONSE_BUILDER] = problems.json_response_for
    if in_path:
        raise NotFound("This page does not exist.", "Check the URL.")
    raise Malformed("The query contains a NUL character.", "Leave it out.")


def _path(scope: Scope) -> str:
    """Return the path for logs: without the query, and with keys masked."""
    return secret_tokens.mask(scope["path"])


def _label(scope: Scope, route: Route | Mount) -> str:
    """Return the label of a route for metrics; a route below a mount has only the end of the path itself."""
    return route.path if isinstance(route, Mount) else scope.get("root_path", "") + route.path
