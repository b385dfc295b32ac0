"""A shared cache in front of Seaway stores public responses, and nothing private (case 86)."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from tests.conftest import Site
from tests.http import matrix_requests
from tests.http.matrix_requests import RouteRequest
from tests.http.test_matrix import ROWS
from tests.support import nginx, sites, state
from tests.support.nginx import Nginx
from tests.support.packages import conda, zstd
from tests.support.requests import upload
from tests.support.server import serving
from tests.support.sites import Factory

pytestmark = [pytest.mark.slow, pytest.mark.on_disk]

FILE = conda()
INDEX = "repodata_shards.msgpack.zst"


@dataclass(frozen=True)
class CachedSite:
    """A site behind nginx with a cache, and the keys of a member and of a user without access."""

    nginx: Nginx
    site: Site
    member: str
    nonmember: str

    def get(self, path: str, key: str | None) -> httpx.Response:
        with self.nginx.client(key) as http:
            return http.get(path)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CachedSite]:
    folder = tmp_path_factory.mktemp("cached")
    with (
        state.choose(state.SQLITE_DISK),
        serving(folder, examiners=1, trusted_proxies="127.0.0.1") as server,
        closing(sites.build(folder)) as seaway,
    ):
        factory = Factory(seaway)
        site = Site(server, factory)
        for name in ("open", "closed"):
            factory.channel(name, owner="owner", public=name == "open")
        member, nonmember = factory.key("owner"), factory.key("nonmember")
        with server.client() as http:
            assert [201, 201] == [upload(http, name, FILE, member).status_code for name in ("open", "closed")]
        store = folder / "data" / "store"
        with nginx.in_front_of(server.address, store, tmp_path_factory.mktemp("nginx"), caches=True) as before:
            yield CachedSite(before, site, member, nonmember)


def test_public_response_is_served_from_the_cache(front: CachedSite) -> None:
    """Without a working cache the tests below would prove nothing."""
    index = front.get(f"/open/noarch/{INDEX}", None)
    shards = msgspec.msgpack.decode(zstd.decompress(index.content))["shards"].values()
    path = f"/open/noarch/shards/{next(iter(shards)).hex()}.msgpack.zst"
    responses = [front.get(path, None) for _ in range(2)]
    assert ["MISS", "HIT"] == [response.headers["cache-status"] for response in responses]


@pytest.mark.parametrize(
    "path",
    [
        f"/closed/noarch/{FILE.name}",
        "/closed/noarch/repodata.json",
        "/closed/noarch/repodata.json.zst",
        f"/closed/noarch/{INDEX}",
        "/closed/channeldata.json",
        "/channels/closed",
        "/api/v1/channels/closed/packages",
    ],
)
def test_private_response_is_never_served_from_the_cache(front: CachedSite, path: str) -> None:
    """A response for a member is not served to other users or anonymous callers, in any order of requests."""
    for _ in range(2):
        if not path.startswith("/channels/"):  # pages need a session, not a key
            fetched = front.get(path, front.member)
            assert (200, "MISS") == (fetched.status_code, fetched.headers["cache-status"])
        for key, statuses in ((front.nonmember, (403, 404)), (None, (401, 404))):
            refused = front.get(path, key)
            assert refused.status_code in statuses
            assert "HIT" != refused.headers["cache-status"]
            assert b"demo" not in refused.content


def test_response_to_a_key_in_the_path_is_not_served_without_it(front: CachedSite) -> None:
    """conda sends the key in the path, which gives the cache a separate URL."""
    path = f"noarch/{FILE.name}"
    for _ in range(2):
        assert FILE.content == front.get(f"/t/{front.member}/closed/{path}", None).content
    assert 401 == front.get(f"/closed/{path}", None).status_code


def test_caller_dependent_responses_are_never_cached(front: CachedSite) -> None:
    """Every GET route, twice with a session, a key and no credential: only responses marked public are cached."""
    with front.site.client() as direct, front.nginx.client() as cached:
        for public in (True, False):
            context = matrix_requests.create_context(front.site, direct, public=public)
            callers = (context.session_headers("owner"), context.key_headers("owner"), {})
            for row in ROWS:
                method, _, _ = row.partition(" ")
                if method == "GET":
                    for request in matrix_requests.requests_of(context, row, "owner"):
                        request_twice(cached, request, callers)


def request_twice(http: httpx.Client, request: RouteRequest, callers: Sequence[dict[str, str]]) -> None:
    for caller in callers:
        for _ in range(2):
            response = http.get(
                request.path,
                params=request.params,
                headers={**(caller if request.with_credentials else {}), **request.headers},
            )
            control, varies = response.headers["cache-control"], response.headers.get("vary", "")
            if not control.startswith("public"):
                assert "HIT" != response.headers["cache-status"], request.path
                assert {"Authorization", "Cookie"} <= {name.strip() for name in varies.split(",")}, request.path
                assert "private" in control, request.path
