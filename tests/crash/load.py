"""Mixed load on a server: uploads repeated until they are published, and a reader that compares documents."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import msgspec

from tests.support import packages
from tests.support.packages import PackageFile, zstd

CHANNEL = "robots"
_WRITERS = 4
_PAUSE_SECONDS = 0.05
_REPODATA = f"/{CHANNEL}/noarch/repodata.json"
_SHARDS = f"/{CHANNEL}/noarch/repodata_shards.msgpack.zst"
_GOOD = {201, 200, 409}


@dataclass
class Load:
    """Load on a server and its results."""

    address: str
    key: str
    published: set[str] = field(default_factory=set)
    unavailable: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)
    reads: int = 0
    can_lose_notes: bool = False  # whether a shard may be gone if a newer index has replaced its index
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Load the server during the block; at the end wait until every started upload has its response."""
        threads = [threading.Thread(target=self._upload, args=(number,)) for number in range(_WRITERS)]
        threads.append(threading.Thread(target=self._read))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(120)

    def wait_for(self, more: int, seconds: float = 60) -> None:
        """Wait until this many more uploads were published."""
        goal = len(self.published) + more
        for _ in range(int(seconds / _PAUSE_SECONDS)):
            if len(self.published) >= goal:
                return
            self._stop.wait(_PAUSE_SECONDS)
        raise AssertionError(f"no {more} uploads in {seconds} seconds; {self.unavailable} responses were 503")

    def _upload(self, writer: int) -> None:
        with httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.key}"}, timeout=90) as client:
            for count in range(100_000):
                if self._stop.is_set():
                    return
                name = f"own{writer}" if count % 3 else "shared"
                self._upload_until_published(client, packages.conda(packages.index_json(name, f"{writer}.{count}")))

    def _upload_until_published(self, client: httpx.Client, file: PackageFile) -> None:
        """Send a file until it is published, as clients do; 409 after a lost response means that it is stored."""
        while True:
            try:
                response = client.post(
                    f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name}
                )
            except httpx.TransportError:
                self.lost += 1
                if self._stop.wait(_PAUSE_SECONDS):
                    return
                continue
            if response.status_code in _GOOD:
                self.published.add(file.name)
                return
            if response.status_code != 503 or "retry-after" not in response.headers:
                self.problems.append(f"{response.status_code} {response.text}")
                return
            self.unavailable += 1
            if self._stop.wait(_PAUSE_SECONDS):
                return

    def _read(self) -> None:
        """Read and compare documents: revisions never decrease, and each revision has one content."""
        newest = 0
        contents: dict[int, set[str]] = {}
        with httpx.Client(base_url=self.address, timeout=90) as client:
            while not self._stop.is_set():
                # Files published before the request must be in the response (S2).
                before = set(self.published)
                for path in (_REPODATA, _SHARDS, _REPODATA + ".zst"):
                    document = self._get(client, path)
                    if document is None:
                        continue
                    revision, names = document
                    self.reads += 1
                    if revision < newest:
                        self.problems.append(f"{path} went back from revision {newest} to {revision}")
                    if before - names:
                        self.problems.append(f"{path} at revision {revision} lacks {sorted(before - names)[:3]}")
                    if contents.setdefault(revision, names) != names:
                        self.problems.append(f"{path} at revision {revision} differs from another document of it")
                    newest = max(newest, revision)

    def _get(self, client: httpx.Client, path: str) -> tuple[int, set[str]] | None:
        try:
            response = client.get(path)
        except httpx.TransportError:
            return None
        if response.status_code == 503 and "retry-after" in response.headers:
            return None
        if response.status_code != 200:
            self.problems.append(f"{path}: {response.status_code} {response.text}")
            return None
        revision = int(response.headers["seaway-revision"])
        if path == _SHARDS:
            return self._names_of_shards(client, revision, response.content)
        content = zstd.decompress(response.content) if path.endswith(".zst") else response.content
        return revision, set(json.loads(content)["packages.conda"])

    def _note_missing_shard(self, client: httpx.Client, revision: int, status: int) -> None:
        """A lost connection to PostgreSQL can lose the note that an index was served: a newer one replaces it then."""
        if self.can_lose_notes and status == 404:
            current = None
            while current is None and not self._stop.wait(_PAUSE_SECONDS):
                current = self._get(client, _REPODATA)
            if current is None or current[0] > revision:
                return
        self.problems.append(f"a shard that the index names: {status}")

    def _names_of_shards(self, client: httpx.Client, revision: int, index: bytes) -> tuple[int, set[str]] | None:
        names: set[str] = set()
        for digest in msgspec.msgpack.decode(zstd.decompress(index))["shards"].values():
            try:
                response = client.get(f"/{CHANNEL}/noarch/shards/{digest.hex()}.msgpack.zst")
            except httpx.TransportError:
                return None
            if response.status_code == 503:
                return None
            if response.status_code != 200:
                self._note_missing_shard(client, revision, response.status_code)
                return None
            names |= set(msgspec.msgpack.decode(zstd.decompress(response.content))["packages.conda"])
        return revision, names
