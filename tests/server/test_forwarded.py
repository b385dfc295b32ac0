"""Forwarded headers are trusted from configured proxies; from other peers they are ignored and logged once."""

import json
from pathlib import Path

import pytest

from tests.support.requests import exchange, wait_until
from tests.support.server import Server, serving

ADDRESS = "198.51.100.7"


def logged(server: Server, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def logged_client(server: Server, headers: dict[str, str], number: int) -> str:
    """Request a new path; return the client address in its log line."""
    path = f"/nothing-{number}"
    exchange(server.address, "GET", path, headers)
    wait_until(lambda: any(line["path"] == path for line in logged(server, "request")))
    return next(str(line["client"]) for line in logged(server, "request") if line["path"] == path)


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": ADDRESS}, {"X-Forwarded-Proto": "https"}, {"Forwarded": f"for={ADDRESS}"}, {"X-Real-IP": ADDRESS}],
    ids=lambda headers: next(iter(headers)),
)  # fmt: skip
def test_forwarded_headers_of_other_peers_are_ignored_and_logged_once(tmp_path: Path, headers: dict[str, str]) -> None:
    """One log line names the peer and the setting to change."""
    with serving(tmp_path, examiners=1, log_format="json", trusted_proxies="10.0.0.0/8") as server:
        assert "127.0.0.1" == logged_client(server, {}, 0)
        assert [] == logged(server, "forwarded_headers.ignored")
        assert ["127.0.0.1"] * 2 == [logged_client(server, headers, number) for number in (1, 2)]
        (line,) = logged(server, "forwarded_headers.ignored")
    assert "127.0.0.1" == line["peer"]
    assert "SEAWAY_TRUSTED_PROXIES" in str(line["hint"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_forwarded_headers_of_a_trusted_proxy_are_used(tmp_path: Path, host: str) -> None:
    """Also if the server listens on IPv6 and IPv4, where IPv4 peers have IPv4-mapped IPv6 addresses."""
    with serving(tmp_path, examiners=1, log_format="json", trusted_proxies="127.0.0.1", host=host) as server:
        server.address = server.address.replace("localhost", "127.0.0.1")
        assert ADDRESS == logged_client(server, {"X-Forwarded-For": ADDRESS}, 1)
        assert "127.0.0.1" == logged_client(server, {}, 2)
        assert [] == logged(server, "forwarded_headers.ignored")
