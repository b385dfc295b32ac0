"""
Commands of Seaway in forks of a process that has loaded all modules: real processes, without 3 s of imports each.

The process receives requests on a socket: one message of JSON with the descriptors of the three standard streams and of
a pipe, to which it writes the pid and then the exit code.
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
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_MAX_REQUEST_BYTES = 200_000  # a request contains the whole environment
_PRELOADED = (
    "seaway.cli.main",
    "seaway.api.v1.app",
    "seaway.logs",
    "seaway.maintenance.check",
    "seaway.server.app",
    "seaway.server.http_protocol",
    "seaway.server.http_server",
    "seaway.server.listen_addresses",
    "seaway.server.metrics_server",
    "seaway.server.worker_metrics",
    "httpx",
    "rich.progress",
    "rich.table",
    "typer._adapters",
)


class Forked:
    """A running command, used as a `subprocess.Popen` whose output is read as text."""

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
    """Start `seaway` with these arguments in a folder; both output streams are its `stdout`."""
    output, output_end = os.pipe()
    with Path(os.devnull).open() as stdin, os.fdopen(output_end, "w") as stdout:
        status = _fork(arguments, folder, environment, (stdin, stdout, stdout), quick_exit=False)
    return Forked(os.fdopen(output), status)


def run(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    """Run `seaway` with these arguments in a folder."""
    with ExitStack() as stack:
        streams = [stack.enter_context(TemporaryFile("w+")) for _ in range(3)]
        streams[0].write(stdin)
        streams[0].seek(0)
        with _fork(arguments, folder, environment, streams, quick_exit=True) as status:
            _, code = status
        for stream in streams:
            stream.seek(0)
        return subprocess.CompletedProcess(arguments, int(code), streams[1].read(), streams[2].read())


def _fork(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    streams: Sequence[IO[str]],
    *,
    quick_exit: bool,
) -> IO[str]:
    status, status_end = os.pipe()
    os.umask(mask := os.umask(0))
    request = {
        "arguments": arguments, "folder": str(folder), "environment": dict(environment), "umask": mask,
        "quick_exit": quick_exit,
    }  # fmt: skip
    descriptors = [*(stream.fileno() for stream in streams), status_end]
    socket.send_fds(_requests(), [json.dumps(request).encode()], descriptors)
    os.close(status_end)
    return os.fdopen(status)


@functools.cache
def _requests() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen([sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, process: subprocess.Popen[bytes]) -> None:
    requests.close()
    process.wait(60)


def main() -> None:
    """Fork for each request until the socket is closed, and run the command in the fork."""
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # share the loaded objects with the forks: a garbage collection would write to them, and so copy them
    requests = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no exit code of a waiting process is read
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _MAX_REQUEST_BYTES, 4)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            *streams, status = descriptors
            _fork_and_wait(streams, status)
            _run(json.loads(message), streams)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_and_wait(streams: Sequence[int], status: int) -> None:
    """Return in a fork; in this process, report how the fork ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        return
    for stream in streams:
        os.close(stream)
    with os.fdopen(status, "w") as pipe:
        print(pid, file=pipe, flush=True)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), file=pipe)
    os._exit(0)


def _run(request: dict, streams: Sequence[int]) -> None:
    from seaway.cli.main import run

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # The old objects may be seekable.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["seaway", *request["arguments"]]
    try:
        run()
    except SystemExit as end:
        if not request["quick_exit"] or not isinstance(end.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)  # the exit of the interpreter takes as long as most commands, because it frees everything


if __name__ == "__main__":
    main()
