"""
Sign-in with GitHub, which supports OAuth with its own API but no ID tokens.

An account is identified by its numeric id, since a login can be given up and taken by another user. The email address
comes from the endpoint that reports verification, and only the primary one counts; the one in the public profile proves
nothing.
"""

from collections.abc import Mapping
from typing import Any

from seaway.errors import NotAllowed, Unavailable
from seaway.outbound import JsonClient, OutboundResponse
from seaway.sign_in.identity_providers import ExternalAccount, Provider

SCOPE = "read:user user:email"  # the profile and the email addresses
_API_VERSION = "2022-11-28"


def api_url_of(github_url: str) -> str:
    """Return the URL of the REST API of github.com, of a GHE.com tenant (data residency) or of an Enterprise Server."""
    host = github_url.removeprefix("https://")
    is_hosted = host == "github.com" or host.endswith(".ghe.com")
    return f"https://api.{host}" if is_hosted else f"{github_url}/api/v3"


def external_account(fetcher: JsonClient, provider: Provider, form: Mapping[str, str]) -> ExternalAccount:
    """Exchange a code and return the GitHub account; the access token serves two requests and is then discarded."""
    headers = {
        "Authorization": f"Bearer {_token(fetcher, provider, form)}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": _API_VERSION,
    }
    api_url = api_url_of(provider.issuer)
    user = _successful(fetcher.get(f"{api_url}/user", headers), provider).json_object()
    account_id, login = user.get("id"), user.get("login")
    if not isinstance(account_id, int) or isinstance(account_id, bool) or account_id <= 0 or not isinstance(login, str):
        raise _unusable(provider)
    addresses = _successful(fetcher.get(f"{api_url}/user/emails", headers), provider).json
    name = user.get("name")
    return ExternalAccount(
        provider=provider.name,
        issuer=provider.issuer,
        subject=str(account_id),
        login=login,
        full_name=name if isinstance(name, str) else "",
        address=primary_address(addresses),
    )


def primary_address(listed: Any) -> str | None:
    """Return the primary email address if it is verified, else None."""
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("verified") is True and entry.get("primary") is True:
            address = entry.get("email")
            return address if isinstance(address, str) else None
    return None


def _token(fetcher: JsonClient, provider: Provider, form: Mapping[str, str]) -> str:
    body = {**form, "client_id": provider.client_id, "client_secret": provider.client_secret}
    response = _successful(fetcher.post(f"{provider.issuer}/login/oauth/access_token", body), provider).json_object()
    token = response.get("access_token")
    if not isinstance(token, str) or not token:  # GitHub returns 200 with an error for a bad code
        raise NotAllowed(f"{provider.title} did not accept its own sign-in code.", "Sign in again.")
    return token


def _successful(reply: OutboundResponse, provider: Provider) -> OutboundResponse:
    if reply.status != 200:
        raise _unusable(provider, cause=f"status {reply.status}")
    return reply


def _unusable(provider: Provider, cause: str = "") -> Unavailable:
    return Unavailable(f"{provider.title} returned an unusable response.", "Try again in a moment.", cause=cause)
