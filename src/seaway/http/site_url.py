"""
The site URL as the caller knows it.

1. With `public_url`, or on a server that listens only on loopback, the request does not influence the URL.
2. Otherwise the server does not know its URL and uses the `Host` of the request, only in content for the same caller:
   examples on pages and the OpenID issuer. Emails and links that other users open never use it.
"""

import re

from starlette.requests import Request

from seaway.http.parts import parts_of

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def site_url_of(request: Request) -> str:
    """Return the site URL without a trailing slash."""
    parts = parts_of(request)
    host = request.headers.get("host", "")
    if not parts.uses_request_host or not _HOST.fullmatch(host):
        return parts.site_url
    return f"{request.scope['scheme']}://{host.lower()}"
