"""`seaway serve` and `seaway work`: run the server, or only background jobs."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.context import options, require_data

if TYPE_CHECKING:
    from seaway.server.prometheus_metrics import Metrics
    from seaway.server.stop_signal import StopSignal
    from seaway.server.wiring import Seaway
    from seaway.server.workers import WorkerObserver
    from seaway.settings import Settings


_LISTEN_HINT = (
    "Set another address or port with --host and --port (SEAWAY_HOST, SEAWAY_PORT), or stop what listens there."
)
_METRICS_HINT = (
    "Set another address or port with SEAWAY_METRICS_HOST and SEAWAY_METRICS_PORT, or stop what listens there."
)
_NO_PUBLIC_URL = (
    "Set public_url (SEAWAY_PUBLIC_URL) to the URL that users type: emails, attestations and trusted publishing "
    "need it."
)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of server processes.")] = None,
) -> None:
    """Start the server. The first start creates everything it needs in the data folder."""
    from seaway.server.stop_signal import StopSignal

    stop = StopSignal()
    signal.signal(signal.SIGTERM, stop)
    settings = options(context).settings(
        host=host, port=port, workers=workers, **({} if data is None else {"data": data})
    )

    from seaway import logs
    from seaway.server import allocator, listen_addresses, wiring

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    metrics = _metrics(settings) if settings.workers == 1 else None
    # Bound before anything is created, since the URL of the site may depend on which port was free. Clients cannot
    # connect before `listening.listen`.
    sockets = listen_addresses.bind(settings.host, settings.port, _LISTEN_HINT)
    settings = settings.model_copy(update={"port": sockets[0].getsockname()[1]})
    seaway = wiring.build(settings, counts=metrics)
    try:
        _claim_store(seaway)
        listen_addresses.listen(sockets, _LISTEN_HINT)
        listen_addresses.save_address(settings)
        scrapes = _listen_for_scrapes(settings)
        _welcome(seaway, scrapes)
        if settings.workers == 1:
            with _process_metrics(seaway, metrics, scrapes):
                _run(seaway, sockets, stop)
            return
    finally:
        seaway.close()
    from seaway.server import workers as processes

    stop.only_record()
    with _worker_metrics(settings, scrapes) as watch:
        processes.run(settings, sockets, _serve_in_worker, watch, stop)


def work(context: typer.Context) -> None:
    """Run background jobs without serving, until stopped. For sites whose servers have `jobs = false`."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    from seaway import logs
    from seaway.server import allocator, listen_addresses, wiring

    settings = listen_addresses.with_saved_address(options(context).settings())
    if not settings.database_url.get_secret_value():  # with PostgreSQL, `work` may be the only process on its machine
        require_data(settings)

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    seaway = wiring.build(settings)
    try:
        _claim_store(seaway)
        seaway.runner.start()
        print("Seaway is running background jobs.", flush=True)
        stopping.wait()
    finally:
        seaway.close()


def _claim_store(seaway: Seaway) -> None:
    """Raise the pairing counter, so that older copies of the database are detected; skip it for an unavailable store."""
    from seaway.errors import Unavailable

    with suppress(Unavailable, OSError):  # also on a read-only or failing disk: reads must still be served
        seaway.pairing.raise_counter()


def _serve_in_worker(settings: Settings, sockets: Sequence[socket.socket], stop: StopSignal) -> None:
    from seaway import logs
    from seaway.server import allocator, wiring

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    seaway = wiring.build(settings, counts=_metrics(settings))
    try:
        _run(seaway, sockets, stop)
    finally:
        seaway.close()


def _metrics(settings: Settings) -> Metrics | None:
    """Return the metrics of this process, or None if they are off; their library is loaded only if they are on."""
    if settings.metrics_port is None:
        return None
    if settings.workers == 1:
        # Inherited from another program, it would send our counts to the folder of that program.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        os.environ.pop("prometheus_multiproc_dir", None)
    from seaway.server.prometheus_metrics import Metrics

    return Metrics()


@contextmanager
def _process_metrics(seaway: Seaway, metrics: Metrics | None, scrapes: Sequence[socket.socket]) -> Iterator[None]:
    """Expose the metrics of this process, if they are on."""
    if metrics is None or not scrapes:
        yield
        return
    from seaway.server import metrics_server

    site = seaway.site
    with metrics_server.serve_process_metrics(scrapes, metrics, site.database, site.clock, seaway.settings):
        yield


@contextmanager
def _worker_metrics(settings: Settings, scrapes: Sequence[socket.socket]) -> Iterator[WorkerObserver]:
    """Expose the metrics of the workers, if they are on; set up before the first worker starts."""
    from seaway.server.workers import WorkerObserver

    if not scrapes:
        yield WorkerObserver()
        return
    from seaway.clock import SystemClock
    from seaway.server import metrics_server, wiring
    from seaway.server.worker_metrics import WorkerMetrics

    with ExitStack() as stack:
        shared = stack.enter_context(closing(WorkerMetrics()))
        database = stack.enter_context(closing(wiring.open_database(settings)))
        stack.enter_context(metrics_server.serve_worker_metrics(scrapes, shared, database, SystemClock(), settings))
        yield shared


def _listen_for_scrapes(settings: Settings) -> list[socket.socket]:
    if settings.metrics_port is None:
        return []
    from seaway.server import listen_addresses

    sockets = listen_addresses.bind(settings.metrics_host, settings.metrics_port, _METRICS_HINT)
    listen_addresses.listen(sockets, _METRICS_HINT)
    return sockets


def _run(seaway: Seaway, sockets: Sequence[socket.socket], stop: StopSignal) -> None:
    from seaway.server import http_server
    from seaway.server.app import create_app

    http_server.run(create_app(seaway, on_started=stop.only_record), sockets, seaway.settings)


def _welcome(seaway: Seaway, scrapes: Sequence[socket.socket]) -> None:
    import structlog

    from seaway import __version__
    from seaway.sign_in import first_account

    settings = seaway.settings
    other_addresses = " and the other addresses of this machine" if settings.listens_on_all_addresses else ""
    print(f"Seaway {__version__} listens on {settings.model_copy(update={'public_url': ''}).site_url}{other_addresses}")
    if settings.public_url:
        print(f"Users reach it at {settings.public_url}")
    elif not settings.is_loopback:
        structlog.get_logger().warning("site.no_public_url", links_name=settings.site_url, hint=_NO_PUBLIC_URL)
    print(f"Data is stored in {_locations(settings)}")
    if scrapes:
        host, port = scrapes[0].getsockname()[:2]
        print(f"Prometheus metrics are at http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
    link = first_account.create_link(seaway.site)
    if link is not None:
        command = _command(settings)
        print(f"Create the first account in a browser with this single-use link:\n  {link}")
        print("Or create it with a channel and a key by pasting this into a second terminal here:")
        print(
            f"  {command} user add me && {command} channel add my-channel --owner me --public && {command} key add me laptop"
        )
    print(end="", flush=True)


def _command(settings: Settings) -> str:
    """Return the command that opens the same store from the same folder."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        command = "uv run --no-dev seaway"
    elif "UV" in os.environ:  # uvx, whose environment is on the path of this process only
        command = f"'{Path(sys.argv[0]).absolute()}'"
    else:
        command = "seaway"
    return command if settings.data == Path("data") else f"{command} --data '{settings.data}'"


def _locations(settings: Settings) -> str:
    """Return where the state is stored, without secrets."""
    shown = settings.without_secrets()
    locations = [str(settings.data.resolve()), shown["database_url"], shown["storage_url"]]
    return ", ".join(place for place in locations if place)
