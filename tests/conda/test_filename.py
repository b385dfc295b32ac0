"""Names of packages and of their files (CEP 26)."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from seaway.conda.filename import FileName, build_problem, name_problem, normalize_name, parse, version_problem
from seaway.conda.refusals import RefusalReason, Refused
from seaway.conda.subdir import KNOWN_SUBDIRS, is_known_subdir
from tests.support.hostile import examine_file
from tests.support.packages import conda, index_json, real_packages

SPLIT = {
    "demo-1.0-h1_0.conda": ("demo", "1.0", "h1_0", ".conda"),
    "demo-1.0-h1_0.tar.bz2": ("demo", "1.0", "h1_0", ".tar.bz2"),
    "a-b-c-1.0-0.conda": ("a-b-c", "1.0", "0", ".conda"),
    "_r-mutex-1.0.1-anacondar_1.tar.bz2": ("_r-mutex", "1.0.1", "anacondar_1", ".tar.bz2"),
    "x-1!2.0+local_1-PY3.conda": ("x", "1!2.0+local_1", "PY3", ".conda"),
    "rbabout-1.0RC1-h4616a5c_0.conda": ("rbabout", "1.0RC1", "h4616a5c_0", ".conda"),
    "beagle-5.4_22Jul22.46e-hdfd78af_0.tar.bz2": ("beagle", "5.4_22Jul22.46e", "hdfd78af_0", ".tar.bz2"),
    "demo-1.0-a.tar.bz2.conda": ("demo", "1.0", "a.tar.bz2", ".conda"),
    f"{'n' * 64}-{'1' * 64}-{'b' * 64}.tar.bz2": ("n" * 64, "1" * 64, "b" * 64, ".tar.bz2"),
}

NAMES = "only lowercase letters, digits and - _ . are allowed"
VERSIONS = "only ASCII letters, digits and . _ + ! are allowed"
BUILDS = "only ASCII letters, digits and _ . + are allowed"

# Each text with the rule that it breaks, as worded in the refusal.
NOT_FILE_NAMES = {
    "empty": ("", "does not end in .conda or .tar.bz2"),
    "only an extension": (".conda", "it has fewer than two hyphens"),
    "no extension": ("demo-1.0-h1_0", "does not end in .conda or .tar.bz2"),
    "extension in upper case": ("demo-1.0-h1_0.CONDA", "does not end in .conda or .tar.bz2"),
    "another extension": ("demo-1.0-h1_0.zip", "does not end in .conda or .tar.bz2"),
    "part of an extension": ("demo-1.0-h1_0.bz2", "does not end in .conda or .tar.bz2"),
    "an attestation": ("demo-1.0-h1_0.conda.sigs", "does not end in .conda or .tar.bz2"),
    "newline at the end": ("demo-1.0-h1_0.conda\n", "does not end in .conda or .tar.bz2"),
    "newline before the extension": ("demo-1.0-h1_0\n.conda", f"The build string contains '\\n'; {BUILDS}"),
    "two parts": ("demo-1.0.conda", "it has fewer than two hyphens"),
    "empty name": ("-1.0-h1_0.conda", "The package name is empty"),
    "empty version": ("demo--h1_0.conda", "The version is empty"),
    "empty build": ("demo-1.0-.conda", "The build string is empty"),
    "name in upper case": (
        "Demo-1.0-h1_0.conda",
        "The package name contains the capital letter 'D'; package names are in lower case",
    ),
    "virtual package": (
        "__cuda-12-0.conda",
        "The package name starts with two underscores, which only virtual packages do",
    ),
    "leading dot": (".demo-1.0-h1_0.conda", "The package name starts with - or ."),
    "underscore alone": ("_-1.0-h1_0.conda", "The package name has neither a letter nor a digit"),
    "two separators": ("a._b-1.0-h1_0.conda", "The package name has two of the characters - _ . in a row"),
    "leading folder": ("noarch/demo-1.0-h1_0.conda", f"The package name contains '/'; {NAMES}"),
    "parent folder": ("../demo-1.0-h1_0.conda", f"The package name contains '/'; {NAMES}"),
    "backslash": ("..\\demo-1.0-h1_0.conda", f"The package name contains '\\\\'; {NAMES}"),
    "NUL": ("demo\0-1.0-h1_0.conda", f"The package name contains '\\x00'; {NAMES}"),
    "space": ("demo -1.0-h1_0.conda", f"The package name contains ' '; {NAMES}"),
    "a second download": ("demo-1.0-h1_0 (1).conda", f"The build string contains ' '; {BUILDS}"),
    "escaped": ("demo-1.0-h1%5f0.conda", f"The build string contains '%'; {BUILDS}"),
    "digits of another script": ("demo-\u0661.0-h1_0.conda", f"The version contains '\\u0661'; {VERSIONS}"),
    "capitals of another script": ("demo-1.0\u00c4-h1_0.conda", f"The version contains '\\xc4'; {VERSIONS}"),
    "a letter that folds to s": ("\u017f-1.0-0.conda", f"The package name contains '\\u017f'; {NAMES}"),
    "name of 65": (f"{'n' * 65}-1-0.conda", "The package name has 65 characters; at most 64 are allowed"),
    "version of 65": (f"n-{'1' * 65}-0.conda", "The version has 65 characters; at most 64 are allowed"),
    "build of 65": (f"n-1-{'b' * 65}.conda", "The build string has 65 characters; at most 64 are allowed"),
    "212 characters": ("n" * 206 + ".conda", "has 212 characters; at most 211 are allowed"),
}


@pytest.mark.parametrize("text", SPLIT)
def test_a_file_name_is_split(text: str) -> None:
    """A file name splits at its last two hyphens, and its parts give the same name again."""
    file_name = parse(text)
    assert FileName(*SPLIT[text]) == file_name
    assert text == str(file_name)


@pytest.mark.parametrize("case", NOT_FILE_NAMES)
def test_an_invalid_file_name_is_refused(case: str) -> None:
    """A name that CEP 26 does not allow is refused as a bad file name, with the rule that it breaks."""
    text, rule = NOT_FILE_NAMES[case]
    with pytest.raises(Refused) as refused:
        parse(text)
    assert RefusalReason.BAD_FILE_NAME is refused.value.reason
    assert rule in refused.value.full_message.replace(f" in the file name {text!a}", "")


@given(st.text(st.sampled_from("aA0-_.+!\n/\\ é"), max_size=30), st.sampled_from(["", ".conda", ".tar.bz2"]))
def test_any_text_is_a_file_name_or_refused(text: str, extension: str) -> None:
    """For any text, parse refuses it or returns parts that give the same text again."""
    try:
        assert text + extension == str(parse(text + extension))
    except Refused as refused:
        reason = refused.reason
    else:
        return
    assert RefusalReason.BAD_FILE_NAME is reason


def test_a_hostile_name_is_escaped_in_the_message() -> None:
    """A refused name is shown short, on one line, without control characters."""
    with pytest.raises(Refused) as refused:
        parse("\x1b[2J\u202e\n" * 100)
    assert refused.value.full_message.isprintable()
    assert len(refused.value.full_message) < 512


def allowed_name(text: str) -> bool:
    """Independent statement of CEP 26: lower case, at most one leading underscore, no two adjacent separators."""
    pairs = itertools.pairwise(text)
    return (
        set(text) <= set("a0_-.")
        and text[0] not in "-."
        and text != "_"
        and not any(left in "_-." and right in "_-." for left, right in pairs)
    )


def test_every_short_name_is_checked_as_cep_26_says() -> None:
    """All texts of up to five of these characters: exactly the names allowed by the rule are accepted."""
    texts = ("".join(letters) for length in range(1, 6) for letters in itertools.product("a0_-.A\n", repeat=length))
    assert [] == [text for text in texts if (not name_problem(text)) != allowed_name(text)]


@pytest.mark.parametrize(
    ("problem_of", "character"),
    [(name_problem, "n"), (version_problem, "1"), (version_problem, "R"), (build_problem, "B")],
)
def test_a_part_has_at_most_64_characters(problem_of: Callable[[str], str], character: str) -> None:
    assert [False, True, False] == [not problem_of(character * count) for count in (0, 64, 65)]


def test_names_of_real_packages_are_valid() -> None:
    """Every valid package of tests/data has a file name that CEP 26 allows."""
    names = [package.path.name for package in real_packages() if package.is_good]
    assert names == [str(parse(name)) for name in names]


@pytest.mark.parametrize(
    ("left", "right", "are_equal"),
    [
        ("my-pkg", "my_pkg", True),
        ("my-pkg", "My.Pkg", True),
        ("my-pkg", "my-_.pkg", True),
        ("_my-pkg", "my-pkg-", True),
        ("my-pkg", "mypkg", False),
        ("a1", "al", False),
    ],
)
def test_normalization_of_similar_names(left: str, right: str, are_equal: bool) -> None:
    """Two names are equal after normalization if they differ only by case and separators."""
    assert are_equal == (normalize_name(left) == normalize_name(right))


# `PLATFORMS` of conda 26.7 and `KnownPlatform` of mamba 2.8.
PLATFORMS = [
    "emscripten-wasm32",
    "freebsd-64",
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv32",
    "linux-riscv64",
    "linux-s390x",
    "noarch",
    "osx-64",
    "osx-arm64",
    "wasi-wasm32",
    "win-32",
    "win-64",
    "win-arm64",
    "zos-z",
]


def test_every_platform_of_a_client_is_known() -> None:
    """Every platform of rattler, conda and mamba is a known subdir; rattler has more, such as freebsd-ppc64le."""
    known = [str(subdir) for subdir in rattler.Subdir.all()]
    assert {"freebsd-ppc64", "freebsd-ppc64le", *PLATFORMS} <= set(known)
    assert [] == [name for name in known if not is_known_subdir(name)]
    assert known == list(KNOWN_SUBDIRS)


@pytest.mark.parametrize("subdir", ["freebsd-ppc64", "freebsd-ppc64le", "linux-loongarch64"])
def test_a_package_for_any_known_platform_is_accepted(subdir: str, tmp_path: Path) -> None:
    file = conda(index_json(subdir=subdir, noarch=...))
    assert subdir == examine_file(file, tmp_path).subdir


def test_an_unknown_subdir_is_not_known() -> None:
    """noarch is known; names that only resemble platforms are not."""
    assert is_known_subdir("noarch")
    assert [] == [name for name in ("", "NOARCH", "linux", "linux-65", "noarch\n", "unknown") if is_known_subdir(name)]
