"""nginx with the configuration of the manual: same responses as without it, and files sent by nginx itself."""

import grp
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from seaway import secret_tokens
from seaway.server.app import ROUTES
from seaway.storage import keys
from tests.clients.test_rattler import APP, LIB_2
from tests.support import nginx, rattler, sites, state
from tests.support.nginx import Nginx
from tests.support.packages import conda, index_json
from tests.support.postgres import free_ports
from tests.support.requests import (
    bearer,
    exchange,
    file_part,
    multipart,
    multipart_type,
    raw_headers,
    upload,
    wait_until,
)
from tests.support.server import Server, serving
from tests.support.sites import Factory

pytestmark = [pytest.mark.slow, pytest.mark.on_disk]

FILE = conda(index_json("demo"), files={"share/noise": random.Random(1).randbytes(600_000)})
SMALL = conda(index_json("small"))
LARGE = conda(index_json("large"), files={"share/noise": random.Random(2).randbytes(20_000_000)})
BLOB = keys.blob(bytes.fromhex(FILE.sha256))
HANDS_OVER = {"Seaway-X-Accel": "yes"}
_EACH_TIME = {"date", "seaway-request-id", "server", "connection", "x-accel-redirect"}


@dataclass(frozen=True)
class Setup:
    """A server behind nginx, and the keys of the channel owner and of a user without access."""

    server: Server
    nginx: Nginx
    owner: str
    nonmember: str

    def both(self, path: str, key: str | None = None, **headers: str) -> tuple[httpx.Response, httpx.Response]:
        """Return the response through nginx and the direct response of the server."""
        request_headers = {
            "Accept-Encoding": "identity",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        with self.nginx.client(key) as through, self.server.client(key) as directly:
            return through.get(path, headers=request_headers), directly.get(path, headers=request_headers)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("behind")
    with (
        state.choose(state.SQLITE_DISK),
        serving(folder, examiners=1, downloads="x-accel", trusted_proxies="127.0.0.1") as server,
    ):
        seaway = sites.build(folder)
        factory = Factory(seaway)
        for name in ("open", "closed"):
            factory.channel(name, public=name == "open")
        owner, nonmember = factory.key("owner"), factory.key("nonmember")
        seaway.close()
        with nginx.in_front_of(server.address, folder / "data" / "store", tmp_path_factory.mktemp("nginx")) as front:
            for channel in ("open", "closed"):
                for file in (FILE, SMALL):
                    with front.client() as http:
                        assert 201 == upload(http, channel, file, owner).status_code
            yield Setup(server, front, owner, nonmember)


def stable_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in _EACH_TIME}


def path_of(channel: str, file: str = FILE.name) -> str:
    return f"/{channel}/noarch/{file}"


@pytest.mark.parametrize("channel", ["open", "closed"])
@pytest.mark.parametrize("file", [FILE, SMALL], ids=["large", "small"])
def test_package_is_the_same_through_nginx(setup: Setup, channel: str, file: object) -> None:
    """Bytes, status and every relevant header equal those sent by Seaway."""
    through, directly = setup.both(path_of(channel, file.name), setup.owner)
    assert (200, file.content) == (through.status_code, through.content)
    assert (200, file.content) == (directly.status_code, directly.content)
    assert stable_headers(directly) == stable_headers(through)
    assert through.headers["seaway-request-id"]
    assert "x-accel-redirect" not in through.headers


def test_seaway_delegates_the_file_to_nginx(setup: Setup) -> None:
    """With the header that nginx adds, Seaway names the file and sends none of its bytes."""
    with setup.server.client() as http:
        response = http.get(path_of("open"), headers=HANDS_OVER)
    assert (200, b"") == (response.status_code, response.content)
    assert f"/_seaway/store/{BLOB}" == response.headers["x-accel-redirect"]


def test_direct_request_gets_the_file_itself(setup: Setup) -> None:
    """Without nginx the internal URL would be useless to the client."""
    with setup.server.client() as http:
        response = http.get(path_of("open"))
    assert (200, FILE.content) == (response.status_code, response.content)
    assert "x-accel-redirect" not in response.headers


@pytest.mark.parametrize(
    ("requested", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100000-", slice(100_000, None)), ("bytes=-7", slice(-7, None))],
)
@pytest.mark.parametrize("if_range", [None, f'"{FILE.sha256}"'])
def test_range_through_nginx_returns_206(setup: Setup, requested: str, part: slice, if_range: str | None) -> None:
    """The range is the same as without nginx, also with If-Range."""
    headers = {} if if_range is None else {"If_Range": if_range}
    through, directly = setup.both(path_of("open"), Range=requested, **headers)
    assert (206, FILE.content[part]) == (through.status_code, through.content)
    assert stable_headers(directly) == {"accept-ranges": "bytes"} | stable_headers(through)  # nginx omits it in a 206


def test_if_range_with_another_etag_returns_the_whole_file(setup: Setup) -> None:
    through, _ = setup.both(path_of("open"), Range="bytes=0-9", If_Range='"stale"')
    assert (200, FILE.content) == (through.status_code, through.content)


def test_several_ranges_return_the_whole_file(setup: Setup) -> None:
    """As without nginx."""
    through, directly = setup.both(path_of("open"), Range="bytes=0-1,5-9")
    assert (200, 200) == (through.status_code, directly.status_code)
    assert FILE.content == through.content


def test_range_past_the_end_returns_416(setup: Setup) -> None:
    through, directly = setup.both(path_of("open"), Range="bytes=999999999-")
    assert (416, stable_headers(directly)) == (through.status_code, stable_headers(through))


@pytest.mark.parametrize("condition", [f'"{FILE.sha256}"', f'W/"{FILE.sha256}"', "*"])
def test_matching_if_none_match_returns_304(setup: Setup, condition: str) -> None:
    """The headers are the same as without nginx."""
    through, directly = setup.both(path_of("open"), If_None_Match=condition)
    assert (304, b"") == (through.status_code, through.content)
    assert stable_headers(directly) == stable_headers(through)


def test_if_modified_since_is_ignored(setup: Setup) -> None:
    """nginx knows when the blob was written, which says nothing about the file."""
    headers = {"If_None_Match": '"other"', "If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert 200 == setup.both(path_of("open"), **headers)[0].status_code
    assert 200 == setup.both(path_of("open"), If_Modified_Since=headers["If_Modified_Since"])[0].status_code


def test_head_has_the_headers_of_get(setup: Setup) -> None:
    with setup.nginx.client() as http:
        head, get = http.head(path_of("open")), http.get(path_of("open"))
    assert (200, b"") == (head.status_code, head.content)
    assert stable_headers(get) == stable_headers(head)


@pytest.mark.parametrize(("caller", "status"), [("anonymous", 401), ("nonmember", 404), ("owner", 200)])
@pytest.mark.parametrize("form", ["header", "path"])
def test_private_channel_stays_private_through_nginx(setup: Setup, caller: str, status: int, form: str) -> None:
    """Callers without access get the same refusal with and without nginx, and no internal URL."""
    key = {"anonymous": None, "nonmember": setup.nonmember, "owner": setup.owner}[caller]
    prefix = f"/t/{key}" if form == "path" and key else ""
    through, directly = setup.both(prefix + path_of("closed"), None if prefix else key)
    assert (status, status) == (through.status_code, directly.status_code)
    assert (through.content == FILE.content) == (caller == "owner")
    assert stable_headers(directly) == stable_headers(through)


@pytest.mark.parametrize(
    "target",
    [
        f"/_seaway/store/{BLOB}",
        f"/_seaway/store//{BLOB}",
        f"/_seaway/../_seaway/store/{BLOB}",
        f"/%5fseaway/store/{BLOB}",
        f"/open/%2e%2e/_seaway/store/{BLOB}",
        f"/_seaway/store/{BLOB}?x=1",
        "/_seaway/store/",
        "/_seaway/store/../seaway.db",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_internal_blob_location_is_not_reachable(setup: Setup, target: str, method: str) -> None:
    """Clients cannot request the internal location, in any spelling and with any header."""
    response = exchange(setup.nginx.plain_address, method, target, {**HANDS_OVER, **bearer(setup.owner)})
    assert response.status in (404, 405)
    assert FILE.content[:100] not in response.body
    assert response.header("seaway-x-accel") is None


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_large_upload_works_through_nginx(setup: Setup, form: str) -> None:
    """20 MB are uploaded and downloaded again."""
    channel = "open" if form == "raw" else "closed"
    body, headers = LARGE.content, raw_headers(LARGE)
    if form == "multipart":
        body, headers = multipart(file_part(LARGE)), multipart_type()
    with setup.nginx.client(setup.owner) as http:
        response = http.post(f"/api/v1/upload/{channel}", content=body, headers=headers)
        assert 201 == response.status_code, response.text
        assert LARGE.content == http.get(path_of(channel, LARGE.name)).content


def test_index_documents_are_not_recompressed(setup: Setup) -> None:
    """nginx must not compress them again, because the ETag belongs to these bytes."""
    for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"):
        for coding in ("identity", "gzip, zstd"):
            through, directly = setup.both(f"/open/noarch/{name}", Accept_Encoding=coding)
            assert (directly.content, stable_headers(directly)) == (through.content, stable_headers(through))


def test_client_address_reaches_the_log_of_seaway(setup: Setup) -> None:
    """A forged X-Forwarded-For does not appear in the log."""
    with setup.nginx.client() as http:
        response = http.get("/unknown/noarch/x", headers={"X-Forwarded-For": "192.0.2.1"})
    mark = response.headers["seaway-request-id"]
    wait_until(lambda: any(mark in line for line in setup.server.log))
    assert not any("192.0.2.1" in line for line in setup.server.log)


def urls_with_secrets() -> dict[str, tuple[str, list[str]]]:
    """Return every kind of URL that contains secrets (keys, links, codes, next pages), with these secrets."""
    link, code, state = (
        secret_tokens.new_key(kind)
        for kind in (secret_tokens.KeyKind.LINK, secret_tokens.KeyKind.SIGN_IN_FLOW, secret_tokens.KeyKind.USER)
    )
    plain = "Sf3aVbL9kQz7-plain-code"
    links = {
        route.path: (route.path.format(secret=link), [link])
        for route in ROUTES
        if isinstance(route, Route) and "{secret}" in route.path
    }
    return links | {
        "key": (f"/t/{code}/closed/noarch/{FILE.name}", [code]),
        "key, two slashes": (f"//t//{code}/closed/noarch/repodata.json", [code]),
        "key, escaped": (f"/%74/{plain}/closed/noarch/repodata.json", [plain]),
        "key of another form": (f"/t/{plain}/closed/noarch/repodata.json", [plain]),
        "key as a channel": (f"/{code}/noarch/repodata.json", [code]),
        "callback": (f"/signin/github/callback?code={plain}&state={state}", [plain, state]),
        "authorize": (f"/authorize?client_id=x&state={plain}&code_challenge={plain}", [plain]),
        "device": ("/device?user_code=WDJB-MJHT", ["WDJB-MJHT"]),
        "next of signin": (f"/signin?next=/invitations/{link}", [link]),
        "next of confirm": (f"/confirm?next=%2Finvitations%2F{link}", [link]),
        "next of a provider": (f"/signin/github?next=/invitations/{link}", [link]),
        "key in a query": (f"/open/noarch/repodata.json?token={code}", [code]),
    }


SECRETS = urls_with_secrets()


def test_secret_urls_include_all_link_routes() -> None:
    """The list would be empty by mistake if the routes changed their parameter name."""
    assert {"/verify/{secret}", "/reset/{secret}", "/first-account/{secret}", "/invitations/{secret}"} <= SECRETS.keys()


@pytest.mark.parametrize("kind", SECRETS)
def test_logs_contain_no_secret(setup: Setup, kind: str) -> None:
    """Neither the log of nginx nor that of Seaway; the rest of the line is kept."""
    target, secrets = SECRETS[kind]
    before = len(setup.nginx.log.read_text())
    mark = f"seen-{len(setup.server.log)}-{before}"
    response = exchange(setup.nginx.plain_address, "GET", target, {})
    exchange(setup.nginx.plain_address, "GET", f"/unknown/{mark}", {})
    wait_until(lambda: mark in setup.nginx.log.read_text())
    wait_until(lambda: any(mark in line for line in setup.server.log))
    written = setup.nginx.log.read_text()[before:]
    assert f" {response.status} " in written
    for text in (written, setup.nginx.error_log.read_text(), "".join(setup.server.log)):
        assert not [secret for secret in secrets if secret in text]


def test_nginx_error_log_contains_no_secret_when_seaway_is_down(tmp_path: Path) -> None:
    """nginx writes the whole request to its error log, which no log format can mask."""
    (port,) = free_ports(1)
    with nginx.in_front_of(f"http://127.0.0.1:{port}", tmp_path / "store", tmp_path) as front:
        for target, _ in SECRETS.values():
            assert exchange(front.plain_address, "GET", target, {}).status == 502
        wait_until(lambda: len(front.log.read_text().splitlines()) >= len(SECRETS))
        logs = "".join(path.read_text() for path in (front.log, front.error_log, tmp_path / "error.log"))
    assert not [secret for _, secrets in SECRETS.values() for secret in secrets if secret in logs]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to a group and runs nginx as another user")
def test_nginx_group_can_read_blobs_but_not_keys_or_database() -> None:
    """After the commands of the manual, Seaway starts again, and nginx can read old and new files only."""
    with tempfile.TemporaryDirectory() as temporary, state.choose(state.SQLITE_DISK):
        folder = Path(temporary)
        folder.chmod(0o711)
        data = folder / "data"
        data.mkdir(mode=0o700)
        os.chown(data, -1, grp.getgrnam("www-data").gr_gid)
        data.chmod(0o2700)  # as under systemd, new files get the group of the service
        with umask(0o077), serving(folder, **GROUP_SETTINGS):  # as the unit sets it
            seaway = sites.build(folder)
            Factory(seaway).channel("open")
            key = Factory(seaway).key("owner")
            seaway.close()
        with umask(0o077), serving(folder, **GROUP_SETTINGS) as server, server.client() as http:
            assert 201 == upload(http, "open", FILE, key).status_code
        for command in nginx.permissions():
            subprocess.run(["/bin/sh", "-euc", command.replace("/var/lib/seaway", str(data))], check=True)
        with umask(0o027), serving(folder, **GROUP_SETTINGS) as server:
            beside_nginx = folder / "nginx"
            beside_nginx.mkdir(mode=0o755)
            with (
                nginx.in_front_of(server.address, data / "store", beside_nginx, user="www-data www-data") as front,
                front.client() as http,
            ):
                assert 201 == upload(http, "open", SMALL, key).status_code
                for file in (FILE, SMALL):
                    assert file.content == http.get(path_of("open", file.name)).content
        assert (data / "store" / keys.SECRET_KEY).exists()
        for path in (data / "store" / keys.SECRET_KEY, *data.glob("seaway.db*"), data, data / "store"):
            assert not as_www_data("test", "-r", path), path
        assert as_www_data("test", "-r", data / "store" / BLOB)


GROUP_SETTINGS = {"examiners": 1, "downloads": "x-accel", "trusted_proxies": "127.0.0.1"}


def as_www_data(*command: object) -> bool:
    """Return whether the command succeeds as the user of the nginx workers."""
    result = subprocess.run(
        [str(part) for part in command], user="www-data", group="www-data", extra_groups=[], check=False
    )
    return result.returncode == 0


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Run the block, and processes it starts, with this umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_rattler_installs_through_nginx(setup: Setup, tmp_path: Path) -> None:
    """py-rattler solves, downloads packages sent by nginx, and installs them."""
    with setup.nginx.client(setup.owner) as http:
        for file in (APP, LIB_2):
            assert 201 == upload(http, "open", file).status_code
    url, prefix = f"{setup.nginx.plain_address}/open", str(tmp_path / "prefix")
    output = rattler.run(tmp_path, rattler.action(tmp_path, "solve", url, "app", prefix=prefix))
    assert [{"solved": sorted([APP.name, LIB_2.name])}] == output
    assert "app" == (tmp_path / "prefix/share/app.txt").read_text()
