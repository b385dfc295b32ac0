"""
Who somebody is at GitHub, which speaks OAuth with an API of its own and makes no ID tokens.

The number of an account is who it is: names are given up, and taken by others. Its addresses come from the endpoint
that says which are verified, and only the primary one counts; the one of the public profile proves nothing.
"""

from collections.abc import Mapping
from typing import Any

from seaway.accounts.providers import Outsider, Provider
from seaway.errors import NotAllowed, Unavailable
from seaway.visiting import Fetcher, Reply

_SCOPE = "read:user user:email"
_API_VERSION = "2022-11-28"


def authorize_url(provider: Provider) -> str:
    """The page where people say yes."""
    return f"{provider.issuer}/login/oauth/authorize"


def scope() -> str:
    """What we want to read: who it is, and the addresses."""
    return _SCOPE


def outsider(fetcher: Fetcher, provider: Provider, form: Mapping[str, str]) -> Outsider:
    """Who came back with a code; the token that it gives is used for two questions and thrown away."""
    headers = {
        "Authorization": f"Bearer {_token(fetcher, provider, form)}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": _API_VERSION,
    }
    user = _good(fetcher.get(f"{provider.api_url}/user", headers), provider).object()
    number, login = user.get("id"), user.get("login")
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0 or not isinstance(login, str):
        raise _no_sense(provider)
    addresses = _good(fetcher.get(f"{provider.api_url}/user/emails", headers), provider).value
    name = user.get("name")
    return Outsider(
        provider=provider.name,
        issuer=provider.issuer,
        subject=str(number),
        login=login,
        title=name if isinstance(name, str) else "",
        address=primary_address(addresses),
    )


def primary_address(listed: Any) -> str | None:
    """The address that is both verified and the primary one."""
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("verified") is True and entry.get("primary") is True:
            address = entry.get("email")
            return address if isinstance(address, str) else None
    return None


def _token(fetcher: Fetcher, provider: Provider, form: Mapping[str, str]) -> str:
    asked = {**form, "client_id": provider.client_id, "client_secret": provider.client_secret}
    told = _good(fetcher.post(f"{provider.issuer}/login/oauth/access_token", asked), provider).object()
    token = told.get("access_token")
    if not isinstance(token, str) or not token:  # a bad code is answered with 200 and an error
        raise NotAllowed(f"{provider.title} does not take its own answer back.", "Sign in again.")
    return token


def _good(reply: Reply, provider: Provider) -> Reply:
    if reply.status != 200:
        raise _no_sense(provider, cause=f"status {reply.status}")
    return reply


def _no_sense(provider: Provider, cause: str = "") -> Unavailable:
    return Unavailable(f"{provider.title} gives no answer that makes sense.", "Try again in a moment.", cause=cause)
