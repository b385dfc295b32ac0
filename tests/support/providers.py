"""
Identity providers on loopback: an OpenID provider based on Authlib's server, and GitHub's endpoints as documented.

Tests choose the account that is signed in at the provider, and the errors of the provider.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import RSAKey

CLIENT_ID = "seaway-client"
CLIENT_SECRET = "between % the two: of + them, 0123456789"  # characters that must be encoded in a header

ProviderResponse = tuple[int, Any, dict[str, str]]


@dataclass
class Provider:
    """An identity provider: its URL, the account signed in there, and the requests it received."""

    account: dict[str, Any] = field(default_factory=dict)
    denies_access: bool = False
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def respond(self, method: str, path: str, fields: dict[str, str], headers: Mapping[str, str]) -> ProviderResponse:
        raise NotImplementedError


@contextmanager
def running(provider: Provider) -> Iterator[Provider]:
    """Serve the provider on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            provider.requests.append(f"{self.command} {parts.path}")
            fields = dict(parse_qsl(parts.query)) | dict(parse_qsl(form))
            status, body, headers = provider.respond(self.command, parts.path, fields, self.headers)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, _request: object, _address: object) -> None:
            """Ignore clients that close the connection early; other errors show as a missing response."""

    with Server(("127.0.0.1", 0), Handler) as server:
        provider.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(10)


# An OpenID provider


class _Client:
    """Seaway as a registered client (Authlib's ClientMixin)."""

    def __init__(self, redirect_uris: list[str]) -> None:
        self._redirect_uris = redirect_uris

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self._redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, uri: str) -> bool:
        return uri in self._redirect_uris

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class _Code:
    """An issued authorization code (Authlib's AuthorizationCodeMixin)."""

    data: Mapping[str, str]
    account: dict[str, Any]
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.data.get("nonce")

    def get_auth_time(self) -> int | None:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class OpenIdProvider(Provider):
    """Authlib's server with one client; `changed_claims` are those of ID tokens, `keys_response` replaces its keys."""

    redirect_uris: list[str] = field(default_factory=list)
    changed_claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    email_in_token: bool = True
    issuer_in_redirect: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], int] = lambda: int(time.time())
    auth_time: Callable[[], int | None] = lambda: None  # None, like Google; Keycloak and others send it
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True))
    signing_key: Any = None
    keys_response: ProviderResponse | None = None

    def __post_init__(self) -> None:
        self.codes: dict[str, _Code] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self._server = _Server(self)

    def respond(self, method: str, path: str, fields: dict[str, str], headers: Mapping[str, str]) -> ProviderResponse:
        request = _Request(method, fields, headers)
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._metadata(), {}
            case "/jwks":
                return self.keys_response or (200, {"keys": [self.key.as_dict(private=False)]}, {})
            case "/authorize":
                return self._authorize(request)
            case "/token":
                response: ProviderResponse = self._server.create_token_response(request)
                return response
            case "/userinfo":
                account = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
                return (401, {}, {}) if account is None else (200, account, {})
            case _:
                return 404, {}, {}

    def _authorize(self, request: "_Request") -> ProviderResponse:
        grant = self._server.get_consent_grant(request, self.account)
        status, body, headers = self._server.create_authorization_response(
            request, grant_user=None if self.denies_access else self.account, grant=grant
        )
        if self.issuer_in_redirect is not None:
            headers["Location"] += "&" + urlencode({"iss": self.issuer_in_redirect})
        return status, body, headers

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "userinfo_endpoint": f"{self.address}/userinfo",
            "jwks_uri": f"{self.address}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.metadata,
        }


class _Request(OAuth2Request):
    """A request for Authlib, which requires an https URL."""

    def __init__(self, method: str, fields: dict[str, str], headers: Mapping[str, str]) -> None:
        super().__init__(method, "https://provider.test/", headers=headers)
        self.payload = BasicOAuth2Payload(fields)

    @property
    def args(self) -> dict[str, str]:
        return dict(self.payload.data)

    @property
    def form(self) -> dict[str, str]:
        return dict(self.payload.data)


class _Server(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, provider: OpenIdProvider) -> None:
        super().__init__()
        self._provider = provider
        grant = type("Grant", (_CodeGrant,), {"provider": provider})
        self.register_grant(grant, [CodeChallenge(required=True), _IdToken(provider)])
        self.register_token_generator("default", self._bearer)

    def query_client(self, client_id: str) -> _Client | None:
        return _Client(self._provider.redirect_uris) if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        self._provider.tokens[token["access_token"]] = request.user

    def create_oauth2_request(self, request: _Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> ProviderResponse:
        return status, body, dict(headers)

    def send_signal(self, *_args: object, **_named: object) -> None:
        pass

    def _bearer(self, scope: str, **_named: object) -> dict[str, Any]:
        return {"token_type": "Bearer", "access_token": secrets.token_urlsafe(), "expires_in": 60, "scope": scope}


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    provider: OpenIdProvider

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        data = request.payload.data
        self.provider.codes[code] = _Code(
            data,
            request.user,
            data["redirect_uri"],
            data["scope"],
            data["code_challenge"],
            data["code_challenge_method"],
            self.provider.auth_time(),
        )

    def query_authorization_code(self, code: str, _client: _Client) -> _Code | None:
        return self.provider.codes.get(code)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        self.provider.codes = {key: code for key, code in self.provider.codes.items() if code is not authorization_code}

    def authenticate_user(self, authorization_code: _Code) -> dict[str, Any]:
        return authorization_code.account


class _IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, provider: OpenIdProvider) -> None:
        super().__init__(require_nonce=True)
        self._provider = provider

    def exists_nonce(self, _nonce: str, _request: OAuth2Request) -> bool:
        return False

    def get_client_algorithm(self, _client: _Client) -> str:
        return self._provider.algorithm

    def get_encode_header(self, client: _Client) -> dict[str, str]:
        return {"alg": self._provider.algorithm, "kid": self._provider.key.kid}

    def resolve_client_private_key(self, _client: _Client) -> Any:
        return self._provider.signing_key or self._provider.key

    def get_client_claims(self, client: _Client) -> dict[str, Any]:
        now = self._provider.now()
        return {"iss": self._provider.address, "aud": client.get_client_id(), "iat": now, "exp": now + 300}

    def encode_id_token(self, token: dict[str, Any], request: OAuth2Request) -> Any:
        if self._provider.algorithm != "none":
            return super().encode_id_token(token, request)
        self._provider.algorithm = "RS256"  # Authlib creates no unsigned tokens, so the signature is removed
        _, claims, _ = super().encode_id_token(token, request).split(".")
        header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        return f"{header}.{claims}."

    def generate_user_info(self, user: dict[str, Any], _scope: str) -> dict[str, Any]:
        claims = user if self._provider.email_in_token else {"sub": user["sub"]}
        return {**claims, **self._provider.changed_claims}


# GitHub


@dataclass
class GitHub(Provider):
    """
    The sign-in endpoints that GitHub documents; `account` has `id`, `login`, `name` and `emails`.

    A code can be used once, with the client secret, the redirect URI and the verifier.
    """

    def __post_init__(self) -> None:
        self._codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self._tokens: dict[str, dict[str, Any]] = {}

    def respond(self, method: str, path: str, fields: dict[str, str], headers: Mapping[str, str]) -> ProviderResponse:
        match method, path:
            case "GET", "/login/oauth/authorize":
                return self._authorize(fields)
            case "POST", "/login/oauth/access_token":
                return 200, self._token(fields), {}
            case "GET", "/api/v3/user" | "/api/v3/user/emails":
                return self._profile(path, headers)
            case _:
                return 404, {"message": "Not Found"}, {}

    def _authorize(self, fields: dict[str, str]) -> ProviderResponse:
        assert CLIENT_ID == fields["client_id"]
        assert "S256" == fields["code_challenge_method"]
        if self.denies_access:
            result = {"error": "access_denied", "error_description": "The user has denied your application access."}
        else:
            result = {"code": secrets.token_hex(10)}
            self._codes[result["code"]] = (fields, self.account)
        return 302, {}, {"Location": f"{fields['redirect_uri']}?{urlencode({**result, 'state': fields['state']})}"}

    def _token(self, fields: dict[str, str]) -> dict[str, str]:
        if (fields.get("client_id"), fields.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return {"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret"}
        authorized, account = self._codes.pop(fields.get("code", ""), ({}, {}))
        challenge = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        if authorized.get("code_challenge") != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode():
            return {"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}
        if authorized["redirect_uri"] != fields.get("redirect_uri"):
            return {"error": "redirect_uri_mismatch", "error_description": "The redirect_uri MUST match"}
        token = f"gho_{secrets.token_hex(18)}"
        self._tokens[token] = account
        return {"access_token": token, "scope": "read:user,user:email", "token_type": "bearer"}

    def _profile(self, path: str, headers: Mapping[str, str]) -> ProviderResponse:
        account = self._tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if not headers.get("User-Agent"):
            return 403, {"message": "Request forbidden by administrative rules."}, {}
        if account is None:
            return 401, {"message": "Bad credentials"}, {}
        if path.endswith("/emails"):
            return 200, account["emails"], {}
        profile = {"email": "of-the-profile@example.com", "type": "User", "site_admin": False}
        return 200, profile | {key: account[key] for key in ("id", "login", "name")}, {}
