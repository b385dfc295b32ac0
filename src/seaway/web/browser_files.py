"""What browsers and robots ask for by themselves, at fixed addresses."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from seaway.web import assets

# Robots may read pages of public channels; what they would only load the server with is not theirs.
_ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /t/\nDisallow: /search\nDisallow: /*?\n"
_KEPT = {"Cache-Control": "public, max-age=86400"}


async def robots(_request: Request) -> Response:
    """What robots may read (RFC 9309)."""
    return PlainTextResponse(_ROBOTS, headers=_KEPT)


async def no_touch_icon(_request: Request) -> Response:
    """Tell Apple's browsers, for a day, that there is no icon at the fixed addresses."""
    return PlainTextResponse("There is no such icon.", 404, headers=_KEPT)


async def icon(_request: Request) -> Response:
    """Lead to the icon that pages name."""
    return RedirectResponse(assets.address("mark.svg"), 302, headers=_KEPT)
