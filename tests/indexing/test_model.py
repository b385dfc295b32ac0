"""Any changes in any order: after each change every document matches a simple model."""

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
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import packages, sites
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, index_json, zstd
from tests.support.sites import Factory

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
    """Simple model of a channel: file name -> sha256, state and time of the record."""

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
        built = sites.build(Path(folder), ManualClock())
        try:
            yield Channel(with_in_process_examiners(built), Factory(built).channel("demo"))
        finally:
            built.close()


def act(channel: Channel, model: Model, action: str, number: int) -> None:
    """Apply an action to the channel and the model; both must accept it or refuse it with the same error."""
    clock = channel.seaway.site.clock
    assert isinstance(clock, ManualClock)
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
        error_type: type[Exception] | None = type(error)
    else:
        error_type = None
    assert expected is error_type


def identity(records: dict[str, Any], extension: str = "") -> dict[str, tuple[str, int]]:
    return {key + extension: (record["sha256"], record["indexed_timestamp"]) for key, record in records.items()}


def files_of(document: Any) -> dict[str, tuple[str, int]]:
    """Return every file that a document lists, in legacy maps and in v3."""
    v3 = document.get("v3", {})
    return {
        **identity(document["packages"]),
        **identity(document["packages.conda"]),
        **identity(v3.get("conda", {}), ".conda"),
        **identity(v3.get("tar.bz2", {}), ".tar.bz2"),
    }


def files_of_shards(channel: Channel) -> tuple[dict[str, tuple[str, int]], list[str]]:
    listed: dict[str, tuple[str, int]] = {}
    removed: list[str] = []
    for digest in channel.shard_index()["shards"].values():
        shard = channel.shard(digest)
        listed |= {name: (sha256.hex(), time) for name, (sha256, time) in files_of(shard).items()}  # type: ignore[attr-defined]
        removed += shard["removed"]
    return listed, sorted(removed)


def exporting(document: Any) -> set[str]:
    v3 = document.get("v3", {})
    return {
        *document["packages"],
        *document["packages.conda"],
        *(f"{stem}.conda" for stem in v3.get("conda", {})),
        *(f"{stem}.tar.bz2" for stem in v3.get("tar.bz2", {})),
    }


def as_gzip(channel: Channel) -> bytes | None:
    """Return repodata.json as requested with gzip; the document of an empty subdir is not compressed."""
    response = channel.request("noarch", "repodata.json", encodings=("gzip",))
    return gzip.decompress(response.content or b"") if response.content_encoding else response.content


def compare(channel: Channel, model: Model) -> None:
    """Compare every document that clients read with the model."""
    plain = channel.read("noarch", "repodata.json")
    document = json.loads(plain)
    assert model.listed() == files_of(document)
    assert model.removed() == sorted(document["removed"])
    assert (model.listed(), model.removed()) == files_of_shards(channel)
    assert plain == zstd.decompress(channel.read("noarch", "repodata.json.zst"))
    assert plain == as_gzip(channel)
    assert set(model.listed()) == exporting(json.loads(channel.read("noarch", "run_exports.json")))
    for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json"):
        assert model.revision == channel.request("noarch", name).revision


def compare_late(channel: Channel) -> None:
    """A newly started worker serves the same bytes as this one, which followed each change."""
    late = sites.build(channel.seaway.settings.data.parent, channel.seaway.site.clock)
    try:
        reader = Channel(late, channel.name)
        for name in ("repodata_shards.msgpack.zst", "repodata.json", "run_exports.json"):
            assert channel.read("noarch", name) == reader.read("noarch", name)
    finally:
        late.close()


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(ACTIONS)
def test_every_document_matches_the_model(actions: list[tuple[str, int]]) -> None:
    """Holds after uploads, overwrites, yanks and deletes in any order."""
    model = Model()
    with new_channel() as channel:
        for action, number in actions:
            act(channel, model, action, number)
            compare(channel, model)
        compare_late(channel)
        assert [] == list(check(channel.seaway))
