"""An issuer of workflow tokens for tests: keys, tokens of exact bytes, and a server that can misbehave."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

AUDIENCE = "conda.example.com"
_numbers = count(1)


def key(name: str, bits: int = 2048) -> RSAPrivateKey:
    """Return the private key of this name, which is generated once."""
    return _key(name, bits)


@cache
def _key(name: str, bits: int) -> RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwk(name: str, bits: int = 2048, **changes: Any) -> dict[str, Any]:
    """Return the public key as issuers publish it; a change to `...` leaves a member out."""
    numbers = key(name, bits).public_key().public_numbers()
    n, e = (value.to_bytes((value.bit_length() + 7) // 8, "big") for value in (numbers.n, numbers.e))
    members = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "n": b64(n), "e": b64(e), **changes}
    return {member: value for member, value in members.items() if value is not ...}


def key_set(*names: str) -> str:
    return json.dumps({"keys": [jwk(name) for name in names]})


def signed(header: bytes, payload: bytes, name: str) -> str:
    """Return a token of exactly these bytes."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(key(name).sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def token(claims: Mapping[str, Any], *, name: str = "key-1", header: Mapping[str, Any] | None = None) -> str:
    """Return a signed token with these claims; a claim or header of `...` is left out."""
    head = {"alg": "RS256", "typ": "JWT", "kid": name, **(header or {})}
    return signed(_json(head), _json(claims), name)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps({member: content for member, content in value.items() if content is not ...}).encode()


def times(now_s: int, life_s: int) -> dict[str, int]:
    return {"iat": now_s - 5, "nbf": now_s - 5, "exp": now_s - 5 + life_s}


def github(now_s: int, **changes: Any) -> dict[str, Any]:
    """Return the claims of a GitHub workflow run; `token` leaves out changes to `...`."""
    return {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": AUDIENCE,
        "jti": f"github-{next(_numbers)}",
        "sub": "repo:acme/tools:ref:refs/heads/main",
        **times(now_s, 300),
        "repository": "acme/tools",
        "repository_owner": "acme",
        "repository_owner_id": "1001",
        "repository_id": "2002",
        "repository_visibility": "public",
        "workflow_ref": "acme/tools/.github/workflows/release.yml@refs/heads/main",
        "job_workflow_ref": "acme/tools/.github/workflows/release.yml@refs/heads/main",
        "event_name": "push",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "false",
        "sha": "6f" * 20,
        "run_id": "77",
        "run_number": "12",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "actor_id": "5",
        "workflow": "Release",
        "workflow_sha": "6f" * 20,
        **changes,
    }


def gitlab(now_s: int, *, issuer: str = "https://gitlab.com", **changes: Any) -> dict[str, Any]:
    """Return the claims of a GitLab job."""
    host = issuer.partition("://")[2]
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "jti": f"gitlab-{next(_numbers)}",
        "sub": "project_path:acme/team/tools:ref_type:branch:ref:main",
        **times(now_s, 3600),
        "namespace_id": "31",
        "namespace_path": "acme/team",
        "project_id": "32",
        "project_path": "acme/team/tools",
        "user_id": "1",
        "user_login": "mona",
        "user_identities": [{"provider": "github", "extern_uid": "2"}],
        "groups_direct": ["acme"],
        "pipeline_id": "41",
        "pipeline_source": "push",
        "job_id": "42",
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "runner_id": 7,
        "runner_environment": "gitlab-hosted",
        "sha": "7a" * 20,
        "ci_config_ref_uri": f"{host}/acme/team/tools//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "7a" * 20,
        **changes,
    }


def google(now_s: int, **changes: Any) -> dict[str, Any]:
    """Return the claims of a Google service account."""
    validity = times(now_s, 3600)
    validity.pop("nbf")
    return {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "azp": "113774264463038321964",
        **validity,
        "email": "builder@acme.iam.gserviceaccount.com",
        "email_verified": True,
        "sub": "113774264463038321964",
        **changes,
    }


IssuerResponse = tuple[int, dict[str, str], bytes]


@dataclass
class LocalIssuer:
    """A running issuer on loopback; `responses` replace the correct responses by path."""

    address: str
    names: list[str] = field(default_factory=lambda: ["key-1"])
    responses: dict[str, Callable[[], IssuerResponse]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def respond(self, path: str) -> IssuerResponse:
        self.requests.append(path)
        if path in self.responses:
            return self.responses[path]()
        if path == "/.well-known/openid-configuration":
            return json_response({"issuer": self.address, "jwks_uri": f"{self.address}/keys"})
        if path == "/keys":
            return json_response({"keys": [jwk(name) for name in self.names]})
        return 404, {}, b""

    def count(self, path: str = "/keys") -> int:
        return self.requests.count(path)


def json_response(value: object) -> IssuerResponse:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Run an issuer until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = issuer.respond(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = LocalIssuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def now_s() -> int:
    return int(time.time())
