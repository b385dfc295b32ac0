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

from seaway import ids, logs, system_errors
from seaway.api.v1.app import PREFIX as DOCUMENTED
from seaway.errors import Malformed, NotFound, SeawayError
from seaway.http import problems
from seaway.http.bodies import ClientGone
from seaway.http.house import House
from seaway.web.problem_pages import ProblemPage, wants_page

log = structlog.get_logger()

# Request ids are not secrets, so they need no cryptographic source, which would cost a system call for each.
_ids = random.Random()  # noqa: S311

OTHER = "other"  # route label of requests that matched no route
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_CACHE_CONTROL, _VARY, _PUBLIC = b"cache-control", b"vary", b"public"
_CREDENTIALS = (b"Authorization", b"Cookie")
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class Application:
    """Outermost ASGI layer: provides `request.app.state` to the routes, and handles all errors."""

    def __init__(self, routes: ASGIApp, house: House) -> None:
        self._routes, self._counts = routes, house.counts
        self._always = (*_ALWAYS, _STRICT_TRANSPORT) if house.site_url.startswith("https://") else _ALWAYS
        self.state = State({"house": house})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        request_id = f"{_ids.getrandbits(64):016x}"
        started = time.perf_counter()
        status = 0
        code = ""

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._completed(message.get("headers", ()), request_id)
            await send(message)

        before = logs.REQUEST_ID.set(request_id)
        try:
            _check_address(scope)
            await self._routes(scope, receive, send_with_headers)
        except ClientGone:
            pass  # there is no client to respond to; the spool file has been deleted
        except Exception as error:  # responses must not show a traceback; the log does
            if status:
                known = system_errors.unavailable(error)
                log.error("request.broken_off", path=_path(scope), error=str(error), exc_info=None if known else error)
                raise  # the head was sent: cut the connection, or the client takes a partial body as complete
            told = system_errors.unavailable(error) or error
            if isinstance(told, SeawayError):
                code = told.code
            request = Request(scope, receive)
            usual = ProblemPage if wants_page(request) else problems.response_for
            answer: ASGIApp = scope.get(problems.FORM, usual)(error, request)
            await answer(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = scope.get("route")
            self._counts.request(OTHER if route is None else _label(scope, route), scope["method"], status, seconds)
            client = scope.get("client")
            logs.REQUESTS.write(
                scope["method"], scope["path"], status, round(seconds * 1000, 1), client[0] if client else "", code
            )
            logs.REQUEST_ID.reset(before)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
        """Add the headers of every response; headers that the response sets itself are kept."""
        completed = [*headers, (b"seaway-request-id", request_id.encode())]
        brought = dict(completed)
        completed += [header for header in self._always if header[0] not in brought]
        cached = brought.get(_CACHE_CONTROL)
        if cached is None or not cached.startswith(_PUBLIC):
            completed = _private(completed, brought, cached)
        return completed


def _private(
    headers: list[tuple[bytes, bytes]], brought: Mapping[bytes, bytes], cached: bytes | None
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response that depends on the caller (invariant 1)."""
    varies = [name.strip() for name in brought.get(_VARY, b"").split(b",") if name.strip()]
    varies += [name for name in _CREDENTIALS if name not in varies]
    kept = [header for header in headers if header[0] != _VARY]
    return [*kept, (_VARY, b", ".join(varies)), *([] if cached else [(_CACHE_CONTROL, b"private, no-store")])]


def _check_address(scope: Scope) -> None:
    """Refuse NUL characters before routing: no name has one, and PostgreSQL fails on them."""
    in_path = "\0" in scope["path"]
    if not in_path and b"%00" not in scope.get("query_string", b""):
        return
    if scope["path"].startswith(f"{DOCUMENTED}/"):
        scope[problems.FORM] = problems.json_response_for
    if in_path:
        raise NotFound("Nothing is here.", "Check the path.")
    raise Malformed("The query contains a NUL character.", "Leave it out.")


def _path(scope: Scope) -> str:
    """Return the path for logs: without the query, and with keys masked."""
    return ids.mask(scope["path"])


def _label(scope: Scope, route: Route | Mount) -> str:
    """Return the label of a route for metrics; a route below a mount has only the end of the path itself."""
    return route.path if isinstance(route, Mount) else scope.get("root_path", "") + route.path
