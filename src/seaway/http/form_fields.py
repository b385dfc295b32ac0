"""Form fields sent by programs, each exactly once; forms of pages are parsed less strictly (`page_forms`)."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from seaway.errors import Malformed
from seaway.http.bodies import read_body

MAX_BYTES = 32 * 1024
_MAX_FIELDS = 64
_TYPE = "application/x-www-form-urlencoded"


async def fields_of(request: Request) -> Mapping[str, str]:
    """Return the fields by name; a repeated field is refused as ambiguous (RFC 6749, 3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise Malformed("The body is not a form.", f"Send it with the header Content-Type: {_TYPE}.")
    body = await read_body(request, MAX_BYTES)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise Malformed(
            "The form could not be parsed.", f"Send at most {_MAX_FIELDS} URL-encoded fields in UTF-8."
        ) from None
    if any("\0" in text for pair in pairs for text in pair):
        raise Malformed("The form contains a NUL character.", "Remove it.")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("The form contains a field more than once.", "Send each field once.")
    return fields
