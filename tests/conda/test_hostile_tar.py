"""The tar in a package: paths stay in their folder, all readers see the same members, nothing follows the end."""

import bz2
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seaway.conda.limits import KIB, ArchiveLimits
from seaway.conda.refusals import RefusalReason, Refused
from tests.support.hostile import (
    CONDA,
    END_OF_TAR,
    STEM,
    TAR_BZ2,
    examine_file,
    gnu_long,
    header,
    link,
    member,
    members_of,
    pax,
    pax_record,
)
from tests.support.packages import PackageFile, Tar, conda_bytes, index_json, info_files

INFO_FILES = info_files(index_json())
INFO = Tar(INFO_FILES).build()
PKG = Tar({"share/demo.txt": b"demo"}).build()
HARD, SYMBOLIC = b"1", b"2"
GNU, V7 = b"ustar  \0", b""
A = member("a", b"1")


def pkg(*members: bytes, end: bytes = END_OF_TAR) -> PackageFile:
    """A .conda with these members in its pkg part."""
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_tar=b"".join(members) + end))


def info(*members: bytes, end: bytes = END_OF_TAR) -> PackageFile:
    """A .conda with these members in its info part, in addition to the usual ones."""
    tar = members_of(INFO_FILES) + b"".join(members) + end
    return PackageFile(CONDA, conda_bytes(STEM, info_tar=tar, pkg_tar=PKG))


def whole(*members: bytes, end: bytes = END_OF_TAR) -> PackageFile:
    """A .tar.bz2 with these members in addition to those of info/."""
    return PackageFile(TAR_BZ2, bz2.compress(members_of(INFO_FILES) + b"".join(members) + end))


def of_type(type_flag: bytes, size: int = 0) -> PackageFile:
    return pkg(header("a", kind=type_flag, size=size) + bytes(-(-size // 512) * 512))


BAD_PATHS = {
    "absolute": "/etc/passwd",
    "parent folder": "../evil",
    "parent folder inside": "share/../../evil",
    "parent folder at the end": "share/..",
    "parent folder after a dot": "./../evil",
    "dot inside": "share/./x",
    "only a dot": ".",
    "two slashes": "share//x",
    "slash at the end of a file": "share/",
    "backslash": "share\\..\\..\\evil",
    "leading backslash": "\\evil",
    "drive": "C:/evil",
    "drive without a slash": "c:evil",
    "newline": "share/a\nb",
    "escape": "share/\x1b[2J",
    "delete": "share/a\x7f",
    "C1 control": "share/\x9b2J",
    "right-to-left override": "share/\u202egpj.exe",
    "directional isolates": "share/\u2066x\u2069",
    "invisible character": "share/a\u200bb",
    "no name": "",
}

REFUSED: dict[str, tuple[RefusalReason, Callable[[], PackageFile]]] = {
    **{
        f"path: {case}": (RefusalReason.UNSAFE_PATH, lambda path=path: pkg(member(path)))
        for case, path in BAD_PATHS.items()
    },
    "path: not UTF-8": (RefusalReason.UNSAFE_PATH, lambda: pkg(member(b"share/\xff"))),
    "path: incomplete UTF-8": (RefusalReason.UNSAFE_PATH, lambda: pkg(member(b"share/\xc3"))),
    "path: parent folder in the prefix": (RefusalReason.UNSAFE_PATH, lambda: pkg(member("x", prefix=b".."))),
    "path: absolute in the prefix": (RefusalReason.UNSAFE_PATH, lambda: pkg(member("x", prefix=b"/etc"))),
    "path: parent folder in a pax header": (RefusalReason.UNSAFE_PATH, lambda: pkg(pax({"path": "../x"}), A)),
    "path: empty in a pax header": (RefusalReason.UNSAFE_PATH, lambda: pkg(pax({"path": ""}), A)),
    "path: parent folder in a long name": (RefusalReason.UNSAFE_PATH, lambda: pkg(gnu_long("../x"), A)),
    "path: longer than 4096 bytes": (RefusalReason.UNSAFE_PATH, lambda: pkg(pax({"path": "x/" * 2048 + "x"}), A)),
    "path: in the info part": (RefusalReason.UNSAFE_PATH, lambda: info(member("info/../../x"))),
    "path: in a .tar.bz2": (RefusalReason.UNSAFE_PATH, lambda: whole(member("../x"))),
    "path: folder of the parent": (RefusalReason.UNSAFE_PATH, lambda: pkg(header("../", kind=b"5"))),
    "path: prefix that only some readers see, GNU": (
        RefusalReason.BAD_TAR,
        lambda: pkg(member("index.json", b"{}", prefix=b"info", magic=GNU)),
    ),
    "path: prefix that only some readers see, V7": (
        RefusalReason.BAD_TAR,
        lambda: pkg(member("index.json", b"{}", prefix=b"info", magic=V7)),
    ),
    "twice: a file": (RefusalReason.DUPLICATE_MEMBER, lambda: pkg(A, member("a", b"2"))),
    "twice: index.json": (RefusalReason.DUPLICATE_MEMBER, lambda: info(member("info/index.json", b"{}"))),
    "twice: file and folder": (RefusalReason.DUPLICATE_MEMBER, lambda: pkg(A, header("a/", kind=b"5"))),
    "twice: file and link": (RefusalReason.DUPLICATE_MEMBER, lambda: pkg(A, link("a", "b"))),
    "twice: a folder": (RefusalReason.DUPLICATE_MEMBER, lambda: pkg(header("a/", kind=b"5"), header("a", kind=b"5"))),
    "twice: by a long name": (RefusalReason.DUPLICATE_MEMBER, lambda: pkg(A, gnu_long("a"), member("b"))),
    "twice: in a .tar.bz2": (RefusalReason.DUPLICATE_MEMBER, lambda: whole(member("info/index.json", b"{}"))),
    "kind: character device": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"3")),
    "kind: block device": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"4")),
    "kind: pipe": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"6")),
    "kind: contiguous file": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"7")),
    "kind: GNU sparse file": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"S", size=512)),
    "kind: GNU folder dump": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"D", size=512)),
    "kind: second volume": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"M")),
    "kind: volume label": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"V")),
    "kind: old GNU names": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"N")),
    "kind: Solaris extension": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"X")),
    "kind: unknown": (RefusalReason.SPECIAL_MEMBER, lambda: of_type(b"z")),
    "pax: sparse map": (
        RefusalReason.SPECIAL_MEMBER,
        lambda: pkg(pax({"GNU.sparse.major": "1", "GNU.sparse.realsize": "9"}), A),
    ),
    "pax: another size with star's key": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"SCHILY.realsize": "5"}), A)),
    "pax: another path with GNU's key": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"GNU.sparse.name": "b"}), A)),
    "pax: unknown key": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"APPLE.thing": "x"}), A)),
    "pax: path for all following members": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"path": "x"}, b"g"), A)),
    "pax: size for all following members": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"size": "0"}, b"g"), A)),
    "pax: target for all following members": (
        RefusalReason.SPECIAL_MEMBER,
        lambda: pkg(pax({"linkpath": "x"}, b"g"), A),
    ),
    "pax: size that is not a number": (RefusalReason.SPECIAL_MEMBER, lambda: pkg(pax({"size": "-1"}), A)),
    "pax: two sizes": (RefusalReason.BAD_TAR, lambda: pkg(pax({"size": "3"}), A)),
    "pax: two headers with two sizes": (
        RefusalReason.BAD_TAR,
        lambda: pkg(pax({"size": "512"}), pax({"size": "1024"}), header("a"), bytes(1024)),
    ),
    "pax: size of a link": (RefusalReason.BAD_TAR, lambda: pkg(pax({"size": "512"}), link("a", "b"), bytes(512))),
    "pax: two names": (RefusalReason.BAD_TAR, lambda: pkg(pax({"path": "b"}), pax({"path": "c"}), A)),
    "pax: two names in two formats": (RefusalReason.BAD_TAR, lambda: pkg(gnu_long("b"), pax({"path": "c"}), A)),
    "pax: two targets": (
        RefusalReason.BAD_TAR,
        lambda: pkg(gnu_long("b", b"K"), pax({"linkpath": "c"}), link("a", "d")),
    ),
    "pax: the same key twice": (
        RefusalReason.BAD_TAR,
        lambda: pkg(member("PaxHeaders/0", pax_record("path", b"b") + pax_record("path", b"c"), kind=b"x"), A),
    ),
    "pax: wrong length": (RefusalReason.BAD_TAR, lambda: pkg(member("PaxHeaders/0", b"99 path=b\n", kind=b"x"), A)),
    "pax: no length": (RefusalReason.BAD_TAR, lambda: pkg(member("PaxHeaders/0", b"path=b\n", kind=b"x"), A)),
    "pax: length of zero": (RefusalReason.BAD_TAR, lambda: pkg(member("PaxHeaders/0", b"0 path=b\n", kind=b"x"), A)),
    "pax: no newline": (RefusalReason.BAD_TAR, lambda: pkg(member("PaxHeaders/0", b"9 path=bc", kind=b"x"), A)),
    "pax: key without a value": (RefusalReason.BAD_TAR, lambda: pkg(member("PaxHeaders/0", b"7 path\n", kind=b"x"), A)),
    "pax: path that is not UTF-8": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(member("PaxHeaders/0", pax_record("path", b"\xff"), kind=b"x"), A),
    ),
    "pax: 70 kB": (RefusalReason.BAD_TAR, lambda: pkg(pax({"comment": "x" * 70_000}), A)),
    "pax: no member after it": (RefusalReason.BAD_TAR, lambda: pkg(pax({"path": "b"}))),
    "long name: no member after it": (RefusalReason.BAD_TAR, lambda: pkg(gnu_long("b"))),
    "long name: twice": (RefusalReason.BAD_TAR, lambda: pkg(gnu_long("b"), gnu_long("c"), A)),
    "header: wrong checksum": (RefusalReason.BAD_TAR, lambda: pkg(member("a", checksum=b"000777\0 "))),
    "header: no checksum": (RefusalReason.BAD_TAR, lambda: pkg(member("a", checksum=b"        "))),
    "header: size that is not a number": (RefusalReason.BAD_TAR, lambda: pkg(header("a", size_field=b"0000000009x\0"))),
    "header: negative size": (RefusalReason.BAD_TAR, lambda: pkg(header("a", size_field=b"-0000000001\0"))),
    "header: negative size, base 256": (RefusalReason.BAD_TAR, lambda: pkg(header("a", size_field=b"\xff" * 12))),
    "header: size of a petabyte": (
        RefusalReason.BAD_TAR,
        lambda: pkg(header("a", size_field=b"\x80" + (1 << 50).to_bytes(11, "big"))),
    ),
    "header: more bytes than the tar has": (RefusalReason.BAD_TAR, lambda: pkg(header("a", size=5000), b"only these")),
    "header: folder with content": (RefusalReason.BAD_TAR, lambda: pkg(header("a", kind=b"5", size=3), bytes(512))),
    "header: symlink with content": (
        RefusalReason.BAD_TAR,
        lambda: pkg(header("a", kind=SYMBOLIC, target="b", size=3), bytes(512)),
    ),
    "header: hard link with content": (
        RefusalReason.BAD_TAR,
        lambda: pkg(A, header("b", kind=HARD, target="a", size=3), bytes(512)),
    ),
    "end: missing": (RefusalReason.BAD_TAR, lambda: pkg(A, end=b"")),
    "end: inside a header": (RefusalReason.BAD_TAR, lambda: pkg(A, header("b")[:300], end=b"")),
    "end: inside a file": (RefusalReason.BAD_TAR, lambda: pkg(header("a", size=4096), bytes(512), end=b"")),
    "end: no bytes at all": (RefusalReason.BAD_TAR, lambda: pkg(end=b"")),
    "end: garbage after": (RefusalReason.BAD_TAR, lambda: pkg(A, end=END_OF_TAR + b"garbage")),
    "end: a member after": (RefusalReason.BAD_TAR, lambda: pkg(A, end=END_OF_TAR + member("b", b"2") + END_OF_TAR)),
    "end: a member after one zero block": (RefusalReason.BAD_TAR, lambda: pkg(A, end=bytes(512) + A)),
    "end: a byte after 3 MiB of zeros": (RefusalReason.BAD_TAR, lambda: pkg(A, end=bytes(3 << 20) + b"\1")),
    "end: garbage after info": (RefusalReason.BAD_TAR, lambda: info(end=END_OF_TAR + b"garbage")),
    "end: garbage after a .tar.bz2": (RefusalReason.BAD_TAR, lambda: whole(end=END_OF_TAR + b"garbage")),
    "link: symlink in info": (RefusalReason.LINK_IN_INFO, lambda: info(link("info/about", "index.json"))),
    "link: hard link in info": (RefusalReason.LINK_IN_INFO, lambda: info(link("info/about", "info/index.json", HARD))),
    "link: info itself": (RefusalReason.LINK_IN_INFO, lambda: info(link("info", "share"))),
    "link: info of a .tar.bz2": (RefusalReason.LINK_IN_INFO, lambda: whole(link("info/git", "../share"))),
    "link: no target": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", ""))),
    "link: newline in the target": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", "b\nc"))),
    "link: very long target": (RefusalReason.UNSAFE_PATH, lambda: pkg(pax({"linkpath": "x" * 5000}), link("a", "b"))),
    "link: hard link to the parent folder": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(link("a", "../../etc/passwd", HARD)),
    ),
    "link: hard link through the parent folder": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", "b/../../c", HARD))),
    "link: hard link to an absent member": (RefusalReason.BROKEN_LINK, lambda: pkg(A, link("b", "c", HARD))),
    "link: hard link to a later member": (RefusalReason.BROKEN_LINK, lambda: pkg(link("b", "a", HARD), A)),
    "link: hard link to itself": (RefusalReason.BROKEN_LINK, lambda: pkg(A, link("b", "b", HARD))),
    "link: hard link to a folder": (
        RefusalReason.BROKEN_LINK,
        lambda: pkg(header("d/", kind=b"5"), link("b", "d", HARD)),
    ),
    "link: hard link by a relative path": (
        RefusalReason.BROKEN_LINK,
        lambda: pkg(member("lib/a", b"a"), link("lib/b", "a", HARD)),
    ),
    "link: hard link into the other part": (
        RefusalReason.BROKEN_LINK,
        lambda: pkg(A, link("b", "info/index.json", HARD)),
    ),
    "link: absolute hard link": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", "/etc/passwd", HARD))),
    "link: hard link by a long target": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(gnu_long("../../x", b"K"), link("a", "b", HARD)),
    ),
    "behind: an absolute link": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", "/etc"), member("a/passwd"))),
    "behind: a link to the parent folder": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(link("a", "../.."), member("a/b/c")),
    ),
    "behind: a link to a drive": (RefusalReason.UNSAFE_PATH, lambda: pkg(link("a", "C:\\"), member("a/b"))),
    "behind: a link that differs by case": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(link("Lib", "/etc"), member("lib/x")),
    ),
    "behind: a link behind another link": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(link("a/b/top", "../.."), link("a/b/top/up", "../.."), member("a/b/top/up/x")),
    ),
    "behind: a link to the parent folder through a link": (
        RefusalReason.UNSAFE_PATH,
        lambda: pkg(link("a/here", "."), link("a/up", "here/here/here/../../../.."), member("a/up/x")),
    ),
    "behind: hard link to a file behind an escaping link": (
        RefusalReason.BROKEN_LINK,
        lambda: pkg(link("etc", "/etc"), link("a", "etc/passwd", HARD)),
    ),
    "behind: a file": (RefusalReason.UNSAFE_PATH, lambda: pkg(A, member("a/b"))),
    "place: info/ in the pkg part": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(member("info/index.json", b"{}"))),
    "place: info/ by the prefix": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(member("index.json", prefix=b"info"))),
    "place: info/ by a pax header": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(pax({"path": "info/index.json"}), A)),
    "place: the folder info in the pkg part": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(header("info/", kind=b"5"))),
    "place: info/ in another case": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(member("Info/Index.json", b"{}"))),
    "place: a link in info/ of the pkg part": (
        RefusalReason.LINK_IN_INFO,
        lambda: pkg(link("info/licenses/x", "/etc/passwd")),
    ),
    "place: a license twice": (
        RefusalReason.DUPLICATE_MEMBER,
        lambda: pkg(member("info/licenses/x", b"a"), member("info/licenses/x", b"b")),
    ),
    "place: info as a link in the pkg part": (RefusalReason.MISPLACED_MEMBER, lambda: pkg(link("info", "share"))),
    "place: other files in the info part": (RefusalReason.MISPLACED_MEMBER, lambda: info(member("bin/evil"))),
    "place: a look-alike of info/": (RefusalReason.MISPLACED_MEMBER, lambda: info(member("information/x"))),
}

ACCEPTED: dict[str, Callable[[], PackageFile]] = {
    "plain": lambda: pkg(A),
    "no members": pkg,
    "one block of zeros": lambda: pkg(A, end=bytes(512)),
    "padded to 10 kB": lambda: pkg(A, end=bytes(10240)),
    "kind of old tars": lambda: pkg(member("a", b"1", kind=b"\0", magic=V7)),
    "long name of GNU": lambda: pkg(gnu_long("share/" + "x" * 200), member("share/xxx", b"1", magic=GNU)),
    "long target of GNU": lambda: pkg(gnu_long("x" * 200, b"K"), link("a", "xxx")),
    "long name in the prefix": lambda: pkg(member("x" * 90, b"1", prefix=b"share/" + b"y" * 100)),
    "path of pax": lambda: pkg(pax({"path": "share/" + "x" * 200}), member("share/xxx", b"1")),
    "target of pax": lambda: pkg(pax({"linkpath": "x" * 200}), link("a", "xxx")),
    "size of pax": lambda: pkg(pax({"size": "3"}), header("a"), b"123" + bytes(509)),
    "size of pax, stated twice": lambda: pkg(pax({"size": "3"}), member("a", b"123")),
    "times and owners of pax": lambda: pkg(pax({"mtime": "1.5", "uname": "me", "SCHILY.fflags": "nodump"}), A),
    "comment for all following members": lambda: pkg(pax({"comment": "a commit"}, b"g"), A),
    "size in base 256": lambda: pkg(header("a", size_field=b"\x80" + bytes(10) + b"\3"), b"123" + bytes(509)),
    "size with spaces": lambda: pkg(header("a", size_field=b"          3\0"), b"123" + bytes(509)),
    "letters": lambda: pkg(member("share/Grüße, 日本.txt")),
    "spaces and colons": lambda: pkg(member("share/man/Foo::Bar (1).3")),
    "paths that differ by case": lambda: pkg(A, member("A", b"2")),
    "a file and a folder that differ by case": lambda: pkg(member("share/LICENSE"), member("share/license/MIT")),
    "folders": lambda: pkg(header("share/", kind=b"5"), header("share/demo", kind=b"5"), member("share/demo/x")),
    "symlink to a neighbour": lambda: pkg(member("lib/a.so.1"), link("lib/a.so", "a.so.1")),
    "symlink up and down": lambda: pkg(link("lib/python/x", "../../share/x")),
    "symlink before its target": lambda: pkg(link("b", "a"), A),
    "hard link": lambda: pkg(A, link("b", "a", HARD)),
    "hard link to a symbolic link": lambda: pkg(A, link("s", "a"), link("b", "s", HARD)),
    "hard link to a hard link": lambda: pkg(A, link("b", "a", HARD), link("c", "b", HARD)),
    "dots in names": lambda: pkg(member("share/..x/...")),
    "licenses in the pkg part, as conda-package-handling wrote them": lambda: pkg(A, member("info/licenses/x", b"MIT")),
    "a name that starts with info": lambda: pkg(member("information/x"), member("share/info/x")),
    "folder info": lambda: info(header("info/test/", kind=b"5"), member("info/test/run.sh", b"true")),
    ".tar.bz2 with info at the end": lambda: PackageFile(
        TAR_BZ2, bz2.compress(A + members_of(INFO_FILES) + END_OF_TAR)
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_tar_is_refused(case: str, tmp_path: Path) -> None:
    """A tar that writes outside its folder, or that readers read differently, is refused with the reason."""
    reason, build = REFUSED[case]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path)
    assert reason is refused.value.reason


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_valid_tar_is_accepted(case: str, tmp_path: Path) -> None:
    """Tars as in real packages are accepted; only names that Windows or macOS cannot store give a warning."""
    assert not [warning for warning in examine_file(ACCEPTED[case](), tmp_path).warnings if "is noarch" not in warning]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tarfile_is_accepted(format_: int, tmp_path: Path) -> None:
    """Long paths, links and folders are read in each format that Python writes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for path, type_, target in (
            ("lib", tarfile.DIRTYPE, ""),
            ("lib/" + "long/" * 24 + "x", tarfile.REGTYPE, ""),
            ("lib/link", tarfile.SYMTYPE, "long"),
            ("lib/hard", tarfile.LNKTYPE, "lib/link"),
        ):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mtime = type_, target, 1_700_000_000.25
            tar.addfile(entry)
    file = PackageFile(CONDA, conda_bytes(STEM, info_tar=INFO, pkg_tar=buffer.getvalue()))
    assert () == examine_file(file, tmp_path).warnings


ESCAPING = {
    "absolute": link("lib/a", "/etc/passwd"),
    "parent folder": link("lib/a", "../../x"),
    "parent folder at the end": link("lib/a", "b/../../.."),
    "backslashes": link("lib/a", "..\\..\\x"),
    "drive": link("lib/a", "c:x"),
    "network share": link("lib/a", "\\\\host\\share"),
    "through another link": link("lib/here", ".") + link("lib/a", "here/here/../../.."),
}


@pytest.mark.parametrize("case", ESCAPING)
def test_an_escaping_link_gives_a_warning(case: str, tmp_path: Path) -> None:
    """A link out of the package folder is accepted with a warning that names it."""
    (warning,) = examine_file(pkg(ESCAPING[case]), tmp_path).warnings
    assert "a -> " in warning


@pytest.mark.parametrize("case", ESCAPING)
def test_an_escaping_link_is_refused_if_configured(case: str, tmp_path: Path) -> None:
    """With the setting `escaping_links = refuse`, the same package is refused."""
    with pytest.raises(Refused) as refused:
        examine_file(pkg(ESCAPING[case]), tmp_path, refuse_escaping_links=True)
    assert RefusalReason.ESCAPING_LINK is refused.value.reason


FEW = ArchiveLimits(members=5, info_members=4, info_bytes=16 * KIB, index_json_bytes=512, other_json_bytes=128)

ABOVE_LIMITS: dict[str, tuple[RefusalReason, Callable[[], PackageFile]]] = {
    "six members": (RefusalReason.TOO_MANY_MEMBERS, lambda: pkg(*(member(f"a{n}") for n in range(6)))),
    "extension headers count": (
        RefusalReason.TOO_MANY_MEMBERS,
        lambda: pkg(*(pax({"path": f"a{n}"}) + A for n in range(3))),
    ),
    "five members of info": (RefusalReason.TOO_MANY_MEMBERS, lambda: info(member("info/a"), member("info/b"))),
    "six members of a .tar.bz2": (RefusalReason.TOO_MANY_MEMBERS, lambda: whole(*(member(f"a{n}") for n in range(3)))),
    "info of 16 KiB in a .tar.bz2": (
        RefusalReason.INFO_TOO_LARGE,
        lambda: whole(member("info/licence", bytes(16 * KIB))),
    ),
    "large link.json": (RefusalReason.INFO_TOO_LARGE, lambda: info(member("info/link.json", bytes(129)))),
    "large run_exports.json": (RefusalReason.INFO_TOO_LARGE, lambda: info(member("info/run_exports.json", bytes(129)))),
}


@pytest.mark.parametrize("case", ABOVE_LIMITS)
def test_a_package_above_the_limits_is_refused(case: str, tmp_path: Path) -> None:
    """The number of members and the size of info/ are limited in both formats."""
    reason, build = ABOVE_LIMITS[case]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path, FEW)
    assert reason is refused.value.reason
    assert re.search(r"(more|larger) than [\d,]+ (members|bytes), the limit", refused.value.message)
    assert refused.value.hint


SETTINGS = {
    "archive_members": (ArchiveLimits(members=3), lambda: pkg(*(member(f"a{n}") for n in range(4)))),
    "archive_info_members": (ArchiveLimits(info_members=3), lambda: info(member("info/a"))),
    "archive_info_bytes": (ArchiveLimits(info_bytes=8 * KIB), lambda: info(member("info/a", bytes(9 * KIB)))),
    "archive_unpacked_bytes": (ArchiveLimits(max_unpacked_bytes=8 * KIB), lambda: pkg(member("a", bytes(9 * KIB)))),
    "archive_unpacked_ratio": (
        ArchiveLimits(min_unpacked_bytes=0, unpacked_bytes_per_byte=1),
        lambda: pkg(member("a", bytes(99 * KIB))),
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_refusal_names_the_setting_of_the_limit(setting: str, tmp_path: Path) -> None:
    """The hint names the setting to change."""
    limits, build = SETTINGS[setting]
    with pytest.raises(Refused) as refused:
        examine_file(build(), tmp_path, limits)
    assert f"raise {setting}." in refused.value.hint


@pytest.mark.parametrize("build", [pkg, whole], ids=[".conda", ".tar.bz2"])
def test_a_package_at_the_limits_is_accepted(build: Callable[..., PackageFile], tmp_path: Path) -> None:
    """Limits are inclusive."""
    assert () == examine_file(build(A, member("b")), tmp_path, FEW).warnings


def test_the_path_limit_counts_bytes(tmp_path: Path) -> None:
    """The path limit counts bytes, not characters, and is inclusive."""
    limits = ArchiveLimits(path_bytes=20)
    assert () == examine_file(pkg(member("ü" * 10)), tmp_path, limits).warnings
    with pytest.raises(Refused) as refused:
        examine_file(pkg(member("ü" * 10 + "x")), tmp_path, limits)
    assert RefusalReason.UNSAFE_PATH is refused.value.reason
