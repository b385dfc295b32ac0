"""
Speak HTTP/1.1 with uvicorn, with bounds on what a client may send before a route sees the request.

1. A head (request line and headers) has at most `MAX_HEAD_BYTES` and `MAX_HEADERS`; more is 431 (RFC 6585, 5), and no
   more of it than that and one read of the socket is held. Trailers and the frame of a chunked body are held to the
   same bound.
2. A head that has begun is complete within `HEAD_SECONDS`; otherwise 408. A connection on which no head begins is
   closed after that time, or after uvicorn's keep-alive time where a request was answered on it.
3. The rest of a body whose request is answered already is read and dropped for as long as it comes at the pace that
   `http.bodies` asks of every body.
4. At most `MAX_PIPELINED` requests wait on one connection while another is answered, and nothing is read until one of
   them is answered. A client that sends more loses the connection, for which RFC 9112, 9.3.2 has it prepared.
5. A refusal is heard: the connection stays open for reading for `LINGER_SECONDS`, since closing a socket with unread
   bytes resets it, and a reset takes the answer away from the client.

The time of a body that a route reads is bounded in `http.bodies`.
"""

import asyncio
from http import HTTPStatus
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seaway.http.bodies import LEAST_BYTES_PER_SECOND

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_PIPELINED = 16
HEAD_SECONDS = 20.0
LINGER_SECONDS = 2.0
_FIELD_BYTES = 4  # the colon, the space and the line end of a header
_LEAST_BYTES = LEAST_BYTES_PER_SECOND * int(HEAD_SECONDS)

_TOO_LARGE = (
    f"The head of the request has more than {MAX_HEAD_BYTES:,} bytes or {MAX_HEADERS} headers: send a smaller one."
)
_TOO_SLOW = f"The head of the request did not arrive within {HEAD_SECONDS:.0f} seconds: send it again."
_MALFORMED = "The request is not valid HTTP/1.1: check the client that sent it."


class _OverBound(Exception):
    """The parser has a whole head, which is too large or comes behind too many others."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_body = False
        self._framing_bytes = 0  # received since the last head or byte of a body that the parser handed over
        self._dropped_bytes = 0  # received since the last tick while nobody reads them
        self._is_too_large = False
        self._is_refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await a first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the bounds are met."""
        if self._is_refused:
            return
        self._framing_bytes += len(data)
        self._dropped_bytes += len(data)
        super().data_received(data)
        if self._framing_bytes > MAX_HEAD_BYTES and not self._is_refused:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        elif (self._framing_bytes or self._in_body) and self._timer is None and self._is_awaited():
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Hand the request to the routes."""
        if len(self.headers) > MAX_HEADERS or self._head_bytes() > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise _OverBound
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _OverBound
        if self._timer is not None:
            self._stop_timer()
        self._in_body, self._framing_bytes = True, 0
        super().on_headers_complete()
        self.headers = []  # where the parser puts trailers, which are no headers of the request

    def on_body(self, body: bytes) -> None:
        """Hand over a part of a body."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Await the next head."""
        self._in_body, self._framing_bytes = False, 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._stop_timer()
            self._start_timer()

    def on_response_complete(self) -> None:
        """Answer the next request that waits; read on when none does."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused, or what a bound made it refuse."""
        if self._is_too_large:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, _MALFORMED)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(map(len, chain.from_iterable(self.headers))) + _FIELD_BYTES * len(self.headers)

    def _is_awaited(self) -> bool:
        """Whether the rest of a head is awaited, or that of a body which no route reads."""
        return self.cycle.response_complete if self._in_body else self._framing_bytes > 0

    def _start_timer(self) -> None:
        self._dropped_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Time is up for a head, or for another part of a body that nobody reads."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_answering() or (self._in_body and self._dropped_bytes >= _LEAST_BYTES):
            self._start_timer()
        elif self._in_body or not self._framing_bytes:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW)

    def _is_answering(self) -> bool:
        """Whether an earlier request of the connection is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._is_refused = True
        self._stop_timer()
        if self._is_answering():
            if self.cycle.response_started or self.pipeline:
                self.transport.close()  # a second answer within the first one would be taken for a part of it
                return
            self.cycle.disconnected = True  # nobody hears what the route still says
            self.cycle.message_event.set()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(sentence)}\r\nCache-Control: private, no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write((head + sentence).encode("ascii"))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
