"""Outbound requests: they use the proxy of the environment, and never reach addresses that users must not choose."""

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import anyio
import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from seaway.attestations.tuf import TufRepository
from seaway.clock import SystemClock
from seaway.errors import Unavailable
from seaway.oidc.fetching import fetch_keys
from seaway.oidc.key_sets import KeySets
from seaway.outbound import JsonClient, OutboundRequest, OutboundRequestFailed, OutboundResponse, proxy_for
from seaway.sign_in import github
from seaway.sign_in.identity_providers import LoginProtocol, Provider
from seaway.sign_in.openid_providers import OpenIdProviders
from seaway.trusted_publishing.github_owners import with_owner_id
from seaway.trusted_publishing.issuer_kinds.gitlab import GITLAB
from seaway.trusted_publishing.issuers import BUILT_IN, Issuer
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.repository_ids import IdMismatch, RepositoryIds
from tests.support import issuer as support
from tests.support import tls

SEAWAY_TEST = "https://seaway.test"
VARIABLES = [name for kind in ("https", "http", "all", "no") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]


@dataclass
class Proxy:
    """A proxy that connects every name to one TLS server, whose responses depend on the path."""

    address: str = ""
    requests: list[str] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    certificate = tls.certificate(tmp_path)
    context = tls.serving_context(certificate)
    running_proxy = Proxy()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            running_proxy.requests.append(self.rfile.readline().decode().rsplit(" ", 1)[0])  # without the version
            while self.rfile.readline().strip():
                pass
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                with context.wrap_socket(self.request, server_side=True) as inner, inner.makefile("rb") as lines:
                    path, length = lines.readline().split()[1].decode(), 0
                    while header := lines.readline().strip():
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.partition(b":")[2])
                    lines.read(length)  # closing a connection with unread bytes resets it
                    body = running_proxy.bodies.get(path, "{}").encode()
                    inner.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                  b"Content-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
            except (ssl.SSLError, OSError):
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running_proxy.address = f"http://127.0.0.1:{server.server_address[1]}"
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", running_proxy.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
        yield running_proxy
        server.shutdown()


def request(url: str, *, is_trusted: bool = False) -> OutboundResponse:
    return anyio.run(OutboundRequest(url, accept="*/*", max_bytes=1000, is_trusted=is_trusted, allows_http=True).send)


def test_name_that_only_the_proxy_resolves_is_reached(proxy: Proxy) -> None:
    """In a closed network external names do not resolve, and the proxy connects by name."""
    proxy.bodies["/x"] = "yes"
    assert b"yes" == request("https://seaway.test/x").content
    assert ["CONNECT seaway.test:443"] == proxy.requests


def test_issuer_keys_are_fetched_through_the_proxy(proxy: Proxy) -> None:
    """Trusted publishing behind a proxy needs the discovery document and the keys."""
    proxy.bodies["/.well-known/openid-configuration"] = (
        '{"issuer": "https://seaway.test", "jwks_uri": "https://seaway.test/keys"}'
    )
    proxy.bodies["/keys"] = support.key_set("key-1")
    assert "key-1" in fetch_keys(Issuer("forge", GITLAB, "https://seaway.test").key_source)
    assert ["CONNECT seaway.test:443"] * 2 == proxy.requests


def test_identity_providers_are_reached_through_the_proxy(proxy: Proxy) -> None:
    """External login also works behind a proxy."""
    proxy.bodies["/x"] = '{"a": 1}'
    assert {"a": 1} == JsonClient().get("https://seaway.test/x").json_object()
    assert ["CONNECT seaway.test:443"] == proxy.requests


CORP = Provider(
    name="corp", title="Corp", dialect=LoginProtocol.OPENID, issuer=SEAWAY_TEST, client_id="x", client_secret="y",
)  # fmt: skip


def sign_in_by_github(proxy: Proxy, _folder: Path) -> None:
    proxy.bodies |= {
        "/login/oauth/access_token": '{"access_token": "t"}',
        "/api/v3/user": '{"id": 7, "login": "ada"}',
        "/api/v3/user/emails": '[{"email": "ada@example.com", "verified": true, "primary": true}]',
    }
    assert "ada@example.com" == github.external_account(JsonClient(), CORP, {"code": "c"}).address


def sign_in_by_openid(proxy: Proxy, _folder: Path) -> None:
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    configuration = {"issuer": SEAWAY_TEST, **{name: f"{SEAWAY_TEST}/{name}" for name in names}}
    proxy.bodies["/.well-known/openid-configuration"] = json.dumps(configuration)
    assert (
        f"{SEAWAY_TEST}/jwks_uri"
        == OpenIdProviders(JsonClient(), SystemClock(), Mock(spec=KeySets)).discovery(CORP).keys_url
    )


def look_up_an_owner(proxy: Proxy, _folder: Path) -> None:
    proxy.bodies["/users/acme"] = '{"id": 1001, "login": "acme"}'
    settings = PublisherSettings(fields={"owner": "acme", "repository": "tools", "workflow": "release.yml"})
    completed = with_owner_id(settings, BUILT_IN[0], lambda url: JsonClient().get(url).json_object(), SEAWAY_TEST)
    assert {"owner_id": "1001"} == completed.pinned


def look_up_a_repository(proxy: Proxy, _folder: Path) -> None:
    proxy.bodies["/repos/acme/tools"] = '{"id": 2003}'
    matched = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
    publisher = Publisher(
        id=1, channel_id=1, channel="harbour", kind="github", issuer=BUILT_IN[0].issuer, fields=matched,
        pinned={"repository_id": "2002"}, exchanges=1, created_by=None, is_orphaned=False,
        created_at_ms=0, used_at_ms=None, environment_hint_at_ms=None, unseen_pins={},
    )  # fmt: skip
    assert {1: IdMismatch.OTHER_IDS} == RepositoryIds(SystemClock(), SEAWAY_TEST).findings([publisher], BUILT_IN)


def refresh_the_trusted_root(_proxy: Proxy, folder: Path) -> None:
    with pytest.raises(Unavailable):  # the proxy does not serve a signed TUF repository
        TufRepository(folder / "tuf", SEAWAY_TEST).trusted_root()


def open_a_bucket(_proxy: Proxy, _folder: Path) -> None:
    store = S3Store("bucket", endpoint=SEAWAY_TEST, access_key_id="a", secret_access_key="b", region="x")
    with pytest.raises(BaseError):  # the S3 client does not trust the test certificate
        obstore.head(store, "x")


@pytest.mark.parametrize(
    "connect",
    [
        sign_in_by_github,
        sign_in_by_openid,
        look_up_an_owner,
        look_up_a_repository,
        refresh_the_trusted_root,
        open_a_bucket,
    ],
)
def test_every_http_client_uses_the_proxy(proxy: Proxy, tmp_path: Path, connect: Callable[[Proxy, Path], None]) -> None:
    """On some networks the proxy is the only way out."""
    connect(proxy, tmp_path)
    assert {"CONNECT seaway.test:443"} == set(proxy.requests)


def test_error_does_not_contain_the_sent_headers() -> None:
    """HTTP clients quote a header that they cannot send, and headers contain tokens."""
    with pytest.raises(Unavailable) as error:
        JsonClient().get("http://127.0.0.1:9/", {"Authorization": "Bearer s3cret\n"})
    assert "s3cret" not in str(error.value) + error.value.cause


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "http://[fe80::1]/", "http://0.0.0.0/"])
def test_cloud_metadata_address_is_refused_for_urls_from_settings(address: str) -> None:
    """The discovery document of a provider can name any address."""
    with pytest.raises(Unavailable) as error:
        JsonClient().get(address)
    assert "not allowed" in error.value.cause


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/", "https://192.168.1.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
     "https://localhost/", "https://x.localhost/", "https://169.254.169.254/"],
)  # fmt: skip
def test_private_address_is_refused_before_the_proxy(proxy: Proxy, url: str) -> None:
    """A URL given by a user must not reach a private network, neither of this machine nor of the proxy."""
    with pytest.raises(OutboundRequestFailed):
        request(url)
    assert [] == proxy.requests


def test_name_that_resolves_to_a_private_address_is_refused(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in a private network is refused before the proxy is contacted, unless an admin chose the host."""
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: private if host == "seaway.test" else real(host, *rest, **more),
    )
    with pytest.raises(OutboundRequestFailed, match="not allowed"):
        request("https://seaway.test/")
    assert [] == proxy.requests
    assert 200 == request("https://seaway.test/", is_trusted=True).status


def test_cloud_metadata_address_is_refused_for_trusted_hosts(proxy: Proxy) -> None:
    """Link-local addresses serve the credentials of cloud machines."""
    with pytest.raises(OutboundRequestFailed, match="not allowed"):
        request("https://169.254.169.254/", is_trusted=True)
    assert [] == proxy.requests


def test_hosts_in_no_proxy_are_resolved_and_checked(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A direct request resolves the name on this machine, and the address must be allowed."""
    monkeypatch.setenv("NO_PROXY", "seaway.test,10.0.0.0/8")
    for url in ("https://seaway.test/", "https://10.0.0.1/"):
        with pytest.raises(OutboundRequestFailed):
            request(url)
    assert [] == proxy.requests


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "https://a.example/", None),
        ({"https_proxy": "http://p:1"}, "https://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example, .a.example"}, "https://x.a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:8443"}, "https://a.example:8443/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://ba.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd00::/8"}, "https://[fd00::1]:8443/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.0.0.1/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://localhost:8000/", None),
    ],
)
def test_proxy_variables_follow_curl(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    """The proxy variables have the same meaning as for curl."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected == proxy_for(url)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "socks5h://p", "ftp://p", "http://[", "http://p:x"])
def test_unusable_proxy_fails_the_request(monkeypatch: pytest.MonkeyPatch, variable: str, address: str) -> None:
    """Only outbound requests fail; startup makes none."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, address)
    monkeypatch.setenv("NO_PROXY", "localhost,::1/128,[::1],fd00::/8")
    with pytest.raises(OutboundRequestFailed):
        request("https://a.example/")
