"""Request for a file of a channel, parsed once from the ASGI scope."""

import re

from starlette.types import Scope

from seaway.http import paths


class ChannelRequest:
    """Request to read from a channel; of repeated headers, the first counts."""

    __slots__ = ("_headers", "authorizations", "method", "raw_path", "scope")

    def __init__(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.scope = scope
        self.method: str = scope["method"]
        self.raw_path = paths.raw(scope)
        self._headers = dict(reversed(headers))
        # All of them: two Authorization headers are not a valid credential.
        self.authorizations = tuple([value.decode("latin-1") for name, value in headers if name == b"authorization"])

    def header(self, name: bytes) -> str | None:
        """Return the value of a header; `name` is in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")


def encodings(accept_encoding: str) -> tuple[str, ...]:
    """Return the supported content codings that the client accepts, best first, including `identity`."""
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        coding, _, parameters = part.strip().partition(";")
        weight = re.search(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameters)
        weights[coding.strip().lower()] = float(weight[1]) if weight else 1.0
    any_other = weights.get("*", 0.0)
    known = {coding: weights.get(coding, any_other) for coding in ("zstd", "gzip")}
    known["identity"] = weights.get("identity", 0.001)
    return tuple(sorted((coding for coding in known if known[coding] > 0), key=lambda coding: -known[coding]))
