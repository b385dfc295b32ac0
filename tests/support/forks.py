"""
Programs of Seaway as forks of a process that has imported everything: as real as from a shell, without 3 s of imports.

The process gets orders on a socket: one message of JSON with the descriptors of standard output and of a pipe, to
which it writes the pid and then the exit code.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_MOST_BYTES = 200_000  # of an order, which has the whole environment
_PRELOADED = (
    "seaway.cli.main",
    "seaway.logs",
    "seaway.server.app",
    "seaway.server.http_protocol",
    "seaway.server.http_server",
    "seaway.server.listen_addresses",
    "seaway.server.metrics_server",
    "seaway.server.worker_metrics",
)


class Forked:
    """A running program, used as a `subprocess.Popen` whose output is read as text."""

    def __init__(self, stdout: IO[str], status: IO[str]) -> None:
        self.stdout = stdout
        self._status = status
        self.pid = int(status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("seaway", timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Forked:
    """Start `seaway` with these arguments in a folder; what it prints on both streams is its `stdout`."""
    output, output_end = os.pipe()
    status, status_end = os.pipe()
    os.umask(mask := os.umask(0))
    order = {"arguments": arguments, "folder": str(folder), "environment": dict(environment), "umask": mask}
    socket.send_fds(_orders(), [json.dumps(order).encode()], [output_end, status_end])
    os.close(output_end)
    os.close(status_end)
    return Forked(os.fdopen(output), os.fdopen(status))


@functools.cache
def _orders() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen([sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    atexit.register(_end, ours, process)
    return ours


def _end(orders: socket.socket, process: subprocess.Popen[bytes]) -> None:
    orders.close()
    process.wait(60)


def main() -> None:
    """Fork for each order until the socket is closed, and be the program in the fork."""
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # what is loaded is shared with the forks, not looked through and so copied by each
    orders = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _MOST_BYTES, 2)
        if not message:
            return
        if os.fork() == 0:
            orders.close()
            if _waited(*descriptors):
                return
            _run(json.loads(message), descriptors[0])
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _waited(output: int, status: int) -> bool:
    """Fork the program and tell how it ends; False in the program itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        return False
    os.close(output)
    with os.fdopen(status, "w") as pipe:
        print(pid, file=pipe, flush=True)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), file=pipe)
    return True


def _run(order: dict, output: int) -> None:
    from seaway.cli.main import run

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout = os.fdopen(1, "w", closefd=False)  # the old ones may be seekable
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    os.umask(order["umask"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["seaway", *order["arguments"]]
    run()


if __name__ == "__main__":
    main()
