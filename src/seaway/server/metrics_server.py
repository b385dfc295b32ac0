"""Prometheus endpoint `/metrics`: on a separate port, never on the public one, and served by separate threads."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.server.gauges import BuildInfo, DatabaseGauges, ProcessGauges
from seaway.server.prometheus_metrics import Metrics
from seaway.server.worker_metrics import WorkerMetrics
from seaway.settings import Settings

log = structlog.get_logger()

PATH = "/metrics"
_SLOW_SECONDS = 10


@contextmanager
def serve_process_metrics(
    sockets: Sequence[socket.socket], metrics: Metrics, database: Database, clock: Clock, settings: Settings
) -> Iterator[None]:
    """Serve the metrics of the single serving process at `sockets`."""
    registry = metrics.registry
    registry.register(ProcessGauges(lambda: {"1": os.getpid()}))
    _register_common(registry, database, clock, settings)
    with serve(sockets, registry):
        yield


@contextmanager
def serve_worker_metrics(
    sockets: Sequence[socket.socket], shared: WorkerMetrics, database: Database, clock: Clock, settings: Settings
) -> Iterator[None]:
    """Serve the summed metrics of all workers at `sockets`."""
    registry = CollectorRegistry()
    registry.register(shared)
    registry.register(ProcessGauges(shared.pids))
    _register_common(registry, database, clock, settings)
    with serve(sockets, registry):
        yield


@contextmanager
def serve(sockets: Sequence[socket.socket], registry: CollectorRegistry) -> Iterator[None]:
    """Serve scrapes in background threads."""
    servers = [_Server(listener, registry) for listener in sockets]
    threads = [threading.Thread(target=server.serve_forever, name="metrics", daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _register_common(registry: CollectorRegistry, database: Database, clock: Clock, settings: Settings) -> None:
    registry.register(BuildInfo())
    registry.register(DatabaseGauges(database, clock, whole_document_limit=settings.whole_document_limit))


class _Server(ThreadingHTTPServer):
    """HTTP server on a listening socket, which was opened earlier so that a port in use is reported at startup."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, registry: CollectorRegistry) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.registry = registry

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("metrics.connection_failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SLOW_SECONDS
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self._respond(404, f"Not found. The metrics are at {PATH}.\n".encode())
            return
        try:
            content = generate_latest(self.server.registry)
        except Exception:  # any failure must be visible to Prometheus
            log.exception("metrics.failed")
            self._respond(500, b"The metrics could not be collected. See the log of the server.\n")
        else:
            self._respond(200, content, CONTENT_TYPE_PLAIN_0_0_4)

    def version_string(self) -> str:
        return "seaway"

    def log_message(self, format: str, *args: object) -> None:
        """Do not log scrapes."""

    def _respond(self, status: int, content: bytes, media_type: str = "text/plain; charset=utf-8") -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
