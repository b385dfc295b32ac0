"""What a form takes into memory, whoever sends it."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from seaway.errors import Malformed, TooLarge
from seaway.http.page_forms import MAX_BYTES, MAX_FILE_BYTES, Form, accepts_file, form_of

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


def text_part(name: str, content: bytes) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"


def file_part(name: str, content: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    return head.encode() + content + b"\r\n"


class Sent:
    """A multipart body on its way, which knows how much of it was asked for."""

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
        """The form, as a handler sees it that takes a file of this name."""
        found: list[Form] = []

        @accepts_file(name)
        async def handler(request: Request) -> Response:
            found.append(await form_of(request))
            return Response()

        await handler(self.request)
        return found[0]


async def test_files_that_nobody_wants_are_not_read() -> None:
    """Where no handler takes a file, not a byte of a multipart body is asked for: the form is empty."""
    sent = Sent(*(file_part(f"f{number}", bytes(MIB // 2)) for number in range(31)))
    form = await form_of(sent.request)
    assert ([], b"", 0) == (list(form), form.file, sent.taken)


async def test_one_file_is_kept() -> None:
    """The first of its name, cut one byte behind the most; of others nothing."""
    others = [file_part(f"f{number}", bytes(MIB)) for number in range(3)]
    form = await Sent(*others, file_part("logo", b"l" * MIB), file_part("logo", b"second")).form_with("logo")
    assert b"l" * (MAX_FILE_BYTES + 1) == form.file


async def test_parts_are_counted_whatever_they_are() -> None:
    """Thousands of empty files are no form."""
    sent = Sent(*(file_part("x", b"") for _ in range(10_000)))
    with pytest.raises(TooLarge):
        await sent.form_with("logo")


async def form_in(body: bytes) -> Form:
    """The form of a request with this body, as most pages send it."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return await form_of(Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive))


async def test_text_has_a_limit() -> None:
    """To the byte, in both forms; in parts, the names do not count."""
    most = b"x" * MAX_BYTES
    assert MAX_BYTES - 2 == len((await form_in(b"a=" + most[2:])).text("a"))
    assert MAX_BYTES == len((await Sent(text_part("a", most)).form_with("logo")).text("a"))
    with pytest.raises(TooLarge):
        await form_in(b"a=" + most[1:])
    with pytest.raises(TooLarge):
        await Sent(text_part("a", most[1:]), text_part("b", b"xx")).form_with("logo")


async def test_a_field_without_a_text_is_refused() -> None:
    """A NUL, which no database takes, and bytes that are not UTF-8."""
    for body in (b"a=%00", b"%00=a", b"a=%ff"):
        with pytest.raises(Malformed):
            await form_in(body)
    for content in (b"\0", b"\xff"):
        with pytest.raises(Malformed):
            await Sent(text_part("a", content)).form_with("logo")
