"""
Forms sent by pages, parsed once and within limits: fields, and one file if the handler expects it.

1. A small file (`accepts_file`) that is too large is read to its end and truncated, so that the form can report it.
   Larger bodies are refused.
2. A multipart body is read only if the handler expects a file: anyone can send one to the sign-in form.
3. Of a form with a large file (`streams_file`), only the fields before the file are read. The CSRF token is among them,
   so it is checked before the first byte of the file is read. The file itself is never held in memory.
4. A form that carries another one (`carries_form`) has room for the largest one, so that no form is lost on the way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import Malformed, SeawayError, TooLarge
from seaway.http.bodies import body_of, limited, read_body
from seaway.http.multipart import MultipartReader, Part

MAX_BYTES = 64 * 1024
MAX_FILE_BYTES = 512 * 1024
_MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_FIELDS = 2_000
_MAX_CARRIER_BYTES = 2 * MAX_BYTES  # each carried field gets a prefix
_MAX_CARRIER_FIELDS = _MAX_FIELDS + 20
_SHORTEN = "Shorten the text, or select fewer items."
_TYPE = "application/x-www-form-urlencoded"
_TYPE_WITH_FILES = "multipart/form-data"
_PARSED_KEY = "seaway.form"
_FILE_KEY = "seaway.form.file"
_STREAM_KEY = "seaway.form.stream"
_CARRIER_KEY = "seaway.form.carrier"

_Handler = Callable[[Request], Awaitable[Response]]


class Form:
    """Fields of a form; of a repeated field the last value counts, except in `all`."""

    def __init__(self, pairs: list[tuple[str, str]], file: bytes = b"", streamed: "StreamedFile | None" = None) -> None:
        self.pairs, self._last = pairs, dict(pairs)
        self.file = file  # truncated to `MAX_FILE_BYTES` + 1 bytes; empty if no file was chosen
        self.streamed = streamed  # of a handler that is marked `streams_file`

    def text(self, name: str) -> str:
        """Return a field without surrounding spaces, or "" if missing."""
        return self._last.get(name, "").strip()

    def exact(self, name: str) -> str:
        """Return a field as typed, or "" if missing: spaces may be part of a password."""
        return self._last.get(name, "")

    def is_set(self, name: str) -> bool:
        """Return whether the field was sent, as a checked checkbox is."""
        return name in self._last

    def number(self, name: str) -> int:
        """Return a field that contains an id, or 0, which is no valid id."""
        text = self.text(name)
        return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else 0

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.pairs if key == name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)


class StreamedFile:
    """The file of a form, read from the request as it arrives; an incoming file for `publish`."""

    announced_sha256: str | None = None  # browsers send no hash

    def __init__(self, file_name: str, reader: MultipartReader) -> None:
        self.file_name = file_name  # empty if no file was chosen
        self._reader = reader

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file; call it once."""
        return self._reader.content()

    async def finish(self) -> None:
        """Require that the form ends after the file."""
        if await self._reader.next_part() is not None:
            raise Malformed("The form has another field or file after the file.", "Choose one file.")


def accepts_file(name: str) -> Callable[[_Handler], _Handler]:
    """Accept a file in this form field; outermost decorator, because checking the CSRF token reads the form."""
    return _marking(_FILE_KEY, name)


def streams_file(name: str) -> Callable[[_Handler], _Handler]:
    """Accept a file of any size in this form field, the last one of the form; outermost decorator."""
    return _marking(_STREAM_KEY, name)


def carries_form(handler: _Handler) -> _Handler:
    """Accept a form that carries another one in its hidden fields; outermost decorator."""
    return _marking(_CARRIER_KEY, value=True)(handler)


def _marking(key: str, value: object) -> Callable[[_Handler], _Handler]:
    """Return a decorator that sets a value of the request before the handler reads the form."""

    def decorate(handler: _Handler) -> _Handler:
        @wraps(handler)
        async def handle(request: Request) -> Response:
            request.scope[key] = value
            return await handler(request)

        return handle

    return decorate


async def form_of(request: Request) -> Form:
    """Return the form, empty if the body is not a form; raise `Malformed` or `TooLarge` if it cannot be read."""
    parsed: Form | SeawayError | None = request.scope.get(_PARSED_KEY)
    if parsed is None:
        parsed = request.scope[_PARSED_KEY] = await _form_or_error(request)
    if isinstance(parsed, SeawayError):
        raise parsed
    return parsed


async def _form_or_error(request: Request) -> Form | SeawayError:
    # The error page reads the form again, to identify the caller, but the body can be received only once.
    try:
        return await _read(request)
    except SeawayError as error:
        return error


async def _read(request: Request) -> Form:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _TYPE_WITH_FILES and _FILE_KEY in request.scope:
        return await _read_parts(request, request.scope[_FILE_KEY])
    if media_type == _TYPE_WITH_FILES and _STREAM_KEY in request.scope:
        return await _read_until_file(request, request.scope[_STREAM_KEY])
    if media_type != _TYPE:
        return Form([])
    is_carrier = _CARRIER_KEY in request.scope
    max_bytes, max_fields = (_MAX_CARRIER_BYTES, _MAX_CARRIER_FIELDS) if is_carrier else (MAX_BYTES, _MAX_FIELDS)
    body = await read_body(request, max_bytes, what="form", hint=_SHORTEN)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=max_fields, errors="strict")
    except ValueError:
        raise Malformed("The form could not be parsed.", "Submit it from the page again.") from None
    _check(pairs)
    return Form(pairs)


async def _read_parts(request: Request, file_name: str) -> Form:
    fields, file = _TextFields(), None
    body = limited(body_of(request), _MAX_BODY_BYTES, what="form", hint="Choose a smaller file.")
    reader = MultipartReader(request.headers["content-type"], body)
    for _ in range(_MAX_FIELDS):
        part = await reader.next_part()
        if part is None:
            return Form(fields.checked(), file or b"")
        if part.file_name is None:
            await fields.read(part, reader)
            continue
        is_expected = part.name == file_name and file is None
        content = await _start_of(reader, MAX_FILE_BYTES + 1 if is_expected else 0)
        file = content if is_expected else file
    raise _too_large()


async def _read_until_file(request: Request, field: str) -> Form:
    fields = _TextFields()
    reader = MultipartReader(request.headers["content-type"], body_of(request))
    for _ in range(_MAX_FIELDS):
        part = await reader.next_part()
        if part is None:
            return Form(fields.checked())
        if part.file_name is None:
            await fields.read(part, reader)
            continue
        if part.name != field:
            raise Malformed(f"The form has a file in the field {part.name[:40]!a}.", "Submit it from the page again.")
        return Form(fields.checked(), streamed=StreamedFile(part.file_name, reader))
    raise _too_large()


class _TextFields:
    """Text fields of a multipart form, limited in sum."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []
        self._remaining = MAX_BYTES

    async def read(self, part: Part, reader: MultipartReader) -> None:
        """Read the field of this part."""
        content = await _start_of(reader, self._remaining + 1)
        self._remaining -= len(content)
        if self._remaining < 0:
            raise _too_large()
        try:
            self._pairs.append((part.name, content.decode()))
        except UnicodeDecodeError:
            raise Malformed("The form could not be parsed.", "Submit it from the page again.") from None

    def checked(self) -> list[tuple[str, str]]:
        """Return the fields; raise `Malformed` if one has a character that no database accepts."""
        _check(self._pairs)
        return self._pairs


async def _start_of(reader: MultipartReader, max_bytes: int) -> bytes:
    """Read a part to its end and return its first bytes."""
    content = bytearray()
    async for chunk in reader.content():
        content += chunk[: max_bytes - len(content)]
    return bytes(content)


def _check(pairs: list[tuple[str, str]]) -> None:
    if any("\0" in text for pair in pairs for text in pair):
        raise Malformed("A field of the form contains a NUL character.", "Remove it.")


def _too_large() -> TooLarge:
    return TooLarge(f"The form has more than {MAX_BYTES:,} bytes of text.", _SHORTEN)
