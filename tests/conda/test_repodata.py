"""repodata.json and run_exports.json, assembled from fragments (CEP 36, 12, 48)."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from seaway.conda.record import Section
from seaway.conda.repodata import (
    RevisionSummary,
    describe_revisions,
    join_names,
    join_records,
    repodata_pieces,
    run_exports_pieces,
)
from tests.support.packages import index_json

V3 = RevisionSummary(2, 2_000, 1_000)
KEYS = {
    Section.TAR_BZ2: ("packages",),
    Section.CONDA: ("packages.conda",),
    Section.V3_TAR_BZ2: ("v3", "tar.bz2"),
    Section.V3_CONDA: ("v3", "conda"),
}


def document(pieces: Iterable[bytes]) -> Any:
    return json.loads(b"".join(pieces))


def joined(groups: Iterable[dict[str, Any]]) -> list[bytes]:
    """Join each group of records as the index stores it for a name."""
    return [join_records((key, json.dumps(record).encode()) for key, record in group.items()) for group in groups]


def fragments_of(maps: dict[Section, list[dict[str, Any]]]) -> Callable[[Section], list[bytes]]:
    return lambda section: joined(maps.get(section, []))


def at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_the_document_of_an_empty_subdir() -> None:
    """A subdir without packages has every map that legacy clients read, and no v3."""
    expected = {
        "info": {"subdir": "linux-64"},
        "packages": {},
        "packages.conda": {},
        "removed": [],
        "repodata_version": 1,
    }
    assert expected == document(repodata_pieces("linux-64", lambda _: (), (), None))


@pytest.mark.parametrize("section", Section, ids=lambda section: section.value)
def test_a_record_is_only_in_the_map_of_its_section(section: Section) -> None:
    """Each section is one map of the document: legacy maps by extension, v3 maps below `v3`."""
    repodata = document(repodata_pieces("noarch", fragments_of({section: [{"a": {"name": "a"}}]}), (), V3))
    for key_section, path in KEYS.items():
        assert ({"a": {"name": "a"}} if key_section is section else {}) == at(repodata, path)


def test_without_v3_records_there_is_no_v3() -> None:
    """`v3` and `repodata_revisions`, which notifies old clients, exist only if there are v3 records."""
    without = document(repodata_pieces("noarch", lambda _: (), (), None))
    assert (False, False) == ("v3" in without, "repodata_revisions" in without["info"])
    revisions = {"v3": {"n_packages": 2, "newest": 2_000, "oldest": 1_000}}
    assert revisions == document(repodata_pieces("noarch", lambda _: (), (), V3))["info"]["repodata_revisions"]
    assert {} == describe_revisions(None)


def test_removed_files_are_listed() -> None:
    """The fragments of names are joined into one list."""
    pieces = repodata_pieces(
        "noarch", lambda _: (), [join_names(["a-1-0.conda", "a-2-0.conda"]), join_names(["ü"])], None
    )
    assert ["a-1-0.conda", "a-2-0.conda", "ü"] == document(pieces)["removed"]


@pytest.mark.parametrize(
    ("subdir", "platform", "arch"),
    [("linux-64", "linux", "64"), ("osx-arm64", "osx", "arm64"), ("noarch", "noarch", "noarch")],
)
def test_the_info_of_run_exports_json(subdir: str, platform: str, arch: str) -> None:
    """run_exports.json names its subdir, platform and architecture as CEP 12 requires."""
    expected = {"subdir": subdir, "platform": platform, "arch": arch, "version": 1}
    assert expected == document(run_exports_pieces(subdir, lambda _: (), None))["info"]


def test_run_exports_json_has_the_same_maps_as_repodata() -> None:
    """The run exports of a file are at the same path as its record."""
    maps = {section: [{section.value: {"run_exports": {"weak": ["a"]}}}] for section in Section}
    repodata = document(run_exports_pieces("noarch", fragments_of(maps), V3))
    for section, path in KEYS.items():
        assert {section.value: {"run_exports": {"weak": ["a"]}}} == at(repodata, path)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
RECORDS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=2), max_size=3)


@given(
    st.lists(st.lists(RECORDS, max_size=3), min_size=4, max_size=4), st.lists(st.lists(TEXTS, max_size=2), max_size=3)
)
def test_joined_fragments_equal_the_encoded_document(
    groups: list[list[dict[str, Any]]], removed: list[list[str]]
) -> None:
    """For any fragments, including empty ones, the document is strict JSON with all of them in order."""
    maps = dict(zip(Section, groups, strict=True))
    pieces = repodata_pieces("noarch", fragments_of(maps), [join_names(names) for names in removed], V3)
    repodata = document(pieces)
    for section, path in KEYS.items():
        assert {key: value for group in maps[section] for key, value in group.items()} == at(repodata, path)
    assert [name for names in removed for name in names] == repodata["removed"]


def test_rattler_reads_the_document(tmp_path: Path) -> None:
    """py-rattler finds the records of every section and the info of the document."""
    record = {**index_json(), "md5": "0" * 32, "sha256": "0" * 64, "size": 1, "run_exports": {}}
    maps = {section: [{f"demo-1.0-h1_0{'' if section.is_v3 else '.conda'}": record}] for section in Section}
    path = tmp_path / "repodata.json"
    path.write_bytes(b"".join(repodata_pieces("noarch", fragments_of(maps), [b'"x-1-0.conda"'], V3)))
    read = rattler.RepoData.from_path(path)
    assert "noarch" == read.info.subdir
    assert len(read.into_repo_data(rattler.Channel("https://example.com/demo"))) == len(Section)
