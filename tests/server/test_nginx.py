"""nginx in front, on the configuration of the manual: the same answers as without it, and files that it sends itself."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from seaway.storage import keys
from tests.clients.test_rattler import APP, LIB_2
from tests.support import house, nginx, rattler, state
from tests.support.house import People
from tests.support.nginx import Nginx
from tests.support.packages import conda, index_json
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


def test_no_key_is_in_nginxs_log(stand: Stand) -> None:
    """A key in an address is masked there as in our own log."""
    with stand.nginx.client() as http:
        http.get(f"/t/{stand.owner}{path_of('closed')}")
    until(lambda: "/t/***/closed/noarch/" in stand.nginx.log.read_text())
    assert stand.owner not in stand.nginx.log.read_text()


def test_a_solver_installs_through_nginx(stand: Stand, tmp_path: Path) -> None:
    """py-rattler solves, fetches packages that nginx sends, and installs them."""
    with stand.nginx.client(stand.owner) as http:
        for file in (APP, LIB_2):
            assert 201 == upload(http, "open", file).status_code
    url, prefix = f"{stand.nginx.plain_address}/open", str(tmp_path / "prefix")
    told = rattler.run(tmp_path, rattler.action(tmp_path, "solve", url, "app", prefix=prefix))
    assert [{"solved": sorted([APP.name, LIB_2.name])}] == told
    assert "app" == (tmp_path / "prefix/share/app.txt").read_text()
