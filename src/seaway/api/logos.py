"""
Upload of a channel's logo: `PUT /api/v1/channels/{channel}/logo`, with the image as the body.

It is not part of `api.v1`, which accepts only JSON up to 64 KiB; errors have the same JSON format.
"""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import Malformed
from seaway.http import problems
from seaway.http.bodies import read_body
from seaway.http.caller import caller_of
from seaway.http.parts import parts_of
from seaway.publishing.logos import MAX_LOGO_BYTES, NewLogo


async def put(request: Request) -> Response:
    """Set the logo of the channel to the image in the body; 204."""
    request.scope[problems.RESPONSE_BUILDER] = problems.json_response_for
    parts = parts_of(request)
    by = await caller_of(request)
    content = await read_body(request, MAX_LOGO_BYTES, what="picture", hint="Use a smaller one, or a JPEG.")
    if not content:
        raise Malformed("The body is empty.", "Send a picture: PNG, JPEG, WebP or GIF.")
    await to_thread.run_sync(parts.logos.put, by, request.path_params["channel"], NewLogo(content))
    return Response(status_code=204)
