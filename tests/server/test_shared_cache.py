"""A cache in front that many share keeps what is public, and nothing that is private (case 86)."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from tests.conftest import Site
from tests.http import asks
from tests.http.asks import Ask
from tests.http.test_matrix import ROWS
from tests.support import house, nginx, state
from tests.support.house import People
from tests.support.nginx import Nginx
from tests.support.packages import conda, zstd
from tests.support.requests import upload
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.on_disk]

FILE = conda()
INDEX = "repodata_shards.msgpack.zst"


@dataclass(frozen=True)
class Front:
    """nginx with a cache before a site, and the keys of a member and of a stranger."""

    nginx: Nginx
    site: Site
    member: str
    stranger: str

    def get(self, path: str, key: str | None) -> httpx.Response:
        with self.nginx.client(key) as http:
            return http.get(path)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("cached")
    with (
        state.choose(state.SQLITE_DISK),
        serving(folder, examiners=1, trusted_proxies="127.0.0.1") as server,
        closing(house.build(folder)) as beside,
    ):
        people = People(beside)
        site = Site(server, people)
        for name in ("open", "closed"):
            people.channel(name, owner="owner", public=name == "open")
        member, stranger = people.key("owner"), people.key("stranger")
        with server.client() as http:
            assert [201, 201] == [upload(http, name, FILE, member).status_code for name in ("open", "closed")]
        store = folder / "data" / "store"
        with nginx.before(server.address, store, tmp_path_factory.mktemp("nginx"), caches=True) as before:
            yield Front(before, site, member, stranger)


def test_the_cache_caches(front: Front) -> None:
    """What everybody may read for a while comes from it the second time, or the tests below would show nothing."""
    index = front.get(f"/open/noarch/{INDEX}", None)
    shards = msgspec.msgpack.decode(zstd.decompress(index.content))["shards"].values()
    path = f"/open/noarch/shards/{next(iter(shards)).hex()}.msgpack.zst"
    answers = [front.get(path, None) for _ in range(2)]
    assert ["MISS", "HIT"] == [answer.headers["cache-status"] for answer in answers]


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
def test_nothing_private_comes_from_it(front: Front, path: str) -> None:
    """What a member fetched is not served to a stranger or to nobody, in whichever order they ask."""
    for _ in range(2):
        if not path.startswith("/channels/"):  # a page is for who signed in, and no key opens it
            fetched = front.get(path, front.member)
            assert (200, "MISS") == (fetched.status_code, fetched.headers["cache-status"])
        for key, statuses in ((front.stranger, (403, 404)), (None, (401, 404))):
            refused = front.get(path, key)
            assert refused.status_code in statuses
            assert "HIT" != refused.headers["cache-status"]
            assert b"demo" not in refused.content


def test_a_key_in_the_path_is_not_the_key_of_a_cache(front: Front) -> None:
    """conda's way to send a key makes an address of its own; without it there is nothing."""
    path = f"noarch/{FILE.name}"
    for _ in range(2):
        assert FILE.content == front.get(f"/t/{front.member}/closed/{path}", None).content
    assert 401 == front.get(f"/closed/{path}", None).status_code


def test_nothing_that_depends_on_its_caller_comes_from_it(front: Front) -> None:
    """Every GET route, twice with a session, with a key and with nothing: only what says that it is public is kept."""
    with front.site.client() as direct, front.nginx.client() as cached:
        for public in (True, False):
            stage = asks.stage(front.site, direct, public=public)
            callers = (stage.signed_in("owner"), stage.signed("owner"), {})
            for row in ROWS:
                method, _, _ = row.partition(" ")
                if method == "GET":
                    for ask in asks.of(stage, row, "owner"):
                        crawl(cached, ask, callers)


def crawl(http: httpx.Client, ask: Ask, callers: Sequence[dict[str, str]]) -> None:
    for caller in callers:
        for _ in range(2):
            answer = http.get(ask.path, params=ask.params, headers={**(caller if ask.signed else {}), **ask.headers})
            control, varies = answer.headers["cache-control"], answer.headers.get("vary", "")
            if not control.startswith("public"):
                assert "HIT" != answer.headers["cache-status"], ask.path
                assert {"Authorization", "Cookie"} <= {name.strip() for name in varies.split(",")}, ask.path
                assert "private" in control, ask.path
