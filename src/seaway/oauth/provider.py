"""
Seaway as the OpenID provider for its users' command-line tools: the logic of each endpoint, without HTTP.

1. The issuer is exactly the public URL without a trailing slash: clients compare it with the URL that was typed.
2. A request never decides where a response goes or which key signs it; it decides the issuer only if the server cannot
   know its own URL (`http/site_url.py`).
3. Every refusal has an error code from the standards, since tools use it to decide whether to retry.

This does not use Authlib's server, which loads clients, grants and tokens as separate objects: here a grant changes in
one transaction (`grants`), and a replaced refresh token has a grace period. Each part names the RFC that it follows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from seaway.callers import rate_limits
from seaway.callers.rate_limits import Rate
from seaway.clock import SECOND_MS
from seaway.database.engine import Tx
from seaway.database.tables import users
from seaway.oauth import clients, codes, grants
from seaway.oauth.grants import IssuedTokens, OAuthError
from seaway.oauth.id_token_key import SigningKey
from seaway.site import Site

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CODE_GRANT = "authorization_code"
REFRESH_GRANT = "refresh_token"

AUTHORIZE = "/authorize"
DEVICE_PAGE = "/device"
DEVICE = "/api/oauth/device"
TOKEN = "/api/oauth/token"
REVOKE = "/api/oauth/revoke"
JWKS = "/api/oauth/jwks"
USERINFO = "/api/oauth/userinfo"

_NEEDED_FIELDS = {
    DEVICE_GRANT: ("device_code",),
    CODE_GRANT: ("code", "redirect_uri", "code_verifier"),
    REFRESH_GRANT: ("refresh_token",),
}

Form = Mapping[str, str]
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OAuthProvider:
    """Dependencies of the endpoints."""

    site: Site
    issuer: str
    key: SigningKey


def metadata(issuer: str) -> JsonObject:
    """Return the discovery document (OpenID Connect Discovery 1.0, 3; RFC 8414, 2)."""
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE,
        "token_endpoint": issuer + TOKEN,
        "device_authorization_endpoint": issuer + DEVICE,
        "revocation_endpoint": issuer + REVOKE,
        "userinfo_endpoint": issuer + USERINFO,
        "jwks_uri": issuer + JWKS,
        "scopes_supported": list(clients.SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "name", "preferred_username"],
        "request_uri_parameter_supported": False,
    }


def start_device(openid: OAuthProvider, form: Form, *, address: str) -> JsonObject | OAuthError:
    """Handle a device authorization request: return a device code, and a user code to type (RFC 8628, 3.1)."""
    client_id = form.get("client_id", "")
    scope = clients.granted(form.get("scope", ""))
    if client_id not in clients.CLIENTS:
        return _UNKNOWN_CLIENT
    if scope is None:
        return BAD_SCOPE
    rate_limits.count_attempt(openid.site.database, openid.site.clock.now_ms(), Rate.TOOL_BEGIN, address)
    with openid.site.database.write_unlocked() as tx:
        secret, user_code = codes.add_device(tx, openid.site.clock.now_ms(), client_id, scope, address=address)
    page = openid.issuer + DEVICE_PAGE
    return {
        "device_code": secret,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": codes.DEVICE_MS // SECOND_MS,
        "interval": codes.INTERVAL_MS // SECOND_MS,
    }


def issue(openid: OAuthProvider, form: Form, *, address: str) -> JsonObject | OAuthError:
    """Handle a token request of any supported grant type (RFC 6749, 3.2)."""
    client_id = form.get("client_id", "")
    if client_id not in clients.CLIENTS:
        return _UNKNOWN_CLIENT
    grant_type = form.get("grant_type")
    if grant_type is None:
        return OAuthError("invalid_request", "The field grant_type is missing.")
    if grant_type not in _NEEDED_FIELDS:
        return OAuthError("unsupported_grant_type", "This grant_type is not supported.")
    missing = next((name for name in _NEEDED_FIELDS[grant_type] if not form.get(name)), None)
    if missing is not None:
        return OAuthError("invalid_request", f"The field {missing} is missing.")
    now_ms = openid.site.clock.now_ms()
    rate_limits.count_attempt(openid.site.database, now_ms, Rate.TOOL_TOKENS, address)
    with _locked(openid.site) as tx:
        found = _exchange(tx, now_ms, form, client_id, address)
        if isinstance(found, OAuthError):
            return found
        user_claims = claims_of(tx, found.user_id)
    return _token_response(openid, now_ms, found, user_claims)


def _exchange(tx: Tx, now_ms: int, form: Form, client_id: str, address: str) -> IssuedTokens | OAuthError:
    match form["grant_type"]:
        case "authorization_code":
            return codes.exchange_code(
                tx,
                now_ms,
                form["code"],
                client_id,
                redirect_uri=form["redirect_uri"],
                verifier=form["code_verifier"],
                address=address,
            )
        case "refresh_token":
            return grants.refresh(
                tx, now_ms, form["refresh_token"], client_id, requested_scope=form.get("scope", ""), address=address
            )
        case _:
            return codes.exchange_device(tx, now_ms, form["device_code"], client_id, address=address)


def revoke(openid: OAuthProvider, form: Form, *, address: str) -> OAuthError | None:
    """Revoke a token (RFC 7009, 2.1); an unknown token is not an error."""
    client_id = form.get("client_id", "")
    if client_id not in clients.CLIENTS:
        return _UNKNOWN_CLIENT
    if not form.get("token"):
        return OAuthError("invalid_request", "The field token is missing.")
    now_ms = openid.site.clock.now_ms()
    rate_limits.count_attempt(openid.site.database, now_ms, Rate.TOOL_TOKENS, address)
    with _locked(openid.site) as tx:
        grants.revoke_token(tx, now_ms, form["token"], client_id, address=address)
    return None


def claims_of(tx: Tx, user_id: int) -> JsonObject:
    """Return the claims about a user that tools receive: only those needed to show who is logged in."""
    name, display_name = tx.execute(select(users.c.name, users.c.display_name).where(users.c.id == user_id)).one()
    return {"sub": str(user_id), "preferred_username": name, "name": display_name or name}


BAD_SCOPE = OAuthError("invalid_scope", f"Supported scopes: {', '.join(clients.SCOPES)}.")
_UNKNOWN_CLIENT = OAuthError("invalid_client", f"Supported clients: {', '.join(clients.CLIENTS)}.")


@contextmanager
def _locked(site: Site) -> Iterator[Tx]:
    with site.database.write_unlocked() as tx:
        grants.lock(site.database, tx)
        yield tx


def _token_response(openid: OAuthProvider, now_ms: int, issued: IssuedTokens, user_claims: JsonObject) -> JsonObject:
    """Build a token response (RFC 6749, 5.1) with an ID token if requested (OpenID Connect Core, 3.1.3.3)."""
    response: JsonObject = {
        "access_token": issued.access,
        "token_type": "Bearer",
        "expires_in": grants.ACCESS_MS // SECOND_MS,
        "refresh_token": issued.refresh,
        "scope": issued.scope,
    }
    if clients.OPENID in issued.scope.split():
        response["id_token"] = openid.key.sign(_id_claims(openid.issuer, user_claims, now_ms, issued))
    return response


def _id_claims(issuer: str, user_claims: JsonObject, now_ms: int, issued: IssuedTokens) -> JsonObject:
    now = now_ms // SECOND_MS
    claims: JsonObject = {
        "iss": issuer,
        "aud": issued.client_id,
        "iat": now,
        "exp": now + grants.ACCESS_MS // SECOND_MS,
    }
    return claims | user_claims | ({"nonce": issued.nonce} if issued.nonce else {})
