"""The repodata record of a file: its section and its fields (CEP 36, 21, 43 to 48)."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rattler

from seaway.conda import match_specs, metadata
from seaway.conda.filename import CONDA, TAR_BZ2, parse
from seaway.conda.record import MAX_RECORD_BYTES, Section, build_record, encode, key_of, section_of
from seaway.conda.refusals import RefusalReason, Refused
from tests.support import packages
from tests.support.hostile import digest_of, examine_file
from tests.support.packages import index_json

HASHES = digest_of(b"the bytes of a file")

LEGACY: dict[str, dict[str, Any]] = {
    "plain": {},
    "legacy specs": {"depends": ["python >=3", "numpy 1.8 py27_0", "a[version='1']"]},
    "empty extra_depends": {"extra_depends": {}},
    "empty flags": {"flags": []},
    "schema_version alone": {"schema_version": 3},
    "repodata_revision 0": {"repodata_revision": 0},
    "repodata_revision null": {"repodata_revision": None},
}
V3: dict[str, dict[str, Any]] = {
    "repodata_revision 3": {"repodata_revision": 3},
    "extra_depends": {"extra_depends": {"test": ["pytest"]}},
    "an empty group of extra_depends": {"extra_depends": {"test": []}},
    "flags": {"flags": ["cuda"]},
    "a condition in depends": {"depends": ['a[when="__unix"]']},
    "extras in depends": {"depends": ["a[extras=[b]]"]},
    "flags in depends": {"depends": ["a[flags=[cuda]]"]},
    "a condition in constrains": {"constrains": ['a[when="__unix"]']},
    "the last of many": {"depends": ["a", "b >=1", 'c >=1[when="d"]']},
}


@pytest.mark.parametrize(
    ("build", "legacy", "v3"),
    [
        pytest.param(packages.conda, Section.CONDA, Section.V3_CONDA, id=CONDA),
        pytest.param(packages.tar_bz2, Section.TAR_BZ2, Section.V3_TAR_BZ2, id=TAR_BZ2),
    ],
)
@pytest.mark.parametrize("case", LEGACY | V3)
def test_the_section_of_a_package(case: str, build: Any, legacy: Section, v3: Section, tmp_path: Path) -> None:
    """A package is in v3 if it requires v3 or needs features of v3; others stay where old clients look."""
    expected = v3 if case in V3 else legacy
    assert expected is examine_file(build(index_json(**(LEGACY | V3)[case])), tmp_path).section


def test_an_unknown_repodata_revision_is_refused() -> None:
    """Clients would misread a package of a later repodata revision."""
    with pytest.raises(Refused) as refused:
        section_of({"depends": [], "repodata_revision": 4}, CONDA)
    assert RefusalReason.BAD_FIELD is refused.value.reason


# A spec in the package, and its form according to CEP 48.
V3_FORMS = {
    "pip": "pip",
    " pip ": "pip",
    "pip[]": "pip",
    "PyYAML": "pyyaml",
    "numpy >=2": 'numpy[version=">=2"]',
    "numpy>=2": 'numpy[version=">=2"]',
    "numpy==1.0": 'numpy[version="==1.0"]',
    "numpy=1.8": 'numpy[version="1.8.*"]',
    "python 3.11.* *_cpython": 'python[version="3.11.*",build="*_cpython"]',
    "numpy=1.0=h1_0": 'numpy[version="==1.0",build="h1_0"]',
    "numpy 1.0 h1_0[build_number=1]": 'numpy[version="==1.0",build="h1_0",build_number="==1"]',
    'numpy[version=">=2"]': 'numpy[version=">=2"]',
    "numpy[version='>=2']": 'numpy[version=">=2"]',
    'a >=1[when="b"]': 'a[version=">=1",when="b"]',
    'a[when="__unix"]': 'a[when="__unix"]',
    "a[when=__unix]": 'a[when="__unix"]',
    "a[extras=[b,c]]": "a[extras=[b,c]]",
    "a[flags=[cuda]]": "a[flags=[cuda]]",
}


@pytest.mark.parametrize("spec", V3_FORMS)
def test_the_form_of_a_spec_in_a_v3_record(spec: str, tmp_path: Path) -> None:
    """In v3 every spec of the three lists is a bare name or name[key=value,...], with unchanged meaning."""
    index = index_json(flags=["cuda"], depends=[spec], constrains=[spec], extra_depends={"test": [spec]})
    record = examine_file(packages.conda(index), tmp_path).record
    (served,) = record["depends"]
    assert ([served], {"test": [served]}) == (record["constrains"], record["extra_depends"])
    assert re.fullmatch(r"[A-Za-z0-9._-]+(\[.+\])?", served)
    assert meaning(V3_FORMS[spec]) == meaning(served)


def meaning(spec: str) -> str:
    return rattler.MatchSpec(spec).to_canonical_string().lower()


FORBIDDEN = [
    "conda-forge::foo",
    "conda-forge/linux-64::foo",
    "https://example.com/foo-1.0-0.conda",
    'foo[channel="x"]',
    'foo[subdir="linux-64"]',
    "foo[md5=0123456789abcdef0123456789abcdef]",
    f"foo[sha256={'0' * 64}]",
    'foo[fn="foo-1.0-0.conda"]',
    'foo[url="https://example.com/foo-1.0-0.conda"]',
    'foo[license="MIT"]',
    'foo[license_family="MIT"]',
    'foo[track_features="a"]',
    "foo 1.0 a\\",
    "foo 1.0 a'b\"",
]


@pytest.mark.parametrize("spec", FORBIDDEN)
def test_a_spec_that_v3_cannot_express_is_refused(spec: str, tmp_path: Path) -> None:
    """A spec with keys that CEP 48 does not allow cannot be in a v3 record."""
    index = index_json(repodata_revision=3, depends=["a", spec])
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index), tmp_path)
    assert RefusalReason.BAD_MATCH_SPEC is refused.value.reason


@pytest.mark.parametrize("spec", [spec for spec in FORBIDDEN if "://" not in spec])
def test_a_spec_that_v3_cannot_express_is_kept_in_legacy(spec: str, tmp_path: Path) -> None:
    """In legacy repodata the same spec is served unchanged: clients have always read it."""
    assert [spec] == examine_file(packages.conda(index_json(depends=[spec])), tmp_path).record["depends"]


def test_a_readable_spec_passes_and_an_unreadable_one_is_named() -> None:
    """The refusal names the spec and its field."""
    match_specs.check(["python", "python 2.7"], "depends")
    with pytest.raises(Refused) as refused:
        match_specs.check(["python", "python >=3,<,"], "constrains")
    assert "'python >=3,<,' in constrains" in refused.value.message


def test_a_record_has_size_and_hashes_of_the_file() -> None:
    """Size and hashes come from the bytes; run_exports is in every record, even if empty."""
    record = build_record(index_json(), {}, Section.CONDA, HASHES)
    expected = {"md5": HASHES.md5.hex(), "sha256": HASHES.sha256.hex(), "size": HASHES.size, "run_exports": {}}
    assert index_json() | expected == record


def test_encoding_is_deterministic() -> None:
    """A record is compact JSON with sorted keys, independent of the order of its fields."""
    fields = {"b": [1, "ü"], "a": {"d": 1, "c": None}}
    assert '{"a":{"c":null,"d":1},"b":[1,"ü"]}'.encode() == encode(fields)
    assert encode(fields) == encode(dict(reversed(fields.items())))


@pytest.mark.parametrize(("spare", "is_accepted"), [(0, True), (-1, False)], ids=["at the limit", "above the limit"])
def test_the_size_limit_of_a_record(spare: int, is_accepted: bool) -> None:
    """The size of a record is limited so that every client can read it."""
    bare = len(encode(build_record(index_json(x=""), {}, Section.CONDA, HASHES)))
    index = index_json(x="x" * (MAX_RECORD_BYTES - bare - spare))
    if is_accepted:
        assert MAX_RECORD_BYTES == len(encode(build_record(index, {}, Section.CONDA, HASHES)))
    else:
        with pytest.raises(Refused) as refused:
            build_record(index, {}, Section.CONDA, HASHES)
        assert RefusalReason.RECORD_TOO_LARGE is refused.value.reason


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (Section.CONDA, "demo-1.0-h1_0.conda"),
        (Section.V3_CONDA, "demo-1.0-h1_0"),
        (Section.V3_TAR_BZ2, "demo-1.0-h1_0"),
    ],
)
def test_the_key_of_a_record(section: Section, key: str) -> None:
    """Keys are file names in legacy maps, and file names without the extension in v3."""
    assert key == key_of(parse("demo-1.0-h1_0.conda"), section)


RUN_EXPORTS = {
    "kinds": ({"weak": ["a"], "strong": ["b >=1"]}, {"weak": ["a"], "strong": ["b >=1"]}),
    "every kind": (
        {kind: ["a"] for kind in ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")},
        {kind: ["a"] for kind in ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")},
    ),
    "the old list": (["a", "b >=1"], {"weak": ["a", "b >=1"]}),
    "an empty list": ([], {}),
    "empty kinds": ({"weak": [], "strong": None}, {}),
    "unknown kinds": ({"weak": ["a"], "schema_version": 2, "mild": ["b"]}, {"weak": ["a"]}),
}


@pytest.mark.parametrize("case", RUN_EXPORTS)
@pytest.mark.parametrize("build", [packages.conda, packages.tar_bz2], ids=[CONDA, TAR_BZ2])
def test_run_exports_of_a_package(case: str, build: Any, tmp_path: Path) -> None:
    """Only known, non-empty kinds of run_exports.json are served; the old plain list means weak."""
    run_exports, served = RUN_EXPORTS[case]
    assert served == examine_file(build(index_json(), run_exports=run_exports), tmp_path).record["run_exports"]


def test_texts_of_about_json_are_kept(tmp_path: Path) -> None:
    """The texts of about.json that pages show are kept, of lists the first; numbers and empty texts are dropped."""
    about_json = {
        "summary": "A demo.",
        "home": "https://example.com",
        "license": "",
        "source_url": ["a"],
        "dev_url": 3,
        "x": "y",
    }
    about = examine_file(packages.conda(index_json(), about=about_json), tmp_path).about
    assert {"summary": "A demo.", "home": "https://example.com", "source_url": "a", "traits": []} == about


TRAITS = {
    "etc/conda/activate.d/a.sh": "activate.d",
    "etc/conda/deactivate.d/a.bat": "deactivate.d",
    "bin/.demo-post-link.sh": "post_link",
    "bin/.demo-pre-unlink.sh": "pre_unlink",
    "Scripts/.demo-pre-link.bat": "pre_link",
    "etc/conda/activate.txt": None,
    "bin/demo-post-link.sh": None,
    "share/.demo-post-link.sh": None,
}


@pytest.mark.parametrize("path", TRAITS)
def test_a_script_is_detected_by_its_path(path: str, tmp_path: Path) -> None:
    """Activation and link scripts are traits of channeldata.json (CEP 38)."""
    expected = [TRAITS[path]] if TRAITS[path] else []
    assert expected == examine_file(packages.conda(files={path: b""}), tmp_path).about["traits"]


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_a_prefix_placeholder_is_detected(mode: str, tmp_path: Path) -> None:
    """A file with a prefix placeholder gives a trait for its mode (CEP 38)."""
    files = {"a": b"/old"}
    paths = packages.paths_json(files, file_mode=mode, prefix_placeholder="/old")
    assert [f"{mode}_prefix"] == examine_file(packages.conda(files=files, paths=paths), tmp_path).about["traits"]


def test_a_record_survives_a_json_round_trip(tmp_path: Path) -> None:
    record = examine_file(packages.conda(index_json(depends=["a >=1"], x=[1.5, "ü"])), tmp_path).record
    assert record == msgspec.json.decode(encode(record))


@pytest.mark.parametrize(
    ("home", "read"),
    [
        (["https://a.example", "https://b.example"], "https://a.example"),
        ([7, "", "x"], "x"),
        ([], None),
        ({"a": 1}, None),
    ],
)
def test_the_first_of_a_list_in_about_json_is_read(home: object, read: str | None) -> None:
    """Recipes with several home pages have a list; the package page must still show one."""
    assert read == metadata.read_about(json.dumps({"home": home}).encode()).get("home")
