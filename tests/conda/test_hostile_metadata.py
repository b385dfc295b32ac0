"""Metadata in info/: strict JSON, fields of the right type, valid names, and specs that clients can read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seaway.conda.refusals import RefusalReason, Refused
from tests.support import packages
from tests.support.hostile import CONDA, TAR_BZ2, examine_file
from tests.support.packages import PackageFile, index_json, info_files

INDEX = json.dumps(index_json())


def index(**fields: Any) -> PackageFile:
    """A package with these fields in index.json."""
    return packages.conda(index_json(**fields), file_name=CONDA)


def raw(text: str | bytes) -> PackageFile:
    """A package with exactly these bytes as index.json."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return packages.conda(info={**info_files(index_json()), "info/index.json": data}, file_name=CONDA)


def spliced(text: str) -> PackageFile:
    """A package whose index.json has this text as its last field."""
    return raw(INDEX[:-1] + f", {text}}}")


def with_file(file: str, text: str | bytes) -> PackageFile:
    """A package with exactly these bytes as the given file of info/."""
    data = text if isinstance(text, bytes) else text.encode()
    return packages.conda(info={**info_files(index_json()), f"info/{file}": data}, file_name=CONDA)


def entry_points(*points: object) -> PackageFile:
    link = {"noarch": {"type": "python", "entry_points": list(points)}, "package_metadata_version": 1}
    return packages.conda(index_json(noarch="python"), link=link)


def paths(*entries: object, **fields: object) -> PackageFile:
    return packages.conda(index_json(), paths={"paths": list(entries), "paths_version": 1, **fields})


def without_index() -> dict[str, bytes]:
    return {path: data for path, data in info_files(index_json()).items() if path != "info/index.json"}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


NOT_STRICT = {
    "empty": "",
    "not JSON": "name: demo",
    "cut in half": INDEX[:-10],
    "more after the end": INDEX + "{}",
    "a byte order mark": "\ufeff" + INDEX,
    "UTF-16": INDEX.encode("utf-16"),
    "not UTF-8": INDEX.encode().replace(b"MIT", b"M\xffT"),
    "overlong UTF-8": INDEX.encode().replace(b"MIT", b"M\xc0\xaf"),
    "lone surrogate as bytes": INDEX.replace("MIT", "M\ud800T"),
    "lone surrogate escaped": INDEX.replace("MIT", "M\\ud800T"),
    "lone surrogate in a key": INDEX[:-1] + ', "\\udc00": 1}',
    "raw newline in a text": INDEX.replace("MIT", "M\nT"),
    "raw NUL in a text": INDEX.replace("MIT", "M\0T"),
    "single quotes": INDEX.replace('"', "'"),
    "comment": INDEX + " // demo",
    "comma at the end": INDEX[:-1] + ",}",
    "key twice": INDEX[:-1] + ', "name": "other"}',
    "key twice, the same value": INDEX[:-1] + ', "name": "demo"}',
    "key twice, once escaped": INDEX[:-1] + ', "\\u006eame": "other"}',
    "key twice inside": INDEX[:-1] + ', "x": {"a": 1, "a": 2}}',
    "NaN": INDEX[:-1] + ', "x": NaN}',
    "Infinity": INDEX[:-1] + ', "x": Infinity}',
    "minus Infinity": INDEX[:-1] + ', "x": -Infinity}',
    "1e999": INDEX[:-1] + ', "x": 1e999}',
    "integer of 65 bits": INDEX[:-1] + f', "x": {1 << 64}}}',
    "integer of 64 bits": INDEX[:-1] + f', "x": {1 << 63}}}',
    "negative integer of 65 bits": INDEX[:-1] + f', "x": -{1 << 64}}}',
    "integer of 100,000 digits": INDEX[:-1] + f', "x": {"9" * 100_000}}}',
    "leading zero": INDEX[:-1] + ', "x": 01}',
    "hexadecimal": INDEX[:-1] + ', "x": 0x1}',
    "True": INDEX[:-1] + ', "x": True}',
    "nested 70 deep": INDEX[:-1] + f', "x": {nested(70)}}}',
    "nested 200,000 deep": INDEX[:-1] + f', "x": {nested(200_000)}}}',
    "objects 200,000 deep": INDEX[:-1] + ', "x": ' + '{"a":' * 200_000 + "1" + "}" * 200_000 + "}",
    "brackets that never close": "[" * 1_000_000,
}

# Fields of index.json and a value that each must not have.
BAD_FIELDS: dict[str, dict[str, Any]] = {
    "build_number missing": {"build_number": ...},
    "build_number null": {"build_number": None},
    "build_number text": {"build_number": "0"},
    "build_number negative": {"build_number": -1},
    "build_number with a point": {"build_number": 0.0},
    "build_number true": {"build_number": True},
    "depends text": {"depends": "python"},
    "depends object": {"depends": {"python": ">=3"}},
    "depends of numbers": {"depends": [3]},
    "depends of nulls": {"depends": [None]},
    "depends of lists": {"depends": [["python", ">=3"]]},
    "depends of objects": {"depends": [{"name": "python"}]},
    "depends 2,001": {"depends": ["python"] * 2001},
    "depends of 1,001 characters": {"depends": ["python " + ">=3," * 249 + "<4"]},
    "depends with a NUL": {"depends": ["python\0"]},
    "depends with an escape": {"depends": ["python\x1b[2J"]},
    "constrains text": {"constrains": "python"},
    "constrains of numbers": {"constrains": [3]},
    "license list": {"license": ["MIT"]},
    "license of 1,001 characters": {"license": "x" * 1001},
    "license with a bell": {"license": "MIT\a"},
    "license with a delete": {"license": "MIT\x7f"},
    "license with a C1 control": {"license": "MIT\x9b2J"},
    "license of several lines": {"license": "MIT\nBSD"},
    "python_site_packages_path with a tab": {"python_site_packages_path": "lib/\tx"},
    "depends with a tab": {"depends": ["python\t>=3"]},
    "depends with a trailing line feed": {"depends": ["python\n"]},
    "depends with a line separator": {"depends": ["python\u2028>=3"]},
    "an unknown field with a line feed": {"colour": "a\nb"},
    "an unknown field with a tab, deep": {"colour": {"a": [1, {"b": ["c\td"]}]}},
    "an unknown field with a control in a key": {"colour": {"a\x1b": 1}},
    "an unknown field whose name has a control": {"col\nour": 1},
    "license_family number": {"license_family": 3},
    "arch number": {"arch": 64},
    "arch list": {"arch": ["x86_64"]},
    "platform object": {"platform": {}},
    "python_site_packages_path number": {"python_site_packages_path": 3},
    "preferred_env list": {"preferred_env": ["a"]},
    "features number": {"features": 3},
    "features of numbers": {"features": [3]},
    "track_features object": {"track_features": {"a": "b"}},
    "track_features too long": {"track_features": ["x" * 600, "y" * 600]},
    "timestamp text": {"timestamp": "2024-01-01"},
    "timestamp with a point": {"timestamp": 1.5},
    "timestamp true": {"timestamp": True},
    "timestamp negative": {"timestamp": -1},
    "timestamp after the year 9999": {"timestamp": 253_402_300_800_000},
    "noarch other": {"noarch": "java"},
    "noarch upper case": {"noarch": "Python"},
    "noarch number": {"noarch": 1},
    "noarch list": {"noarch": []},
    "noarch object": {"noarch": {"type": "python"}},
    "purls text": {"purls": "pkg:pypi/demo"},
    "purls that are invalid": {"purls": ["demo"]},
    "purls without a name": {"purls": ["pkg:pypi"]},
    "flags text": {"flags": "cuda"},
    "flags upper case": {"flags": ["CUDA"]},
    "flags with a newline": {"flags": ["cuda\n"]},
    "flags with two colons": {"flags": ["a:b:c"]},
    "flags empty": {"flags": [""]},
    "extra_depends list": {"extra_depends": ["pytest"]},
    "extra_depends of texts": {"extra_depends": {"test": "pytest"}},
    "extra_depends of numbers": {"extra_depends": {"test": [3]}},
    "extra_depends with a bad group": {"extra_depends": {"T!": ["pytest"]}},
    "extra_depends with a long group": {"extra_depends": {"x" * 65: ["pytest"]}},
    "extra_depends with an empty group": {"extra_depends": {"": ["pytest"]}},
    "extra_depends with a newline": {"extra_depends": {"test\n": ["pytest"]}},
    "repodata_revision 4": {"repodata_revision": 4},
    "repodata_revision text": {"repodata_revision": "3"},
    "repodata_revision true": {"repodata_revision": True},
    "repodata_revision false": {"repodata_revision": False},
    "repodata_revision 0 with flags": {"repodata_revision": 0, "flags": ["cuda"]},
    "repodata_revision 0 with extras": {"repodata_revision": 0, "depends": ["demo2[extras=[test]]"]},
}

UNREADABLE_SPECS = {
    "trailing comma": "python >=3,<,",
    "no version after <": "python <",
    "empty": "",
    "spaces": "  ",
    "glob name": "python*",
    "any name": "*",
    "regular expression": "^python$",
    "the old conditions": "python; if __unix",
    "bracket open": "python[version='3'",
    "unknown key": "python[colour=red]",
    "invalid name": "pyth$n",
}

# Specs that rattler reads and that make clients fetch or open something that no channel lists.
ELSEWHERE = {
    "URL of a file": "https://host/x-1.0-0.conda",
    "URL in capitals": "HTTPS://host/x-1.0-0.conda",
    "URL of a bucket": "s3://bucket/x-1.0-0.conda",
    "URL of a local file": "file:///tmp/x-1.0-0.conda",
    "URL with a token": "https://host/t/token/ch/noarch/x-1.0-0.conda#md5",
    "absolute path": "/tmp/x-1.0-0.conda",
    "path of Windows": "C:\\x-1.0-0.conda",
    "path of a share": "\\\\host\\share\\x-1.0-0.conda",
    "relative path": "./x-1.0-0.conda",
    "path to the parent folder": "../x-1.0-0.conda",
    "path from home": "~/x-1.0-0.conda",
    "file of this folder": "x-1.0-0.conda",
    "old file of this folder": "x-1.0-0.tar.bz2",
    "file in capitals": "x-1.0-0.CONDA",
    "file before a comment": "x-1.0-0.conda # comment",
    "wheel": "x-1.0-py3-none-any.whl",
    "URL in a comment": "x #https://host/y-1.0-0.conda",
    "build that ends like a file": "x 1.0 *.conda",
    "URL of a channel": "https://host/channel::x",
    "file URL of a channel": "file:///channel::x",
    "channel of a path": "/channel::x",
    "channel of a relative path": "../channel::x",
    "channel of the folder above": "..::x",
    "channel of a drive": "C:/channel::x",
    "channel that leads to the parent folder when decoded": "%2e%2e/channel::x",
    "url key": "x[url=https://host/x-1.0-0.conda]",
    "url key of a path": "x[url=/tmp/x-1.0-0.conda]",
    "url key, quoted": "x[version='>=1', url='file:///tmp/x-1.0-0.conda']",
    "channel key": "x[channel=https://host/channel]",
    "channel key of a path": "x[channel='../channel']",
    "channel key with a parent folder": "x[channel='a/../b']",
    "fn key of a path": "x[fn='../x-1.0-0.conda']",
    "subdir key of a path": "x[subdir='../noarch']",
    "URL in a condition": "x[when='https://host/y-1.0-0.conda']",
    "path in a condition": "x[when='/tmp/y-1.0-0.conda']",
}

READABLE_SPECS = {
    "name": "python",
    "fuzzy": "python 2.7",
    "with a build": "numpy 1.8 py27_0",
    "with any build": "numpy 1.8.* *_cpython",
    "range": "python >=3.9,<4.0a0",
    "either": "python 2.7.*|>=3.6",
    "compatible": "python ~=3.9",
    "brackets": "python[version='>=3', build=*_cpython]",
    "channel": "conda-forge::python",
    "label of a channel": "conda-forge/label/dev::python",
    "subdir of a channel": "conda-forge/linux-64::python",
    "file name": "python[fn=python-3.12.0-0.conda]",
    "namespace": "pypi:python",
    "virtual": "__glibc >=2.17",
    "upper case": "PyYAML",
    "no space": "python>=3",
}


BAD_NAMES: dict[str, tuple[RefusalReason, dict[str, Any]]] = {
    **{
        f"name: {case}": (RefusalReason.BAD_PACKAGE_NAME, {"name": name})
        for case, name in {
            "missing": ...,
            "null": None,
            "number": 3,
            "empty": "",
            "upper case": "Demo",
            "trailing newline": "demo\n",
            "leading newline": "\ndemo",
            "NUL": "demo\0",
            "space": "demo pkg",
            "slash": "demo/pkg",
            "parent folder": "..",
            "letters that are not ASCII": "d\u00e9mo",
            "digits that are not ASCII": "demo\u0663",
            "virtual": "__virtual",
            "two hyphens": "a--b",
            "two underscores": "a__b",
            "two kinds of separator": "a-.b",
            "leading hyphen": "-demo",
            "leading dot": ".demo",
            "only an underscore": "_",
            "underscore and separator": "_-a",
            "65 characters": "x" * 65,
        }.items()
    },
    **{
        f"version: {case}": (RefusalReason.BAD_VERSION, {"version": version})
        for case, version in {
            "missing": ...,
            "number": 1.0,
            "empty": "",
            "newline": "1.0\n",
            "hyphen": "1-0",
            "star": "1.0*",
            "space": "1 0",
            "slash": "1/0",
            "65 characters": "1" * 65,
            "two dots": "1..0",
            "leading dot": ".1",
            "trailing dot": "1.",
            "only a separator": "_1",
            "two epochs": "1!2!3",
            "epoch that is not a number": "a!1",
            "no local version after +": "1.0+",
            "two local parts": "1+2+3",
            "too large a number": "1." + "9" * 30,
        }.items()
    },
    **{
        f"build: {case}": (RefusalReason.BAD_BUILD_STRING, {"build": build})
        for case, build in {
            "missing": ...,
            "number": 0,
            "empty": "",
            "newline": "h1_0\n",
            "hyphen": "h1-0",
            "slash": "h1/0",
            "space": "h1 0",
            "letters that are not ASCII": "h\u00e9",
            "65 characters": "h" * 65,
        }.items()
    },
    **{
        f"subdir: {case}": (RefusalReason.UNKNOWN_SUBDIR, {"subdir": subdir})
        for case, subdir in {
            "number": 64,
            "list": ["noarch"],
            "empty": "",
            "upper case": "Linux-64",
            "newline": "noarch\n",
            "parent folder": "../noarch",
            "unknown": "linux-128",
            "rattler's value for none": "unknown",
        }.items()
    },
    "subdir: missing": (RefusalReason.MISSING_SUBDIR, {"subdir": ...}),
    "subdir: null": (RefusalReason.MISSING_SUBDIR, {"subdir": None}),
    "other name than the file": (RefusalReason.NAME_MISMATCH, {"name": "other"}),
    "other version than the file": (RefusalReason.NAME_MISMATCH, {"version": "1.1"}),
    "version that is the same number": (RefusalReason.NAME_MISMATCH, {"version": "1.0.0"}),
    "other build than the file": (RefusalReason.NAME_MISMATCH, {"build": "h1_1"}),
    "build that differs by case": (RefusalReason.NAME_MISMATCH, {"build": "H1_0"}),
}

REFUSED: dict[str, tuple[RefusalReason, Callable[[], PackageFile]]] = {
    **{
        f"index.json: {case}": (RefusalReason.BAD_JSON, lambda text=text: raw(text))  # type: ignore[misc]
        for case, text in NOT_STRICT.items()
    },
    **{
        f"index.json is {case}": (RefusalReason.BAD_FIELD, lambda text=text: raw(text))  # type: ignore[misc]
        for case, text in {"a list": "[]", "a text": '"demo"', "a number": "3", "null": "null"}.items()
    },
    **{
        f"field: {case}": (RefusalReason.BAD_FIELD, lambda fields=fields: index(**fields))  # type: ignore[misc]
        for case, fields in BAD_FIELDS.items()
    },
    **{
        f"depends: {case}": (RefusalReason.BAD_MATCH_SPEC, lambda spec=spec: index(depends=[spec]))  # type: ignore[misc]
        for case, spec in UNREADABLE_SPECS.items()
    },
    **{
        f"{field}: {case}": (RefusalReason.BAD_MATCH_SPEC, lambda fields=fields, spec=spec: index(**fields(spec)))  # type: ignore[misc]
        for case, spec in ELSEWHERE.items()
        for field, fields in {
            "depends": lambda spec: {"depends": ["python", spec]},
            "constrains": lambda spec: {"constrains": [spec]},
            "extra_depends": lambda spec: {"extra_depends": {"test": [spec]}},
        }.items()
    },
    **{
        f"{kind} run exports: {case}": (
            RefusalReason.BAD_MATCH_SPEC,
            lambda kind=kind, spec=spec: packages.conda(index_json(), run_exports={kind: [spec]}),  # type: ignore[misc]
        )
        for case, spec in {**ELSEWHERE, **UNREADABLE_SPECS}.items()
        for kind in ("weak", "strong_constrains")
    },
    **{
        f"{kind} run exports: {text!r}": (
            RefusalReason.BAD_FIELD,
            lambda kind=kind, text=text: packages.conda(index_json(), run_exports={kind: [text]}),  # type: ignore[misc]
        )
        for kind in ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")
        for text in ("a\t>=1", "a\n", "a\x85")
    },
    "run exports of the old form with a tab": (
        RefusalReason.BAD_FIELD,
        lambda: packages.conda(index_json(), run_exports=["a\t>=1"]),
    ),
    "constrains: unreadable": (RefusalReason.BAD_MATCH_SPEC, lambda: index(constrains=["python >=3", "python >=3,<,"])),
    "extra_depends: unreadable": (
        RefusalReason.BAD_MATCH_SPEC,
        lambda: index(extra_depends={"test": ["python >=3,<,"]}),
    ),
    **{
        case: (reason, lambda fields=fields: index(**fields))  # type: ignore[misc]
        for case, (reason, fields) in BAD_NAMES.items()
    },
    "record: many long depends": (
        RefusalReason.RECORD_TOO_LARGE,
        lambda: index(depends=[f"a{n} {'|'.join(['1.0'] * 200)}" for n in range(400)]),
    ),
    "record: an unknown field of 300 kB": (RefusalReason.RECORD_TOO_LARGE, lambda: index(readme="x" * 300_000)),
    "record: run exports of 300 kB": (
        RefusalReason.RECORD_TOO_LARGE,
        lambda: packages.conda(index_json(), run_exports={"weak": ["x" * 999] * 300}),
    ),
    "no index.json": (
        RefusalReason.MISSING_INDEX_JSON,
        lambda: packages.conda(info=without_index(), file_name=CONDA),
    ),
    "no index.json in a .tar.bz2": (
        RefusalReason.MISSING_INDEX_JSON,
        lambda: packages.tar_bz2(info=without_index(), file_name=TAR_BZ2),
    ),
    "no paths.json": (RefusalReason.MISSING_PATHS_JSON, lambda: packages.conda(index_json(), paths=...)),
    "no paths.json but info/files": (
        RefusalReason.MISSING_PATHS_JSON,
        lambda: packages.conda(info={**info_files(index_json(), paths=...), "info/files": b""}, file_name=CONDA),
    ),
    "neither paths.json nor info/files": (
        RefusalReason.MISSING_PATHS_JSON,
        lambda: packages.tar_bz2(index_json(), paths=...),
    ),
    "info/files with a parent folder": (
        RefusalReason.UNSAFE_PATH,
        lambda: packages.tar_bz2(
            info={**info_files(index_json(), paths=...), "info/files": b"share/x\n../../evil\n"}, file_name=TAR_BZ2
        ),
    ),
    "info/files is absolute": (
        RefusalReason.UNSAFE_PATH,
        lambda: packages.tar_bz2(
            info={**info_files(index_json(), paths=...), "info/files": b"/etc/passwd\n"}, file_name=TAR_BZ2
        ),
    ),
    "paths.json: not JSON": (RefusalReason.BAD_FIELD, lambda: with_file("paths.json", "share/x")),
    "paths.json: not UTF-8": (
        RefusalReason.BAD_FIELD,
        lambda: with_file("paths.json", b'{"paths":[{"_path":"\xff"}]}'),
    ),
    "paths.json: deep": (RefusalReason.BAD_FIELD, lambda: with_file("paths.json", '{"paths":' + "[" * 100_000)),
    "paths.json: list": (RefusalReason.BAD_FIELD, lambda: with_file("paths.json", "[]")),
    "paths.json: no paths": (RefusalReason.BAD_FIELD, lambda: with_file("paths.json", '{"paths_version": 1}')),
    "paths.json: null": (RefusalReason.BAD_FIELD, lambda: with_file("paths.json", '{"paths": null}')),
    "paths.json: texts": (RefusalReason.BAD_FIELD, lambda: paths("share/x")),
    "paths.json: no _path": (RefusalReason.BAD_FIELD, lambda: paths({"path": "share/x"})),
    "paths.json: _path of a number": (RefusalReason.BAD_FIELD, lambda: paths({"_path": 3})),
    "paths.json: unknown kind of path": (
        RefusalReason.BAD_FIELD,
        lambda: paths({"_path": "x", "path_type": "device", "sha256": "0" * 64, "size_in_bytes": 1}),
    ),
    "paths.json: sha256 of a number": (
        RefusalReason.BAD_FIELD,
        lambda: paths({"_path": "x", "path_type": "hardlink", "sha256": 3, "size_in_bytes": 1}),
    ),
    "paths.json: size of a text": (
        RefusalReason.BAD_FIELD,
        lambda: paths({"_path": "x", "path_type": "hardlink", "sha256": "0" * 64, "size_in_bytes": "1"}),
    ),
    **{
        f"paths.json: {path!r}": (
            RefusalReason.UNSAFE_PATH,
            lambda path=path: paths({"_path": path, "path_type": "hardlink"}),
        )  # type: ignore[misc]
        for path in ("../x", "a/../../x", "/etc/passwd", "a\\..\\x", "C:x", "./x", "", "a\nb", "a\u202eb")
    },
    "about.json: list": (RefusalReason.BAD_FIELD, lambda: with_file("about.json", "[]")),
    "about.json: NaN": (RefusalReason.BAD_JSON, lambda: with_file("about.json", '{"x": NaN}')),
    "about.json: key twice": (RefusalReason.BAD_JSON, lambda: with_file("about.json", '{"home": "a", "home": "b"}')),
    "run_exports.json: text": (RefusalReason.BAD_FIELD, lambda: with_file("run_exports.json", '"python"')),
    "run_exports.json: cut in half": (RefusalReason.BAD_JSON, lambda: with_file("run_exports.json", '{"weak": [')),
    "run_exports.json: weak of a text": (
        RefusalReason.BAD_FIELD,
        lambda: with_file("run_exports.json", '{"weak": "python"}'),
    ),
    "run_exports.json: strong of objects": (
        RefusalReason.BAD_FIELD,
        lambda: with_file("run_exports.json", '{"strong": [{}]}'),
    ),
    "run_exports.json: list of numbers": (RefusalReason.BAD_FIELD, lambda: with_file("run_exports.json", "[3]")),
    "link.json: list": (RefusalReason.BAD_FIELD, lambda: with_file("link.json", "[]")),
    "link.json: key twice": (RefusalReason.BAD_JSON, lambda: with_file("link.json", '{"noarch": {}, "noarch": {}}')),
    "link.json: entry points of numbers": (RefusalReason.BAD_FIELD, lambda: entry_points(3)),
    "link.json: entry points of a text": (
        RefusalReason.BAD_FIELD,
        lambda: with_file("link.json", '{"noarch": {"type": "python", "entry_points": "demo = demo:main"}}'),
    ),
    "link.json: entry point with an escape": (RefusalReason.BAD_FIELD, lambda: entry_points("de\x1bmo = demo:main")),
    **{
        f"link.json: entry point {point!r}": (RefusalReason.UNSAFE_ENTRY_POINT, lambda point=point: entry_points(point))  # type: ignore[misc]
        for point in (
            "../../etc/cron.d/x = m:f",
            "/bin/sh = m:f",
            "a/b = m:f",
            "a\\b = m:f",
            "..\\x = m:f",
            ".. = m:f",
            ". = m:f",
            "C:x = m:f",
            "= m:f",
            "demo",
            "",
        )
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_metadata_is_refused(case: str, tmp_path: Path) -> None:
    """A value that a client cannot read, or reads differently, is refused with the reason."""
    reason, build = REFUSED[case]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path)
    assert reason is refused.value.reason


@pytest.mark.parametrize("case", READABLE_SPECS)
def test_a_spec_that_clients_read_is_kept_unchanged(case: str, tmp_path: Path) -> None:
    """Every valid form of a match spec is accepted and served as the recipe wrote it."""
    spec = READABLE_SPECS[case]
    record = examine_file(index(depends=[spec], constrains=[spec]), tmp_path).record
    assert ([spec], [spec]) == (record["depends"], record["constrains"])


# Fields of index.json and their values in the record; `...` means absent.
KEPT: dict[str, tuple[str, Any, Any]] = {
    "depends missing": ("depends", ..., []),
    "depends null": ("depends", None, []),
    "depends empty": ("depends", [], []),
    "constrains null": ("constrains", None, ...),
    "constrains empty": ("constrains", [], []),
    "license null": ("license", None, ...),
    "license empty": ("license", "", ""),
    "license of 1,000 characters": ("license", "\u00fc" * 1000, "\u00fc" * 1000),
    "noarch generic": ("noarch", "generic", "generic"),
    "noarch python": ("noarch", "python", "python"),
    "noarch true": ("noarch", True, "generic"),
    "noarch false": ("noarch", False, ...),
    "noarch empty": ("noarch", "", ...),
    "noarch null": ("noarch", None, ...),
    "noarch missing": ("noarch", ..., ...),
    "track_features text": ("track_features", "a b", "a b"),
    "track_features list": ("track_features", ["a", "b"], "a b"),
    "track_features empty": ("track_features", "", ""),
    "track_features null": ("track_features", None, ...),
    "features list": ("features", ["a"], "a"),
    "timestamp null": ("timestamp", None, ...),
    "timestamp zero": ("timestamp", 0, 0),
    "timestamp in seconds": ("timestamp", 1_700_000_000, 1_700_000_000),
    "timestamp of the year 9000": ("timestamp", 221_845_392_000_000, 221_845_392_000_000),
    "build_number of 63 bits": ("build_number", (1 << 63) - 1, (1 << 63) - 1),
    "purls": ("purls", ["pkg:pypi/demo@1.0"], ["pkg:pypi/demo@1.0"]),
    "arch and platform": ("arch", "x86_64", "x86_64"),
    "an unknown field": ("colour", {"deep": [1, 2.5, "x", True]}, {"deep": [1, 2.5, "x", True]}),
    "an unknown field that is null": ("colour", None, ...),
    "a large number": ("colour", 1.7e308, 1.7e308),
}


@pytest.mark.parametrize("case", KEPT)
def test_the_value_of_a_field_in_the_record(case: str, tmp_path: Path) -> None:
    """Fields are served unchanged, except nulls, which are left out, and the two old forms of noarch."""
    field, value, expected = KEPT[case]
    assert expected == examine_file(index(**{field: value}), tmp_path).record.get(field, ...)


# Fields that only the server sets, and keys that tell clients where the bytes are.
SERVER_FIELDS: dict[str, Any] = {
    "sha256": "0" * 64,
    "md5": "0" * 32,
    "size": 1,
    "indexed_timestamp": 1,
    "attestations_sha256": "0" * 64,
    "run_exports": {"weak": ["evil"]},
    "legacy_bz2_md5": "0" * 32,
    "legacy_bz2_size": 1,
    "fn": "other-1.0-0.conda",
    "url": "https://example.com/other-1.0-0.conda",
    "channel": "https://example.com",
    "schannel": "evil",
}


@pytest.mark.parametrize("field", SERVER_FIELDS)
def test_a_package_cannot_set_fields_of_the_server(field: str, tmp_path: Path) -> None:
    """A server field in index.json has no effect: clients download the bytes that were examined."""
    file = index(**{field: SERVER_FIELDS[field]})
    record = examine_file(file, tmp_path).record
    assert SERVER_FIELDS[field] != record.get(field)
    assert (file.sha256, len(file.content), {}) == (record["sha256"], record["size"], record["run_exports"])


@pytest.mark.parametrize(("depth", "is_accepted"), [(63, True), (64, False)])
def test_the_nesting_limit(depth: int, is_accepted: bool, tmp_path: Path) -> None:
    """JSON may be nested 64 levels deep, the outermost object included."""
    file = spliced(f'"x": {nested(depth)}')
    if is_accepted:
        assert CONDA == str(examine_file(file, tmp_path).file_name)
    else:
        with pytest.raises(Refused) as refused:
            examine_file(file, tmp_path)
        assert RefusalReason.BAD_JSON is refused.value.reason


# The first five are refused by rattler's reader of link.json, one for each of its rules.
BAD_POINTS = [
    "demo = demo.cli", "demo = demo-cli:main", "demo = demo.cli:", "demo = :main", "demo = demo.cli:app [cli]",
    "demo = demo.cli:app[cli]", "demo = demo:main()", "demo = demo:a:b", "demo = a = b:c", "demo = 1demo:main",
    "demo = demo:2main", "demo = .demo:main", "demo = demo..cli:main", "demo = d\u00e9mo:main", "demo = demo . cli:main",
    "demo = demo:main; import os", "demo = demo:main # comment",
]  # fmt: skip
BAD_LINKS = {
    "no type": {"noarch": {"entry_points": []}, "package_metadata_version": 1},
    "another type": {"noarch": {"type": "generic"}, "package_metadata_version": 1},
    "no noarch": {"package_metadata_version": 1},
    "entry points are null": {"noarch": {"type": "python", "entry_points": None}, "package_metadata_version": 1},
    "no version": {"noarch": {"type": "python"}},
    "a version of text": {"noarch": {"type": "python"}, "package_metadata_version": "1"},
}


@pytest.mark.parametrize("point", BAD_POINTS)
def test_an_entry_point_that_clients_cannot_read_is_refused(point: str, tmp_path: Path) -> None:
    """py-rattler fails to install the package; clients do not read link.json of other packages."""
    with pytest.raises(Refused) as refused:
        examine_file(entry_points(point), tmp_path)
    assert RefusalReason.BAD_ENTRY_POINT is refused.value.reason
    assert ascii(point) in refused.value.message
    link = {"noarch": {"type": "python", "entry_points": [point]}, "package_metadata_version": 1}
    examine_file(packages.conda(index_json(), link=link), tmp_path)


@pytest.mark.parametrize("case", BAD_LINKS)
def test_a_link_json_that_clients_cannot_read_is_refused(case: str, tmp_path: Path) -> None:
    """py-rattler fails to install a noarch python package with it."""
    with pytest.raises(Refused, match=r"of link\.json") as refused:
        examine_file(packages.conda(index_json(noarch="python"), link=BAD_LINKS[case]), tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason
    examine_file(packages.conda(index_json(), link=BAD_LINKS[case]), tmp_path)


@pytest.mark.parametrize(
    "point",
    [
        "demo = demo:main", "demo=demo:main", "demo-2.0 = demo.cli:main", "my_demo = demo:Main.run", "a..b = m:f",
        "my demo = m:f", "demo = _m._n:f", "demo  =  m  :  f  ",
    ],
)  # fmt: skip
def test_a_valid_entry_point_is_accepted(point: str, tmp_path: Path) -> None:
    """Commands that are written only into bin/ are accepted."""
    assert "python" == examine_file(entry_points(point), tmp_path).record["noarch"]


def test_a_link_json_without_entry_points_is_accepted(tmp_path: Path) -> None:
    """Generic noarch packages have a link.json that lists no commands."""
    for text in ('{"noarch": {"type": "generic"}}', "{}", '{"noarch": null}'):
        assert CONDA == str(examine_file(with_file("link.json", text), tmp_path).file_name)


def test_an_old_package_with_info_files_is_accepted(tmp_path: Path) -> None:
    """A .tar.bz2 older than paths.json is accepted with info/files."""
    info = {**info_files(index_json(), paths=...), "info/files": b"share/demo.txt\n"}
    assert TAR_BZ2 == str(examine_file(packages.tar_bz2(info=info, file_name=TAR_BZ2), tmp_path).file_name)
