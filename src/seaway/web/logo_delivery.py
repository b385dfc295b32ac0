"""
Logo of a channel, for callers who can read the channel.

1. The URL contains a hash of the content, so any cache may keep the logo of a public channel. The logo of a private
   channel is revalidated each time, so that no cache shows it to a former member or to another user of the browser.
2. The server rendered the PNG itself (`publishing.images`), and the response headers still allow it no other use.
"""

import re

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import logos
from seaway.database.engine import Tx
from seaway.errors import NotFound, Unavailable
from seaway.http.parts import parts_of
from seaway.storage import keys
from seaway.storage.blobs import read_whole
from seaway.web.channel_pages import read_for_caller, readable

_NAME = re.compile(r"([0-9a-f]{64})\.png")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "private, no-cache"


async def logo(request: Request) -> Response:
    """Return the PNG; `NotFound` if it is not a logo of the channel or the caller cannot read the channel."""
    sha256 = _sha256_of(request.path_params["name"])

    def find(tx: Tx, by: Caller) -> bool:
        channel, access = readable(tx, by, request.path_params["channel"])
        if not logos.is_logo_of(tx, access.channel_id, sha256):
            raise _not_current()
        return channel.is_public

    is_public = await read_for_caller(request, find)
    etag = f'"{sha256.hex()}"'
    headers = {
        "Cache-Control": _IMMUTABLE if is_public else _REVALIDATE,
        "ETag": etag,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    delivery = parts_of(request).delivery
    key = keys.blob(sha256)
    content = delivery.small_blobs.get(key)
    if content is None:
        try:
            content = await to_thread.run_sync(read_whole, delivery.blobs, key)
        except FileNotFoundError:
            await read_for_caller(request, find)  # raises NotFound if the logo was replaced and swept meanwhile
            raise Unavailable("The stored copy of this logo is damaged or missing.", "Upload the logo again.") from None
        delivery.small_blobs[key] = content
    return Response(content, headers=headers, media_type="image/png")


def _not_current() -> NotFound:
    return NotFound("This is not the channel's current logo.", "See the channel page for the current one.")


def _sha256_of(name: str) -> bytes:
    match = _NAME.fullmatch(name)
    return bytes.fromhex(match[1]) if match else b""
