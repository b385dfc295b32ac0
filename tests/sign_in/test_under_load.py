"""A real server during a burst of sign-ins (case 9)."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import httpx
import psutil
import pytest

from tests.support import sites
from tests.support.server import Server, serving
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

_AT_ONCE = 200


@dataclass(frozen=True)
class FormClient:
    """Form submissions to a server from any IP address."""

    http: httpx.Client
    token: str

    def send(self, path: str, ip_address: str, **fields: str) -> httpx.Response:
        headers = {"X-Forwarded-For": ip_address, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        return self.http.post(path, data={"csrf_token": self.token, **fields}, headers=headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server that trusts X-Forwarded-For."""
    folder = tmp_path_factory.mktemp("load")
    with closing(sites.build(folder)) as seaway:
        Factory(seaway).user("known")
    with serving(folder, trusted_proxies="127.0.0.1", examiners=1) as running:
        yield running


@pytest.fixture
def forms(server: Server) -> Iterator[FormClient]:
    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
    with httpx.Client(base_url=server.address, limits=limits, timeout=60) as http:
        csrf_token = re.search(r'name="csrf_token" value="([^"]+)"', http.get("/signin").text)
        assert csrf_token is not None
        yield FormClient(http, csrf_token[1])


def memory_of(server: Server) -> int:
    """Return the resident memory of the server and its workers in bytes."""
    root = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])


def send_burst(server: Server, send: Callable[[int], httpx.Response]) -> tuple[set[int], int]:
    """Send many requests at once while polling the health probe; return status codes and peak bytes of memory."""
    peak_bytes, probes = 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool, httpx.Client(base_url=server.address, timeout=60) as probe:
        futures = [pool.submit(send, number) for number in range(_AT_ONCE)]
        while not all(future.done() for future in futures):
            assert 200 == probe.get("/health/live").status_code
            probes += 1
            peak_bytes = max(peak_bytes, memory_of(server))
    assert probes > 5
    return {future.result().status_code for future in futures}, peak_bytes


def test_server_stays_responsive_during_a_burst_of_sign_ins(server: Server, forms: FormClient) -> None:
    """Case 9: the probe responds meanwhile, and memory grows by less than 200 MB."""
    forms.send("/signin", "10.9.0.1", login="unknown", password="wrong password")
    bytes_before = memory_of(server)

    def sign_in(number: int) -> httpx.Response:
        return forms.send("/signin", f"10.1.{number}.1", login=f"unknown-{number}", password="wrong password")

    statuses, peak_bytes = send_burst(server, sign_in)
    assert {401, 429} == statuses, "some passwords were checked, the other requests were refused"
    assert peak_bytes - bytes_before < 200 * 1024 * 1024
