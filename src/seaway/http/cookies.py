"""
Cookies: the session, the form mark of browsers that are not signed in, the flow of an external login, and the message
of the next page.

1. Cookie names begin with `__Host-`, so that no other host of the domain and no page without TLS can set one. Where the
   site is used without TLS (loopback, `insecure_http`), the prefix is left out, since browsers would drop the cookies.
2. Scripts cannot read the cookies (`HttpOnly`), and forms of other sites do not send them (`SameSite=Lax`).
"""

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

_SESSION = "seaway_session"
_FORM = "seaway_form"
_MESSAGE = "seaway_message"
_FLOW = "seaway_flow"
_FORM_CHARS = 43
_FLOW_SECONDS = 600
_MESSAGE_SECONDS = 60
_MAX_SECONDS = 14 * 24 * 3600  # longest lifetime of a session; the server may end it earlier


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and attributes of this site's cookies."""

    is_secure: bool

    @classmethod
    def of_site(cls, site_url: str) -> "Cookies":
        """Return the cookies of the given site URL."""
        return cls(is_secure=site_url.startswith("https://"))

    @property
    def session_name(self) -> str:
        """Name of the session cookie."""
        return self._named(_SESSION)

    def session_of(self, request: Request) -> str:
        """Return the session secret, or ""."""
        return request.cookies.get(self.session_name, "")

    def set_session(self, response: Response, secret: str) -> None:
        """Set the session cookie."""
        self._set(response, self.session_name, secret, _MAX_SECONDS)

    def delete_session(self, response: Response) -> None:
        """Delete the session cookie."""
        self._set(response, self.session_name, "", 0)

    def form_mark_of(self, request: Request) -> str:
        """Return the form mark of the browser, or ""."""
        mark = request.cookies.get(self._named(_FORM), "")
        return mark if len(mark) == _FORM_CHARS and mark.isascii() else ""

    def keep_form(self, response: Response, mark: str) -> None:
        """Set the form mark until the browser is closed."""
        self._set(response, self._named(_FORM), mark, None)

    def message_of(self, request: Request) -> str:
        """Return the signed message for the next page, or ""."""
        return request.cookies.get(self._named(_MESSAGE), "")

    def keep_message(self, response: Response, value: str) -> None:
        """Keep a signed message for the next page."""
        self._set(response, self._named(_MESSAGE), value, _MESSAGE_SECONDS)

    def drop_message(self, response: Response) -> None:
        """Delete the message, because it has been shown."""
        self._set(response, self._named(_MESSAGE), "", 0)

    def flow_of(self, request: Request) -> str:
        """Return the secret of an external login, or ""."""
        return request.cookies.get(self._named(_FLOW), "")

    def keep_flow(self, response: Response, secret: str) -> None:
        """Bind an external login to this browser."""
        self._set(response, self._named(_FLOW), secret, _FLOW_SECONDS)

    def drop_flow(self, response: Response) -> None:
        """Delete the cookie of an external login."""
        self._set(response, self._named(_FLOW), "", 0)

    def _named(self, name: str) -> str:
        return f"__Host-{name}" if self.is_secure else name

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )


def new_form_mark() -> str:
    """Return a random form mark."""
    return secrets.token_urlsafe(32)
