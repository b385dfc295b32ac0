"""A real `seaway serve` in a separate process."""

import functools
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support import forks, state

_START_SECONDS = 60

tls = functools.cache(httpx.create_ssl_context)  # for `verify`: otherwise each client creates one, in 17 ms


def variables() -> dict[str, str]:
    """Return the environment of this process, with only the usual settings of the test servers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEAWAY_")}
    for name in ("UV", "UV_RUN_RECURSION_DEPTH"):  # the command that the server prints would begin with `uv run`
        environment.pop(name, None)
    # Requests are counted as usual, but some tests send thousands of files with one key from one IP address.
    limits = {"SEAWAY_UPLOADS_PER_HOUR": "1000000", "SEAWAY_SEARCHES_PER_MINUTE": "1000000"}
    # The reserves of hundreds of test folders would take gigabytes.
    return environment | limits | {"SEAWAY_DISK_RESERVE": "0"}


@dataclass
class Server:
    """A running server; a test can open its store at the same time."""

    process: forks.Forked
    address: str
    folder: Path
    log: list[str]
    _reader: threading.Thread

    def client(self, key: str | None = None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60, verify=tls())

    def stop(self) -> int:
        """Stop the server with SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait(60)
        self._reader.join(10)


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    """Run a server on `folder`/data and a free port; settings are named like `SEAWAY_*`, in lower case."""
    server = start(folder, **settings)
    try:
        yield server
    finally:
        server.kill()


def start(folder: Path, **settings: object) -> Server:
    """Start a server and wait until it prints its URL and responds there."""
    environment = variables() | state.variables(folder)
    environment |= {f"SEAWAY_{key.upper()}": str(value) for key, value in settings.items()}
    environment |= {"SEAWAY_DATA": str(folder / "data"), "SEAWAY_PORT": environment.get("SEAWAY_PORT", "0")}
    process = forks.start(["serve"], folder=folder, environment=environment)
    log: list[str] = []
    listening = threading.Event()
    reader = threading.Thread(target=_read_log, args=(process, log, listening), daemon=True)
    reader.start()
    if not listening.wait(_START_SECONDS):
        process.kill()
        raise AssertionError("the server did not start:\n" + "".join(log))
    match = re.search(r"listens on (http://\S+)", "".join(log))
    if match is None:
        raise AssertionError("the server stopped during its start:\n" + "".join(log))
    server = Server(process, match[1], folder, log, reader)
    with server.client() as client:
        assert client.get("/").status_code == 200
    return server


def _read_log(process: forks.Forked, log: list[str], listening: threading.Event) -> None:
    with process.stdout:
        for line in process.stdout:
            log.append(line)
            if "listens on" in line:
                listening.set()
    listening.set()
