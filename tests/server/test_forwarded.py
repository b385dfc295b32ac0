"""Headers of proxies: believed from those that are named, and told of once from any other."""

import json
from pathlib import Path

import pytest

from tests.support.requests import exchange, until
from tests.support.server import Server, serving

ADDRESS = "198.51.100.7"


def logged(server: Server, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def ask(server: Server, headers: dict[str, str], number: int) -> str:
    """Ask for a path of its own; the address that the log says asked for it."""
    path = f"/nothing-{number}"
    exchange(server.address, "GET", path, headers)
    until(lambda: any(line["path"] == path for line in logged(server, "request")))
    return next(str(line["client"]) for line in logged(server, "request") if line["path"] == path)


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": ADDRESS}, {"X-Forwarded-Proto": "https"}, {"Forwarded": f"for={ADDRESS}"}, {"X-Real-IP": ADDRESS}],
    ids=lambda headers: next(iter(headers)),
)  # fmt: skip
def test_headers_of_a_peer_that_is_not_named_are_told_once(tmp_path: Path, headers: dict[str, str]) -> None:
    """They are ignored, and one line names the peer and the setting."""
    with serving(tmp_path, examiners=1, log_format="json", trusted_proxies="10.0.0.0/8") as server:
        assert "127.0.0.1" == ask(server, {}, 0)
        assert [] == logged(server, "forwarded_headers.ignored")
        assert ["127.0.0.1"] * 2 == [ask(server, headers, number) for number in (1, 2)]
        (line,) = logged(server, "forwarded_headers.ignored")
    assert "127.0.0.1" == line["peer"]
    assert "SEAWAY_TRUSTED_PROXIES" in str(line["hint"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_headers_of_a_named_proxy_are_believed(tmp_path: Path, host: str) -> None:
    """Also where the server listens in both families, and IPv4 peers have an address of IPv6."""
    with serving(tmp_path, examiners=1, log_format="json", trusted_proxies="127.0.0.1", host=host) as server:
        server.address = server.address.replace("localhost", "127.0.0.1")
        assert ADDRESS == ask(server, {"X-Forwarded-For": ADDRESS}, 1)
        assert "127.0.0.1" == ask(server, {}, 2)
        assert [] == logged(server, "forwarded_headers.ignored")
