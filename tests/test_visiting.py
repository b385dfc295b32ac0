"""Outbound requests: by a proxy where the environment names one, and never to where a stranger may not lead."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest

from seaway.accounts.fetching import Fetcher
from seaway.trust import fetching
from seaway.trust.claims.gitlab import GITLAB
from seaway.trust.issuers import Issuer
from seaway.visiting import Reply, Visit, VisitFailed, proxy_for
from tests.support import issuer as support
from tests.support import tls

VARIABLES = [name for kind in ("https", "http", "all", "no") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]


@dataclass
class Proxy:
    """A proxy that leads every name to one TLS server, which answers by the path."""

    address: str = ""
    asked: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = tls.certificate(tmp_path)
    context = tls.serving_context(made)
    told = Proxy()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            told.asked.append(self.rfile.readline().decode().rsplit(" ", 1)[0])
            while self.rfile.readline().strip():
                pass
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                with context.wrap_socket(self.request, server_side=True) as inner, inner.makefile("rb") as lines:
                    path = lines.readline().split()[1].decode()
                    while lines.readline().strip():
                        pass
                    body = told.answers.get(path, "{}").encode()
                    inner.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                  b"Content-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
            except (ssl.SSLError, OSError):
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        told.address = f"http://127.0.0.1:{server.server_address[1]}"
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", told.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
        yield told
        server.shutdown()


def visit(url: str, *, is_trusted: bool = False) -> Reply:
    return anyio.run(Visit(url, accept="*/*", most_bytes=1000, is_trusted=is_trusted, may_be_plain=True).make)


def test_a_name_that_only_the_proxy_knows_is_reached(proxy: Proxy) -> None:
    """On a closed network nothing outside resolves, and the proxy connects by the name."""
    proxy.answers["/x"] = "yes"
    assert b"yes" == visit("https://seaway.test/x").content
    assert ["CONNECT seaway.test:443"] == proxy.asked


def test_keys_of_issuers_come_by_the_proxy(proxy: Proxy) -> None:
    """The discovery document and the keys, for trusted publishing behind a proxy."""
    proxy.answers["/.well-known/openid-configuration"] = (
        '{"issuer": "https://seaway.test", "jwks_uri": "https://seaway.test/keys"}'
    )
    proxy.answers["/keys"] = support.key_set("key-1")
    assert "key-1" in fetching.fetch_keys(Issuer("forge", GITLAB, "https://seaway.test"))
    assert ["CONNECT seaway.test:443"] * 2 == proxy.asked


def test_providers_are_asked_by_the_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing in by another site works behind a proxy too."""
    proxy.answers["/x"] = '{"a": 1}'
    monkeypatch.setattr(
        "seaway.accounts.fetching._tls", httpx.create_ssl_context
    )  # kept by then for another certificate
    fetcher = Fetcher()
    assert {"a": 1} == fetcher.get("https://seaway.test/x").object()
    fetcher.close()
    assert ["CONNECT seaway.test:443"] == proxy.asked


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/", "https://192.168.1.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
     "https://localhost/", "https://x.localhost/", "https://169.254.169.254/"],
)  # fmt: skip
def test_private_addresses_do_not_go_by_the_proxy(proxy: Proxy, url: str) -> None:
    """A stranger's address leads to no private network, of this machine or of the proxy's."""
    with pytest.raises(VisitFailed):
        visit(url)
    assert [] == proxy.asked


def test_a_name_that_resolves_here_is_checked(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of a private network is refused before the proxy hears of it, unless an admin chose the host."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: found if host == "seaway.test" else real(host, *rest, **more)
    )
    with pytest.raises(VisitFailed, match="not allowed"):
        visit("https://seaway.test/")
    assert [] == proxy.asked
    assert 200 == visit("https://seaway.test/", is_trusted=True).status


def test_metadata_of_clouds_is_refused_to_trusted_hosts_too(proxy: Proxy) -> None:
    """The addresses of the local link hold the credentials of machines."""
    with pytest.raises(VisitFailed, match="not allowed"):
        visit("https://169.254.169.254/", is_trusted=True)
    assert [] == proxy.asked


def test_hosts_of_no_proxy_are_checked_in_full(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked directly is resolved here, and must be allowed."""
    monkeypatch.setenv("NO_PROXY", "seaway.test,10.0.0.0/8")
    for url in ("https://seaway.test/", "https://10.0.0.1/"):
        with pytest.raises(VisitFailed):
            visit(url)
    assert [] == proxy.asked


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
def test_which_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    """The variables mean what they mean to curl."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected == proxy_for(url)
