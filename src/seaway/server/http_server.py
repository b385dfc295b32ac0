"""
What stands between the listening socket and the application: uvicorn.

1. A stop that is asked for at any moment is orderly, also while the application starts.
2. After it nothing new is taken, what is in flight is finished within `stop_seconds`, and the rest is given up.
3. An answer that breaks off after its head cuts the connection, so that nobody takes half for all.

What a client may send it: `http_protocol.py`. Why uvicorn: `docs/decisions/http-server.md`.
"""

import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from seaway.server.forwarded import ForwardedHeaders
from seaway.server.http_protocol import BoundedHttpProtocol
from seaway.settings import Settings


def run(app: ASGIApp, sockets: Sequence[socket.socket], settings: Settings) -> None:
    """Serve the application on sockets that listen already, until SIGTERM or SIGINT."""
    trusted = settings.trusted_proxies.replace(",", " ").split()
    config = uvicorn.Config(
        ForwardedHeaders(app, trusted),
        http=BoundedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,  # ours masks keys in paths
        server_header=False,
        proxy_headers=False,  # `ForwardedHeaders` reads them
        timeout_graceful_shutdown=settings.stop_seconds,
        lifespan="on",
    )
    uvicorn.Server(config).run(sockets=list(sockets))
