"""
Refusals of uploads to a wrong URL: with a base path or the channel in `--url`, or in another server's protocol.

The status is 404, which clients show at once; for other statuses, rattler sends the whole file three more times.
"""

import re
from typing import NoReturn

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Scope

from seaway.errors import NotFound
from seaway.http.site_url import site_url_of

# Method, path, and the servers that use this protocol; None for Seaway's protocol at a wrong path.
_UPLOADS = (
    ("POST", re.compile(r"/.*/api/v1/upload/.*", re.DOTALL), None),
    ("POST", re.compile(r"(?:/.*)?/api/channels/[^/]*/(?:upload/[^/]*|files/?)", re.DOTALL), "Quetz"),
    ("POST", re.compile(r"(?:/v1)?/upload/.*", re.DOTALL), None),
    ("POST", re.compile(r"/v1/packages(?:/.*)?", re.DOTALL), "another server"),
    ("POST", re.compile(r"/api/packages/[^/]+/conda(?:/.*)?", re.DOTALL), "Gitea"),
    ("PUT", re.compile(r"(?!/api/v1/)(?:/[^/]+){2,}\.(?:conda|tar\.bz2)"), "Artifactory, Gitea or Nexus"),
    *((method, re.compile(r"/(?:package|release|stage|dist)/.+"), "anaconda.org") for method in ("POST", "PATCH")),
)


class MisplacedUploads(Route):
    """Route placed before all others; matches only uploads that no other route handles."""

    def __init__(self) -> None:
        super().__init__("/{path:path}", _refuse, methods=["POST", "PUT", "PATCH"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match an upload to a wrong URL."""
        if scope["type"] == "http" and _protocol_of(scope["method"], scope["path"]) is not None:
            return Match.FULL, {"endpoint": self.endpoint, "path_params": {}}
        return Match.NONE, {}


async def _refuse(request: Request) -> NoReturn:
    protocol = _protocol_of(request.method, request.url.path)
    message = (
        f"This server does not offer the upload protocol of {protocol}."
        if protocol
        else "Files cannot be uploaded to this URL."
    )
    raise NotFound(message, f"Upload with `pixi upload prefix --url {site_url_of(request)} --channel NAME FILE`.")


def _protocol_of(method: str, path: str) -> str | None:
    """Return the servers whose protocol a misplaced upload uses, "" for Seaway's; None for other requests."""
    return next(
        (servers or "" for verb, pattern, servers in _UPLOADS if verb == method and pattern.fullmatch(path)), None
    )
