"""
Compare the ids of publishers with the public API of GitHub and GitLab, for the page that lists publishers.

1. A URL is built from an issuer or a setting, and from names that the issuer's kind has checked.
2. All comparisons of one page take at most 2 seconds. A timeout, a refusal and a private repository (404) give no
   finding.
3. Only ids that the channel owner is allowed to see are compared: a run that has not uploaded does not affect the page.
4. A response, or its absence, is cached in memory for 5 minutes, and a process makes at most 20 requests a minute:
   GitHub allows 60 an hour without a token.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

import anyio
import structlog

from seaway.callers.rate_limits import Limit
from seaway.clock import MINUTE_MS, Clock
from seaway.outbound import OutboundRequest, OutboundRequestFailed, OutboundResponse
from seaway.trusted_publishing.issuer_kinds.github import ISSUER as GITHUB_ISSUER
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.publisher import Publisher

log = structlog.get_logger()

_MAX_BYTES = 256 * 1024
_CACHED_MS = 5 * MINUTE_MS
_LIMIT = Limit(20, MINUTE_MS)
_MAX_CACHED = 1_000
# Redirect target for the old name of a repository; redirects to a sign-in page do not match.
_BY_NUMBER = re.compile(r"/(?:repositories|projects)/[0-9]+(?:\?|$)")
_GHES_ISSUER = "/_services/token"


class IdMismatch(Enum):
    """A difference between a publisher's repository and the ids pinned for the publisher."""

    RENAMED = "renamed"  # its name redirects to another repository
    OTHER_IDS = "other ids"


@dataclass(frozen=True, slots=True)
class Lookup:
    """API URL of a publisher's repository, and whether an admin chose the host."""

    url: str
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class _Cached:
    reply: OutboundResponse | None  # None: no response, or not yet
    at_ms: int


class RepositoryIds:
    """Look up repositories and cache the responses; safe to use from many threads."""

    def __init__(self, clock: Clock, github_api_url: str) -> None:
        self._clock, self._github_api_url = clock, github_api_url
        self.page_seconds = 2.0
        self._lock = threading.Lock()
        self._cached: dict[str, _Cached] = {}
        self._requested_ms: list[int] = []

    def findings(self, publishers: Sequence[Publisher], issuers: Sequence[Issuer]) -> dict[int, IdMismatch]:
        """Return the findings by publisher id; call this in a thread, outside a transaction."""
        by_address = {issuer.issuer: issuer for issuer in issuers if issuer.is_enabled}
        lookups = {
            publisher.id: lookup
            for publisher in publishers
            if publisher.pinned and publisher.issuer in by_address
            for lookup in [lookup_of(publisher, by_address[publisher.issuer], self._github_api_url)]
            if lookup is not None
        }
        due = [lookup for lookup in dict.fromkeys(lookups.values()) if self._is_due(lookup.url)]
        if due:
            anyio.run(self._request_all, due)
        findings = {
            publisher.id: finding_of(publisher, reply)
            for publisher in publishers
            if publisher.id in lookups
            for reply in [self._reply(lookups[publisher.id].url)]
            if reply is not None
        }
        return {number: finding for number, finding in findings.items() if finding is not None}

    def _reply(self, url: str) -> OutboundResponse | None:
        with self._lock:
            return self._cached[url].reply if url in self._cached else None

    def _is_due(self, url: str) -> bool:
        """Return whether to request this URL now; a request counts toward the limit (4)."""
        now_ms = self._clock.now_ms()
        with self._lock:
            cached = self._cached.get(url)
            if cached is not None and 0 <= now_ms - cached.at_ms < _CACHED_MS:
                return False
            self._requested_ms = [at for at in self._requested_ms if 0 <= now_ms - at < _LIMIT.per_ms]
            if len(self._requested_ms) >= _LIMIT.count:
                return False
            self._requested_ms.append(now_ms)
        self._cache(url, None)
        return True

    def _cache(self, url: str, reply: OutboundResponse | None) -> None:
        with self._lock:
            self._cached.pop(url, None)
            self._cached[url] = _Cached(reply, self._clock.now_ms())
            if len(self._cached) > _MAX_CACHED:
                del self._cached[next(iter(self._cached))]

    async def _request_all(self, lookups: Sequence[Lookup]) -> None:
        with anyio.move_on_after(self.page_seconds):
            async with anyio.create_task_group() as tasks:
                for lookup in lookups:
                    tasks.start_soon(self._request, lookup)

    async def _request(self, lookup: Lookup) -> None:
        request = OutboundRequest(
            lookup.url,
            accept="application/json",
            max_bytes=_MAX_BYTES,
            is_trusted=lookup.is_trusted,
            allows_http=lookup.is_trusted,
            seconds=self.page_seconds,
        )
        try:
            self._cache(lookup.url, await request.send())
        except OutboundRequestFailed as error:
            log.info("publisher.ids_not_looked_up", url=lookup.url, reason=str(error))


def lookup_of(publisher: Publisher, issuer: Issuer, github_api_url: str) -> Lookup | None:
    """Return the API URL of the publisher's repository; None if the provider has no public API."""
    matched = publisher.fields
    if issuer.kind.name == "github" and (api := _github_api(issuer, github_api_url)):
        path = f"repos/{quote(matched['owner'], safe='')}/{quote(matched['repository'], safe='')}"
        return Lookup(f"{api.rstrip('/')}/{path}", is_trusted=True)
    if issuer.kind.name == "gitlab":
        path = quote(f"{matched['namespace']}/{matched['project']}", safe="")
        return Lookup(f"{issuer.issuer.rstrip('/')}/api/v4/projects/{path}", is_trusted=not issuer.is_builtin)
    return None


def _github_api(issuer: Issuer, github_api_url: str) -> str:
    if issuer.issuer == GITHUB_ISSUER or issuer.issuer.startswith(GITHUB_ISSUER + "/"):  # of an enterprise
        return github_api_url
    if issuer.issuer.endswith(_GHES_ISSUER):
        return issuer.issuer.removesuffix(_GHES_ISSUER) + "/api/v3"
    return ""


_DESCRIBED: Mapping[str, Callable[[Mapping[str, object]], Mapping[str, object]]] = {
    "github": lambda described: {"owner_id": _id_in(described.get("owner")), "repository_id": _id_in(described)},
    "gitlab": lambda described: {"namespace_id": _id_in(described.get("namespace")), "project_id": _id_in(described)},
}


def finding_of(publisher: Publisher, reply: OutboundResponse) -> IdMismatch | None:
    """Return how the repository in the response differs from the publisher's ids; None if it does not or is unknown."""
    if _BY_NUMBER.search(reply.location):
        return IdMismatch.RENAMED
    if reply.status != 200:
        return None
    described = _DESCRIBED[publisher.kind](reply.json_object())
    differ = [name for name, value in publisher.pinned.items() if described.get(name) not in (None, value)]
    return IdMismatch.OTHER_IDS if differ else None


def _id_in(value: object) -> str | None:
    number = value.get("id") if isinstance(value, dict) else None
    return str(number) if type(number) is int else None
