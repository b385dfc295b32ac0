"""Mixed load on a server: uploads that are repeated until they are answered, and a reader that compares documents."""

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
    """What was asked, and everything that was answered."""

    address: str
    key: str
    answered: set[str] = field(default_factory=set)
    unavailable: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    reads: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Load the server meanwhile; at the end every upload that was begun is brought to its answer."""
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
        """Wait until so many more uploads were answered with success."""
        goal = len(self.answered) + more
        for _ in range(int(seconds / _PAUSE_SECONDS)):
            if len(self.answered) >= goal:
                return
            self._stop.wait(_PAUSE_SECONDS)
        raise AssertionError(f"no {more} uploads in {seconds} seconds; {self.unavailable} were answered 503")

    def _upload(self, writer: int) -> None:
        with httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.key}"}, timeout=90) as client:
            for count in range(100_000):
                if self._stop.is_set():
                    return
                name = f"own{writer}" if count % 3 else "shared"
                self._bring(client, packages.conda(packages.index_json(name, f"{writer}.{count}")))

    def _bring(self, client: httpx.Client, file: PackageFile) -> None:
        """Send a file until it is answered, as clients do: 409 after a lost answer says that it is there."""
        while True:
            try:
                answer = client.post(
                    f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name}
                )
            except httpx.TransportError:
                self.lost += 1
                if self._stop.wait(_PAUSE_SECONDS):
                    return
                continue
            if answer.status_code in _GOOD:
                self.answered.add(file.name)
                return
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.wrong.append(f"{answer.status_code} {answer.text}")
                return
            self.unavailable += 1
            if self._stop.wait(_PAUSE_SECONDS):
                return

    def _read(self) -> None:
        """What is read belongs together: nothing goes back, and one revision has one content."""
        newest = 0
        contents: dict[int, set[str]] = {}
        with httpx.Client(base_url=self.address, timeout=90) as client:
            while not self._stop.is_set():
                # What was answered before the question has to be in the answer (S2).
                before = set(self.answered)
                for path in (_REPODATA, _SHARDS, _REPODATA + ".zst"):
                    found = self._get(client, path)
                    if found is None:
                        continue
                    revision, names = found
                    self.reads += 1
                    if revision < newest:
                        self.wrong.append(f"{path} went back from revision {newest} to {revision}")
                    if before - names:
                        self.wrong.append(f"{path} at revision {revision} lacks {sorted(before - names)[:3]}")
                    if contents.setdefault(revision, names) != names:
                        self.wrong.append(f"{path} at revision {revision} differs from another document of it")
                    newest = max(newest, revision)

    def _get(self, client: httpx.Client, path: str) -> tuple[int, set[str]] | None:
        try:
            answer = client.get(path)
        except httpx.TransportError:
            return None
        if answer.status_code == 503 and "retry-after" in answer.headers:
            return None
        if answer.status_code != 200:
            self.wrong.append(f"{path}: {answer.status_code} {answer.text}")
            return None
        revision = int(answer.headers["seaway-revision"])
        if path == _SHARDS:
            return self._names_of_shards(client, revision, answer.content)
        content = zstd.decompress(answer.content) if path.endswith(".zst") else answer.content
        return revision, set(json.loads(content)["packages.conda"])

    def _names_of_shards(self, client: httpx.Client, revision: int, index: bytes) -> tuple[int, set[str]] | None:
        names: set[str] = set()
        for digest in msgspec.msgpack.decode(zstd.decompress(index))["shards"].values():
            try:
                answer = client.get(f"/{CHANNEL}/noarch/shards/{digest.hex()}.msgpack.zst")
            except httpx.TransportError:
                return None
            if answer.status_code == 503:
                return None
            if answer.status_code != 200:
                self.wrong.append(f"a shard that the index names: {answer.status_code}")
                return None
            names |= set(msgspec.msgpack.decode(zstd.decompress(answer.content))["packages.conda"])
        return revision, names
