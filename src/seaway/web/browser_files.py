"""Files that browsers and crawlers request at fixed paths."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from seaway.web import assets

# Crawlers are allowed on pages of public channels; paths that only cause load are disallowed.
_ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /t/\nDisallow: /search\nDisallow: /*?\n"
_KEPT = {"Cache-Control": "public, max-age=86400"}


async def robots(_request: Request) -> Response:
    """Return robots.txt (RFC 9309)."""
    return PlainTextResponse(_ROBOTS, headers=_KEPT)


async def no_touch_icon(_request: Request) -> Response:
    """Return a 404 for Apple touch icons, cached for a day."""
    return PlainTextResponse("There is no such icon.", 404, headers=_KEPT)


async def icon(_request: Request) -> Response:
    """Redirect to the icon that pages use."""
    return RedirectResponse(assets.asset_path("mark.svg"), 302, headers=_KEPT)
