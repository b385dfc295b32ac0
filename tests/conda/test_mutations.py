"""
Valid packages, damaged at random: the reader accepts or refuses them in time, and never fails otherwise.

An accepted package can be written into repodata.json and a shard that py-rattler reads: a single record that
clients cannot read would break the channel for all its users.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rattler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaway.conda.limits import MIB, ArchiveLimits
from seaway.conda.record import Section, encode, key_of
from seaway.conda.refusals import Refused
from seaway.conda.repodata import RevisionSummary, join_records, repodata_pieces, run_exports_pieces
from seaway.conda.shards import ShardEntry, build_shard
from seaway.publishing.examine import Candidate
from tests.conda.readers import records_in_shards, write_shards
from tests.support import packages
from tests.support.hostile import BLOCK, CONDA, STEM, TAR_BZ2, examine_file
from tests.support.packages import REAL, PackageFile, conda_bytes, index_json, info_files, zstd

INDEXED_AT = 1_800_000_000_000
LIMITS = ArchiveLimits(min_unpacked_bytes=8 * MIB, unpacked_bytes_per_byte=0, info_bytes=4 * MIB)

# Limit of a single example on a slow machine; usual is a tenth of a percent of it.
SECONDS = timedelta(seconds=5)
BASES = [
    packages.conda().content,
    packages.tar_bz2().content,
    packages.conda(index_json(flags=["cuda"], depends=["a >=1"]), run_exports={"weak": ["a"]}).content,
    (REAL / "conda-index/osx-64/hotfix_depends_test-1.0-dummy_0.conda").read_bytes(),
    (REAL / "quetz/linux-64/other-package-0.2-0.tar.bz2").read_bytes(),
]


def examples(count: int) -> Callable[[Any], Any]:
    """Run this many examples, the same in every run."""
    return settings(
        max_examples=count,
        deadline=SECONDS,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def examine_or_none(file: PackageFile, folder: Path) -> Candidate | None:
    """Return the candidate, or None if the file is refused; raise any other error."""
    try:
        candidate = examine_file(file, folder, LIMITS)
    except Refused:
        return None
    assert file.name == str(candidate.file_name)
    return candidate


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with up to four changes: bits flipped, pieces cut, repeated, moved or taken from another package."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 30, 46, 512, 1024]))
        kind = draw(st.sampled_from(["flip", "set", "cut", "repeat", "end", "splice"]))
        content = _changed(draw, content, kind, start, length)
    return content


def _changed(draw: st.DrawFn, content: bytes, kind: str, start: int, length: int) -> bytes:
    before, piece, after = content[:start], content[start : start + length], content[start + length :]
    match kind:
        case "flip":
            return (
                before + bytes(byte ^ draw(st.sampled_from([1, 2, 16, 128])) for byte in piece[:2]) + piece[2:] + after
            )
        case "set":
            return before + draw(st.sampled_from([b"\0", b"\xff", b"0", b"9", b"/", b"."])) * len(piece) + after
        case "cut":
            return before + after
        case "repeat":
            return before + piece + piece + after
        case "end":
            return before
        case _:
            donor = draw(st.sampled_from(BASES))
            return before + donor[draw(st.integers(0, len(donor))) :][:length] + after


@examples(250)
@given(data=st.data(), base=st.sampled_from(BASES))
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject, base: bytes) -> None:
    """Damage to the bytes of the file leads to a candidate or a refusal."""
    name = TAR_BZ2 if base.startswith(b"BZh") else CONDA
    examine_or_none(PackageFile(name, data.draw(damaged(base))), tmp_path)


def tars_of(content: bytes) -> tuple[bytes, bytes]:
    """Return the info tar and the pkg tar of a .conda."""
    with zipfile.ZipFile(BytesIO(content)) as file:
        parts = {name.split("-")[0]: file.read(name) for name in file.namelist()}
    return zstd.decompress(parts["info"]), zstd.decompress(parts["pkg"])


def header_positions(tar: bytes) -> Iterator[int]:
    """Yield the positions of the headers of an undamaged tar."""
    position = 0
    while position < len(tar) and tar[position]:
        yield position
        size = int(tar[position + 124 : position + 135], 8)
        position += BLOCK + size + -size % BLOCK


def with_right_checksums(tar: bytes, positions: list[int]) -> bytes:
    """Correct the header checksums at these positions, so that other damage in a header is reached."""
    for position in positions:
        block = tar[position : position + BLOCK]
        if len(block) == BLOCK:
            stated = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 0x20)
            tar = tar[: position + 148] + stated + tar[position + 156 :]
    return tar


@examples(250)
@given(data=st.data(), in_info=st.booleans(), repair=st.booleans())
def test_a_damaged_tar_is_read_or_refused(tmp_path: Path, data: st.DataObject, in_info: bool, repair: bool) -> None:
    """Damage inside the tars, under valid compression, leads to a candidate or a refusal."""
    info, pkg = tars_of(packages.conda(files={"share/a": b"a" * 700, "share/b": b"b"}).content)
    tar = info if in_info else pkg
    changed = data.draw(damaged(tar))
    if repair:
        changed = with_right_checksums(changed, list(header_positions(tar)))
    content = (
        conda_bytes(STEM, info_tar=changed, pkg_tar=pkg)
        if in_info
        else conda_bytes(STEM, info_tar=info, pkg_tar=changed)
    )
    examine_or_none(PackageFile(CONDA, content), tmp_path)


INFO_FILES = {
    **info_files(
        index_json(),
        run_exports={"weak": ["a >=1"]},
        link={"noarch": {"type": "python", "entry_points": ["a = b:c"]}, "package_metadata_version": 1},
        paths={"paths": [{"_path": "share/demo.txt", "path_type": "hardlink"}], "paths_version": 1},
    )
}


@examples(250)
@given(data=st.data(), path=st.sampled_from(sorted(INFO_FILES)))
def test_a_damaged_file_of_info_is_read_or_refused(tmp_path: Path, data: st.DataObject, path: str) -> None:
    """Damage inside the JSON of any file of info/ leads to a candidate or a refusal."""
    info = {**INFO_FILES, path: data.draw(damaged(INFO_FILES[path]))}
    examine_or_none(packages.conda(info=info, file_name=CONDA), tmp_path)


# Every field of index.json or a record that some client knows, and some that no client knows.
FIELDS = [
    "app", "app_entry", "arch", "attestations_sha256", "base_url", "build", "build_number", "channel", "constrains",
    "date", "depends", "experimental_extra_depends", "extra-depends", "extra_depends", "features", "flags", "fn",
    "icon", "indexed_timestamp", "legacy_bz2_md5", "legacy_bz2_size", "license", "license_family", "machine", "md5",
    "namespace", "noarch", "package_type", "platform", "preferred_env", "provides_features", "purls",
    "python_site_packages_path", "repodata_revision", "requires", "requires_features", "revoked", "run_exports",
    "schannel", "schema_version", "sha256", "signatures", "size", "source", "subdir", "timestamp", "track_features",
    "url", "version", "virtual_package_detectors", "when", "x",
]  # fmt: skip
WORDS = [
    "", "a", "python", "python 2.7", "python >=3,<4", "numpy>=1", "numpy[when=\"__unix\"]", "a[extras=[b]]", "a[flags=[c]]",
    "python >=3,<,", "c::a", "a 1.0 b\\c", "a 1 'b\"", "a*", "pip[]", "a\n>=1", "noarch", "linux-64", "generic", "1.0", "h1_0",
    "pkg:pypi/a@1", "0" * 64, "2020-01-01T00:00:00Z", "ü\u2028", "x" * 1000,
]  # fmt: skip
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.sampled_from([0, 1, -1, 3, 2**31, 2**53, 2**63 - 1, 1_700_000_000_000]) | st.floats(
    allow_nan=False, allow_infinity=False
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3) | st.lists(TEXTS, max_size=4),
    max_leaves=8,
)


def readable_as_repodata(candidate: Candidate, folder: Path) -> None:
    """Write the record into repodata.json and run_exports.json as Seaway does, and read them with py-rattler."""
    fields = {**candidate.record, "indexed_timestamp": INDEXED_AT}
    fragment = join_records([(key_of(candidate.file_name, candidate.section), encode(fields))])
    summary = RevisionSummary(1, INDEXED_AT, INDEXED_AT) if candidate.section.is_v3 else None

    def fragments(section: Section) -> list[bytes]:
        return [fragment] if section is candidate.section else []

    path = folder / "repodata.json"
    path.write_bytes(b"".join(repodata_pieces(candidate.subdir, fragments, [], summary)))
    rattler.RepoData.from_path(path)
    document = json.loads(path.read_text())
    section = document["v3"]["conda"] if candidate.section.is_v3 else document[candidate.section.value]
    assert [fields] == list(section.values())
    exports = b'"a":{"run_exports":%b}' % json.dumps(fields["run_exports"]).encode()
    json.loads(b"".join(run_exports_pieces(candidate.subdir, lambda _: [exports], summary)))


def shard_of(candidate: Candidate) -> bytes:
    record = encode({**candidate.record, "indexed_timestamp": INDEXED_AT})
    shard = build_shard([ShardEntry(key_of(candidate.file_name, candidate.section), candidate.section, record)], [])
    msgspec.msgpack.decode(zstd.decompress(shard))
    return shard


class Accepted:
    """The packages that a run of examples accepted, each under its own name."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._files: dict[str, PackageFile] = {}
        self._shards: dict[str, bytes] = {}

    def offer(self, index: dict[str, Any], **parts: Any) -> None:
        self.count += 1
        name = f"p{self.count}"
        file = packages.conda({**index, "name": name, "subdir": "noarch"}, file_name=f"{name}-1.0-h1_0.conda", **parts)
        candidate = examine_or_none(file, self._folder)
        if candidate is not None:
            readable_as_repodata(candidate, self._folder)
            self._files[name] = file
            self._shards[name] = shard_of(candidate)

    def read_by_rattler(self) -> None:
        """Read all shards with py-rattler and compare the records with the accepted packages."""
        channel, scratch = self._folder / "channel", self._folder / "scratch"
        scratch.mkdir()
        write_shards(channel, "noarch", self._shards)
        found = records_in_shards(channel, "noarch", list(self._shards), scratch)
        assert not isinstance(found, str), found
        expected = {(file.sha256, len(file.content)) for file in self._files.values()}
        assert expected == {(sha256, size) for _, sha256, _, size in found}
        assert len(expected) > self.count // 10  # otherwise the examples prove nothing


@pytest.mark.timeout(60)
def test_any_fields_are_refused_or_readable(tmp_path: Path) -> None:
    """Any accepted index.json can be read by py-rattler from repodata.json and from shards."""
    accepted = Accepted(tmp_path)

    @examples(300)
    @given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=2))
    def offer(fields: dict[str, Any]) -> None:
        accepted.offer(index_json(**fields))

    offer()
    accepted.read_by_rattler()


LIKELY = {
    "depends": st.lists(TEXTS, max_size=3),
    "constrains": st.lists(TEXTS, max_size=2),
    "extra_depends": st.dictionaries(
        st.sampled_from(["test", "docs.1", "T!"]), st.lists(TEXTS, max_size=2), max_size=2
    ),
    "flags": st.lists(st.sampled_from(["cuda", "blas:mkl", "a:b:c"]), max_size=2),
    "repodata_revision": st.sampled_from([0, 3]),
    "track_features": TEXTS | st.lists(TEXTS, max_size=2),
    "features": TEXTS,
    "purls": st.lists(st.sampled_from(["pkg:pypi/a", "pkg:pypi/a@1.0", "pkg:x", "x"]), max_size=2),
    "noarch": st.sampled_from(["python", "generic", "", True, False]),
    "timestamp": st.integers(0, 2**48),
    "build_number": st.integers(0, 2**63 - 1),
    "license": TEXTS,
    "python_site_packages_path": TEXTS,
}


@pytest.mark.timeout(60)
def test_fields_of_the_right_type_are_refused_or_readable(tmp_path: Path) -> None:
    """Plausible values, and specs that only repodata v3 knows, are refused or readable in either section."""
    accepted = Accepted(tmp_path)

    @examples(300)
    @given(
        fields=st.fixed_dictionaries({}, optional=LIKELY),
        run_exports=st.just({}) | st.dictionaries(st.sampled_from(["weak", "strong", "x"]), VALUES),
    )
    def offer(fields: dict[str, Any], run_exports: dict[str, Any]) -> None:
        accepted.offer(index_json(**fields), run_exports=run_exports)

    offer()
    accepted.read_by_rattler()


@st.composite
def specs(draw: st.DrawFn) -> str:
    """Build match specs from pieces in any order."""
    pieces = st.sampled_from(
        ["a", "python", " ", ">=", "<", "=", "==", "!=", "~=", "*", "1", "2.7", "|", ",", "[", "]", "(", ")", "'", '"',
         "when=", "extras=", "flags=", "version=", "build=", "build_number=", "md5=", "fn=", "url=", "channel=",
         "license=", "::", ":", "/", "\\", "^", "$", ".*", "é", "99999999999999999999", "[a,b]", "and", "__unix", "#"]
    )  # fmt: skip
    return "".join(draw(st.lists(pieces, min_size=1, max_size=9)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fields", [{}, {"repodata_revision": 3}], ids=["legacy", "v3"])
def test_any_spec_is_refused_or_readable(fields: dict[str, Any], tmp_path: Path) -> None:
    """A random match spec is refused or served in a form that py-rattler reads."""

    @examples(300)
    @given(spec=st.sampled_from(WORDS) | specs())
    def offer(spec: str) -> None:
        candidate = examine_or_none(packages.conda(index_json(depends=[spec], **fields), file_name=CONDA), tmp_path)
        if candidate is not None:
            readable_as_repodata(candidate, tmp_path)
            for served in candidate.record["depends"]:
                rattler.MatchSpec(served)
                assert not candidate.section.is_v3 or re.fullmatch(r"[A-Za-z0-9._-]+(\[.+\])?", served)

    offer()
