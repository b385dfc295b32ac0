"""A browser without a screen: it keeps cookies, sends the headers of browsers, and submits the forms of its pages."""

import re
from functools import partial
from html import unescape
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal

from seaway.server.app import create_app
from seaway.server.wiring import Seaway

SITE = "https://conda.example.com"
PASSWORD = "tangerine ladder 7 fathoms"
_FIELD = re.compile(r'<input[^>]*?name="csrf_token" value="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


class HttpBrowser:
    """A browser that visits a Seaway in this process."""

    def __init__(self, seaway: Seaway, portal: BlockingPortal, address: str) -> None:
        self.seaway, self.address = seaway, address
        self._portal = portal
        transport = httpx.ASGITransport(create_app(seaway), raise_app_exceptions=False, client=(address, 50_000))
        self._http = httpx.AsyncClient(
            transport=transport, base_url=SITE, headers={"Accept": "text/html", "User-Agent": "Firefox"}
        )
        self.cookies = self._http.cookies
        self.shown = ""

    def another(self) -> "HttpBrowser":
        """Return another browser at the same IP address."""
        return HttpBrowser(self.seaway, self._portal, self.address)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send any request."""
        return self._portal.call(partial(self._http.request, method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Open a page."""
        return self._remember(self.request("GET", path, **options))

    def send(self, path: str, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Submit a form of the page that was opened last, with its CSRF token."""
        data = {"csrf_token": self.token} | fields
        all_headers = {"Sec-Fetch-Site": "same-origin", "Origin": SITE} | (headers or {})
        return self._remember(self.request("POST", path, data=data, headers=all_headers))

    def send_file(self, path: str, file_field: str, content: bytes, **fields: Any) -> httpx.Response:
        """Submit a form with a file."""
        all_headers = {"Sec-Fetch-Site": "same-origin", "Origin": SITE}
        files = {file_field: ("picture", content, "application/octet-stream")}
        data = {"csrf_token": self.token} | fields
        return self._remember(self.request("POST", path, data=data, files=files, headers=all_headers))

    @property
    def token(self) -> str:
        """The CSRF token of the page that was opened last."""
        match = _FIELD.search(self.shown)
        return match[1] if match else ""

    def hidden(self, name: str) -> str:
        """Return a hidden field of the page that was opened last."""
        return unescape(dict(_HIDDEN.findall(self.shown))[name])

    @property
    def session(self) -> str | None:
        """The session cookie."""
        return self.cookies.get("__Host-seaway_session")

    def set_session(self, secret: str | None) -> None:
        """Set the session cookie to a given secret."""
        self.cookies.set("__Host-seaway_session", secret or "", domain="conda.example.com", path="/")

    def sign_in(self, login: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in with name and password."""
        self.get("/signin")
        return self.send("/signin", login=login, password=password)

    def sign_up(self, name: str, address: str, password: str = PASSWORD) -> httpx.Response:
        """Create an account with an email address that is not verified yet."""
        self.get("/signup")
        return self.send("/signup", name=name, address=address, password=password)

    def _remember(self, response: httpx.Response) -> httpx.Response:
        self.shown = response.text
        return response
