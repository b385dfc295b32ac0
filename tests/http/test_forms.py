"""Memory limits of forms."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from seaway.errors import Malformed, TooLarge
from seaway.http.page_forms import MAX_BYTES, MAX_FILE_BYTES, Form, accepts_file, form_of, streams_file

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


def text_part(name: str, content: bytes) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"


def file_part(name: str, content: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    return head.encode() + content + b"\r\n"


class MultipartRequest:
    """A request with a multipart body that counts the bytes read of it."""

    def __init__(self, *parts: bytes) -> None:
        body = b"".join(parts) + b"--b--\r\n"
        self._chunks = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
        self.taken = 0
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        }
        self.request = Request(scope, self._receive)

    async def _receive(self) -> Message:
        chunk = self._chunks.pop(0)
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}

    async def form_with(self, name: str) -> Form:
        """Return the form as a handler that accepts a file with this name sees it."""
        found: list[Form] = []

        @accepts_file(name)
        async def handler(request: Request) -> Response:
            found.append(await form_of(request))
            return Response()

        await handler(self.request)
        return found[0]


async def test_unexpected_files_are_not_read() -> None:
    """If the handler accepts no file, no byte of a multipart body is read and the form is empty."""
    multipart = MultipartRequest(*(file_part(f"f{number}", bytes(MIB // 2)) for number in range(31)))
    form = await form_of(multipart.request)
    assert ([], b"", 0) == (list(form), form.file, multipart.taken)


async def test_first_expected_file_is_read() -> None:
    """Only the first file with the expected name is kept, cut off one byte after the limit."""
    others = [file_part(f"f{number}", bytes(MIB)) for number in range(3)]
    form = await MultipartRequest(*others, file_part("logo", b"l" * MIB), file_part("logo", b"second")).form_with(
        "logo"
    )
    assert b"l" * (MAX_FILE_BYTES + 1) == form.file


async def test_form_with_too_many_parts_is_refused() -> None:
    """Thousands of empty files are refused."""
    multipart = MultipartRequest(*(file_part("x", b"") for _ in range(10_000)))
    with pytest.raises(TooLarge):
        await multipart.form_with("logo")


async def form_in(body: bytes) -> Form:
    """Return the form of a URL-encoded body, as most pages send it."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return await form_of(Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive))


async def test_text_over_the_limit_is_refused() -> None:
    """The limit is exact to the byte, URL-encoded and multipart; multipart names do not count."""
    most = b"x" * MAX_BYTES
    assert MAX_BYTES - 2 == len((await form_in(b"a=" + most[2:])).text("a"))
    assert MAX_BYTES == len((await MultipartRequest(text_part("a", most)).form_with("logo")).text("a"))
    with pytest.raises(TooLarge):
        await form_in(b"a=" + most[1:])
    with pytest.raises(TooLarge):
        await MultipartRequest(text_part("a", most[1:]), text_part("b", b"xx")).form_with("logo")


async def test_field_with_invalid_text_is_refused() -> None:
    """A NUL, which no database accepts, and bytes that are not UTF-8."""
    for body in (b"a=%00", b"%00=a", b"a=%ff"):
        with pytest.raises(Malformed):
            await form_in(body)
    for content in (b"\0", b"\xff"):
        with pytest.raises(Malformed):
            await MultipartRequest(text_part("a", content)).form_with("logo")


async def test_only_fields_before_a_streamed_file_are_read() -> None:
    """The token of the form is known before the file has arrived, and the file is read piece by piece."""
    file = bytes(20 * MIB)
    multipart = MultipartRequest(text_part("csrf_token", b"secret"), file_part("file", file))
    found: list[Form] = []

    @streams_file("file")
    async def handler(request: Request) -> Response:
        found.append(await form_of(request))
        return Response()

    await handler(multipart.request)
    (form,) = found
    assert ("secret", "f") == (form.text("csrf_token"), form.streamed and form.streamed.file_name)
    assert multipart.taken <= 65_536
    assert form.streamed is not None
    sizes = [len(chunk) async for chunk in form.streamed.chunks()]
    assert (len(file), True) == (sum(sizes), max(sizes) <= 65_536)
    await form.streamed.finish()


async def test_field_after_a_streamed_file_is_refused() -> None:
    """It would have been read too late."""
    multipart = MultipartRequest(file_part("file", b"content"), text_part("replace", b"on"))

    @streams_file("file")
    async def handler(request: Request) -> Response:
        streamed = (await form_of(request)).streamed
        assert streamed is not None
        assert [b"content"] == [chunk async for chunk in streamed.chunks()]
        await streamed.finish()
        return Response()

    with pytest.raises(Malformed):
        await handler(multipart.request)
