"""Every package file of tests/data: valid ones are accepted, the others refused for the reason listed here."""

import io
import zipfile
from pathlib import Path

import pytest

from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import CONDA, TAR_BZ2, digest_of, examine_file
from tests.support.packages import REAL, PackageFile, RealPackage, real_packages

# Valid packages of other projects that break a rule of Seaway, each with the reason.
REFUSED_THOUGH_GOOD = {
    "rattler/no-subdir/info-only-1.0.0-0.conda": (RefusalReason.ZIP_MEMBERS, "made without metadata.json and pkg part"),
    "rattler/no-subdir/sparse-test-1.0.0-0.conda": (RefusalReason.ZIP_MEMBERS, "made without metadata.json"),
    "rattler/no-subdir/symlink-test-1.0.0-0.conda": (RefusalReason.ZIP_MEMBERS, "made without metadata.json"),
    "rattler/no-subdir/zip64-test-1.0.0-0.conda": (RefusalReason.ZIP_MEMBERS, "made without metadata.json"),
    "conda/linux-64/zlib-1.2.11-h7b6447c_3.conda": (RefusalReason.UNSAFE_PATH, "its symlinks have no target"),
    "conda/osx-64/zlib-1.2.11-h1de35cc_3.conda": (RefusalReason.UNSAFE_PATH, "its symlinks have no target"),
    "conda-index/no-subdir/nano-2.4.1-0.tar.bz2": (
        RefusalReason.MISSING_SUBDIR,
        "built before conda-build wrote `subdir`",
    ),
}

# Packages accepted with one warning, which contains this text.
WARNED = {
    "conda-index/noarch/flask-0.11.1-py_0.tar.bz2": "contains only info/",
    "conda-index/noarch/spiffy-test-app-0.5-pyh6afbcc8_0.tar.bz2": "contains only info/",
    "conda-index/osx-64/fly-2.5.2-0.tar.bz2": "contains only info/",
    "conda/linux-64/zlib-1.2.11-h7b6447c_3.tar.bz2": "'lib/libz.so', 'lib/libz.so.1' as a symbolic link",
    "conda/osx-64/zlib-1.2.11-h1de35cc_3.tar.bz2": "'lib/libz.1.dylib', 'lib/libz.dylib' as a symbolic link",
    "mamba/noarch/test-package-0.1-0.tar.bz2": "is in seconds",
    "pixi/osx-arm64/dummy-trampoline-path-0.1.0-h60d57d3_0.conda": "is in seconds",
}

# Broken packages: the reason under their own name, and under a valid name.
BROKEN = {
    "rattler/broken/ca-certificates-2024.7.4-hbcca054_0.conda": (RefusalReason.ZIP_MEMBERS, RefusalReason.ZIP_MEMBERS),
    "rattler/broken/dotslash-test-1.0.0-0.conda": (RefusalReason.ZIP_MEMBERS, RefusalReason.ZIP_MEMBERS),
    "conda-index/broken/a.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
    "conda-index/broken/b.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
    "conda-index/broken/subfolder.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
    "conda-index/broken/subfolder2.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
    "conda-index/broken/another_bad_package.conda": (RefusalReason.BAD_FILE_NAME, RefusalReason.EMPTY_FILE),
    "conda-index/broken/bad_package.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.BAD_COMPRESSION),
    "quetz/linux-64/test-package-0.1-0_copy.tar.bz2": (RefusalReason.NAME_MISMATCH, RefusalReason.NAME_MISMATCH),
    "mamba/broken/repodata.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
    "mamba/broken/1/repodata.tar.bz2": (RefusalReason.BAD_FILE_NAME, RefusalReason.MISSING_INDEX_JSON),
}

FILES = {package.path.relative_to(REAL).as_posix(): package for package in real_packages()}
GOOD = sorted(name for name, package in FILES.items() if package.is_good and name not in REFUSED_THOUGH_GOOD)


def refusal_of(package: PackageFile, folder: Path) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        examine_file(package, folder)
    return refused.value.reason


def with_valid_name(package: RealPackage) -> PackageFile:
    return PackageFile(CONDA if package.path.suffix == ".conda" else TAR_BZ2, package.file.content)


def test_the_list_matches_the_files() -> None:
    """packages.tsv lists every file of tests/data/packages, with the hash of its bytes."""
    stored = {
        path.relative_to(REAL).as_posix(): digest_of(path.read_bytes()).sha256.hex()
        for path in REAL.rglob("*")
        if path.is_file()
    }
    assert {name: package.sha256 for name, package in FILES.items()} == stored


def test_every_broken_file_is_listed() -> None:
    """The files that packages.tsv does not mark as good are exactly those of BROKEN."""
    assert {name for name, package in FILES.items() if not package.is_good} == set(BROKEN)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_package_is_accepted(name: str, tmp_path: Path) -> None:
    """A package marked as good is accepted into the subdir it was built for, with the warnings of WARNED."""
    package = FILES[name]
    candidate = examine_file(package.file, tmp_path)
    assert package.path.name == str(candidate.file_name)
    assert package.subdir == candidate.subdir
    assert package.sha256 == candidate.record["sha256"]
    assert len(candidate.warnings) == (name in WARNED)
    assert WARNED.get(name, "") in "".join(candidate.warnings)


@pytest.mark.parametrize("name", REFUSED_THOUGH_GOOD)
def test_a_listed_exception_is_refused_for_its_reason(name: str, tmp_path: Path) -> None:
    """A good package is refused only if it is in the list of exceptions, and for the reason given there."""
    assert REFUSED_THOUGH_GOOD[name][0] == refusal_of(FILES[name].file, tmp_path)


def test_the_hint_for_a_rezipped_package_works(tmp_path: Path) -> None:
    """The refusal names the zipped folder; its parts, zipped as the hint says, are accepted."""
    package = FILES["rattler/broken/ca-certificates-2024.7.4-hbcca054_0.conda"]
    with pytest.raises(Refused, match="contains the folder 'Users/jcorreia/") as refused:
        examine_file(package.file, tmp_path)
    assert "zip -0 -X -j " in refused.value.hint
    repaired = io.BytesIO()
    with zipfile.ZipFile(package.path) as broken, zipfile.ZipFile(repaired, "w", zipfile.ZIP_STORED) as whole:
        for member in broken.infolist():
            if not member.is_dir():
                whole.writestr(member.filename.rpartition("/")[2], broken.read(member))
    assert () == examine_file(PackageFile(package.path.name, repaired.getvalue()), tmp_path).warnings


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_refused(name: str, tmp_path: Path) -> None:
    """A broken file is refused under its own name and under a valid name."""
    expected = BROKEN[name]
    package = FILES[name]
    assert expected == (
        refusal_of(package.file, tmp_path),
        refusal_of(with_valid_name(package), tmp_path),
    )
