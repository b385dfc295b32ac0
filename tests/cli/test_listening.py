"""Addresses on which `seaway serve` listens, and the URL that emails, pages and commands show."""

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from seaway import settings
from seaway.callers.caller import OPERATOR
from seaway.errors import BadSetting
from seaway.server import listen_addresses
from seaway.sign_in import passwords, user_access
from tests.cli.conftest import Shell
from tests.support import sites
from tests.support.requests import wait_until
from tests.support.server import Server, serving
from tests.support.sites import Factory

BROWSER = {"Accept": "text/html"}
PASSWORD = "correct horse battery staple"
LAN = "seaway.lan:9000"


def port_of(server: Server) -> int:
    port = urlsplit(server.address).port
    assert port
    return port


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("localhost", {"127.0.0.1", "::1"}),
        ("LOCALHOST", {"127.0.0.1", "::1"}),
        ("[::1]", {"::1"}),
        ("::1", {"::1"}),
        (" 127.0.0.1 ", {"127.0.0.1"}),
        ("0.0.0.0", {"0.0.0.0"}),
        ("[::]", {"::"}),
    ],
)
def test_host_is_bound_in_all_its_address_families(host: str, addresses: set[str]) -> None:
    """`localhost` means both loopback addresses at one port; brackets, capitals and white space do not matter."""
    sockets = listen_addresses.bind(settings.load(host=host).host, 0, "")
    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(contextlib.closing(bound)).getsockname() for bound in sockets]
    assert (addresses, 1) == ({name[0] for name in names}, len({name[1] for name in names}))


@pytest.mark.parametrize("host", ["", "http://127.0.0.1", "127.0.0.1/", "a b", "[::1"])
def test_invalid_host_is_refused(host: str) -> None:
    """The error for a scheme, a path or an open bracket names the setting."""
    with pytest.raises(BadSetting, match="host"):
        settings.load(host=host)


def test_port_taken_in_one_address_family_is_refused() -> None:
    """A server that could listen on only one address of `localhost` does not start."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=f"localhost port {port}"):
            listen_addresses.bind("localhost", port, "")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_localhost_serves_both_address_families(tmp_path: Path, workers: int) -> None:
    """Server and metrics respond on both loopback addresses, whichever a client tries first."""
    names = {"host": "localhost", "metrics_host": "localhost", "metrics_port": 0}
    with serving(tmp_path, examiners=1, workers=workers, **names) as server:
        wait_until(lambda: any("metrics are at" in line for line in server.log))
        metrics_port = next(int(match[1]) for line in server.log if (match := re.search(r":(\d+)/metrics", line)))
        for address in ("127.0.0.1", "[::1]"):
            assert 200 == httpx.get(f"http://{address}:{port_of(server)}/").status_code
            assert 200 == httpx.get(f"http://{address}:{metrics_port}/metrics").status_code
        assert 0 == server.stop()


def test_command_prints_the_port_of_the_running_server(shell: Shell, tmp_path: Path) -> None:
    """`channel add` prints the URL of the server that runs on this data, with its actual port."""
    with serving(tmp_path, examiners=1) as server:
        shell.run("user", "add", "ada")
        result = shell.run("channel", "add", "tools", "--owner", "ada", "--public")
        address = next(word.rstrip(",") for word in result.out.split() if word.startswith("http"))
        assert f"{server.address}/tools" == address
        assert 200 == httpx.get(f"{address}/noarch/repodata.json").status_code


def test_command_prints_the_public_url_if_set(shell: Shell, tmp_path: Path) -> None:
    """The saved address of a running server never replaces `public_url`."""
    with serving(tmp_path, examiners=1):
        shell.run("user", "add", "ada")
        result = shell.run("channel", "add", "tools", "--owner", "ada", SEAWAY_PUBLIC_URL="https://conda.example.com")
    assert "https://conda.example.com/tools" in result.out


@pytest.mark.parametrize("saved", ["", "{", "[]", '{"host": "x"}', '{"host": "x", "port": "y"}', "\0"])
def test_damaged_saved_address_is_ignored(tmp_path: Path, saved: str) -> None:
    """A file that was truncated by a full disk does not stop a command."""
    loaded = settings.load(data=tmp_path)
    loaded.listening_file.write_text(saved)
    assert loaded == listen_addresses.with_saved_address(loaded)


@pytest.fixture(scope="module")
def wildcard_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on all addresses without `public_url`, with a public channel and a user."""
    folder = tmp_path_factory.mktemp("everywhere")
    seaway = sites.build(folder)
    factory = Factory(seaway)
    factory.channel("tools", owner="ada")
    with seaway.site.database.write_site() as tx:
        user_access.set_password(tx, seaway.site.clock.now_ms(), OPERATOR, "ada", passwords.hash_new(PASSWORD))
    seaway.close()
    with serving(folder, examiners=1, host="0.0.0.0") as server:
        yield server


def test_missing_public_url_is_logged(wildcard_server: Server) -> None:
    """URLs in emails do not work on other machines; the log names the setting."""
    assert any("site.no_public_url" in line and "SEAWAY_PUBLIC_URL" in line for line in wildcard_server.log)
    assert not any("http://0.0.0.0" in line for line in wildcard_server.log)


@pytest.mark.parametrize("path", ["/", "/channels", "/channels/tools", "/channels/tools/feed.atom"])
@pytest.mark.parametrize("host", [LAN, "SEAWAY.lan:9000", "192.0.2.7", "[2001:db8::7]:9000"])
def test_pages_show_the_host_of_the_request(wildcard_server: Server, path: str, host: str) -> None:
    """Lines to paste must work on the reader's machine; the wildcard address is never shown."""
    with wildcard_server.client() as http:
        text = http.get(path, headers={**BROWSER, "Host": host}).text
    assert f"http://{host.lower()}" in text
    assert "0.0.0.0" not in text


@pytest.mark.parametrize(
    "host", ["evil.example/x", "a b", "-", "<script>", "user@evil.example", "evil.example:99999999"]
)
def test_invalid_host_header_is_not_shown(wildcard_server: Server, host: str) -> None:
    """The page shows localhost instead."""
    with wildcard_server.client() as http:
        text = http.get("/channels/tools", headers={**BROWSER, "Host": host}).text
    assert f"http://localhost:{port_of(wildcard_server)}/tools" in text


def test_issuer_uses_the_host_of_the_request(wildcard_server: Server) -> None:
    """Command-line tools compare the issuer byte by byte with the URL that the user entered."""
    with wildcard_server.client() as http:
        response = http.get("/.well-known/openid-configuration", headers={"Host": LAN})
        assert "private, no-store" == response.headers["cache-control"], "a cache may leave the Host out of its key"
        metadata = response.json()
        started = http.post(metadata["device_authorization_endpoint"].replace(f"http://{LAN}", wildcard_server.address),
                          data={"client_id": "rattler"}, headers={"Host": LAN}).json()  # fmt: skip
    assert (f"http://{LAN}", f"http://{LAN}/device") == (metadata["issuer"], started["verification_uri"])


@pytest.mark.parametrize(("origin", "status"), [(f"http://{LAN}", 303), ("http://evil.example", 403), (None, 403)])
def test_form_origin_must_match_the_host_of_the_request(
    wildcard_server: Server, origin: str | None, status: int
) -> None:
    """Browsers send no Sec-Fetch-Site over plain http, so the origin is compared with the host of the request."""
    with wildcard_server.client() as http:
        page = http.get("/signin", headers={**BROWSER, "Host": LAN})
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token
        form = {"login": "ada", "password": PASSWORD, "csrf_token": token[1]}
        headers = {**BROWSER, "Host": LAN, "Cookie": page.headers["set-cookie"].partition(";")[0]}
        sent = http.post("/signin", data=form, headers=headers | ({} if origin is None else {"Origin": origin}))
    assert status == sent.status_code, sent.text


def test_host_header_is_ignored_on_loopback_and_with_public_url(tmp_path: Path) -> None:
    """The request must not decide what pages and the issuer show."""
    with serving(tmp_path, examiners=1) as server, server.client() as http:
        for path in ("/", "/.well-known/openid-configuration"):
            text = http.get(path, headers={**BROWSER, "Host": LAN}).text
            assert (server.address in text, LAN in text) == (True, False)
    with serving(tmp_path, examiners=1, host="0.0.0.0", public_url="https://conda.example.com") as server:
        assert not any("no_public_url" in line for line in server.log)
        with server.client() as http:
            text = http.get("/.well-known/openid-configuration", headers={"Host": LAN}).text
            assert ("https://conda.example.com" in text, LAN in text) == (True, False)
