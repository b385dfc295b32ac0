"""A cache in front that many share keeps what is public, and nothing that is private (case 86)."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest

from tests.support import house, nginx, state
from tests.support.house import People
from tests.support.nginx import Nginx
from tests.support.packages import conda
from tests.support.requests import upload
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.on_disk]

FILE = conda()
INDEX = "repodata_shards.msgpack.zst"


@dataclass(frozen=True)
class Front:
    """nginx with a cache, and the keys of a member and of a stranger."""

    nginx: Nginx
    member: str
    stranger: str

    def get(self, path: str, key: str | None) -> httpx.Response:
        with self.nginx.client(key) as http:
            return http.get(path)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("cached")
    with state.choose(state.SQLITE_DISK), serving(folder, examiners=1, trusted_proxies="127.0.0.1") as server:
        with closing(house.build(folder)) as beside:
            people = People(beside)
            for name in ("open", "closed"):
                people.channel(name, owner="owner", public=name == "open")
            member, stranger = people.key("owner"), people.key("stranger")
        with server.client() as http:
            assert [201, 201] == [upload(http, name, FILE, member).status_code for name in ("open", "closed")]
        store = folder / "data" / "store"
        with nginx.before(server.address, store, tmp_path_factory.mktemp("nginx"), caches=True) as before:
            yield Front(before, member, stranger)


def test_the_cache_caches(front: Front) -> None:
    """What everybody may read comes from it the second time, or the test below would show nothing."""
    path = f"/open/noarch/{FILE.name}"
    answers = [front.get(path, None) for _ in range(2)]
    assert ["MISS", "HIT"] == [answer.headers["cache-status"] for answer in answers]
    assert [FILE.content] * 2 == [answer.content for answer in answers]


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
        for key, status in ((front.stranger, 404), (None, 401)):
            refused = front.get(path, key)
            assert refused.status_code in (status, 404)
            assert "HIT" != refused.headers["cache-status"]
            assert b"demo" not in refused.content


def test_a_key_in_the_path_is_not_the_key_of_a_cache(front: Front) -> None:
    """conda's way to send a key makes an address of its own; without it there is nothing."""
    path = f"noarch/{FILE.name}"
    for _ in range(2):
        assert FILE.content == front.get(f"/t/{front.member}/closed/{path}", None).content
    assert 401 == front.get(f"/closed/{path}", None).status_code
