"""A real server while many sign in at once (case 9), and how long it takes over addresses that somebody has (case 5)."""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from seaway.accounts import emails, users
from tests.support import house
from tests.support.house import People
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

_AT_ONCE = 200
_OF_EACH = 40
_USERS = 10  # five letters a day for each address


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
        people = People(seaway)
        names = [people.user(f"known-{number}") for number in range(_USERS)]
        with seaway.database.write_site() as tx:
            for name in names:
                emails.add(tx, 0, users.get(tx, name).id, f"{name}@example.com", verified=True)
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


def rush(server: Server, send: Callable[[int], httpx.Response]) -> tuple[set[int], float, int]:
    """Send many at one moment: the status codes, the slowest answer of the probe meanwhile in seconds, and most memory."""
    slowest, most, probes = 0.0, 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool, httpx.Client(base_url=server.address, timeout=60) as probe:
        sent = [pool.submit(send, number) for number in range(_AT_ONCE)]
        while not all(each.done() for each in sent):
            started = time.perf_counter()
            assert 200 == probe.get("/health/live").status_code
            slowest, probes = max(slowest, time.perf_counter() - started), probes + 1
            most = max(most, memory_of(server))
    assert probes > 5
    return {each.result().status_code for each in sent}, slowest, most


def test_a_rush_of_sign_ins_leaves_the_server_well(server: Server, door: Door) -> None:
    """Case 9: the probe answers within a second, or as it does beside as many pages; memory stays within 200 MB."""
    door.send("/signin", "10.9.0.1", login="nobody", password="what is not it")
    before = memory_of(server)
    pages, beside_pages, _ = rush(server, lambda number: door.http.get(f"/signin?{number}"))

    def sign_in(number: int) -> httpx.Response:
        return door.send("/signin", f"10.1.{number}.1", login=f"nobody-{number}", password="what is not it")

    answers, slowest, most = rush(server, sign_in)
    assert {200} == pages
    assert {401, 429} == answers, "some were looked at, the rest was told to come again"
    assert slowest < max(1.0, 2 * beside_pages)
    assert most - before < 200 * 1024 * 1024


def test_asking_for_a_new_password_takes_the_same_time(door: Door) -> None:
    """Case 5: whether anybody has the address: the same page and status, and medians within 20 %."""
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    pages: set[Any] = set()
    for number in range(_OF_EACH):
        for kind, times in took.items():
            started = time.perf_counter()
            address = f"{kind}-{number % _USERS}@example.com"
            answer = door.send("/reset", f"10.{2 + len(kind)}.{number}.1", address=address)
            times.append(time.perf_counter() - started)
            pages.add((answer.status_code, answer.headers.get("location"), answer.text))
    known, unknown = (statistics.median(times) for times in took.values())
    assert 1 == len(pages), pages
    assert known == pytest.approx(unknown, rel=0.2)
