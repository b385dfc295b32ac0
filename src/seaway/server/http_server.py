"""
HTTP server between the listening sockets and the application: uvicorn.

1. A stop can be requested at any moment and is graceful, also while the application starts.
2. After a stop, no connections are accepted; requests in progress get `stop_seconds` to finish and are then aborted.
3. If a response fails after its head was sent, the connection is cut, so that a partial body is not taken as complete.

Limits on requests: `http_protocol.py`. Why uvicorn: `docs/decisions/http-server.md`.
"""

import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from seaway.server.forwarded import ForwardedHeaders
from seaway.server.http_protocol import BoundedHttpProtocol
from seaway.settings import Settings


def run(app: ASGIApp, sockets: Sequence[socket.socket], settings: Settings) -> None:
    """Serve the application on listening sockets until SIGTERM or SIGINT."""
    trusted = settings.trusted_proxies.replace(",", " ").split()
    config = uvicorn.Config(
        ForwardedHeaders(app, trusted),
        http=BoundedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,  # our own log masks keys in paths
        server_header=False,
        proxy_headers=False,  # `ForwardedHeaders` reads them
        timeout_graceful_shutdown=settings.stop_seconds,
        lifespan="on",
    )
    uvicorn.Server(config).run(sockets=list(sockets))
