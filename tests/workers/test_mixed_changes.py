"""Uploads, overwrites, yanks and deletes at once on several servers, and readers that compare everything they get."""

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

# What a document says of a channel: the hash that each file has, and what was removed.
Content = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]


@dataclass
class Seen:
    """What readers saw, and what contradicts the promises."""

    contents: dict[int, Content] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    reads: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, what: str, revision: int, content: Content) -> None:
        with self.lock:
            self.reads += 1
            if self.contents.setdefault(revision, content) != content:
                self.wrong.append(f"{what} at revision {revision} is not what another document of it says")


@dataclass
class Writer:
    """Changes files of its own, in names that others change too, and knows what each must be afterwards."""

    number: int
    client: httpx.Client
    channel: str
    files: dict[str, tuple[str, str]] = field(default_factory=dict)  # name of a file: its state and its hash

    def run(self) -> int:
        """Make the changes; the revision of the last."""
        dice = random.Random(self.number)
        revision = 0
        for count in range(_CHANGES):
            revision = self._change(dice, count)
        return revision

    def _change(self, dice: random.Random, count: int) -> int:
        listed = [name for name, (state, _) in self.files.items() if state != "deleted"]
        kind = dice.choice(["upload", "upload", "overwrite", "yank", "unyank", "delete"]) if listed else "upload"
        name = dice.choice(listed) if listed else ""
        if kind in ("upload", "overwrite"):
            file = self._packed(count, dice) if kind == "upload" else self._packed_again(name, dice)
            force = {"force": "true"} if kind == "overwrite" else {}
            answer = self.client.post(
                f"/api/v1/upload/{self.channel}",
                content=file.content,
                headers={"X-File-Name": file.name},
                params=force,
            )
            self.files[file.name] = ("listed", file.sha256)
        else:
            method = "DELETE" if kind == "delete" else "POST"
            answer = self.client.request(method, f"/api/v1/{kind}/{self.channel}/{_SUBDIR}/{name}")
            state = {"yank": "yanked", "unyank": "listed", "delete": "deleted"}[kind]
            self.files[name] = (state, self.files[name][1])
        assert answer.status_code in (200, 201), answer.text
        return int(answer.headers["seaway-revision"])

    def _packed(self, count: int, dice: random.Random) -> PackageFile:
        index = packages.index_json(f"name-{count % 3}", f"{self.number}.{count}")
        return packages.conda(index, files={"share/data": dice.randbytes(20)})

    def _packed_again(self, file_name: str, dice: random.Random) -> PackageFile:
        name, version, _ = file_name.rsplit("-", 2)
        return packages.conda(packages.index_json(name, version), files={"share/data": dice.randbytes(20)})


def read(client: httpx.Client, channel: str, document: str) -> tuple[int, Content]:
    """A document at the revision that it says, as what it says of the channel."""
    answer = client.get(f"/{channel}/{_SUBDIR}/{document}")
    assert 200 == answer.status_code, answer.text
    revision = int(answer.headers["seaway-revision"])
    if document.startswith("repodata_shards"):
        return revision, of_shards(client, channel, answer.content)
    content = zstd.decompress(answer.content) if document.endswith(".zst") else answer.content
    found = json.loads(content)
    files = {name: record["sha256"] for name, record in found["packages.conda"].items()}
    return revision, (tuple(sorted(files.items())), tuple(sorted(found["removed"])))


def of_shards(client: httpx.Client, channel: str, index: bytes) -> Content:
    files: dict[str, str] = {}
    removed: list[str] = []
    for digest in msgspec.msgpack.decode(zstd.decompress(index))["shards"].values():
        answer = client.get(f"/{channel}/{_SUBDIR}/shards/{digest.hex()}.msgpack.zst")
        assert 200 == answer.status_code, answer.text
        shard = msgspec.msgpack.decode(zstd.decompress(answer.content))
        files |= {name: record["sha256"].hex() for name, record in shard["packages.conda"].items()}
        removed += shard["removed"]
    return tuple(sorted(files.items())), tuple(sorted(removed))


def poll(address: str, channel: str, seen: Seen, stop: threading.Event) -> None:
    """Read until told to stop; what one reader sees never goes back."""
    newest = 0
    with httpx.Client(base_url=address, timeout=60) as client:
        while not stop.is_set():
            for document in _DOCUMENTS:
                revision, content = read(client, channel, document)
                seen.take(document, revision, content)
                if revision < newest:
                    seen.wrong.append(f"{document} went back from revision {newest} to {revision}")
                newest = max(newest, revision)


def expected(writers: list[Writer]) -> Content:
    files = {name: known for writer in writers for name, known in writer.files.items()}
    listed = {name: sha256 for name, (state, sha256) in files.items() if state == "listed"}
    yanked = [name for name, (state, _) in files.items() if state == "yanked"]
    return tuple(sorted(listed.items())), tuple(sorted(yanked))


@pytest.fixture
def clients(fleet: Fleet) -> Iterator[list[httpx.Client]]:
    """A client of the owner for each writer, on the servers in turn."""
    key = fleet.people.key("owner")
    made = [
        httpx.Client(base_url=fleet.servers[number % len(fleet.servers)].address, headers=bearer(key), timeout=60)
        for number in range(_WRITERS)
    ]
    yield made
    for client in made:
        client.close()


@pytest.mark.slow
def test_readers_see_one_state_after_another(fleet: Fleet, clients: list[httpx.Client]) -> None:
    """S2, S4: at one revision all documents say the same, none goes back, and at the end all say what was done."""
    channel = fleet.people.channel("mixed")
    writers = [Writer(number, client, channel) for number, client in enumerate(clients)]
    seen, stop = Seen(), threading.Event()
    with ThreadPoolExecutor(_WRITERS + len(fleet.servers)) as threads:
        readers = [threads.submit(poll, server.address, channel, seen, stop) for server in fleet.servers]
        try:
            last = max(threads.map(Writer.run, writers))
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert [] == seen.wrong
    assert len(seen.contents) > 10
    for server in fleet.servers:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            assert [(last, expected(writers))] * 3 == [read(client, channel, document) for document in _DOCUMENTS]
