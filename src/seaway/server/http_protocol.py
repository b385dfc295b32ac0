"""
HTTP/1.1 protocol of uvicorn, with limits on what a client can send before a route sees the request.

1. A head (request line and headers) has at most `MAX_HEAD_BYTES` and `MAX_HEADERS`; larger ones get 431 (RFC 6585, 5).
   At most that many bytes and one read of the socket are buffered. The same limit applies to trailers and to the
   framing of a chunked body.
2. A head that has started must be complete within `HEAD_SECONDS`; otherwise the response is 408. A connection without
   a head is closed after that time, or after uvicorn's keep-alive time if a request was served on it.
3. After a response, the rest of the request's body is read and discarded as long as it arrives at the minimum rate
   that `http.bodies` requires of every body.
4. At most `MAX_PIPELINED` requests wait on one connection while another is handled, and nothing is read until one of
   them is done. If a client sends more, the connection is closed, which it must expect (RFC 9112, 9.3.2).
5. A refusal reaches the client: the connection stays open for reading for `LINGER_SECONDS`, since closing a socket
   with unread bytes resets the connection, and a reset can discard the response.

`http.bodies` limits the time of a body that a route reads.
"""

import asyncio
from http import HTTPStatus
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seaway.http.bodies import MIN_BYTES_PER_SECOND

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_PIPELINED = 16
HEAD_SECONDS = 20.0
LINGER_SECONDS = 2.0
_FIELD_BYTES = 4  # the colon, the space and the line end of a header
_MIN_BYTES = MIN_BYTES_PER_SECOND * int(HEAD_SECONDS)

_TOO_LARGE = f"The request head has more than {MAX_HEAD_BYTES:,} bytes or {MAX_HEADERS} headers. Send a smaller one."
_TOO_SLOW = f"The request head did not arrive within {HEAD_SECONDS:.0f} seconds. Send it again."
_MALFORMED = "The request is not valid HTTP/1.1. Check the client that sent it."


class _OverLimit(Exception):
    """A complete head is too large, or too many requests wait before it."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Connection with the limits of this module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_body = False
        self._framing_bytes = 0  # received since the parser delivered the last head or body bytes
        self._dropped_bytes = 0  # received since the last tick; counts while no route reads
        self._is_too_large = False
        self._is_refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; refuse the request at a limit."""
        if self._is_refused:
            return
        self._framing_bytes += len(data)
        self._dropped_bytes += len(data)
        super().data_received(data)
        if self._framing_bytes > MAX_HEAD_BYTES and not self._is_refused:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        elif (self._framing_bytes or self._in_body) and self._timer is None and self._is_incomplete():
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Check the head and pass the request to the routes."""
        if len(self.headers) > MAX_HEADERS or self._head_bytes() > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise _OverLimit
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _OverLimit
        if self._timer is not None:
            self._stop_timer()
        self._in_body, self._framing_bytes = True, 0
        super().on_headers_complete()
        self.headers = []  # the parser appends trailers here, which are not headers of the request

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Start the timer for the next head."""
        self._in_body, self._framing_bytes = False, 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._stop_timer()
            self._start_timer()

    def on_response_complete(self) -> None:
        """Handle the next waiting request; resume reading if there is none."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """Send the error for a head that is over a limit (431) or malformed (400)."""
        if self._is_too_large:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, _MALFORMED)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(map(len, chain.from_iterable(self.headers))) + _FIELD_BYTES * len(self.headers)

    def _is_incomplete(self) -> bool:
        """Return whether the rest of a head, or of a body that no route reads, is expected."""
        return self.cycle.response_complete if self._in_body else self._framing_bytes > 0

    def _start_timer(self) -> None:
        self._dropped_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Handle a timeout of a head, or of a part of a body that no route reads."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_handling_earlier() or (self._in_body and self._dropped_bytes >= _MIN_BYTES):
            self._start_timer()
        elif self._in_body or not self._framing_bytes:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW)

    def _is_handling_earlier(self) -> bool:
        """Return whether an earlier request of the connection is being handled."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._is_refused = True
        self._stop_timer()
        if self._is_handling_earlier():
            if self.cycle.response_started or self.pipeline:
                self.transport.close()  # the client would take a second response for a part of the first
                return
            self.cycle.disconnected = True  # the response of the route is discarded
            self.cycle.message_event.set()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(sentence)}\r\nCache-Control: private, no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write((head + sentence).encode("ascii"))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
