"""Any changes in any order: after each of them every document says what a plain list of files would say."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from seaway.errors import FileExists, NotFound
from seaway.maintenance.check import check
from tests.indexing.channel import Channel, examining_here
from tests.support import house, packages
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.packages import PackageFile, index_json, zstd

FILES = [
    packages.conda(index_json("a")),
    packages.conda(index_json("a", version="2.0"), run_exports={"weak": ["a >=2"]}),
    packages.tar_bz2(index_json("a", version="2.0")),
    packages.conda(index_json("a-b")),
    packages.conda(index_json("new", flags=["cuda"])),
    packages.tar_bz2(index_json("new", flags=["cuda"])),
]
REPLACED = [
    packages.conda(index_json("a", license="BSD")),
    packages.conda(index_json("new", flags=["cuda"], license="BSD")),
]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "force", "yank", "unyank", "delete"]), st.integers(0, 5)),
    min_size=1,
    max_size=10,
)


@dataclass
class Model:
    """What a channel holds, kept as simply as it can be: file name -> its record's sha256, state and time."""

    revision: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, file: PackageFile, now_ms: int, *, force: bool) -> type[Exception] | None:
        known = self.files.get(file.name)
        if known is not None and known["state"] != "deleted" and not force:
            return FileExists
        self._set(file.name, {"sha256": file.sha256, "state": "listed", "time": now_ms})
        return None

    def change(self, name: str, state: str) -> type[Exception] | None:
        known = self.files.get(name)
        if known is None or known["state"] == "deleted":
            return NotFound
        if known["state"] != state:
            self._set(name, {**known, "state": state})
        return None

    def _set(self, name: str, value: dict[str, Any]) -> None:
        self.files[name] = value
        self.revision += 1

    def listed(self) -> dict[str, tuple[str, int]]:
        return {n: (f["sha256"], f["time"]) for n, f in self.files.items() if f["state"] == "listed"}

    def removed(self) -> list[str]:
        return sorted(name for name, file in self.files.items() if file["state"] == "yanked")


@contextmanager
def new_channel() -> Iterator[Channel]:
    with TemporaryDirectory() as folder:
        built = house.build(Path(folder), TurnedClock())
        try:
            yield Channel(examining_here(built), People(built).channel("demo"))
        finally:
            built.close()


def act(channel: Channel, model: Model, action: str, number: int) -> None:
    """Do the same to the channel and to the model; both allow it, or both refuse it for the same reason."""
    clock = channel.seaway.clock
    assert isinstance(clock, TurnedClock)
    clock.move(1_000)
    file = REPLACED[number % 2] if action == "force" else FILES[number]
    if action in ("put", "force"):
        expected = model.put(file, clock.now_ms(), force=action == "force")
    else:
        expected = model.change(file.name, {"yank": "yanked", "unyank": "listed", "delete": "deleted"}[action])
    try:
        if action in ("put", "force"):
            channel.put(file, force=action == "force")
        else:
            getattr(channel, action)(file)
    except (FileExists, NotFound) as error:
        happened: type[Exception] | None = type(error)
    else:
        happened = None
    assert expected is happened


def identity(records: dict[str, Any], extension: str = "") -> dict[str, tuple[str, int]]:
    return {key + extension: (record["sha256"], record["indexed_timestamp"]) for key, record in records.items()}


def files_of(document: Any) -> dict[str, tuple[str, int]]:
    """Every file that a document lists, in legacy maps and in v3."""
    v3 = document.get("v3", {})
    return {
        **identity(document["packages"]),
        **identity(document["packages.conda"]),
        **identity(v3.get("conda", {}), ".conda"),
        **identity(v3.get("tar.bz2", {}), ".tar.bz2"),
    }


def files_of_shards(channel: Channel) -> tuple[dict[str, tuple[str, int]], list[str]]:
    found: dict[str, tuple[str, int]] = {}
    removed: list[str] = []
    for digest in channel.shard_index()["shards"].values():
        shard = channel.shard(digest)
        found |= {name: (sha256.hex(), time) for name, (sha256, time) in files_of(shard).items()}  # type: ignore[attr-defined]
        removed += shard["removed"]
    return found, sorted(removed)


def exporting(document: Any) -> set[str]:
    v3 = document.get("v3", {})
    return {
        *document["packages"],
        *document["packages.conda"],
        *(f"{stem}.conda" for stem in v3.get("conda", {})),
        *(f"{stem}.tar.bz2" for stem in v3.get("tar.bz2", {})),
    }


def as_gzip(channel: Channel) -> bytes | None:
    """repodata.json as one gets it who takes gzip; the document of an empty subdir is sent as it is."""
    found = channel.ask("noarch", "repodata.json", encodings=("gzip",))
    return gzip.decompress(found.content or b"") if found.content_encoding else found.content


def compare(channel: Channel, model: Model) -> None:
    """Every document that clients read, against the model."""
    plain = channel.read("noarch", "repodata.json")
    document = json.loads(plain)
    assert model.listed() == files_of(document)
    assert model.removed() == sorted(document["removed"])
    assert (model.listed(), model.removed()) == files_of_shards(channel)
    assert plain == zstd.decompress(channel.read("noarch", "repodata.json.zst"))
    assert plain == as_gzip(channel)
    assert set(model.listed()) == exporting(json.loads(channel.read("noarch", "run_exports.json")))
    for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json"):
        assert model.revision == channel.ask("noarch", name).revision


def compare_late(channel: Channel) -> None:
    """A worker that first looks now serves, byte for byte, what this one serves that followed each change."""
    late = house.build(channel.seaway.settings.data.parent, channel.seaway.clock)
    try:
        reader = Channel(late, channel.name)
        for name in ("repodata_shards.msgpack.zst", "repodata.json", "run_exports.json"):
            assert channel.read("noarch", name) == reader.read("noarch", name)
    finally:
        late.close()


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(ACTIONS)
def test_every_document_says_what_was_done(actions: list[tuple[str, int]]) -> None:
    """Uploads, overwrites, yanks and deletes in any order lead to documents that agree with each other and with the list."""
    model = Model()
    with new_channel() as channel:
        for action, number in actions:
            act(channel, model, action, number)
            compare(channel, model)
        compare_late(channel)
        assert [] == list(check(channel.seaway))
