"""Names of packages and of their files, as CEP 26 has them."""

import itertools

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from seaway.conda.filename import FileName, folded, is_build, is_name, is_version, parse
from seaway.conda.refusals import Reason, Refused
from seaway.conda.subdir import KNOWN_SUBDIRS, NOARCH, is_known
from tests.support.packages import real_packages

SPLIT = {
    "demo-1.0-h1_0.conda": ("demo", "1.0", "h1_0", ".conda"),
    "demo-1.0-h1_0.tar.bz2": ("demo", "1.0", "h1_0", ".tar.bz2"),
    "a-b-c-1.0-0.conda": ("a-b-c", "1.0", "0", ".conda"),
    "_r-mutex-1.0.1-anacondar_1.tar.bz2": ("_r-mutex", "1.0.1", "anacondar_1", ".tar.bz2"),
    "x-1!2.0+local_1-PY3.conda": ("x", "1!2.0+local_1", "PY3", ".conda"),
    "demo-1.0-a.tar.bz2.conda": ("demo", "1.0", "a.tar.bz2", ".conda"),
    f"{'n' * 64}-{'1' * 64}-{'b' * 64}.tar.bz2": ("n" * 64, "1" * 64, "b" * 64, ".tar.bz2"),
}

NOT_FILE_NAMES = {
    "nothing": "",
    "only an extension": ".conda",
    "no extension": "demo-1.0-h1_0",
    "extension in upper case": "demo-1.0-h1_0.CONDA",
    "another extension": "demo-1.0-h1_0.zip",
    "part of an extension": "demo-1.0-h1_0.bz2",
    "an attestation": "demo-1.0-h1_0.conda.sigs",
    "newline behind": "demo-1.0-h1_0.conda\n",
    "newline before the extension": "demo-1.0-h1_0\n.conda",
    "two parts": "demo-1.0.conda",
    "empty name": "-1.0-h1_0.conda",
    "empty version": "demo--h1_0.conda",
    "empty build": "demo-1.0-.conda",
    "name in upper case": "Demo-1.0-h1_0.conda",
    "version in upper case": "demo-1.0A-h1_0.conda",
    "virtual package": "__cuda-12-0.conda",
    "folder in front": "noarch/demo-1.0-h1_0.conda",
    "climbing": "../demo-1.0-h1_0.conda",
    "backslash": "..\\demo-1.0-h1_0.conda",
    "NUL": "demo\0-1.0-h1_0.conda",
    "space": "demo -1.0-h1_0.conda",
    "escaped": "demo-1.0-h1%5f0.conda",
    "digits of another script": "demo-\u0661.0-h1_0.conda",
    "a letter that folds to s": "\u017f-1.0-0.conda",
    "name of 65": f"{'n' * 65}-1-0.conda",
    "version of 65": f"n-{'1' * 65}-0.conda",
    "build of 65": f"n-1-{'b' * 65}.conda",
    "212 characters": "n" * 206 + ".conda",
}


@pytest.mark.parametrize("text", SPLIT)
def test_a_file_name_is_split(text: str) -> None:
    """A name splits at its last two hyphens, and is put together again as it was."""
    file_name = parse(text)
    assert FileName(*SPLIT[text]) == file_name
    assert text == str(file_name)


@pytest.mark.parametrize("case", NOT_FILE_NAMES)
def test_what_is_no_file_name_is_refused(case: str) -> None:
    """What CEP 26 does not allow is refused as a bad file name, whatever it looks like."""
    with pytest.raises(Refused) as refused:
        parse(NOT_FILE_NAMES[case])
    assert Reason.BAD_FILE_NAME is refused.value.reason


@given(st.text(st.sampled_from("aA0-_.+!\n/\\ é"), max_size=30), st.sampled_from(["", ".conda", ".tar.bz2"]))
def test_any_text_is_a_file_name_or_refused(text: str, extension: str) -> None:
    """Of any text, parse says no, or gives parts that make the same text again."""
    try:
        assert text + extension == str(parse(text + extension))
    except Refused as refused:
        reason = refused.reason
    else:
        return
    assert Reason.BAD_FILE_NAME is reason


def test_a_message_shows_a_hostile_name_harmlessly() -> None:
    """A refused name is shown short, on one line, without control characters."""
    with pytest.raises(Refused) as refused:
        parse("\x1b[2J\u202e\n" * 100)
    assert refused.value.sentence.isprintable()
    assert len(refused.value.sentence) < 512


def allowed_name(text: str) -> bool:
    """CEP 26 in other words: lower case, one underscore at most in front, separators one at a time."""
    pairs = itertools.pairwise(text)
    return (
        set(text) <= set("a0_-.")
        and text[0] not in "-."
        and text != "_"
        and not any(left in "_-." and right in "_-." for left, right in pairs)
    )


def test_every_short_name_is_judged_as_the_rule_says() -> None:
    """Of all texts of up to five of these characters, exactly those are names that the rule allows."""
    texts = ("".join(letters) for length in range(1, 6) for letters in itertools.product("a0_-.A\n", repeat=length))
    assert [] == [text for text in texts if is_name(text) != allowed_name(text)]


@pytest.mark.parametrize(("judge", "letter"), [(is_name, "n"), (is_version, "1"), (is_build, "B")])
def test_a_part_has_at_most_64_characters(judge, letter: str) -> None:  # type: ignore[no-untyped-def]
    """64 characters are allowed, 65 and none are not."""
    assert [False, True, False] == [judge(letter * count) for count in (0, 64, 65)]


def test_the_name_of_a_real_package_is_one() -> None:
    """Every good package of tests/data has a file name that CEP 26 allows."""
    names = [package.path.name for package in real_packages() if package.is_good]
    assert names == [str(parse(name)) for name in names]


@pytest.mark.parametrize(
    ("left", "right", "are_one"),
    [
        ("my-pkg", "my_pkg", True),
        ("my-pkg", "My.Pkg", True),
        ("my-pkg", "my-_.pkg", True),
        ("_my-pkg", "my-pkg-", True),
        ("my-pkg", "mypkg", False),
        ("a1", "al", False),
    ],
)
def test_names_that_look_alike(left: str, right: str, are_one: bool) -> None:
    """Two names are look-alikes when they differ only by case and by which separators they have."""
    assert are_one == (folded(left) == folded(right))


def test_every_known_subdir_is_a_platform_of_rattler() -> None:
    """rattler knows each platform of the table, and reads it as itself."""
    assert list(KNOWN_SUBDIRS) == [str(rattler.Subdir(name)) for name in KNOWN_SUBDIRS]


def test_what_is_no_known_subdir() -> None:
    """noarch is known; names that only look like platforms are not."""
    assert is_known(NOARCH)
    assert [] == [name for name in ("", "NOARCH", "linux", "linux-65", "noarch\n", "unknown") if is_known(name)]
