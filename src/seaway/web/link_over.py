"""Page of a link in an email that is invalid, has expired or was used."""

from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import NotFound
from seaway.web.rendering import page


def link_over(request: Request, error: NotFound, action: str, href: str) -> Response:
    """Say why the link does not work; `action` labels the button that leads on."""
    return page(request, "link_over.html", status=404, problem=error, action=action, href=href)
