"""
Look up the numeric id of a GitHub owner when a publisher is saved, so that it is pinned before the first token arrives.

If GitHub does not respond, for example on a closed network, the first token pins the id.
"""

from collections.abc import Callable, Mapping

import structlog

from seaway.errors import Unavailable
from seaway.trusted_publishing.issuer_kinds.github import GITHUB, ISSUER
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.publisher import PublisherSettings

log = structlog.get_logger()

# Requests a JSON object from a URL; returns None if there is none. Raises `Unavailable`.
FetchJson = Callable[[str], Mapping[str, object] | None]


def with_owner_id(settings: PublisherSettings, issuer: Issuer, fetch: FetchJson, api_url: str) -> PublisherSettings:
    """Add the owner's id and spelling from GitHub to the settings, if available; call this outside a transaction."""
    owner = settings.fields.get("owner", "")
    if issuer.issuer != ISSUER or not owner or settings.pinned:
        return settings
    GITHUB.fields[0].check(owner)  # it becomes part of the requested URL
    try:
        found = fetch(f"{api_url.rstrip('/')}/users/{owner}") or {}
    except Unavailable as error:
        log.info("publisher.owner_not_looked_up", owner=owner, reason=error.message)
        return settings
    number, login = found.get("id"), found.get("login")
    if type(number) is not int or not isinstance(login, str) or login.lower() != owner.lower():
        return settings
    fields = {**settings.fields, "owner": login}
    return settings.model_copy(update={"fields": fields, "pinned": {"owner_id": str(number)}})
