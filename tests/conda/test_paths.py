"""Every field that clients use as a path goes through one check; each is tested with hostile paths of each kind."""

import json
import ntpath
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seaway.conda import filename, paths
from seaway.conda.paths import is_safe
from seaway.conda.refusals import RefusalReason, Refused
from tests.support import packages
from tests.support.hostile import CONDA, CONTROLS, END_OF_TAR, STEM, TAR_BZ2, examine_file, link, member, pax
from tests.support.packages import PackageFile, conda_bytes, index_json, info_files

INVISIBLE = ["\u200b", "\u202e", "\u2066", "\ufeff", "\u00a0"]
CLIMBING = ["..", ".", "", ".. ", " ..", ". ", " "]
DRIVES = ["C:", "c:x", "Z:..", "C:windows", "1:x", ".:"]
REPLACED = ["", "site-packages/", "python-scripts/"]  # the folders that clients replace in noarch python packages

plain_parts = st.lists(st.text("abcXYZ019_-+~%ü", min_size=1, max_size=8), min_size=1, max_size=4)


@st.composite
def hostile_paths(draw: st.DrawFn) -> str:
    """A plain path with one forbidden part."""
    parts = draw(plain_parts)
    position = draw(st.integers(0, len(parts)))
    match draw(st.sampled_from(["absolute", "climbing", "drive", "backslash", "control"])):
        case "absolute":
            return "/" + "/".join(parts)
        case "climbing":
            return "/".join([*parts[:position], draw(st.sampled_from(CLIMBING)), *parts[position:]])
        case "drive":
            return draw(st.sampled_from(REPLACED)) + "/".join([draw(st.sampled_from(DRIVES)), *parts])
        case kind:
            path = "/".join(parts)
            char = "\\" if kind == "backslash" else draw(st.sampled_from(CONTROLS + INVISIBLE))
            at = draw(st.integers(0, len(path)))
            return path[:at] + char + path[at:]


HOSTILE = [
    "", "/", "/etc/passwd", "//host/share", "..", "../escaped-sp", "a/../../b", "a/..", ".", "./a", "a/.", "a//b", "a/",
    "a/.. /b", "a/.. ./b", "a/. ./b", "..\\x", "a\\b", "\\\\host\\share", "C:", "C:x", "C:/x", "C:\\x", "python-scripts/C:/x", "site-packages/D:x",
    "a\0b", "a\nb", "a\tb", "a\x1bb", "a\x7fb", "a\x85b", "a\u2028b", "a\u202eb", "a\u200bb",
]  # fmt: skip


def with_info(file: str, content: str, *, old: bool = False, member: str = "") -> PackageFile:
    """A package with this file of info/ and, if its path is safe, this member; old packages have no paths.json."""
    files = {"share/demo.txt": b"", **({member: b""} if is_safe(member) else {})}
    info = info_files(index_json(), paths=...) if old else info_files(index_json())
    info = {**info, "info/files": b"share/demo.txt\n", f"info/{file}": content.encode()}
    return (
        packages.tar_bz2(info=info, files=files, file_name=TAR_BZ2)
        if old
        else packages.conda(info=info, file_name=CONDA)
    )


def with_members(tar: bytes) -> PackageFile:
    """A .conda with these members in its pkg part."""
    info = packages.Tar(info_files(index_json())).build()
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=info, pkg_tar=tar + END_OF_TAR))


def menu(**item: Any) -> PackageFile:
    """A package with a menu file of one item."""
    menu_name = item.pop("menu_name", "Demo")
    content = {"menu_name": menu_name, "menu_items": [{"name": "Demo", "command": ["demo"], **item}]}
    return packages.conda(index_json(), files={"Menu/demo.json": json.dumps(content).encode()})


def listed(paths: dict[str, Any], path: str) -> PackageFile:
    """A package with this paths.json and, if its path is safe, the member."""
    files = {path: b""} if is_safe(path) else {}
    return packages.conda(index_json(), files=files, paths=paths)


def linked(**fields: Any) -> PackageFile:
    return packages.conda(index_json(noarch="python"), link={"package_metadata_version": 1, **fields})


def indexed(**fields: Any) -> PackageFile:
    return packages.conda(index_json(**fields), file_name=CONDA)


@dataclass(frozen=True)
class PathField:
    """Part of a package that clients use as a path."""

    make: Callable[[str], PackageFile]
    reason: RefusalReason = RefusalReason.UNSAFE_PATH
    controls: RefusalReason = RefusalReason.UNSAFE_PATH  # the reason for a control character
    is_line: bool = False  # ends at a line feed; surrounding blanks are dropped
    drops_dot: bool = False  # a leading `./` is dropped


FIELDS = {
    "member": PathField(lambda path: with_members(pax({"path": path}) + member("x")), drops_dot=True),
    "target of a hard link": PathField(lambda path: with_members(pax({"linkpath": path}) + link("x", "y", b"1")), drops_dot=True),
    "paths.json": PathField(lambda path: listed({"paths": [{"_path": path, "path_type": "hardlink"}], "paths_version": 1}, path)),
    "info/files": PathField(lambda path: with_info("files", f"{path}\n", old=True, member=path), is_line=True),
    "info/no_link": PathField(lambda path: with_info("no_link", f"a\n{path}\nb\n"), is_line=True),
    "info/no_softlink": PathField(lambda path: with_info("no_softlink", f"{path}\n"), is_line=True),
    "info/has_prefix": PathField(lambda path: with_info("has_prefix", f"/opt/x text {path}\n"), is_line=True),
    "info/has_prefix, quoted": PathField(
        lambda path: with_info("has_prefix", f'"/opt/x y" binary "{path}"\r\n', old=True), is_line=True
    ),
    "python_site_packages_path": PathField(
        lambda path: indexed(python_site_packages_path=path), controls=RefusalReason.BAD_FIELD
    ),
    "entry point": PathField(
        lambda path: linked(noarch={"type": "python", "entry_points": [f"{path} = m:f"]}),
        RefusalReason.UNSAFE_ENTRY_POINT, RefusalReason.BAD_FIELD,
    ),
    "executable of another environment": PathField(
        lambda path: linked(preferred_env={"name": "_a_", "executable_paths": [path]}), controls=RefusalReason.BAD_FIELD
    ),
    "link of another environment": PathField(
        lambda path: linked(preferred_env={"name": "_a_", "softlink_paths": [path]}), controls=RefusalReason.BAD_FIELD
    ),
    "another environment": PathField(lambda path: linked(preferred_env={"name": path})),
    "menu": PathField(lambda path: menu(menu_name=path)),
    "menu item": PathField(lambda path: menu(name=path)),
    "menu item of an environment": PathField(lambda path: menu(name={"target_environment_is_not_base": path})),
    "menu item of a platform": PathField(lambda path: menu(platforms={"win": {"name": path}})),
    "bundle of a menu item": PathField(lambda path: menu(platforms={"osx": {"CFBundleName": path}})),
    "link in a bundle": PathField(lambda path: menu(platforms={"osx": {"link_in_bundle": {"/usr/bin/x": path}}})),
    "subdir": PathField(lambda path: indexed(subdir=path), RefusalReason.UNKNOWN_SUBDIR, RefusalReason.UNKNOWN_SUBDIR),
    "name": PathField(lambda path: indexed(name=path), RefusalReason.BAD_PACKAGE_NAME, RefusalReason.BAD_PACKAGE_NAME),
    "version": PathField(lambda path: indexed(version=path), RefusalReason.BAD_VERSION, RefusalReason.BAD_VERSION),
}  # fmt: skip


def reaches_field(field: PathField, path: str) -> bool:
    """Return whether the path reaches the field unchanged."""
    if field.drops_dot and path.startswith("./"):
        return False
    return not field.is_line or ("\n" not in path and path == path.strip() != "")


@pytest.mark.parametrize("name", FIELDS)
@settings(
    max_examples=40,
    deadline=timedelta(seconds=5),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(path=hostile_paths() | st.sampled_from(HOSTILE))
@example(path="../escaped-sp")
@example(path="/escaped-sp")
def test_a_hostile_path_is_refused_in_every_field(name: str, path: str, tmp_path: Path) -> None:
    """Paths invariant 1: the reason is that of the field, independent of the kind of bad path."""
    field = FIELDS[name]
    if not reaches_field(field, path):
        return
    with pytest.raises(Refused) as refused:
        examine_file(field.make(path), tmp_path)
    assert (field.controls if set(path) & set(CONTROLS) else field.reason) is refused.value.reason


@pytest.mark.parametrize("path", [path for path in HOSTILE if path])
def test_a_hostile_path_is_refused_in_every_part_of_a_file_name(path: str) -> None:
    """A file name is one component; a path in any of its parts is refused."""
    for name in (f"{path}-1.0-0.conda", f"a-{path}/-0.conda", f"a-1.0-{path}/.conda", f"{path}/a-1.0-0.conda"):
        with pytest.raises(Refused) as refused:
            filename.parse(name)
        assert RefusalReason.BAD_FILE_NAME is refused.value.reason


@pytest.mark.parametrize("path", ["a/b", "", "..", "C:x", "a\\b"])
@pytest.mark.parametrize("field", ["preferred_env", "icon"])
def test_names_in_index_json_are_single_components(field: str, path: str, tmp_path: Path) -> None:
    """Old clients create the environment and the icon under these names; empty names create nothing."""
    file = indexed(**{field: path})
    if path:
        with pytest.raises(Refused) as refused:
            examine_file(file, tmp_path)
        assert RefusalReason.UNSAFE_PATH is refused.value.reason
    else:
        assert "" == examine_file(file, tmp_path).record[field]


UNPORTABLE = [
    "share/man/man3/B::Deparse.3", "ab:c", "share/doc/a:b", "conin$", "share/CONOUT$.txt", "share/what?.txt", "a*", "a|b", "a<b", 'say "hi"', "aux", "share/NUL.txt", "lib/com1/x",
    "lpt9.tar.gz", "con .x", "dir./x", "a ", "a.",
]  # fmt: skip
PORTABLE = [
    "auxiliary.py",
    "console/x",
    "com10",
    "lib/nul_device",
    ".hidden",
    "a/..b",
    "~a",
    "share/\u00fc/x y",
    "com/x",
]


def with_files(*names: str, **fields: Any) -> PackageFile:
    return packages.conda(index_json(**fields), files=dict.fromkeys(names, b""))


@pytest.mark.parametrize("path", UNPORTABLE)
def test_a_noarch_path_that_windows_cannot_store_gives_a_warning(path: str, tmp_path: Path) -> None:
    """The package cannot be installed on Windows; a package for another platform can have such paths."""
    (warning,) = examine_file(with_files("share/x", path), tmp_path).warnings
    assert f"Windows cannot store {path!a}" in warning
    assert () == examine_file(with_files("share/x", path, noarch=..., subdir="linux-64"), tmp_path).warnings


def test_a_portable_noarch_path_gives_no_warning(tmp_path: Path) -> None:
    """Names that only start like device names are common."""
    assert () == examine_file(with_files(*PORTABLE), tmp_path).warnings


@pytest.mark.parametrize("second", ["SHARE/X", "share/\u0178".lower(), "Share/x"])
def test_noarch_paths_that_collide_on_a_file_system_give_a_warning(second: str, tmp_path: Path) -> None:
    """macOS ignores case and the composition of letters with accents."""
    first = "share/y\u0308" if "\u00ff" in second else "share/x"
    (warning,) = examine_file(with_files(first, second), tmp_path).warnings
    assert f"treat {first!a}, {second!a} as the same file" in warning
    assert () == examine_file(with_files(first, second, noarch=..., subdir="linux-64"), tmp_path).warnings


VALID = [
    "lib/python3.13/site-packages", "Lib/site-packages", "a", "a b/c d", ".hidden", "..a", "a..", "a/...", "share/man/B::Deparse.3",
    "share/ü/日本", "ab:c", "share/doc/a:b", "bin/[", "~a", "%2e%2e", "x" * 255, "/".join(["x" * 255] * 3),
]  # fmt: skip


@pytest.mark.parametrize("path", VALID)
@pytest.mark.parametrize("name", ["member", "paths.json", "info/files", "info/has_prefix", "python_site_packages_path"])
def test_a_valid_path_is_accepted(name: str, path: str, tmp_path: Path) -> None:
    """Blanks, dots in names and letters of any language occur in real paths."""
    assert STEM == examine_file(FIELDS[name].make(path), tmp_path).file_name.stem


MENUS = {
    "placeholders": {"menu_name": "{{ DISTRIBUTION_NAME }} ${PY_VER}", "name": "Demo ({{ENV_NAME}})"},
    "a command and an icon anywhere": {"command": ["/bin/sh"], "icon": "{{ MENU_DIR }}/x.{{ ICON_EXT }}"},
    "a working folder": {"working_dir": "{{ HOME }}"},
    "links in a bundle": {
        "platforms": {"osx": {"link_in_bundle": {"{{ PREFIX }}/a": "{{ MENU_ITEM_LOCATION }}/Contents/a"}}}
    },
    "a folder in the menu": {"menu_name": "Tools/Demo"},
}


@pytest.mark.parametrize("case", MENUS)
def test_a_valid_menu_is_accepted(case: str, tmp_path: Path) -> None:
    """A shortcut can run any command, and its name can depend on the environment."""
    assert CONDA == str(examine_file(menu(**MENUS[case]), tmp_path).file_name)


@pytest.mark.parametrize("name", ["{{ HOME }}", "{{HOME}}/x", "${USERPROFILE}/x", "{{ PREFIX }}", "x/{{ MENU_DIR }}"])
def test_a_placeholder_that_is_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    """A client replaces it with an absolute path, which overrides the folder for shortcuts."""
    with pytest.raises(Refused) as refused:
        examine_file(menu(name=name), tmp_path)
    assert RefusalReason.UNSAFE_PATH is refused.value.reason


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("Menu/demo.json", b"{", RefusalReason.BAD_JSON),
        ("menu/sub/demo.JSON", b'{"menu_name": "a", "menu_name": "../x"}', RefusalReason.BAD_JSON),
        ("Menu/demo.json", b'{"menu_name": "' + b"x" * 1024 * 1024 + b'"}', RefusalReason.INFO_TOO_LARGE),
    ],
)
def test_an_ambiguous_or_unreadable_menu_file_is_refused(
    path: str, content: bytes, reason: RefusalReason, tmp_path: Path
) -> None:
    """Clients select menu files with conda's pattern, ignoring case."""
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(), files={path: content}), tmp_path)
    assert reason is refused.value.reason


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("Menu/demo.txt", b"{"),
        ("share/Menu/demo.json", b"{"),
        ("Menu/a.json", b"[]"),
        ("Menu/a.json", b'{"menu_items":3}'),
    ],
)
def test_other_files_are_not_read_as_menus(path: str, content: bytes, tmp_path: Path) -> None:
    """Other files below Menu/ and other JSON create no shortcuts."""
    assert CONDA == str(examine_file(packages.conda(index_json(), files={path: content}), tmp_path).file_name)


EVIL = json.dumps({"menu_name": "../../evil"}).encode()
LINKED_MENUS = {
    "a symbolic link": member("share/evil.txt", EVIL) + link("Menu/x.json", "../share/evil.txt"),
    "a hard link": member("share/evil.txt", EVIL) + link("menu/x.JSON", "share/evil.txt", b"1"),
    "the folder": member("share/m/x.json", EVIL) + link("Menu", "share/m"),
    "a folder in it": member("share/m/x.json", EVIL) + link("MENU/sub", "../share/m"),
}


@pytest.mark.parametrize("case", LINKED_MENUS)
def test_a_menu_file_that_is_a_link_is_refused(case: str, tmp_path: Path) -> None:
    """Clients follow the link to a file that was not checked."""
    with pytest.raises(Refused) as refused:
        examine_file(with_members(LINKED_MENUS[case]), tmp_path)
    assert RefusalReason.UNSAFE_PATH is refused.value.reason


@pytest.mark.parametrize("placeholder", ["@@", "a", '/b", "z": "', "/b\\", "C:x", "/a\nb"])
def test_a_prefix_placeholder_in_a_menu_file_must_be_a_path(placeholder: str, tmp_path: Path) -> None:
    """Otherwise the environment path could be inserted anywhere, or join two strings."""
    entry = {"_path": "Menu/demo.json", "path_type": "hardlink", "file_mode": "text", "prefix_placeholder": placeholder}
    files = {"Menu/demo.json": b'{"menu_name": "@@a"}', "share/demo.txt": b"@@"}
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(), files=files, paths={"paths": [entry], "paths_version": 1}), tmp_path)
    assert RefusalReason.UNSAFE_PATH is refused.value.reason
    if placeholder.isprintable() and '"' not in placeholder and "\\" not in placeholder:
        with pytest.raises(Refused):
            examine_file(with_info("has_prefix", f"{placeholder} text Menu/demo.json\n"), tmp_path)
    other_entry = {**entry, "_path": "share/demo.txt"}
    package = packages.conda(index_json(), files=files, paths={"paths": [other_entry], "paths_version": 1})
    assert package.name == str(examine_file(package, tmp_path).file_name)


@pytest.mark.parametrize("placeholder", ["/opt/anaconda1anaconda2anaconda3", "C:\\bld\\_h_env", "D:/bld/my env"])
def test_a_build_prefix_in_a_menu_file_is_accepted(placeholder: str, tmp_path: Path) -> None:
    """Build tools write such placeholders."""
    entry = {"_path": "Menu/demo.json", "path_type": "hardlink", "file_mode": "text", "prefix_placeholder": placeholder}
    paths = {"paths": [entry], "paths_version": 1}
    package = packages.conda(index_json(), files={"Menu/demo.json": b"{}"}, paths=paths)
    assert package.name == str(examine_file(package, tmp_path).file_name)


@pytest.mark.parametrize(
    "text",
    [
        '{"paths": [{"_path": "../x", "_path": "a", "path_type": "hardlink"}], "paths_version": 1}',
        '{"paths": [{"\\u005fpath": "../x", "_path": "a", "path_type": "hardlink"}], "paths_version": 1}',
        '{"paths": [{"_path": "../x", "\\u005fpath": "a", "path_type": "hardlink"}], "paths_version": 1}',
        '{"paths": [{"_path": "../x", "path_type": "hardlink"}], "paths": [{"_path": "a", "path_type": "hardlink"}], "paths_version": 1}',
        '{"paths": [{"_path": "../x", "path_type": "hardlink"}], "path\\u0073": [{"_path": "a", "path_type": "hardlink"}], "paths_version": 1}',
    ],
)
def test_a_path_stated_twice_is_refused(text: str, tmp_path: Path) -> None:
    """If an entry has two paths, some clients use the first and others the last."""
    info = {**info_files(index_json()), "info/paths.json": text.encode()}
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(info=info, file_name=CONDA), tmp_path)
    assert RefusalReason.BAD_JSON is refused.value.reason


@pytest.mark.parametrize("examples", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_safe_path_stays_below_its_folder(examples: int) -> None:
    """Paths invariant 2: holds on POSIX and Windows, also without the folder that clients replace."""

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(path=st.builds(str.__add__, st.sampled_from(REPLACED), st.text("aC:./\\ ~", max_size=8)) | hostile_paths())
    def check(path: str) -> None:
        if not paths.is_safe(path):
            return
        replaced = path.startswith(tuple(REPLACED[1:]))
        for kept in (path, path.partition("/")[2] if replaced else ""):
            for system, folder in ((posixpath, "/env"), (ntpath, "C:\\env")):
                below = system.normpath(system.join(folder, kept))
                assert not kept or below.startswith(folder + system.sep)

    check()


def test_the_length_of_a_path_is_limited() -> None:
    """The limit is 4,096 bytes, the smallest limit of the supported systems."""
    assert paths.is_safe("a" * 4096)
    assert not paths.is_safe("a" * 4097)
    assert not paths.is_safe("ü" * 2049)


@pytest.mark.parametrize("name", ["member", "paths.json", "info/files", "info/has_prefix, quoted"])
def test_a_name_too_long_for_file_systems_is_refused(name: str, tmp_path: Path) -> None:
    """Paths invariant 3: the limit counts the bytes of one component."""
    with pytest.raises(Refused, match="longer than 255 bytes") as refused:
        examine_file(FIELDS[name].make("share/" + "\u00fc" * 128), tmp_path)
    assert RefusalReason.UNSAFE_PATH is refused.value.reason


def test_a_command_too_long_for_file_systems_is_refused(tmp_path: Path) -> None:
    """Paths invariant 3: clients write a script with this name."""
    with pytest.raises(Refused, match="longer than 255 bytes"):
        examine_file(linked(noarch={"type": "python", "entry_points": ["x" * 256 + " = m:f"]}), tmp_path)
