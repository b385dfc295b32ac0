"""info/paths.json and info/files must match the archive: refused if no client installs it, else a warning."""

import bz2
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import rattler

from seaway.conda.limits import ArchiveLimits
from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import STEM, TAR_BZ2, digest_of, examine_file
from tests.support.packages import PackageFile, Tar, conda, conda_bytes, index_json, info_files, paths_json, tar_bz2

X = {"lib/x": b"x"}
OLD_PREFIX = "/opt/anaconda1anaconda2anaconda3"
LONG_PREFIX = "/p" * 127
Y = {"lib/y": b"y"}


def entries(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Merge several paths.json into one."""
    return {"paths": [entry for part in parts for entry in part["paths"]], "paths_version": 1}


def listed(*parts: Mapping[str, Any], build: Callable[..., PackageFile] = conda) -> PackageFile:
    return build(index_json(), files=X, paths=entries(*parts))


def with_member(kind: bytes, path: str, target: str = "", **fields: Any) -> PackageFile:
    """A package with lib/x and a link or folder that paths.json lists with these fields."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    paths = entries(paths_json(X), paths_json({path: X["lib/x"]}, **fields))
    info_tar, pkg_tar = Tar(info_files(index_json(), paths=paths)).build(), Tar(X, [(info, b"")]).build()
    return PackageFile(f"{STEM}.conda", conda_bytes(STEM, info_tar=info_tar, pkg_tar=pkg_tar))


def old(*extra: tuple[tarfile.TarInfo, bytes], files: str = "lib/x\n", has_prefix: str = "") -> PackageFile:
    """A package without paths.json that holds lib/x and these members."""
    lists = {"info/files": files.encode(), "info/has_prefix": has_prefix.encode()}
    members = {**info_files(index_json(), paths=...), **lists, **X}
    return PackageFile(TAR_BZ2, bz2.compress(Tar(members, extra).build()))


def header(kind: bytes, path: str, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info, b""


REFUSED: dict[str, tuple[RefusalReason, str, Callable[[], PackageFile]]] = {
    "file": (RefusalReason.MISSING_FILE, "'lib/y', which the archive", lambda: listed(paths_json(X), paths_json(Y))),
    "file of a .tar.bz2": (
        RefusalReason.MISSING_FILE,
        "'lib/y', which the archive",
        lambda: listed(paths_json(X), paths_json(Y), build=tar_bz2),
    ),
    "all files": (RefusalReason.MISSING_FILE, "'lib/y'", lambda: conda(index_json(), files={}, paths=paths_json(Y))),
    "many files": (
        RefusalReason.MISSING_FILE,
        "'0', '1', '2' and 3 more, which",
        lambda: listed(paths_json({str(number): b"" for number in range(6)})),
    ),
    "another case": (RefusalReason.MISSING_FILE, "'lib/X', which", lambda: listed(paths_json({"lib/X": b"x"}))),
    "symbolic link": (
        RefusalReason.MISSING_FILE,
        "'lib/y', which",
        lambda: listed(paths_json(Y, path_type="softlink")),
    ),
    "file with no_link": (RefusalReason.MISSING_FILE, "'lib/y', which", lambda: listed(paths_json(Y, no_link=True))),
    "info/files": (
        RefusalReason.MISSING_FILE,
        "info/files of the package lists 'lib/y', which",
        lambda: tar_bz2(
            files=X,
            info={**info_files(index_json(), paths=...), "info/files": b"lib/x\nlib/y\n"},
            file_name=TAR_BZ2,
        ),
    ),
    "folder as a file": (RefusalReason.MISSING_FILE, "'d' as a file", lambda: with_member(tarfile.DIRTYPE, "d")),
    "folder as a link": (
        RefusalReason.MISSING_FILE,
        "'d' as a file",
        lambda: with_member(tarfile.DIRTYPE, "d", path_type="softlink"),
    ),
    "folder in info/files": (
        RefusalReason.MISSING_FILE,
        "info/files of the package lists 'd' as a file",
        lambda: old(header(tarfile.DIRTYPE, "d"), files="lib/x\nd\n"),
    ),
    **{
        f"has_prefix: {line}": (
            RefusalReason.BAD_FIELD,
            "info/has_prefix has the line",
            lambda line=line: old(has_prefix=f"{line}\n"),  # type: ignore[misc]
        )
        for line in ("/old foo lib/x", "text lib/x", "/old text lib/x y", '"/old text lib/x')
    },
    "twice, differently": (
        RefusalReason.DUPLICATE_MEMBER,
        "'lib/x' twice",
        lambda: listed(paths_json(X), paths_json(X, file_mode="text", prefix_placeholder="/a")),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_no_client_can_install_is_refused(case: str, tmp_path: Path) -> None:
    """Listed files invariant 1: the refusal names the path, and its hint the solution."""
    reason, words, build = REFUSED[case]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path)
    assert reason is refused.value.reason
    assert words in refused.value.message
    assert refused.value.hint


WARNED: dict[str, tuple[str, Callable[[], PackageFile]]] = {
    "twice": ("'lib/x' twice", lambda: listed(paths_json(X), paths_json(X))),
    "size": ("The size of 'lib/x'", lambda: listed(paths_json(X, size_in_bytes=2))),
    "sha256": ("The sha256 of 'lib/x'", lambda: listed(paths_json(X, sha256="0" * 64))),
    "sha256 of a hard link": (
        "The sha256 of 'lib/h'",
        lambda: with_member(tarfile.LNKTYPE, "lib/h", "lib/x", sha256="0" * 64),
    ),
    "sha256 of a menu": (
        "The sha256 of 'Menu/a.json'",
        lambda: conda(
            index_json(), files={"Menu/a.json": b"{}"}, paths=paths_json({"Menu/a.json": b"{}"}, sha256="0" * 64)
        ),
    ),
    "file as a link": ("'lib/x' as a symbolic link", lambda: listed(paths_json(X, path_type="softlink"))),
    "hard link as a symbolic one": (
        "'lib/h' as a symbolic link",
        lambda: with_member(tarfile.LNKTYPE, "lib/h", "lib/x", path_type="softlink"),
    ),
    "prefix in a link": (
        "placeholder for 'lib/s'",
        lambda: with_member(tarfile.SYMTYPE, "lib/s", "x", file_mode="text", prefix_placeholder="/a"),
    ),
    "dangling link as a file": ("'lib/s' as a file", lambda: with_member(tarfile.SYMTYPE, "lib/s", "y")),
    "link to a folder as a file": ("'s' as a file", lambda: with_member(tarfile.SYMTYPE, "s", "lib")),
    "link to itself as a file": ("'s' as a file", lambda: with_member(tarfile.SYMTYPE, "s", "s")),
    "prefix in a link, has_prefix": (
        "info/has_prefix states a prefix placeholder for 'lib/s'",
        lambda: old(
            header(tarfile.SYMTYPE, "lib/s", "y"), files="lib/x\nlib/s\n", has_prefix=f"{OLD_PREFIX} text lib/s\n"
        ),
    ),
    "short placeholder": (
        "fewer than 80 bytes for the binary file 'lib/x'",
        lambda: listed(paths_json(X, file_mode="binary", prefix_placeholder=OLD_PREFIX)),
    ),
    "short placeholder, has_prefix": (
        "fewer than 80 bytes for the binary file 'lib/x'",
        lambda: old(has_prefix=f"{OLD_PREFIX} binary lib/x\n"),
    ),
    **{
        f"has_prefix: {line!r}": (
            f"has the line {line.rstrip()!a}",
            lambda line=line: old(has_prefix=f"{line}\n{OLD_PREFIX} text lib/x\n"),  # type: ignore[misc]
        )
        for line in ('/old "text" lib/x', "/old Text lib/x", "# comment", "")
    },
    "folder": ("'d' as a folder", lambda: with_member(tarfile.DIRTYPE, "d", path_type="directory")),
    "file as a folder": ("'lib/x' as a folder", lambda: listed(paths_json(X, path_type="directory"))),
    "folder without a member": (
        "'d' as a folder",
        lambda: listed(paths_json(X), paths_json({"d": b""}, path_type="directory")),
    ),
    "only info/ was kept": (
        "The archive contains only info/, so the files that info/paths.json lists, such as 'lib/y', are missing",
        lambda: tar_bz2(index_json(), files={}, paths=paths_json(Y)),
    ),
}


@pytest.mark.parametrize("case", WARNED)
def test_a_list_that_some_clients_install_gives_a_warning(case: str, tmp_path: Path) -> None:
    """Listed files invariant 2: the warning names the path."""
    words, build = WARNED[case]
    (warning,) = examine_file(build(), tmp_path).warnings
    assert words in warning


VALID: dict[str, Callable[[], PackageFile]] = {
    "correct entries": lambda: listed(paths_json(X)),
    "without hashes": lambda: listed(paths_json(X, sha256=..., size_in_bytes=...)),
    "hashes of null": lambda: listed(paths_json(X, sha256=None, size_in_bytes=None)),
    "sha256 in capitals": lambda: listed(paths_json(X, sha256=digest_of(b"x").sha256.hex().upper())),
    "unlisted members": lambda: conda(index_json(), files={**X, **Y}, paths=paths_json(X)),
    "hard link": lambda: with_member(tarfile.LNKTYPE, "lib/h", "lib/x"),
    "symbolic link": lambda: with_member(tarfile.SYMTYPE, "lib/s", "x", path_type="softlink"),
    "symbolic link listed as a file": lambda: with_member(tarfile.SYMTYPE, "lib/s", "x"),
    "symbolic link with a dot, listed as a file": lambda: with_member(tarfile.SYMTYPE, "s", "./lib/x"),
    "long placeholder": lambda: listed(paths_json(X, file_mode="binary", prefix_placeholder=LONG_PREFIX)),
    "short placeholder in a text": lambda: listed(paths_json(X, file_mode="text", prefix_placeholder="/a")),
    "has_prefix": lambda: old(has_prefix=f'lib/x\n"/old p" text "lib/x"\n{LONG_PREFIX} binary lib/x\n'),
    "symbolic link to another package": lambda: with_member(
        tarfile.SYMTYPE, "lib/s", "libc.so", path_type="softlink", sha256="0" * 64, size_in_bytes=9
    ),
    "info before the files": lambda: listed(paths_json(X), build=tar_bz2),
}


@pytest.mark.parametrize("case", VALID)
def test_a_valid_list_gives_no_warning(case: str, tmp_path: Path) -> None:
    """Covers the forms that current and old build tools write."""
    assert () == examine_file(VALID[case](), tmp_path).warnings


def test_files_beyond_the_limit_are_not_hashed(tmp_path: Path) -> None:
    """Presence and size are always compared; hashes only of the first bytes, since hashing costs more than unpacking."""
    files = {"a": b"1" * 60, "b": b"2" * 60, "c": b"3" * 40}
    file = conda(index_json(), files=files, paths=paths_json(files, sha256="0" * 64))
    (warning,) = examine_file(file, tmp_path, ArchiveLimits(hashed_bytes=100)).warnings
    assert "The sha256 of 'a', 'c' in the archive" in warning
    (warning,) = examine_file(file, tmp_path).warnings
    assert "The sha256 of 'a', 'b', 'c' in the archive" in warning


UNREADABLE: dict[str, dict[str, Any]] = {
    "no path_type": paths_json(X, path_type=...),
    "no paths_version": {"paths": paths_json(X)["paths"]},
    "a version of text": {**paths_json(X), "paths_version": "1"},
    "sha256 too short": paths_json(X, sha256="abc"),
    "sha256 with a line feed": paths_json(X, sha256="0" * 64 + "\n"),
    "empty sha256": paths_json(X, sha256=""),
    "negative size": paths_json(X, size_in_bytes=-1),
    "size with a fraction": paths_json(X, size_in_bytes=1.5),
    "no_link of null": paths_json(X, no_link=None),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_list_that_rattler_cannot_read_is_refused(case: str, tmp_path: Path) -> None:
    """rattler's reader of paths.json fails, and so does an installation with py-rattler or pixi."""
    file = conda(index_json(), files=X, paths=UNREADABLE[case])
    with pytest.raises(Refused) as refused:
        examine_file(file, tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason
    with pytest.raises(Exception, match=r"."):  # py-rattler's errors have no common class
        rattler.PathsJson.from_package_archive(tmp_path / file.name)


def test_another_paths_version_is_refused(tmp_path: Path) -> None:
    """conda requires an update of itself if paths_version is not 1."""
    with pytest.raises(Refused) as refused:
        examine_file(conda(index_json(), files=X, paths={**paths_json(X), "paths_version": 2}), tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason


ENTRY = '"_path": "lib/x", "path_type": "hardlink"'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"paths": [{{{ENTRY}, "path_type": "hardlink"}}], "paths_version": 1}}',
        f'{{"paths": [{{{ENTRY}, "path\\u005ftype": "hardlink"}}], "paths_version": 1}}',
        f'{{"paths": [{{{ENTRY}, "size_in_bytes": 1, "size_in_bytes": 1}}], "paths_version": 1}}',
        f'{{"paths": [{{{ENTRY}}}], "paths_version": 1, "paths_version": 1}}',
        f'{{"paths": [{{{ENTRY}, "size_in_bytes": {1 << 64}}}], "paths_version": 1}}',
    ],
)
def test_json_that_rattler_cannot_read_is_refused(text: str, tmp_path: Path) -> None:
    """Covers duplicate keys, also if one is escaped, and sizes above 64 bits."""
    file = conda(
        info={**info_files(index_json()), "info/paths.json": text.encode()}, files=X, file_name=f"{STEM}.conda"
    )
    with pytest.raises(Refused) as refused:
        examine_file(file, tmp_path)
    assert RefusalReason.BAD_JSON is refused.value.reason
    with pytest.raises(Exception, match=r"duplicate field|expected u64"):  # py-rattler's errors have no common class
        rattler.PathsJson.from_package_archive(tmp_path / file.name)


def test_has_prefix_is_ignored_if_paths_json_exists(tmp_path: Path) -> None:
    """Clients read paths.json instead, so a bad has_prefix needs no warning."""
    info = {**info_files(index_json(), paths=paths_json(X)), "info/has_prefix": b"/old foo lib/x\n"}
    assert () == examine_file(tar_bz2(info=info, files=X, file_name=TAR_BZ2), tmp_path).warnings


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.LNKTYPE])
def test_a_leading_dot_of_paths_is_dropped(kind: bytes, tmp_path: Path) -> None:
    """`tar cjf FILE .` writes such paths; clients install them, but indexers do not find the metadata."""
    files = {f"./{path}": content for path, content in {**info_files(index_json(), paths=paths_json(X)), **X}.items()}
    extra = [header(tarfile.DIRTYPE, "./"), header(kind, "./lib/h", "./lib/x")]
    file = PackageFile(TAR_BZ2, bz2.compress(Tar(files, extra).build()))
    (warning,) = examine_file(file, tmp_path).warnings
    assert "begin with ./" in warning
    duplicated = PackageFile(TAR_BZ2, bz2.compress(Tar({**files, **X}, extra).build()))
    with pytest.raises(Refused) as refused:
        examine_file(duplicated, tmp_path)
    assert RefusalReason.DUPLICATE_MEMBER is refused.value.reason
