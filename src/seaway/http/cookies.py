"""
The cookies: who is signed in, the mark of a browser that nobody is signed in with, and a way to another site and back.

1. All are named `__Host-`: no other host of the domain and no page without TLS can set one. Only where the site
   itself is reached without TLS (loopback, `insecure_http`) they have plain names, since browsers would drop them.
2. Scripts cannot read them, and other sites' forms do not bring them (`SameSite=Lax`).
"""

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

_SESSION = "seaway_session"
_FORM = "seaway_form"
_FLOW = "seaway_flow"
_FORM_CHARS = 43
_FLOW_SECONDS = 600
_LONGEST_SECONDS = 14 * 24 * 3600  # a session's longest life; when it ends sooner, the server knows


@dataclass(frozen=True, slots=True)
class Cookies:
    """How cookies are named and marked at this site."""

    is_secure: bool

    @classmethod
    def of_site(cls, site_url: str) -> "Cookies":
        """Those of the site at this address."""
        return cls(is_secure=site_url.startswith("https://"))

    @property
    def session_name(self) -> str:
        """The name of the cookie that signs in."""
        return self._named(_SESSION)

    def session_of(self, request: Request) -> str:
        """The secret of the session, or nothing."""
        return request.cookies.get(self.session_name, "")

    def keep_session(self, response: Response, secret: str) -> None:
        """Sign the browser in."""
        self._set(response, self.session_name, secret, _LONGEST_SECONDS)

    def drop_session(self, response: Response) -> None:
        """Let the browser forget who is signed in."""
        self._set(response, self.session_name, "", 0)

    def form_of(self, request: Request) -> str:
        """The mark of the browser, or nothing."""
        mark = request.cookies.get(self._named(_FORM), "")
        return mark if len(mark) == _FORM_CHARS and mark.isascii() else ""

    def keep_form(self, response: Response, mark: str) -> None:
        """Mark the browser, for as long as it runs."""
        self._set(response, self._named(_FORM), mark, None)

    def flow_of(self, request: Request) -> str:
        """The secret of a sign-in by way of another site, or nothing."""
        return request.cookies.get(self._named(_FLOW), "")

    def keep_flow(self, response: Response, secret: str) -> None:
        """Let only this browser come back from there."""
        self._set(response, self._named(_FLOW), secret, _FLOW_SECONDS)

    def drop_flow(self, response: Response) -> None:
        """Let the browser forget it."""
        self._set(response, self._named(_FLOW), "", 0)

    def _named(self, name: str) -> str:
        return f"__Host-{name}" if self.is_secure else name

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )


def new_mark() -> str:
    """A mark that nobody can guess."""
    return secrets.token_urlsafe(32)
