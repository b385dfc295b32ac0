"""Servers in separate processes: Seaway in its default configuration, and the servers it is compared with."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import http_client
from bench.folders import scratch
from bench.http_client import Address
from tests.support.postgres import Postgres, free_ports
from tests.support.s3 import S3Server

ROOT = Path(__file__).parents[1]

SQLITE_FOLDER = "sqlite-folder"
POSTGRES_S3 = "postgres-s3"
STATES = (SQLITE_FOLDER, POSTGRES_S3)

_START_SECONDS = 120
_STOP_SECONDS = 60
_LISTENS = re.compile(r"listens on http://([\d.]+):(\d+)")


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    pid: int
    address: Address

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used by the server and its child processes."""
        return cpu_seconds(self.pid)

    def rss(self) -> int:
        """Return the resident memory of the server in bytes, without its child processes."""
        memory: int = psutil.Process(self.pid).memory_info().rss
        return memory


@contextmanager
def seaway(folder: Path, *, cpus: Sequence[int] | None = None, **settings: object) -> Iterator[Running]:
    """Run `seaway serve` on the instance in `folder` with default settings, except those given; it logs to a file."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SEAWAY_")}
    variables = {"data": folder / "data", "port": 0, **settings}
    environment["SEAWAY_UPLOADS_PER_HOUR"] = "1000000000"  # uploads are counted as usual but never limited
    environment |= {f"SEAWAY_{name.upper()}": str(value) for name, value in variables.items()}
    command = [sys.executable, "-m", "seaway", "serve"]
    with _process(command, folder, environment, cpus) as (process, log):
        address = _announced(process, log)
        _await(process, log, lambda: _responds(address, "/health/live"))
        yield Running(process.pid, address)


@contextmanager
def module(name: str, *arguments: object, cpus: Sequence[int] | None = None) -> Iterator[Running]:
    """Run a Python module that prints the address it listens on."""
    command = [sys.executable, "-m", name, *map(str, arguments)]
    with _scratch_log() as folder, _process(command, folder, dict(os.environ), cpus, cwd=ROOT) as (process, log):
        yield Running(process.pid, _announced(process, log))


@contextmanager
def nginx(files: Path, *, cpus: Sequence[int] | None = None) -> Iterator[Running | None]:
    """Run nginx with one worker on the files of a folder; yield None if nginx is not installed."""
    program = shutil.which("nginx")
    if program is None:
        yield None
        return
    with _scratch_log() as folder:
        (port,) = free_ports(1)
        config = folder / "nginx.conf"
        config.write_text(_nginx_config(folder, files, port), encoding="utf-8")
        command = [program, "-e", str(folder / "error.log"), "-c", str(config), "-p", str(folder)]
        with _process(command, folder, dict(os.environ), cpus) as (process, log):
            address = ("127.0.0.1", port)
            _await(process, log, lambda: _responds(address, "/"))
            yield Running(process.pid, address)


@contextmanager
def new_state(name: str) -> Iterator[dict[str, Any]]:
    """Yield the settings of a new database and store: none for SQLite and a folder, or durable PostgreSQL and S3."""
    if name == SQLITE_FOLDER:
        yield {}
        return
    with Postgres(durable=True) as postgres, S3Server() as s3:
        yield {
            "database_url": postgres.new_database(),
            "storage_url": f"s3://{s3.new_bucket()}",
            "s3_endpoint": s3.endpoint,
            "s3_region": s3.region,
            "s3_access_key": s3.access_key,
            "s3_secret_key": s3.secret_key,
        }


def cpu_seconds(*pids: int) -> float:
    """Return the CPU seconds used by these processes and their child processes."""
    total = 0.0
    for pid in pids:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        reaped = parent.cpu_times()
        total += reaped.children_user + reaped.children_system
    return total


def children_named(name: str) -> list[int]:
    """Return the ids of this process's children whose name starts with `name`."""
    return [child.pid for child in psutil.Process().children() if child.name().startswith(name)]


@contextmanager
def _process(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    cpus: Sequence[int] | None,
    *,
    cwd: Path | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / "log"
    with log.open("wb") as output, pinned_to(cpus):
        # A file, not a pipe: reading a pipe would take CPU time from the measured server.
        process = subprocess.Popen(
            command, cwd=cwd or folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def pinned_to(cpus: Sequence[int] | None) -> Iterator[None]:
    """Pin this process, and processes started in the block, to these CPUs."""
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _scratch_log() -> Iterator[Path]:
    with scratch(None) as folder:
        folder.chmod(0o755)
        yield folder


def _announced(process: subprocess.Popen[bytes], log: Path) -> Address:
    def search() -> re.Match[str] | None:
        return _LISTENS.search(log.read_text(errors="replace"))

    _await(process, log, lambda: search() is not None)
    match = search()
    assert match is not None
    return match[1], int(match[2])


def _responds(address: Address, path: str) -> bool:
    try:
        with http_client.Connection(address) as connection:
            return connection.exchange(http_client.get(path)).status < 500
    except ConnectionError:
        return False


def _await(process: subprocess.Popen[bytes], log: Path, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not start:\n" + log.read_text(errors="replace"))
        time.sleep(0.02)


def _nginx_config(folder: Path, files: Path, port: int) -> str:
    # Started by root, nginx would run its worker as a user who cannot read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "".join(
        f"    {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
{paths}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {files};
    }}
}}
"""
