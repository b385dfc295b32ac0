"""`seaway serve`: the whole house in one process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seaway.errors import SeawayError
    from seaway.server.metrics import Metrics
    from seaway.server.stops import Stop
    from seaway.server.wiring import Seaway
    from seaway.server.workers import Watch
    from seaway.settings import Settings


_BACKLOG = 2048


_LISTEN_HINT = (
    "Set another address or port with --host and --port (SEAWAY_HOST, SEAWAY_PORT), or stop what listens there."
)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes serve.")] = None,
) -> None:
    """Serve channels; everything it needs is made in the data folder at the first start."""
    from seaway.server.stops import Stop

    stop = Stop()
    signal.signal(signal.SIGTERM, stop)
    settings = context.obj.settings(host=host, port=port, workers=workers, **({} if data is None else {"data": data}))

    from seaway import logs
    from seaway.server import allocator, wiring

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    metrics = _metrics(settings) if settings.workers == 1 else None
    # Bound before anything is made, since the address of the site may depend on which port was free; but nobody can
    # connect before all is ready.
    listener = _bound(settings.host, settings.port, _LISTEN_HINT)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    seaway = wiring.build(settings, counts=metrics)
    try:
        _claim_store(seaway)
        _open(listener, _LISTEN_HINT)
        scrapes = _listen_for_scrapes(settings)
        _welcome(seaway, scrapes)
        if settings.workers == 1:
            with _scraped(seaway, metrics, scrapes):
                _run(seaway, listener, stop)
            return
    finally:
        seaway.close()
    from seaway.server import workers as processes

    stop.begun()
    with _watched(settings, scrapes) as watch:
        processes.run(settings, listener, _serve_in_worker, watch, stop)


def work(context: typer.Context) -> None:
    """Do background jobs without serving, until stopped; for `jobs = false` in those that serve."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = context.obj.settings()

    from seaway import logs
    from seaway.server import allocator, wiring

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    seaway = wiring.build(settings)
    try:
        _claim_store(seaway)
        seaway.runner.start()
        print("Seaway does background jobs.", flush=True)
        stopping.wait()
    finally:
        seaway.close()


def _claim_store(seaway: Seaway) -> None:
    """Leave older copies of the database behind; a store that is away is asked when it is back."""
    from seaway.errors import Unavailable

    with suppress(Unavailable, OSError):  # a read-only or failing disk too: readers are served
        seaway.pairing.raise_counter()


def _serve_in_worker(settings: Settings, listener: socket.socket, stop: Stop) -> None:
    from seaway import logs
    from seaway.server import allocator, wiring

    allocator.limit_heaps()
    logs.set_up(settings.log_format, settings.log_level)
    seaway = wiring.build(settings, counts=_metrics(settings))
    try:
        _run(seaway, listener, stop)
    finally:
        seaway.close()


def _metrics(settings: Settings) -> Metrics | None:
    """What counts in this process; nothing is loaded for it unless somebody wants to see it."""
    if settings.metrics_port is None:
        return None
    if settings.workers == 1:
        # Left by somebody else, it would send our counts to a folder of theirs.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        os.environ.pop("prometheus_multiproc_dir", None)
    from seaway.server.metrics import Metrics

    return Metrics()


@contextmanager
def _scraped(seaway: Seaway, metrics: Metrics | None, scrapes: socket.socket | None) -> Iterator[None]:
    """Let Prometheus see this process, if it is to."""
    if metrics is None or scrapes is None:
        yield
        return
    from seaway.server import scraping

    with scraping.of_this_process(scrapes, metrics, seaway.database, seaway.clock, seaway.settings):
        yield


@contextmanager
def _watched(settings: Settings, scrapes: socket.socket | None) -> Iterator[Watch]:
    """Let Prometheus see the workers, if it is to; what they need for it is there before the first one starts."""
    from seaway.server.workers import Watch

    if scrapes is None:
        yield Watch()
        return
    from seaway.clock import SystemClock
    from seaway.server import scraping, wiring
    from seaway.server.shared_counts import SharedCounts

    with ExitStack() as stack:
        shared = stack.enter_context(closing(SharedCounts()))
        database = stack.enter_context(closing(wiring.open_database(settings)))
        stack.enter_context(scraping.of_workers(scrapes, shared, database, SystemClock(), settings))
        yield shared


def _listen_for_scrapes(settings: Settings) -> socket.socket | None:
    if settings.metrics_port is None:
        return None
    return _listen(
        settings.metrics_host,
        settings.metrics_port,
        "Set another address or port with SEAWAY_METRICS_HOST and SEAWAY_METRICS_PORT, or stop what listens there.",
    )


def _listen(host: str, port: int, hint: str) -> socket.socket:
    listener = _bound(host, port, hint)
    _open(listener, hint)
    return listener


def _bound(host: str, port: int, hint: str) -> socket.socket:
    """A socket that has the address, at which nobody is answered yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error, hint) from None
    return listener


def _open(listener: socket.socket, hint: str) -> None:
    try:
        listener.listen(_BACKLOG)  # who connects as soon as the address is printed waits instead of being refused
    except OSError as error:
        host, port = listener.getsockname()[:2]
        listener.close()
        raise _cannot_listen(host, port, error, hint) from None


def _cannot_listen(host: str, port: int, error: OSError, hint: str) -> SeawayError:
    from seaway.errors import BadSetting

    return BadSetting(f"Cannot listen on {host} port {port}: {error.strerror}.", hint)


def _run(seaway: Seaway, listener: socket.socket, stop: Stop) -> None:
    from seaway.server import http_server
    from seaway.server.app import create_app

    http_server.run(create_app(seaway, begun=stop.begun), listener, seaway.settings)


def _welcome(seaway: Seaway, scrapes: socket.socket | None) -> None:
    from seaway import __version__
    from seaway.accounts import first_account

    settings = seaway.settings
    print(f"Seaway {__version__} listens on {settings.model_copy(update={'public_url': ''}).site_url}")
    if settings.public_url:
        print(f"Users reach it at {settings.public_url}")
    print(f"Its data lies in {_places(settings)}")
    if scrapes is not None:
        host, port = scrapes.getsockname()[:2]
        print(f"Its metrics are at http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
    link = first_account.offer(seaway.database, seaway.clock.now_ms(), settings.site_url)
    if link is not None:
        command = _own_command(settings)
        print(f"Make the first account in a browser, by this link, which is good once:\n  {link}")
        print("Or make it with a channel and a key, by pasting this into a second terminal here:")
        print(
            f"  {command} user add me && {command} channel add my-channel --owner me --public && {command} key add me laptop"
        )
    print(end="", flush=True)


def _own_command(settings: Settings) -> str:
    """The command that reaches this very store from the same folder."""
    command = "uv run --no-dev seaway" if "UV" in os.environ else "seaway"
    return command if settings.data == Path("data") else f"{command} --data '{settings.data}'"


def _places(settings: Settings) -> str:
    """Where the state is, without secrets."""
    shown = settings.shown()
    places = [str(settings.data.resolve()), shown["database_url"], shown["storage_url"]]
    return ", ".join(place for place in places if place)
