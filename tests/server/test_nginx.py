"""nginx in front, on the configuration of the manual: the same answers as without it, and files that it sends itself."""

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
from tests.support import house, nginx, rattler, state
from tests.support.house import People
from tests.support.nginx import Nginx
from tests.support.packages import conda, index_json
from tests.support.postgres import free_ports
from tests.support.requests import bearer, exchange, file_part, multipart, multipart_type, raw_headers, until, upload
from tests.support.server import Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.on_disk]

FILE = conda(index_json("demo"), files={"share/noise": random.Random(1).randbytes(600_000)})
SMALL = conda(index_json("small"))
LARGE = conda(index_json("large"), files={"share/noise": random.Random(2).randbytes(20_000_000)})
BLOB = keys.blob(bytes.fromhex(FILE.sha256))
HANDS_OVER = {"Seaway-X-Accel": "yes"}
_EACH_TIME = {"date", "seaway-request-id", "server", "connection", "x-accel-redirect"}


@dataclass(frozen=True)
class Stand:
    """A server, nginx before it, and the keys of the owner of its channels and of a stranger."""

    server: Server
    nginx: Nginx
    owner: str
    stranger: str

    def both(self, path: str, key: str | None = None, **headers: str) -> tuple[httpx.Response, httpx.Response]:
        """The answer of nginx and that of the server itself."""
        asked = {"Accept-Encoding": "identity", **{name.replace("_", "-"): text for name, text in headers.items()}}
        with self.nginx.client(key) as through, self.server.client(key) as directly:
            return through.get(path, headers=asked), directly.get(path, headers=asked)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("behind")
    with (
        state.choose(state.SQLITE_DISK),
        serving(folder, examiners=1, downloads="x-accel", trusted_proxies="127.0.0.1") as server,
    ):
        beside = house.build(folder)
        people = People(beside)
        for name in ("open", "closed"):
            people.channel(name, public=name == "open")
        owner, stranger = people.key("owner"), people.key("stranger")
        beside.close()
        with nginx.before(server.address, folder / "data" / "store", tmp_path_factory.mktemp("nginx")) as front:
            for channel in ("open", "closed"):
                for file in (FILE, SMALL):
                    with front.client() as http:
                        assert 201 == upload(http, channel, file, owner).status_code
            yield Stand(server, front, owner, stranger)


def told(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in _EACH_TIME}


def path_of(channel: str, file: str = FILE.name) -> str:
    return f"/{channel}/noarch/{file}"


@pytest.mark.parametrize("channel", ["open", "closed"])
@pytest.mark.parametrize("file", [FILE, SMALL], ids=["large", "small"])
def test_a_package_is_the_same_through_nginx(stand: Stand, channel: str, file: object) -> None:
    """Bytes, status and every header that means something are those that Seaway itself sends."""
    through, directly = stand.both(path_of(channel, file.name), stand.owner)
    assert (200, file.content) == (through.status_code, through.content)
    assert (200, file.content) == (directly.status_code, directly.content)
    assert told(directly) == told(through)
    assert through.headers["seaway-request-id"]
    assert "x-accel-redirect" not in through.headers


def test_nginx_sends_it(stand: Stand) -> None:
    """To who says what nginx says, Seaway names the file and sends no byte of it."""
    with stand.server.client() as http:
        answer = http.get(path_of("open"), headers=HANDS_OVER)
    assert (200, b"") == (answer.status_code, answer.content)
    assert f"/_seaway/store/{BLOB}" == answer.headers["x-accel-redirect"]


def test_who_comes_past_nginx_gets_the_file(stand: Stand) -> None:
    """Without nginx nobody reads an address that is not for them."""
    with stand.server.client() as http:
        answer = http.get(path_of("open"))
    assert (200, FILE.content) == (answer.status_code, answer.content)
    assert "x-accel-redirect" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100000-", slice(100_000, None)), ("bytes=-7", slice(-7, None))],
)
@pytest.mark.parametrize("if_range", [None, f'"{FILE.sha256}"'])
def test_a_range_comes_through_nginx(stand: Stand, asked: str, part: slice, if_range: str | None) -> None:
    """One range is 206 with the same place in the whole, also if the ETag is a condition."""
    headers = {} if if_range is None else {"If_Range": if_range}
    through, directly = stand.both(path_of("open"), Range=asked, **headers)
    assert (206, FILE.content[part]) == (through.status_code, through.content)
    assert told(directly) == {"accept-ranges": "bytes"} | told(through)  # of a part nginx does not say it


def test_a_range_of_an_old_file_is_the_whole_new_one(stand: Stand) -> None:
    """Another ETag in If-Range brings everything."""
    through, _ = stand.both(path_of("open"), Range="bytes=0-9", If_Range='"stale"')
    assert (200, FILE.content) == (through.status_code, through.content)


def test_several_ranges_are_the_whole_file(stand: Stand) -> None:
    """As without nginx."""
    through, directly = stand.both(path_of("open"), Range="bytes=0-1,5-9")
    assert (200, 200) == (through.status_code, directly.status_code)
    assert FILE.content == through.content


def test_a_range_past_the_end_is_refused(stand: Stand) -> None:
    through, directly = stand.both(path_of("open"), Range="bytes=999999999-")
    assert (416, told(directly)) == (through.status_code, told(through))


@pytest.mark.parametrize("condition", [f'"{FILE.sha256}"', f'W/"{FILE.sha256}"', "*"])
def test_what_has_not_changed_is_not_sent_again(stand: Stand, condition: str) -> None:
    """304 with the same headers."""
    through, directly = stand.both(path_of("open"), If_None_Match=condition)
    assert (304, b"") == (through.status_code, through.content)
    assert told(directly) == told(through)


def test_a_date_never_overrules_an_etag(stand: Stand) -> None:
    """nginx knows when the blob was written, and that means nothing."""
    headers = {"If_None_Match": '"other"', "If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert 200 == stand.both(path_of("open"), **headers)[0].status_code
    assert 200 == stand.both(path_of("open"), If_Modified_Since=headers["If_Modified_Since"])[0].status_code


def test_head_tells_what_get_would(stand: Stand) -> None:
    with stand.nginx.client() as http:
        head, get = http.head(path_of("open")), http.get(path_of("open"))
    assert (200, b"") == (head.status_code, head.content)
    assert told(get) == told(head)


@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("stranger", 404), ("owner", 200)])
@pytest.mark.parametrize("form", ["header", "path"])
def test_a_private_channel_is_as_private(stand: Stand, who: str, status: int, form: str) -> None:
    """Who may not read hears the same with nginx and without, and no address."""
    key = {"nobody": None, "stranger": stand.stranger, "owner": stand.owner}[who]
    prefix = f"/t/{key}" if form == "path" and key else ""
    through, directly = stand.both(prefix + path_of("closed"), None if prefix else key)
    assert (status, status) == (through.status_code, directly.status_code)
    assert (through.content == FILE.content) == (who == "owner")
    assert told(directly) == told(through)


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
def test_nobody_asks_for_a_blob(stand: Stand, target: str, method: str) -> None:
    """The internal location is not there for who asks for it, in no spelling and with no header."""
    answer = exchange(stand.nginx.plain_address, method, target, {**HANDS_OVER, **bearer(stand.owner)})
    assert answer.status in (404, 405)
    assert FILE.content[:100] not in answer.body
    assert answer.header("seaway-x-accel") is None


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_a_large_upload_comes_through(stand: Stand, form: str) -> None:
    """20 MB are taken as they come, and read again."""
    channel = "open" if form == "raw" else "closed"
    body, headers = LARGE.content, raw_headers(LARGE)
    if form == "multipart":
        body, headers = multipart(file_part(LARGE)), multipart_type()
    with stand.nginx.client(stand.owner) as http:
        answer = http.post(f"/api/v1/upload/{channel}", content=body, headers=headers)
        assert 201 == answer.status_code, answer.text
        assert LARGE.content == http.get(path_of(channel, LARGE.name)).content


def test_index_documents_are_the_same(stand: Stand) -> None:
    """What nginx could pack once more, it leaves alone: the ETag is of these bytes."""
    for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"):
        for coding in ("identity", "gzip, zstd"):
            through, directly = stand.both(f"/open/noarch/{name}", Accept_Encoding=coding)
            assert (directly.content, told(directly)) == (through.content, told(through))


def test_seaway_is_told_who_asks(stand: Stand) -> None:
    """The client's address is in its log, and a forged one is not."""
    with stand.nginx.client() as http:
        answer = http.get("/nobody/noarch/x", headers={"X-Forwarded-For": "192.0.2.1"})
    mark = answer.headers["seaway-request-id"]
    until(lambda: any(mark in line for line in stand.server.log))
    assert not any("192.0.2.1" in line for line in stand.server.log)


def addresses_with_secrets() -> dict[str, tuple[str, list[str]]]:
    """Every address of ours that holds a secret, with those secrets: keys, links, codes of sign-ins, where to go on."""
    link, code, state = (
        secret_tokens.new_key(kind)
        for kind in (secret_tokens.KeyKind.LINK, secret_tokens.KeyKind.SIGN_IN_FLOW, secret_tokens.KeyKind.USER)
    )
    plain = "Sf3aVbL9kQz7-plain-code"
    found = {
        route.path: (route.path.format(secret=link), [link])
        for route in ROUTES
        if isinstance(route, Route) and "{secret}" in route.path
    }
    return found | {
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


SECRETS = addresses_with_secrets()


def test_all_kinds_of_links_are_among_them() -> None:
    """The routes with a secret in their path, so that the list is not empty by mistake."""
    assert {"/verify/{secret}", "/reset/{secret}", "/first-account/{secret}", "/invitations/{secret}"} <= SECRETS.keys()


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_is_in_a_log(stand: Stand, what: str) -> None:
    """Neither in nginx's nor in ours; the rest of the line is there."""
    address, secrets = SECRETS[what]
    before = len(stand.nginx.log.read_text())
    mark = f"seen-{len(stand.server.log)}-{before}"
    answer = exchange(stand.nginx.plain_address, "GET", address, {})
    exchange(stand.nginx.plain_address, "GET", f"/nobody/{mark}", {})
    until(lambda: mark in stand.nginx.log.read_text())
    until(lambda: any(mark in line for line in stand.server.log))
    written = stand.nginx.log.read_text()[before:]
    assert f" {answer.status} " in written
    for text in (written, stand.nginx.error_log.read_text(), "".join(stand.server.log)):
        assert not [secret for secret in secrets if secret in text]


def test_no_secret_is_in_the_error_log_when_seaway_is_away(tmp_path: Path) -> None:
    """nginx writes the whole request into its error log, which no format masks."""
    (port,) = free_ports(1)
    with nginx.before(f"http://127.0.0.1:{port}", tmp_path / "store", tmp_path) as front:
        for address, _ in SECRETS.values():
            assert exchange(front.plain_address, "GET", address, {}).status == 502
        until(lambda: len(front.log.read_text().splitlines()) >= len(SECRETS))
        logs = "".join(path.read_text() for path in (front.log, front.error_log, tmp_path / "error.log"))
    assert not [secret for _, secrets in SECRETS.values() for secret in secrets if secret in logs]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to a group and runs nginx as another user")
def test_nginx_reads_the_store_as_a_member_of_the_group() -> None:
    """After the commands of the manual Seaway starts again, nginx has old and new files, and neither key nor database."""
    with tempfile.TemporaryDirectory() as made, state.choose(state.SQLITE_DISK):
        folder = Path(made)
        folder.chmod(0o711)
        data = folder / "data"
        data.mkdir(mode=0o700)
        os.chown(data, -1, grp.getgrnam("www-data").gr_gid)
        data.chmod(0o2700)  # as under systemd, whatever is made below is of the service's group
        with umask(0o077), serving(folder, **FOR_GROUP):  # as the unit sets it
            beside = house.build(folder)
            People(beside).channel("open")
            key = People(beside).key("owner")
            beside.close()
        with umask(0o077), serving(folder, **FOR_GROUP) as server, server.client() as http:
            assert 201 == upload(http, "open", FILE, key).status_code
        for command in nginx.permissions():
            subprocess.run(["/bin/sh", "-euc", command.replace("/var/lib/seaway", str(data))], check=True)
        with umask(0o027), serving(folder, **FOR_GROUP) as server:
            beside_nginx = folder / "nginx"
            beside_nginx.mkdir(mode=0o755)
            with (
                nginx.before(server.address, data / "store", beside_nginx, user="www-data www-data") as front,
                front.client() as http,
            ):
                assert 201 == upload(http, "open", SMALL, key).status_code
                for file in (FILE, SMALL):
                    assert file.content == http.get(path_of("open", file.name)).content
        assert (data / "store" / keys.SECRET_KEY).exists()
        for path in (data / "store" / keys.SECRET_KEY, *data.glob("seaway.db*"), data, data / "store"):
            assert not as_www_data("test", "-r", path), path
        assert as_www_data("test", "-r", data / "store" / BLOB)


FOR_GROUP = {"examiners": 1, "downloads": "x-accel", "trusted_proxies": "127.0.0.1"}


def as_www_data(*command: object) -> bool:
    """Whether this succeeds as the user of nginx's workers."""
    ran = subprocess.run(
        [str(part) for part in command], user="www-data", group="www-data", extra_groups=[], check=False
    )
    return ran.returncode == 0


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """What is started meanwhile makes files with this mask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_solver_installs_through_nginx(stand: Stand, tmp_path: Path) -> None:
    """py-rattler solves, fetches packages that nginx sends, and installs them."""
    with stand.nginx.client(stand.owner) as http:
        for file in (APP, LIB_2):
            assert 201 == upload(http, "open", file).status_code
    url, prefix = f"{stand.nginx.plain_address}/open", str(tmp_path / "prefix")
    told = rattler.run(tmp_path, rattler.action(tmp_path, "solve", url, "app", prefix=prefix))
    assert [{"solved": sorted([APP.name, LIB_2.name])}] == told
    assert "app" == (tmp_path / "prefix/share/app.txt").read_text()
