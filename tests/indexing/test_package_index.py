"""The index of a name: splicing and deriving give the same bytes."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaway.conda import zstd
from seaway.conda.record import Section, encode
from seaway.indexing.file_rows import FileState, IndexedFile
from seaway.indexing.package_index import KINDS, REMOVED, DamagedIndex, PackageIndex, Splice, derive

TEXTS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def file_records(draw: st.DrawFn) -> IndexedFile:
    """Generate one of a few files of a name, in any state, with an arbitrary record."""
    section = draw(st.sampled_from([Section.CONDA, Section.TAR_BZ2]))
    file_name = f"a-{draw(st.integers(0, 5))}.0-0{'.conda' if section is Section.CONDA else '.tar.bz2'}"
    record = {
        **draw(st.dictionaries(TEXTS, VALUES, max_size=4)),
        "md5": draw(st.binary(min_size=16, max_size=16)).hex(),
        "sha256": draw(st.binary(min_size=32, max_size=32)).hex(),
        "run_exports": draw(st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2)),
    }
    return IndexedFile(
        file_name, draw(st.sampled_from(FileState)), section, draw(st.integers(0, 2**40)), encode(record)
    )


def rows(changes: list[IndexedFile]) -> list[IndexedFile]:
    """Return the file rows after these changes."""
    newest = {change.file_name: change for change in changes if change.state is not FileState.DELETED}
    last = {change.file_name: change for change in changes}
    kept = [newest[name] for name in last if last[name].state is not FileState.DELETED and newest[name] is last[name]]
    return sorted(kept, key=lambda record: record.file_name)


@settings(suppress_health_check=[HealthCheck.too_slow])  # which measures time
@given(st.lists(file_records(), max_size=12), st.data())
def test_splicing_and_deriving_give_the_same_index(changes: list[IndexedFile], data: st.DataObject) -> None:
    """Name index invariant 2: holds byte for byte after any changes, in batches of any size."""
    index, done = PackageIndex(None, {}, 0, ()), 0
    while done < len(changes):
        size = data.draw(st.integers(1, len(changes) - done))
        splice = Splice.of(index.shard, index.fragments, index.record_count)
        for change in changes[done : done + size]:
            splice.put(change)
        index, done = splice.index(), done + size
        assert derive(rows(changes[:done])) == index


@given(st.lists(file_records(), max_size=8))
def test_an_index_has_only_known_kinds(changes: list[IndexedFile]) -> None:
    """Deleting a name by known kinds therefore deletes all its fragments."""
    assert set(derive(rows(changes)).fragments) <= set(KINDS)


def test_the_index_of_a_name_without_listed_files() -> None:
    """If the last file was deleted, the index is empty; if it was yanked, it is in `removed`."""
    hashes = {"md5": "00" * 16, "sha256": "00" * 32, "run_exports": {}}
    files = {
        state: IndexedFile("a-1.0-0.conda", state, Section.CONDA, 1, encode({"name": "a", **hashes}))
        for state in FileState
    }
    for last, expected in (
        (FileState.DELETED, (None, {})),
        (FileState.YANKED, ("shard", {REMOVED: b'"a-1.0-0.conda"'})),
    ):
        splice = Splice.of_nothing()
        splice.put(files[FileState.LISTED])
        splice.put(files[last])
        index = splice.index()
        assert (expected[0] is None, expected[1], 0) == (index.shard is None, index.fragments, index.record_count)
        if index.shard is not None:
            shard = msgspec.msgpack.decode(zstd.decompress_frame(index.shard))
            assert {"packages": {}, "packages.conda": {}, "removed": ["a-1.0-0.conda"]} == shard


@pytest.mark.parametrize("shard", [b"", b"x", zstd.compress_frame(b"x"), zstd.compress_frame(b"\x80")])
def test_a_damaged_shard_is_not_spliced(shard: bytes) -> None:
    """An unreadable shard is an error and never the base of a new shard."""
    with pytest.raises(DamagedIndex):
        Splice.of(shard, {}, 0)
