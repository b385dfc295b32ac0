"""
The address of the site as the caller of a request knows it.

1. With `public_url`, or on a server that only its own machine reaches, nothing that a request says changes the address.
2. Otherwise the server cannot know it, and uses the `Host` of the request in what is shown to that caller, who
   chose it: examples on pages and the OpenID issuer. Emails, and links that others follow, never use it.
"""

import re

from starlette.requests import Request

from seaway.http.house import House

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def site_url_of(request: Request) -> str:
    """Return the address of the site, without a slash at the end."""
    house: House = request.app.state.house
    host = request.headers.get("host", "")
    if not house.is_at_request_host or not _HOST.fullmatch(host):
        return house.site_url
    return f"{request.scope['scheme']}://{host.lower()}"
