"""Error pages for browsers; their status and headers come from `http.problems`."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seaway.errors import SeawayError
from seaway.http import caller, problems
from seaway.web import kept_form
from seaway.web.rendering import page

_TITLES = {
    400: "Bad request",
    401: "Sign in to continue",
    403: "You don't have permission",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timed out",
    409: "Conflict",
    413: "Request too large",
    422: "Request refused",
    429: "Too many requests",
    500: "Server error",
    503: "Temporarily unavailable",
}
# Shown at every path that may exist or not, so that it reveals no more than the plain sentence.
_SIGN_IN = "Sign in to view this page."
_FIRST_SERVER_ERROR = 500  # from here on, the failing part may be the one that identifies callers


class ProblemPage:
    """Response to a failed request of a browser."""

    def __init__(self, error: Exception, request: Request) -> None:
        self._error, self._request = error, request
        self._problem = problems.problem_of(error, request)
        self._plain = problems.plain_response(self._problem)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._page()
        except Exception:  # noqa: BLE001  the page may fail too, for example if templates cannot be read
            response = self._plain
        await response(scope, receive, send)

    async def _page(self) -> Response:
        if self._plain.status_code < _FIRST_SERVER_ERROR:
            with suppress(SeawayError):  # it is the error being reported, or less important
                await caller.caller_of(self._request)
            kept = await kept_form.page_for(self._request, self._error, self._plain)
            if kept is not None:
                return kept
        sentence, hint = problems.shown(self._problem.message), problems.shown(self._problem.hint)
        if self._plain.status_code == 401 and "authorization" not in self._request.headers:
            sentence, hint = _SIGN_IN, ""
        kept_headers = ("www-authenticate", "retry-after", "allow", "connection")
        headers = {name: value for name, value in self._plain.headers.items() if name in kept_headers}
        status = self._plain.status_code
        return page(
            self._request,
            "problem.html",
            status=status,
            headers=headers,
            title=_TITLES.get(status, "Request failed"),
            number=status,
            sentence=sentence,
            hint=hint,
        )
