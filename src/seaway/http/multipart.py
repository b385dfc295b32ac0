"""
Streaming reader of multipart bodies (RFC 7578); never holds a whole part.

The callbacks of python-multipart's push parser fill a queue of events that an async reader consumes. Starlette's
form() would write the file twice, at half the speed.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from seaway.errors import Malformed


@dataclass(frozen=True, slots=True)
class Part:
    """Head of a part: field name, file name, and all headers with names in lower case."""

    name: str
    file_name: str | None
    headers: dict[str, str]


class _Event(Enum):
    PART_END = "part end"
    END = "end"


class MultipartReader:
    """Reader of the parts of one body, in order; the content of a part must be read before the next part."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise Malformed("The multipart body has no boundary.", "Add it to the Content-Type header.")
        self._body = body
        self._events: deque[Part | bytes | _Event] = deque()
        self._header = [b"", b""]
        self._headers: dict[str, str] = {}
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _malformed() from error

    async def next_part(self) -> Part | None:
        """Return the head of the next part, or None after the last one."""
        while True:
            event = await self._next_event()
            if isinstance(event, Part):
                return event
            if event is _Event.END:
                return None

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the content of the current part."""
        while True:
            event = await self._next_event()
            if event is _Event.PART_END:
                return
            if not isinstance(event, bytes):
                raise _malformed()
            yield event

    async def _next_event(self) -> Part | bytes | _Event:
        while not self._events:
            if self._ended:
                return _Event.END
            chunk = await anext(self._body, b"")
            if not chunk:
                # Without the closing boundary, the body is incomplete.
                raise Malformed("The body is incomplete: its closing boundary is missing.", "Upload the file again.")
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _malformed() from error
        return self._events.popleft()

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _on_header_end(self) -> None:
        name, value = (field.decode("utf-8", "replace") for field in self._header)
        if name.lower() in self._headers:
            raise Malformed("A part of the multipart body repeats a header.", "Send each header once.")
        self._headers[name.lower()] = value.strip()
        self._header = [b"", b""]

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", "").encode())
        file_name = options.get(b"filename")
        self._events.append(
            Part(
                name=options.get(b"name", b"").decode("utf-8", "replace"),
                file_name=None if file_name is None else file_name.decode("utf-8", "replace"),
                headers=self._headers,
            )
        )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data if (start, end) == (0, len(data)) else data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(_Event.PART_END)

    def _on_end(self) -> None:
        self._ended = True


def _malformed() -> Malformed:
    return Malformed("The multipart body could not be parsed.", "Send the file as the first part, named `file`.")
