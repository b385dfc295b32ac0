"""
What the server asks of other hosts: short questions, and answers that it does not trust.

1. Nothing is asked but addresses that its caller has checked; redirects are not followed, so nobody leads elsewhere.
2. An answer is counted as it comes and cut at a limit; a host that is slow holds a thread for seconds, not minutes.
3. What went wrong is told without what was sent: codes and secrets are in it.
"""

import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from seaway.errors import Unavailable

_SECONDS = 10
_CONNECT_SECONDS = 5
_MAX_BYTES = 512 * 1024
_AGENT = "Seaway"  # GitHub answers nobody without a name

_tls = functools.cache(httpx.create_ssl_context)  # reads every root certificate: 17 ms


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, and the JSON of the body if it is JSON."""

    status: int
    value: Any

    def object(self) -> Mapping[str, Any]:
        """The JSON object; empty when it is something else."""
        return self.value if isinstance(self.value, dict) else {}


class Fetcher:
    """Asks other hosts; safe to use from many threads."""

    def __init__(self, client: httpx.Client | None = None) -> None:
        timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
        self._client = client or httpx.Client(timeout=timeout, follow_redirects=False, verify=_tls())

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Ask for a document."""
        return self._ask("GET", url, headers or {}, None)

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Reply:
        """Send a form."""
        return self._ask("POST", url, headers or {}, form)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _ask(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Reply:
        deadline = time.monotonic() + _SECONDS
        sent = {"Accept": "application/json", "User-Agent": _AGENT, **headers}
        try:
            with self._client.stream(method, url, headers=sent, data=form) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _MAX_BYTES or time.monotonic() > deadline:
                        raise _no_answer(url, "it says too much, or too slowly")
                return Reply(response.status_code, _json(bytes(body)))
        except httpx.HTTPError as error:
            raise _no_answer(url, type(error).__name__) from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _no_answer(url: str, cause: str) -> Unavailable:
    host = urlsplit(url).hostname or ""
    return Unavailable(f"{host} does not answer.", "Try again in a moment.", cause=f"{host}: {cause}")
