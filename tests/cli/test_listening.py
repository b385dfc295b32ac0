"""Which addresses `seaway serve` listens on, and by which address users, pages and commands know it."""

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
from tests.support import house
from tests.support.house import People
from tests.support.requests import until
from tests.support.server import Server, serving

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
def test_a_host_is_bound_in_every_family_that_it_has(host: str, addresses: set[str]) -> None:
    """`localhost` is both loopback addresses at one port; brackets, capitals and white space change nothing."""
    sockets = listen_addresses.bind(settings.load(host=host).host, 0, "")
    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(contextlib.closing(one)).getsockname() for one in sockets]
    assert (addresses, 1) == ({name[0] for name in names}, len({name[1] for name in names}))


@pytest.mark.parametrize("host", ["", "http://127.0.0.1", "127.0.0.1/", "a b", "[::1"])
def test_what_cannot_be_a_host_is_named(host: str) -> None:
    """An address with a scheme, a path or half a bracket is refused by the name of its setting."""
    with pytest.raises(BadSetting, match="host"):
        settings.load(host=host)


def test_a_port_that_is_taken_in_one_family_is_taken() -> None:
    """A server that would answer at only one of the addresses of `localhost` does not start."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=f"localhost port {port}"):
            listen_addresses.bind("localhost", port, "")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_localhost_answers_on_both_families(tmp_path: Path, workers: int) -> None:
    """Whichever loopback address a client tries first, the server answers, and so do its metrics."""
    names = {"host": "localhost", "metrics_host": "localhost", "metrics_port": 0}
    with serving(tmp_path, examiners=1, workers=workers, **names) as server:
        until(lambda: any("metrics are at" in line for line in server.log))
        scraped = next(int(found[1]) for line in server.log if (found := re.search(r":(\d+)/metrics", line)))
        for address in ("127.0.0.1", "[::1]"):
            assert 200 == httpx.get(f"http://{address}:{port_of(server)}/").status_code
            assert 200 == httpx.get(f"http://{address}:{scraped}/metrics").status_code
        assert 0 == server.stop()


def test_commands_name_the_port_that_the_server_uses(shell: Shell, tmp_path: Path) -> None:
    """`channel add` prints the address at which the server on this data answers, whichever port it took."""
    with serving(tmp_path, examiners=1) as server:
        shell.run("user", "add", "ada")
        ran = shell.run("channel", "add", "tools", "--owner", "ada", "--public")
        address = next(word.rstrip(",") for word in ran.out.split() if word.startswith("http"))
        assert f"{server.address}/tools" == address
        assert 200 == httpx.get(f"{address}/noarch/repodata.json").status_code


def test_the_public_address_stays_what_commands_name(shell: Shell, tmp_path: Path) -> None:
    """The note of a server never replaces `public_url`."""
    with serving(tmp_path, examiners=1):
        shell.run("user", "add", "ada")
        ran = shell.run("channel", "add", "tools", "--owner", "ada", SEAWAY_PUBLIC_URL="https://conda.example.com")
    assert "https://conda.example.com/tools" in ran.out


@pytest.mark.parametrize("noted", ["", "{", "[]", '{"host": "x"}', '{"host": "x", "port": "y"}', "\0"])
def test_a_damaged_note_is_none(tmp_path: Path, noted: str) -> None:
    """A note that a full disk cut does not stop a command."""
    here = settings.load(data=tmp_path)
    here.listening_file.write_text(noted)
    assert here == listen_addresses.with_saved_address(here)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on every address, without a public one, with one public channel and a person."""
    folder = tmp_path_factory.mktemp("everywhere")
    seaway = house.build(folder)
    people = People(seaway)
    people.channel("tools", owner="ada")
    with seaway.database.write_site() as tx:
        user_access.set_password(tx, seaway.clock.now_ms(), OPERATOR, "ada", passwords.hash_new(PASSWORD))
    seaway.close()
    with serving(folder, examiners=1, host="0.0.0.0") as server:
        yield server


def test_a_server_without_public_address_says_so(everywhere: Server) -> None:
    """Emails name an address that others cannot reach; the log says which setting ends that."""
    assert any("site.no_public_url" in line and "SEAWAY_PUBLIC_URL" in line for line in everywhere.log)
    assert not any("http://0.0.0.0" in line for line in everywhere.log)


@pytest.mark.parametrize("path", ["/", "/channels", "/channels/tools", "/channels/tools/feed.atom"])
@pytest.mark.parametrize("host", [LAN, "SEAWAY.lan:9000", "192.0.2.7", "[2001:db8::7]:9000"])
def test_pages_name_the_address_that_the_browser_used(everywhere: Server, path: str, host: str) -> None:
    """What is to be pasted works on the machine of the reader; the wildcard address is nowhere."""
    with everywhere.client() as http:
        text = http.get(path, headers={**BROWSER, "Host": host}).text
    assert f"http://{host.lower()}" in text
    assert "0.0.0.0" not in text


@pytest.mark.parametrize(
    "host", ["evil.example/x", "a b", "-", "<script>", "user@evil.example", "evil.example:99999999"]
)
def test_a_host_that_is_none_is_not_shown(everywhere: Server, host: str) -> None:
    """What cannot be a host is not repeated."""
    with everywhere.client() as http:
        text = http.get("/channels/tools", headers={**BROWSER, "Host": host}).text
    assert f"http://localhost:{port_of(everywhere)}/tools" in text


def test_the_issuer_is_the_address_that_the_tool_asked(everywhere: Server) -> None:
    """Tools compare the issuer with what was typed, to the byte."""
    with everywhere.client() as http:
        answer = http.get("/.well-known/openid-configuration", headers={"Host": LAN})
        assert "private, no-store" == answer.headers["cache-control"], "a cache may leave the Host out of its key"
        told = answer.json()
        begun = http.post(told["device_authorization_endpoint"].replace(f"http://{LAN}", everywhere.address),
                          data={"client_id": "rattler"}, headers={"Host": LAN}).json()  # fmt: skip
    assert (f"http://{LAN}", f"http://{LAN}/device") == (told["issuer"], begun["verification_uri"])


@pytest.mark.parametrize(("origin", "status"), [(f"http://{LAN}", 303), ("http://evil.example", 403), (None, 403)])
def test_forms_of_the_address_that_the_browser_used_are_ours(
    everywhere: Server, origin: str | None, status: int
) -> None:
    """Browsers send no Sec-Fetch-Site over plain http, so the origin is compared with the address of the page."""
    with everywhere.client() as http:
        page = http.get("/signin", headers={**BROWSER, "Host": LAN})
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token
        form = {"login": "ada", "password": PASSWORD, "csrf_token": token[1]}
        headers = {**BROWSER, "Host": LAN, "Cookie": page.headers["set-cookie"].partition(";")[0]}
        sent = http.post("/signin", data=form, headers=headers | ({} if origin is None else {"Origin": origin}))
    assert status == sent.status_code, sent.text


def test_a_server_with_an_address_ignores_the_host(tmp_path: Path) -> None:
    """On loopback, and with `public_url`, no request decides what pages and the issuer say."""
    with serving(tmp_path, examiners=1) as server, server.client() as http:
        for path in ("/", "/.well-known/openid-configuration"):
            text = http.get(path, headers={**BROWSER, "Host": LAN}).text
            assert (server.address in text, LAN in text) == (True, False)
    with serving(tmp_path, examiners=1, host="0.0.0.0", public_url="https://conda.example.com") as server:
        assert not any("no_public_url" in line for line in server.log)
        with server.client() as http:
            text = http.get("/.well-known/openid-configuration", headers={"Host": LAN}).text
            assert ("https://conda.example.com" in text, LAN in text) == (True, False)
