"""
granian in our own process: its Rust part takes connections and speaks HTTP/1.1, all else is uvicorn's.

granian's own command loses a SIGTERM that comes while it starts, and its server for embedding takes no socket that
is open already. So only its worker is driven here, which its makers may change with any release: the version is
pinned exactly, and no other file knows these names.
"""

import asyncio
import logging
import resource
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from granian import _futures, _granian
from granian.http import HTTP1Settings
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

_logger = logging.getLogger("uvicorn.error")

_BACKLOG = 2048
_IDLE_SECONDS = 30  # until the head of a request must be there, the next one on the same connection too
_FILE_THREADS = 32  # read what leaves by its path
_OTHER_FILES = 256  # are open besides connections: databases, blobs, pipes to examiners
_GIVE_UP_SECONDS = 5

# `GET name HTTP/1.1`: hyper takes that for the host of a CONNECT, and the path is empty.
_NO_TARGET = PlainTextResponse("Invalid HTTP request received.", 400, {"Connection": "close"})


class GranianServer(uvicorn.Server):
    """uvicorn's signals, lifespan and middleware, over connections of granian."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections, once the application is ready."""
        assert sockets is not None
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        logging.getLogger("_granian").setLevel(logging.WARNING)  # of its start and stop uvicorn's words tell
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._signal: Any = _granian.WorkerSignal()
        self._signal.add_cb(lambda: self._loop.call_soon_threadsafe(self._stopped.set))
        worker: Any = _granian.ASGIWorker(  # type: ignore[call-arg]  # its stubs are those of an older version
            1,
            (None, _holder(sockets[0])),
            None,  # type: ignore[arg-type]
            http_mode="1",
            http1_opts=HTTP1Settings(header_read_timeout=_IDLE_SECONDS * 1000),
            blocking_threads=_FILE_THREADS,
            backpressure=_most_connections(),
        )
        tasks: Any = _futures
        answer = tasks._future_watcher_wrapper(self._answer)  # noqa: SLF001
        scheduler = tasks._new_cbscheduler(self._loop, answer, impl_asyncio=True)  # noqa: SLF001
        worker.serve_async(scheduler, self._loop, self._signal)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, wait for what is in flight, give up what remains."""
        _logger.info("Shutting down")
        self._signal.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self.config.timeout_graceful_shutdown)
        remaining = list(self.server_state.tasks)
        if remaining:
            _logger.error("Cancel %s running task(s), timeout graceful shutdown exceeded", len(remaining))
            for task in remaining:
                task.cancel()
            await asyncio.wait(remaining, timeout=_GIVE_UP_SECONDS)
        if not self.force_exit:
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second Ctrl-C waits for nothing more."""
        super().handle_exit(sig, frame)
        if self.force_exit and self.started:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _answer(self, scope: Scope, protocol: Any) -> None:
        """One request."""
        task = asyncio.current_task()
        assert task is not None
        self.server_state.tasks.add(task)
        scope.update(root_path="", state={})
        body = _Body(protocol, scope)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(b"server", b"seaway")]  # else it sends its own name
                if self.should_exit:
                    own.append((b"connection", b"close"))  # it was taken in the moment of the stop, and heard nothing
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await protocol.send(message)

        app = self.config.loaded_app if scope["raw_path"].startswith((b"/", b"*")) else _NO_TARGET
        try:
            await app(scope, body.receive, send)
            await body.throw_away()
        finally:
            self.server_state.tasks.discard(task)


class _Body:
    """
    The body of a request, which is taken to its end even when nobody wants it any more.

    granian closes a connection on which something is unread. A client that still sends would not hear why it was
    refused, and one that sends the end of its chunks in a packet of its own would find its connection closed.
    """

    def __init__(self, protocol: Any, scope: Scope) -> None:
        self._protocol = protocol
        self._is_unread = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

    async def receive(self) -> Message:
        message: Message = await self._protocol.receive()
        self._is_unread = bool(message.get("more_body"))
        return message

    async def throw_away(self) -> None:
        """Read what is left, for as long as it comes."""
        while self._is_unread:
            try:
                await asyncio.wait_for(self.receive(), _IDLE_SECONDS)
            except TimeoutError:
                return


def _holder(listener: socket.socket) -> Any:
    """The listener as granian takes it; granian closes it."""
    given = (listener.detach(), False, _BACKLOG) if sys.platform == "linux" else (listener.detach(), False)
    make: Any = _granian.SocketHolder
    return make(*given)


def _most_connections() -> int:
    """Above it connections wait to be taken: a flood would take every file that we may open, and granian would spin."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65_536 if limit == resource.RLIM_INFINITY else max(limit - _OTHER_FILES, 64)
