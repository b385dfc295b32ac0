"""Package files that leave the bucket themselves: who is sent where, for how long, and what is answered by us."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest

from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import house, s3, state
from tests.support.house import People
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX

FILE = conda(index_json("demo"), files={"share/noise": bytes(range(256)) * 40})
OTHER = conda(index_json("other"))
SIZE = len(FILE.content)
PUBLIC_SECONDS = 3600

PUBLIC = f"/open/noarch/{FILE.name}"
PRIVATE = f"/closed/noarch/{FILE.name}"
RANGES = {"bytes=0-9": slice(0, 10), "bytes=100-": slice(100, None), "bytes=-7": slice(SIZE - 7, None)}


@dataclass(frozen=True)
class Door:
    """One way to the channels of a house in this process."""

    seaway: Seaway

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """The answer, without following it anywhere."""
        return anyio.run(self._ask, method, path, headers or {})

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, path: str) -> httpx.Response:
        return self.ask("HEAD", path)

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(self.seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as http:
            return await http.request(method, path, headers=headers)


@dataclass(frozen=True)
class Doors:
    """Two ways to the same channels, one with redirects and one without, and the keys of their owner and a stranger."""

    redirect: Door
    direct: Door
    owner: str
    stranger: str


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    with state.choose(state.POSTGRES_S3):
        redirecting = house.build(folder, redirect_seconds=PUBLIC_SECONDS)
        direct = house.build(folder, downloads="direct")
    people = People(redirecting)
    for name in ("open", "closed"):
        channel = Channel(with_in_process_examiners(redirecting), people.channel(name, public=name == "open"))
        channel.put(FILE)
        channel.put(OTHER)
    yield Doors(Door(redirecting), Door(direct), people.key("owner"), people.key("stranger"))
    redirecting.close()
    direct.close()
    state.forget(folder)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def sent_to(answer: httpx.Response) -> str:
    """The address in the bucket that an answer leads to, after a look at whether it is nothing but that."""
    assert (302, b"") == (answer.status_code, answer.content)
    assert "private, no-store" == answer.headers["cache-control"]
    location = answer.headers["location"]
    assert location.startswith(s3.shared().endpoint + "/")
    assert urlsplit(location).path.endswith(f"/blobs/{FILE.sha256[:2]}/{FILE.sha256}")
    return str(location)


def test_a_package_is_sent_for_to_the_bucket(doors: Doors) -> None:
    """GET leads to an address signed for this one blob and for a time; without its signature it opens nothing."""
    url = sent_to(doors.redirect.get(PUBLIC))
    assert str(PUBLIC_SECONDS) == query(url)["X-Amz-Expires"]
    assert FILE.content == httpx.get(url).content
    other = url.replace(FILE.sha256[:2] + "/" + FILE.sha256, OTHER.sha256[:2] + "/" + OTHER.sha256)
    refused = [httpx.get(other), httpx.get(url.partition("?")[0]), httpx.put(url, content=b"x"), httpx.delete(url)]
    assert {403} == {answer.status_code for answer in refused}


def test_the_address_of_a_private_package_is_short_lived(doors: Doors) -> None:
    """However long other addresses are good, those of private channels are good for five minutes."""
    for headers in (bearer(doors.owner), basic("anybody", doors.owner)):
        url = sent_to(doors.redirect.get(PRIVATE, **headers))
        assert 0 < int(query(url)["X-Amz-Expires"]) <= 300
        assert doors.owner not in url
        assert FILE.content == httpx.get(url).content


def test_strangers_get_no_address(doors: Doors) -> None:
    """Who may not read a channel is refused, and learns of no address."""
    answers = [doors.redirect.get(PRIVATE), doors.redirect.get(PRIVATE, **bearer(doors.stranger))]
    assert [401, 404] == [answer.status_code for answer in answers]
    assert [False, False] == ["location" in answer.headers for answer in answers]


@pytest.mark.parametrize("path", [PUBLIC, PRIVATE], ids=["public", "private"])
def test_a_key_in_the_address_is_not_told_to_the_bucket(doors: Doors, path: str) -> None:
    """Clients say where they come from (`Referer`), so whoever has the key in the address gets the bytes from us."""
    answer = doors.redirect.get(f"/t/{doors.owner}{path}")
    assert (200, FILE.content) == (answer.status_code, answer.content)


def test_head_is_answered_by_us(doors: Doors) -> None:
    """Size, hash and type of a package are told without a redirect, and without asking the bucket."""
    answer = doors.redirect.head(PUBLIC)
    assert (200, f'"{FILE.sha256}"') == (answer.status_code, answer.headers["etag"])
    assert (str(SIZE), "bytes") == (answer.headers["content-length"], answer.headers["accept-ranges"])
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", [f'"{FILE.sha256}"', f'"another", W/"{FILE.sha256}"', "*"])
def test_who_has_a_package_is_not_sent_for_it(doors: Doors, method: str, condition: str) -> None:
    """With the validator that every answer has, also the redirect, a client hears 304."""
    redirected = doors.redirect.get(PUBLIC)
    answer = doors.redirect.ask(method, PUBLIC, {"If-None-Match": condition})
    assert f'"{FILE.sha256}"' == redirected.headers["etag"] == answer.headers["etag"]
    assert (304, b"", False) == (answer.status_code, answer.content, "location" in answer.headers)


@pytest.mark.parametrize(("range_", "part"), RANGES.items(), ids=RANGES.keys())
def test_ranges_are_the_same_both_ways(doors: Doors, range_: str, part: slice) -> None:
    """A part of a package, asked for at the bucket after the redirect or here, has the same bytes."""
    answers = [
        httpx.get(sent_to(doors.redirect.get(PUBLIC, range=range_)), headers={"Range": range_}),
        doors.direct.get(PUBLIC, range=range_),
    ]
    assert [206, 206] == [answer.status_code for answer in answers]
    assert {FILE.content[part]} == {answer.content for answer in answers}
    start, end, _ = part.indices(SIZE)
    assert {f"bytes {start}-{end - 1}/{SIZE}"} == {answer.headers["content-range"] for answer in answers}


def test_a_range_that_cannot_be_is_refused_both_ways(doors: Doors) -> None:
    """A range behind the end is told by us, with the size."""
    for door in (doors.redirect, doors.direct):
        answer = door.get(PUBLIC, range=f"bytes={SIZE}-")
        assert (416, f"bytes */{SIZE}") == (answer.status_code, answer.headers["content-range"])


def test_directly_the_same_bytes_come_through_us(doors: Doors) -> None:
    """With `downloads = direct` a package of a bucket is answered as one of a folder is."""
    answer = doors.direct.get(PUBLIC)
    assert (200, FILE.content) == (answer.status_code, answer.content)
    assert "location" not in answer.headers
    told = {name: answer.headers[name] for name in ("etag", "content-length", "cache-control", "content-disposition")}
    assert told == {name: doors.redirect.head(PUBLIC).headers[name] for name in told}
    assert told == {name: doors.direct.head(PUBLIC).headers[name] for name in told}


def test_index_documents_are_never_redirected(doors: Doors) -> None:
    """What solvers read comes from us, in every form, however it is asked for."""
    documents = [REPODATA, REPODATA_ZST, SHARD_INDEX, "noarch/run_exports.json", "channeldata.json", "notices.json"]
    for encoding in ("identity", "gzip", "zstd"):
        for document in documents:
            answer = doors.redirect.get(f"/open/{document}", accept_encoding=encoding)
            assert (200, False) == (answer.status_code, "location" in answer.headers), document
