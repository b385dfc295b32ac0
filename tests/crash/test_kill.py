"""
A server killed with SIGKILL at various times during uploads, overwrites and document builds.

After each kill every promise holds, published files are available, the channel is readable, and the spool is empty.
"""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from seaway.maintenance.check import check
from seaway.server.wiring import Seaway
from tests.support import packages, sites, state
from tests.support.packages import PackageFile
from tests.support.server import Server, serving
from tests.support.sites import Factory

WRITERS = 4
CHANNEL = "robots"

# Milliseconds from the first byte to the kill. An upload of a small package takes 5 to 30 of them here,
# so the kills hit all phases: receiving, examining, storing, recording and responding.
MOMENTS = [0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 37, 45, 55, 70, 90, 120, 160, 220, 300]


@dataclass
class Load:
    """Upload and read until the server is killed; record the published files."""

    address: str
    key: str
    published: set[str] = field(default_factory=set)
    started: threading.Event = field(default_factory=threading.Event)

    def run(self, round_number: int, server: Server, milliseconds: int) -> None:
        threads = [threading.Thread(target=self._upload, args=(round_number, number)) for number in range(WRITERS)]
        threads.append(threading.Thread(target=self._read))
        for thread in threads:
            thread.start()
        self.started.wait(30)
        threading.Event().wait(milliseconds / 1000)  # the time of the kill is the subject of the test
        server.kill()
        for thread in threads:
            thread.join(60)

    def _upload(self, round_number: int, writer: int) -> None:
        with httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.key}"}) as client:
            for count in range(1000):
                name = f"crash{writer}" if count % 3 else "shared"
                file = packages.conda(packages.index_json(name, f"{round_number}.{writer}.{count}"))
                try:
                    response = client.post(
                        f"/api/v1/upload/{CHANNEL}", content=self._pieces(file), headers={"X-File-Name": file.name}
                    )
                except httpx.HTTPError:
                    return
                assert response.status_code == 201, response.text
                self.published.add(file.name)

    def _pieces(self, file: PackageFile) -> Iterator[bytes]:
        half = len(file.content) // 2
        yield file.content[:half]
        self.started.set()
        yield file.content[half:]

    def _read(self) -> None:
        with httpx.Client(base_url=self.address) as client:
            for _ in range(1000):
                try:
                    client.get(f"/{CHANNEL}/noarch/repodata.json").raise_for_status()
                except httpx.TransportError:
                    return


def prepare(folder: Path) -> str:
    with closing(sites.build(folder)) as seaway:
        factory = Factory(seaway)
        factory.channel(CHANNEL, owner="owner")
        return factory.key("owner")


def assert_consistent(seaway: Seaway, folder: Path, published: set[str]) -> None:
    assert [] == list(check(seaway))
    assert [] == list((folder / "data" / "spool").iterdir())
    assert len(published) <= len(state.stored_blobs(seaway.site.blobs))


def kill_at(folder: Path, moments: list[int]) -> None:
    key = prepare(folder)
    published: set[str] = set()
    for round_number, milliseconds in enumerate(moments):
        with serving(folder) as server:
            load = Load(server.address, key)
            load.run(round_number, server, milliseconds)
            published |= load.published
        with closing(sites.build(folder)) as seaway:
            assert_consistent(seaway, folder, published)
    with serving(folder) as server, server.client() as client:
        repodata = client.get(f"/{CHANNEL}/noarch/repodata.json").json()
        assert set() == published - set(repodata["packages.conda"])
        assert 200 == client.get(f"/{CHANNEL}/noarch/repodata_shards.msgpack.zst").status_code


def test_a_killed_server_keeps_published_files(tmp_path: Path) -> None:
    """After a kill under load, files confirmed with 201 are available and every promise holds."""
    kill_at(tmp_path, [60])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_killed_at_twenty_times_keeps_published_files(on_both: str, tmp_path: Path) -> None:
    """Invariants of publishing: after a kill at any line the channel is readable and usable."""
    kill_at(tmp_path, MOMENTS)


def test_a_kill_during_a_request_body_leaves_nothing(tmp_path: Path) -> None:
    """The received part of an unfinished upload is deleted at the next start."""
    key = prepare(tmp_path)
    with serving(tmp_path) as server:
        started = threading.Event()

        def partial_body() -> Iterator[bytes]:
            yield bytes(300_000)
            started.set()
            while server.process.poll() is None:
                threading.Event().wait(0.01)
                yield bytes(1000)

        def upload() -> None:
            headers = {"Authorization": f"Bearer {key}", "X-File-Name": "demo-1.0-0.conda"}
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{server.address}/api/v1/upload/{CHANNEL}", content=partial_body(), headers=headers)

        thread = threading.Thread(target=upload)
        thread.start()
        started.wait(30)
        server.kill()
        thread.join(30)

    with closing(sites.build(tmp_path)) as seaway:
        assert_consistent(seaway, tmp_path, set())
        assert [] == state.stored_blobs(seaway.site.blobs)
