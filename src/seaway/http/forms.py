"""What a page's form sends (`application/x-www-form-urlencoded`), read once and within limits."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from starlette.requests import Request

from seaway.errors import Malformed, TooLarge
from seaway.http.bodies import body_of

MAX_BYTES = 64 * 1024
_MAX_FIELDS = 200
_TYPE = "application/x-www-form-urlencoded"
_KEPT = "seaway.form"


class Form:
    """The fields of a form; of one that is sent twice, the last counts, but for `all`."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs, self._last = pairs, dict(pairs)

    def text(self, name: str) -> str:
        """A field without the spaces around it; nothing when it was not sent."""
        return self._last.get(name, "").strip()

    def exact(self, name: str) -> str:
        """A field as it was typed: spaces may be part of a password."""
        return self._last.get(name, "")

    def is_set(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self._last

    def number(self, name: str) -> int:
        """A field that holds the number of a thing; 0, which none has, when it does not."""
        text = self.text(name)
        return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else 0

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be sent several times."""
        return [value for key, value in self._pairs if key == name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)


async def form_of(request: Request) -> Form:
    """The form; empty where the body is none, `Malformed` or `TooLarge` where it cannot be read."""
    kept: Form | None = request.scope.get(_KEPT)
    if kept is None:
        kept = request.scope[_KEPT] = await _read(request)
    return kept


async def _read(request: Request) -> Form:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        return Form([])
    body = bytearray()
    async for chunk in body_of(request):
        body += chunk
        if len(body) > MAX_BYTES:
            raise TooLarge(f"A form has at most {MAX_BYTES:,} bytes.", "Shorten what you wrote.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise Malformed("The form cannot be read.", "Send it from the page again.") from None
    if any("\0" in value for _, value in pairs):
        raise Malformed("A field of the form holds a character that no text has.", "Write it again.")
    return Form(pairs)
