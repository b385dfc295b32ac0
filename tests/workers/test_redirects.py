"""Package files served by the bucket: redirect targets, their lifetime, and responses of the server itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest

from seaway.http.channel_responses import REDIRECT_SECONDS
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import s3, sites, state
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer
from tests.support.sites import Factory
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX

FILE = conda(index_json("demo"), files={"share/noise": bytes(range(256)) * 40})
OTHER = conda(index_json("other"))
SIZE = len(FILE.content)

PUBLIC = f"/open/noarch/{FILE.name}"
PRIVATE = f"/closed/noarch/{FILE.name}"
RANGES = {"bytes=0-9": slice(0, 10), "bytes=100-": slice(100, None), "bytes=-7": slice(SIZE - 7, None)}


@dataclass(frozen=True)
class Server:
    """A server in this process."""

    seaway: Seaway

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a request without following redirects."""
        return anyio.run(self._request, method, path, headers or {})

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, path: str) -> httpx.Response:
        return self.request("HEAD", path)

    async def _request(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(self.seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as http:
            return await http.request(method, path, headers=headers)


@dataclass(frozen=True)
class Servers:
    """Two servers of the same channels, with and without redirects, and keys of the owner and another user."""

    redirect: Server
    direct: Server
    owner: str
    other_user: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    with state.choose(state.POSTGRES_S3):
        redirecting = sites.build(folder)
        direct = sites.build(folder, downloads="direct")
    factory = Factory(redirecting)
    for name in ("open", "closed"):
        channel = Channel(with_in_process_examiners(redirecting), factory.channel(name, public=name == "open"))
        channel.put(FILE)
        channel.put(OTHER)
    yield Servers(Server(redirecting), Server(direct), factory.key("owner"), factory.key("other-user"))
    redirecting.close()
    direct.close()
    state.forget(folder)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def redirect_target(response: httpx.Response) -> str:
    """Assert that a response only redirects to the bucket; return the URL."""
    assert (302, b"") == (response.status_code, response.content)
    assert "private, no-store" == response.headers["cache-control"]
    location = response.headers["location"]
    assert location.startswith(s3.shared().endpoint + "/")
    assert urlsplit(location).path.endswith(f"/blobs/{FILE.sha256[:2]}/{FILE.sha256}")
    return str(location)


def test_a_package_is_redirected_to_the_bucket(servers: Servers) -> None:
    """The URL is signed for this blob and a limited time; without the signature it is refused."""
    url = redirect_target(servers.redirect.get(PUBLIC))
    assert str(REDIRECT_SECONDS) == query(url)["X-Amz-Expires"]
    assert FILE.content == httpx.get(url).content
    other_url = url.replace(FILE.sha256[:2] + "/" + FILE.sha256, OTHER.sha256[:2] + "/" + OTHER.sha256)
    refused = [httpx.get(other_url), httpx.get(url.partition("?")[0]), httpx.put(url, content=b"x"), httpx.delete(url)]
    assert {403} == {response.status_code for response in refused}


def test_the_url_of_a_private_package_is_short_lived(servers: Servers) -> None:
    """The URL works without a key, so it expires within five minutes."""
    for headers in (bearer(servers.owner), basic("any-user", servers.owner)):
        url = redirect_target(servers.redirect.get(PRIVATE, **headers))
        assert 0 < int(query(url)["X-Amz-Expires"]) <= 300
        assert servers.owner not in url
        assert FILE.content == httpx.get(url).content


def test_callers_without_access_get_no_url(servers: Servers) -> None:
    """Callers that cannot read a channel are refused and get no URL."""
    responses = [servers.redirect.get(PRIVATE), servers.redirect.get(PRIVATE, **bearer(servers.other_user))]
    assert [401, 404] == [response.status_code for response in responses]
    assert [False, False] == ["location" in response.headers for response in responses]


@pytest.mark.parametrize("path", [PUBLIC, PRIVATE], ids=["public", "private"])
def test_a_key_in_the_url_is_not_sent_to_the_bucket(servers: Servers, path: str) -> None:
    """Clients send `Referer`, so requests with a key in the URL get the bytes without a redirect."""
    response = servers.redirect.get(f"/t/{servers.owner}{path}")
    assert (200, FILE.content) == (response.status_code, response.content)


def test_head_is_not_redirected(servers: Servers) -> None:
    """HEAD returns size, hash and type of a package without a request to the bucket."""
    response = servers.redirect.head(PUBLIC)
    assert (200, f'"{FILE.sha256}"') == (response.status_code, response.headers["etag"])
    assert (str(SIZE), "bytes") == (response.headers["content-length"], response.headers["accept-ranges"])
    assert "location" not in response.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", [f'"{FILE.sha256}"', f'"another", W/"{FILE.sha256}"', "*"])
def test_a_conditional_request_is_not_redirected(servers: Servers, method: str, condition: str) -> None:
    """A client with the ETag, which redirects have too, gets 304."""
    redirected = servers.redirect.get(PUBLIC)
    response = servers.redirect.request(method, PUBLIC, {"If-None-Match": condition})
    assert f'"{FILE.sha256}"' == redirected.headers["etag"] == response.headers["etag"]
    assert (304, b"", False) == (response.status_code, response.content, "location" in response.headers)


@pytest.mark.parametrize(("range_", "part"), RANGES.items(), ids=RANGES.keys())
def test_ranges_are_the_same_with_and_without_redirect(servers: Servers, range_: str, part: slice) -> None:
    """A range requested from the bucket after the redirect, or directly, has the same bytes."""
    responses = [
        httpx.get(redirect_target(servers.redirect.get(PUBLIC, range=range_)), headers={"Range": range_}),
        servers.direct.get(PUBLIC, range=range_),
    ]
    assert [206, 206] == [response.status_code for response in responses]
    assert {FILE.content[part]} == {response.content for response in responses}
    start, end, _ = part.indices(SIZE)
    assert {f"bytes {start}-{end - 1}/{SIZE}"} == {response.headers["content-range"] for response in responses}


def test_an_invalid_range_is_refused_with_and_without_redirect(servers: Servers) -> None:
    """The server itself refuses a range after the end and states the size."""
    for server in (servers.redirect, servers.direct):
        response = server.get(PUBLIC, range=f"bytes={SIZE}-")
        assert (416, f"bytes */{SIZE}") == (response.status_code, response.headers["content-range"])


def test_direct_downloads_have_the_same_bytes(servers: Servers) -> None:
    """With `downloads = direct` a package from a bucket is served like one from a folder."""
    response = servers.direct.get(PUBLIC)
    assert (200, FILE.content) == (response.status_code, response.content)
    assert "location" not in response.headers
    headers = {
        name: response.headers[name] for name in ("etag", "content-length", "cache-control", "content-disposition")
    }
    assert headers == {name: servers.redirect.head(PUBLIC).headers[name] for name in headers}
    assert headers == {name: servers.direct.head(PUBLIC).headers[name] for name in headers}


def test_index_documents_are_never_redirected(servers: Servers) -> None:
    """The server itself returns index documents, in every form and encoding."""
    documents = [REPODATA, REPODATA_ZST, SHARD_INDEX, "noarch/run_exports.json", "channeldata.json", "notices.json"]
    for encoding in ("identity", "gzip", "zstd"):
        for document in documents:
            response = servers.redirect.get(f"/open/{document}", accept_encoding=encoding)
            assert (200, False) == (response.status_code, "location" in response.headers), document
