"""Error pages for browsers; their status and headers come from `http.problems`."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seaway.errors import SeawayError
from seaway.http import identity, problems
from seaway.web.shell import page

_TITLES = {
    400: "This request cannot be read",
    401: "Sign in to go on",
    403: "This is not for you to do",
    404: "Nothing is here",
    405: "This cannot be done here",
    408: "That took too long",
    409: "This is there already",
    413: "This is too large",
    422: "This was refused",
    429: "Too many tries",
    500: "Something went wrong here",
    503: "Not now",
}
# Shown at every path that may exist or not, so that it reveals no more than the plain sentence.
_SIGN_IN = "Nothing is here that everybody may see. If it is yours to see, sign in and open it again."
_ASKS_WHO = 500  # from here on, the failing part may be the one that identifies callers


def wants_page(request: Request) -> bool:
    """Return whether to respond with a page, for browsers, or with a plain sentence, for programs."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


class ProblemPage:
    """Response to a failed request of a browser."""

    def __init__(self, error: Exception, request: Request) -> None:
        self._error, self._request = error, request
        self._plain = problems.response_for(error, request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._page()
        except Exception:  # noqa: BLE001  the page may fail too, for example if templates cannot be read
            answer = self._plain
        await answer(scope, receive, send)

    async def _page(self) -> Response:
        if self._plain.status_code < _ASKS_WHO:
            with suppress(SeawayError):  # it is the error being reported, or less important
                await identity.principal_of(self._request)
        sentence = bytes(self._plain.body).decode()
        if self._plain.status_code == 401 and "authorization" not in self._request.headers:
            sentence = _SIGN_IN
        kept = ("www-authenticate", "retry-after", "allow", "connection")
        headers = {name: value for name, value in self._plain.headers.items() if name in kept}
        status = self._plain.status_code
        return page(
            self._request,
            "problem.html",
            status=status,
            headers=headers,
            title=_TITLES.get(status, "This did not work"),
            number=status,
            sentence=sentence,
        )
