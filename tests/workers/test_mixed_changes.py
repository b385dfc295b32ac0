"""Concurrent uploads, overwrites, yanks and deletes on several servers, and readers that compare all responses."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest

from tests.support import packages
from tests.support.packages import PackageFile, zstd
from tests.support.requests import bearer
from tests.workers.fleet import Fleet

_WRITERS = 4
_CHANGES = 40  # by each writer
_SUBDIR = "noarch"
_DOCUMENTS = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")

# Content of a document: the hash of each file, and the removed files.
Content = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]


@dataclass
class Observations:
    """Documents that readers saw, and broken promises."""

    contents: dict[int, Content] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    reads: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, document: str, revision: int, content: Content) -> None:
        with self.lock:
            self.reads += 1
            if self.contents.setdefault(revision, content) != content:
                self.problems.append(f"{document} at revision {revision} differs from another document of it")


@dataclass
class Writer:
    """Change files in names that other writers change too, and record the expected state of each."""

    number: int
    client: httpx.Client
    channel: str
    files: dict[str, tuple[str, str]] = field(default_factory=dict)  # name of a file: its state and its hash

    def run(self) -> int:
        """Make the changes; return the last revision."""
        chance = random.Random(self.number)
        revision = 0
        for count in range(_CHANGES):
            revision = self._change(chance, count)
        return revision

    def _change(self, chance: random.Random, count: int) -> int:
        listed = [name for name, (state, _) in self.files.items() if state != "deleted"]
        kind = chance.choice(["upload", "upload", "overwrite", "yank", "unyank", "delete"]) if listed else "upload"
        name = chance.choice(listed) if listed else ""
        if kind in ("upload", "overwrite"):
            file = self._packed(count, chance) if kind == "upload" else self._packed_again(name, chance)
            force = {"force": "true"} if kind == "overwrite" else {}
            response = self.client.post(
                f"/api/v1/upload/{self.channel}",
                content=file.content,
                headers={"X-File-Name": file.name},
                params=force,
            )
            self.files[file.name] = ("listed", file.sha256)
        else:
            method = "DELETE" if kind == "delete" else "POST"
            response = self.client.request(method, f"/api/v1/{kind}/{self.channel}/{_SUBDIR}/{name}")
            state = {"yank": "yanked", "unyank": "listed", "delete": "deleted"}[kind]
            self.files[name] = (state, self.files[name][1])
        assert response.status_code in (200, 201), response.text
        return int(response.headers["seaway-revision"])

    def _packed(self, count: int, chance: random.Random) -> PackageFile:
        index = packages.index_json(f"name-{count % 3}", f"{self.number}.{count}")
        return packages.conda(index, files={"share/data": chance.randbytes(20)})

    def _packed_again(self, file_name: str, chance: random.Random) -> PackageFile:
        name, version, _ = file_name.rsplit("-", 2)
        return packages.conda(packages.index_json(name, version), files={"share/data": chance.randbytes(20)})


def read(client: httpx.Client, channel: str, document: str) -> tuple[int, Content]:
    """Read a document; return its revision and content."""
    response = client.get(f"/{channel}/{_SUBDIR}/{document}")
    assert 200 == response.status_code, response.text
    revision = int(response.headers["seaway-revision"])
    if document.startswith("repodata_shards"):
        return revision, of_shards(client, channel, response.content)
    content = zstd.decompress(response.content) if document.endswith(".zst") else response.content
    repodata = json.loads(content)
    files = {name: record["sha256"] for name, record in repodata["packages.conda"].items()}
    return revision, (tuple(sorted(files.items())), tuple(sorted(repodata["removed"])))


def of_shards(client: httpx.Client, channel: str, index: bytes) -> Content:
    files: dict[str, str] = {}
    removed: list[str] = []
    for digest in msgspec.msgpack.decode(zstd.decompress(index))["shards"].values():
        response = client.get(f"/{channel}/{_SUBDIR}/shards/{digest.hex()}.msgpack.zst")
        assert 200 == response.status_code, response.text
        shard = msgspec.msgpack.decode(zstd.decompress(response.content))
        files |= {name: record["sha256"].hex() for name, record in shard["packages.conda"].items()}
        removed += shard["removed"]
    return tuple(sorted(files.items())), tuple(sorted(removed))


def poll(address: str, channel: str, observations: Observations, stop: threading.Event) -> None:
    """Read until stopped; the revisions that a reader sees must not decrease."""
    newest = 0
    with httpx.Client(base_url=address, timeout=60) as client:
        while not stop.is_set():
            for document in _DOCUMENTS:
                revision, content = read(client, channel, document)
                observations.record(document, revision, content)
                if revision < newest:
                    observations.problems.append(f"{document} went back from revision {newest} to {revision}")
                newest = max(newest, revision)


def expected(writers: list[Writer]) -> Content:
    files = {name: known for writer in writers for name, known in writer.files.items()}
    listed = {name: sha256 for name, (state, sha256) in files.items() if state == "listed"}
    yanked = [name for name, (state, _) in files.items() if state == "yanked"]
    return tuple(sorted(listed.items())), tuple(sorted(yanked))


@pytest.fixture
def clients(fleet: Fleet) -> Iterator[list[httpx.Client]]:
    """An owner's client for each writer, spread over the servers."""
    key = fleet.factory.key("owner")
    clients = [
        httpx.Client(base_url=fleet.servers[number % len(fleet.servers)].address, headers=bearer(key), timeout=60)
        for number in range(_WRITERS)
    ]
    yield clients
    for client in clients:
        client.close()


@pytest.mark.slow
def test_readers_see_one_state_after_another(fleet: Fleet, clients: list[httpx.Client]) -> None:
    """S2, S4: all documents of a revision agree, revisions never decrease, and at the end all changes are visible."""
    channel = fleet.factory.channel("mixed")
    writers = [Writer(number, client, channel) for number, client in enumerate(clients)]
    observations, stop = Observations(), threading.Event()
    with ThreadPoolExecutor(_WRITERS + len(fleet.servers)) as threads:
        readers = [threads.submit(poll, server.address, channel, observations, stop) for server in fleet.servers]
        try:
            last = max(threads.map(Writer.run, writers))
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert [] == observations.problems
    assert len(observations.contents) > 10
    for server in fleet.servers:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            assert [(last, expected(writers))] * 3 == [read(client, channel, document) for document in _DOCUMENTS]
