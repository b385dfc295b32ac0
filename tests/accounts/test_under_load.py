"""A real server while many sign in at once (case 9)."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import httpx
import psutil
import pytest

from tests.support import house
from tests.support.house import People
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

_AT_ONCE = 200


@dataclass(frozen=True)
class Door:
    """The forms of a server, for people at as many addresses as one likes."""

    http: httpx.Client
    token: str

    def send(self, path: str, place: str, **fields: str) -> httpx.Response:
        headers = {"X-Forwarded-For": place, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        return self.http.post(path, data={"csrf_token": self.token, **fields}, headers=headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes who says where a request comes from."""
    folder = tmp_path_factory.mktemp("load")
    with closing(house.build(folder)) as seaway:
        People(seaway).user("known")
    with serving(folder, trusted_proxies="127.0.0.1", examiners=1) as running:
        yield running


@pytest.fixture
def door(server: Server) -> Iterator[Door]:
    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
    with httpx.Client(base_url=server.address, limits=limits, timeout=60) as http:
        found = re.search(r'name="csrf_token" value="([^"]+)"', http.get("/signin").text)
        assert found is not None
        yield Door(http, found[1])


def memory_of(server: Server) -> int:
    """Bytes of the server and its workers."""
    top = psutil.Process(server.process.pid)
    return sum(one.memory_info().rss for one in [top, *top.children(recursive=True)])


def rush(server: Server, send: Callable[[int], httpx.Response]) -> tuple[set[int], int]:
    """Send many at one moment, while the probe is answered: the status codes, and the most memory in bytes."""
    most, probes = 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool, httpx.Client(base_url=server.address, timeout=60) as probe:
        sent = [pool.submit(send, number) for number in range(_AT_ONCE)]
        while not all(each.done() for each in sent):
            assert 200 == probe.get("/health/live").status_code
            probes += 1
            most = max(most, memory_of(server))
    assert probes > 5
    return {each.result().status_code for each in sent}, most


def test_a_rush_of_sign_ins_leaves_the_server_well(server: Server, door: Door) -> None:
    """Case 9: the probe is answered meanwhile, and memory stays within 200 MB."""
    door.send("/signin", "10.9.0.1", login="nobody", password="what is not it")
    before = memory_of(server)

    def sign_in(number: int) -> httpx.Response:
        return door.send("/signin", f"10.1.{number}.1", login=f"nobody-{number}", password="what is not it")

    answers, most = rush(server, sign_in)
    assert {401, 429} == answers, "some were looked at, the rest was told to come again"
    assert most - before < 200 * 1024 * 1024
