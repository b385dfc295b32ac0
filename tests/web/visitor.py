"""A browser without a screen: it keeps cookies, says what browsers say, and sends the forms of the pages that it got."""

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


class Visitor:
    """Somebody with a browser of their own, in front of a house in this process."""

    def __init__(self, seaway: Seaway, portal: BlockingPortal, address: str) -> None:
        self.seaway, self.address = seaway, address
        self._portal = portal
        transport = httpx.ASGITransport(create_app(seaway), raise_app_exceptions=False, client=(address, 50_000))
        self._http = httpx.AsyncClient(
            transport=transport, base_url=SITE, headers={"Accept": "text/html", "User-Agent": "Firefox"}
        )
        self.cookies = self._http.cookies
        self.shown = ""

    def another(self) -> "Visitor":
        """Another browser at the same place."""
        return Visitor(self.seaway, self._portal, self.address)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request."""
        return self._portal.call(partial(self._http.request, method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Open a page."""
        return self._seen(self.ask("GET", path, **options))

    def send(self, path: str, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Send a form of the page that was opened last, with its token."""
        data = {"csrf_token": self.token} | fields
        said = {"Sec-Fetch-Site": "same-origin", "Origin": SITE} | (headers or {})
        return self._seen(self.ask("POST", path, data=data, headers=said))

    def send_file(self, path: str, file_field: str, content: bytes, **fields: Any) -> httpx.Response:
        """The same with a file in it."""
        said = {"Sec-Fetch-Site": "same-origin", "Origin": SITE}
        files = {file_field: ("picture", content, "application/octet-stream")}
        data = {"csrf_token": self.token} | fields
        return self._seen(self.ask("POST", path, data=data, files=files, headers=said))

    @property
    def token(self) -> str:
        """The token of the page that was opened last."""
        found = _FIELD.search(self.shown)
        return found[1] if found else ""

    def hidden(self, name: str) -> str:
        """A hidden field of it."""
        return unescape(dict(_HIDDEN.findall(self.shown))[name])

    @property
    def session(self) -> str | None:
        """The cookie that signs in."""
        return self.cookies.get("__Host-seaway_session")

    def bring(self, secret: str | None) -> None:
        """Take a cookie for a session from elsewhere."""
        self.cookies.set("__Host-seaway_session", secret or "", domain="conda.example.com", path="/")

    def sign_in(self, login: str, password: str = PASSWORD) -> httpx.Response:
        """By name and password."""
        self.get("/signin")
        return self.send("/signin", login=login, password=password)

    def sign_up(self, name: str, address: str, password: str = PASSWORD) -> httpx.Response:
        """With an address that is still to be verified."""
        self.get("/signup")
        return self.send("/signup", name=name, address=address, password=password)

    def _seen(self, answer: httpx.Response) -> httpx.Response:
        self.shown = answer.text
        return answer
