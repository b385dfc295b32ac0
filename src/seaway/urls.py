"""Normalization of URLs for comparison, and URLs of this machine."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def normal_url(url: str) -> str:
    """Normalize a URL as clients do: scheme and host in lowercase and ASCII, no default port (RFC 3986, 6.2)."""
    parts = urlsplit(url.strip())
    try:
        host = (parts.hostname or "").encode("idna").decode().rstrip(".")
    except UnicodeError:
        host = ""
    if parts.scheme not in _DEFAULT_PORTS or not re.fullmatch(r"[0-9a-z._-]+|[0-9a-f:.]+", host) or "@" in parts.netloc:
        raise ValueError("it must be a URL such as https://conda.example.com")
    netloc = f"[{host}]" if ":" in host else host
    if parts.port not in (None, _DEFAULT_PORTS[parts.scheme]):
        netloc = f"{netloc}:{parts.port}"
    return urlunsplit((parts.scheme, netloc, *parts[2:]))


def is_loopback(parts: SplitResult) -> bool:
    """Return whether the URL is plain http to a loopback host."""
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False
