"""
Several processes that serve one address.

1. The parent opens the socket and takes no requests; a worker that dies is started again, later each time it
   dies young, so that a broken setting does not become a loop of starts.
2. A stop of the parent stops every worker, and waits for what they have in flight; new connections are refused
   meanwhile. When the parent is killed, its workers see it and stop by themselves.
3. Ctrl-C, which a terminal sends to all of them, is for the parent.
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
from seaway.server import listening
from seaway.server.stops import Stop
from seaway.settings import Settings

log = structlog.get_logger()

_LONGEST_PAUSE_SECONDS = 10.0
_YOUNG_SECONDS = 60.0  # a start may take long on a busy machine, and longer until a database is known to be away
_KILL_AFTER_SECONDS = 15

_PAUSE_STEP_SECONDS = 0.1

Serve = Callable[[Settings, Sequence[socket.socket], Stop], None]


class Watch:
    """Is told which processes serve; whoever wants to know overrides it. Workers have numbers from 1 on."""

    def started(self, number: int, pid: int) -> None:
        """This process is the worker `number` now."""

    def died(self, number: int, pid: int) -> None:
        """It ended by itself; the next one of this number is about to start."""


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    process: BaseProcess
    started: float


def run(settings: Settings, sockets: Sequence[socket.socket], serve: Serve, watch: Watch, stop: Stop) -> None:
    """Keep `settings.workers` processes serving until SIGTERM or SIGINT, one that came already too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    _Parent(settings, sockets, serve, watch, stop).run()


class _Parent:
    def __init__(
        self, settings: Settings, sockets: Sequence[socket.socket], serve: Serve, watch: Watch, stop: Stop
    ) -> None:
        self._settings, self._sockets, self._serve, self._watch = settings, sockets, serve, watch
        self._stop = stop
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._pause_seconds = 0.0

    def run(self) -> None:
        for number in range(1, self._settings.workers + 1):
            self._start(number)
        while not self._stop.is_asked:
            multiprocessing.connection.wait([worker.process.sentinel for worker in self._workers], timeout=0.2)
            self._replace_dead()
        self._end_all()

    def _start(self, number: int) -> None:
        process = self._spawn.Process(target=_work, args=(self._settings, self._sockets, self._serve))
        _start_deaf(process)
        self._workers.append(_Worker(number, process, time.monotonic()))
        self._watch.started(number, _pid(process))

    def _replace_dead(self) -> None:
        for worker in self._workers[:]:
            if worker.process.is_alive() or self._stop.is_asked:
                continue
            self._workers.remove(worker)
            log.error("worker.died", pid=worker.process.pid, exit_code=worker.process.exitcode)
            self._watch.died(worker.number, _pid(worker.process))
            young = time.monotonic() - worker.started < _YOUNG_SECONDS
            self._pause_seconds = min(self._pause_seconds * 2 + 0.5, _LONGEST_PAUSE_SECONDS) if young else 0.0
            self._pause()
            if not self._stop.is_asked:
                self._start(worker.number)

    def _pause(self) -> None:
        until = time.monotonic() + self._pause_seconds
        while time.monotonic() < until and not self._stop.is_asked:
            time.sleep(_PAUSE_STEP_SECONDS)

    def _end_all(self) -> None:
        listening.close(self._sockets)  # otherwise connections would wait here although no worker accepts them
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


def _start_deaf(process: BaseProcess) -> None:
    """Start a process that does not hear Ctrl-C until it has said what to do then."""
    multiprocessing.resource_tracker.ensure_running()  # the first start would do it, and unblock signals
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work(settings: Settings, sockets: Sequence[socket.socket], serve: Serve) -> None:
    """One worker, from its start to its end."""
    stop = Stop()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for listener in sockets:
        listener.set_inheritable(False)  # uvloop hands on what can be inherited, and examiners would keep it open
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        serve(settings, sockets, stop)
    except SeawayError as error:
        log.error("worker.failed", error=error.sentence, cause=getattr(error, "cause", ""))
        raise SystemExit(1) from None
    except Exception:
        log.exception("worker.failed")  # else multiprocessing would print it past the log
        raise SystemExit(1) from None


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
