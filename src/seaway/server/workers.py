"""
Worker processes that serve the same sockets.

1. The parent opens the sockets and handles no requests. It restarts a worker that dies, with a longer pause each time
   if the worker dies soon after its start, so that a broken setting does not cause a restart loop.
2. A stop of the parent stops every worker and waits for their requests in progress; new connections are refused
   meanwhile. If the parent is killed, its workers notice and stop.
3. Only the parent handles Ctrl-C, which a terminal sends to all of them.
"""

import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import structlog

from seaway.errors import SeawayError
from seaway.server import listen_addresses
from seaway.server.stop_signal import StopSignal
from seaway.settings import Settings

log = structlog.get_logger()

_MAX_PAUSE_SECONDS = 10.0
_YOUNG_SECONDS = 60.0  # a start can take long on a busy machine, and longer if it waits for an unreachable database
_KILL_AFTER_SECONDS = 15

_PAUSE_STEP_SECONDS = 0.1

Serve = Callable[[Settings, Sequence[socket.socket], StopSignal], None]


class WorkerObserver:
    """Observer of worker processes, for subclasses to override. Workers are numbered from 1."""

    def started(self, number: int, pid: int) -> None:
        """Worker `number` was started as this process."""

    def died(self, number: int, pid: int) -> None:
        """Worker `number` died; its replacement is about to start."""


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    process: BaseProcess
    started: float


def run(
    settings: Settings, sockets: Sequence[socket.socket], serve: Serve, watch: WorkerObserver, stop: StopSignal
) -> None:
    """Keep `settings.workers` processes serving until SIGTERM or SIGINT, including a signal received earlier."""
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, stop)
    _Parent(settings, sockets, serve, watch, stop).run()


class _Parent:
    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        serve: Serve,
        watch: WorkerObserver,
        stop: StopSignal,
    ) -> None:
        self._settings, self._sockets, self._serve, self._watch = settings, sockets, serve, watch
        self._stop = stop
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._pause_seconds = 0.0

    def run(self) -> None:
        for number in range(1, self._settings.workers + 1):
            self._start(number)
        while not self._stop.is_requested:
            multiprocessing.connection.wait([worker.process.sentinel for worker in self._workers], timeout=0.2)
            self._replace_dead()
        self._stop_all()

    def _start(self, number: int) -> None:
        process = self._spawn.Process(target=_work, args=(self._settings, self._sockets, self._serve))
        _start_without_sigint(process)
        self._workers.append(_Worker(number, process, time.monotonic()))
        self._watch.started(number, _pid(process))

    def _replace_dead(self) -> None:
        for worker in self._workers[:]:
            if worker.process.is_alive() or self._stop.is_requested:
                continue
            self._workers.remove(worker)
            log.error("worker.died", pid=worker.process.pid, exit_code=worker.process.exitcode)
            self._watch.died(worker.number, _pid(worker.process))
            is_young = time.monotonic() - worker.started < _YOUNG_SECONDS
            self._pause_seconds = min(self._pause_seconds * 2 + 0.5, _MAX_PAUSE_SECONDS) if is_young else 0.0
            self._pause()
            if not self._stop.is_requested:
                self._start(worker.number)

    def _pause(self) -> None:
        until = time.monotonic() + self._pause_seconds
        while time.monotonic() < until and not self._stop.is_requested:
            time.sleep(_PAUSE_STEP_SECONDS)

    def _stop_all(self) -> None:
        listen_addresses.close(self._sockets)  # otherwise connections would queue although no worker accepts them
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._settings.stop_seconds + _KILL_AFTER_SECONDS
        for worker in self._workers:
            worker.process.join(max(deadline - time.monotonic(), 0))
            if worker.process.is_alive():
                worker.process.kill()


def _pid(process: BaseProcess) -> int:
    assert process.pid is not None  # it was started
    return process.pid


def _start_without_sigint(process: BaseProcess) -> None:
    """Start a process that blocks SIGINT until it has set its handler."""
    multiprocessing.resource_tracker.ensure_running()  # otherwise the first start does this, and unblocks signals
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work(settings: Settings, sockets: Sequence[socket.socket], serve: Serve) -> None:
    """Run a worker process."""
    stop = StopSignal()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for listener in sockets:
        listener.set_inheritable(False)  # uvloop passes these on, and examiners would keep them open
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        serve(settings, sockets, stop)
    except SeawayError as error:
        log.error("worker.failed", error=error.full_message, cause=getattr(error, "cause", ""))
        raise SystemExit(1) from None
    except Exception:
        log.exception("worker.failed")  # otherwise multiprocessing would print it outside the log
        raise SystemExit(1) from None


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
