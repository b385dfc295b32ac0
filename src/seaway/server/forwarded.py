"""
Client addresses of requests that come through a proxy.

1. Headers that name the client are trusted only from a peer in `trusted_proxies`, since anyone can send them.
2. From other peers they are ignored, and the first time is logged: behind a proxy that is not configured, all clients
   share one IP address and its limit on wrong passwords.
3. A peer with an IPv4-mapped IPv6 address gets its IPv4 address, as `trusted_proxies` names it.
"""

from collections.abc import Sequence

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

log = structlog.get_logger()

_MAPPED = "::ffff:"
_HEADERS = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip", b"forwarded"})


class ForwardedHeaders:
    """Middleware that sets the IP address of the client instead of the proxy."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        middleware = ProxyHeadersMiddleware(app, trusted_hosts=list(trusted))  # type: ignore[arg-type]
        self._trusted = middleware.trusted_hosts
        self._app: ASGIApp = middleware if trusted else app  # type: ignore[assignment]
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client and client[0].startswith(_MAPPED):
            scope["client"] = (client[0].removeprefix(_MAPPED), client[1])
        if not self._has_warned and scope["type"] == "http":
            self._warn_if_ignored(scope)
        await self._app(scope, receive, send)

    def _warn_if_ignored(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope.get("client") else ""
        if peer in self._trusted or _HEADERS.isdisjoint(name for name, _ in scope["headers"]):
            return
        self._has_warned = True
        log.warning(
            "forwarded_headers.ignored",
            peer=peer,
            hint="If this is your proxy, add it to trusted_proxies (SEAWAY_TRUSTED_PROXIES). Until then, all of its "
            "clients share one IP address and its rate limits.",
        )
