"""What a reader's request says, as far as an answer depends on it, read once from the raw request."""

import re

from starlette.types import Scope

from seaway.http import paths


class Asked:
    """The request of a reader; of a header that comes twice, the first counts."""

    __slots__ = ("_headers", "authorizations", "method", "raw_path", "scope")

    def __init__(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.scope = scope
        self.method: str = scope["method"]
        self.raw_path = paths.raw(scope)
        self._headers = dict(reversed(headers))
        # All of them: two are not one credential.
        self.authorizations = tuple([value.decode("latin-1") for name, value in headers if name == b"authorization"])

    def header(self, name: bytes) -> str | None:
        """The value of a header, whose name is in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")


def encodings(accept_encoding: str) -> tuple[str, ...]:
    """The content codings that the client takes and we have, best first; `identity` where it wants that sooner."""
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        coding, _, parameters = part.strip().partition(";")
        weight = re.search(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameters)
        weights[coding.strip().lower()] = float(weight[1]) if weight else 1.0
    any_other = weights.get("*", 0.0)
    known = {coding: weights.get(coding, any_other) for coding in ("zstd", "gzip")}
    known["identity"] = weights.get("identity", 0.001)
    return tuple(sorted((coding for coding in known if known[coding] > 0), key=lambda coding: -known[coding]))
