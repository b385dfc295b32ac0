"""Every case of security that a test cites is explained, and what is said to hold it is there."""

import re

from tests.docs.test_manual import ROOT, rows

PAGE = "security-cases.md"
CITED = re.compile(r"\bcases? (\d+(?:(?:, | and | to )\d+)*)", re.IGNORECASE)


def numbers(cited: str) -> set[int]:
    """`22, 31` and `19 and 20` are two each, `1 to 3` are three."""
    found: set[int] = set()
    for part in re.split(r", | and ", cited):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_citations_are_read_as_they_are_written() -> None:
    """A form that is not understood would go unchecked."""
    text = "Cases 1 to 3 and 7: so; case 22, 31 as well (CASE 5), in case of 9."
    assert {1, 2, 3, 5, 7, 22, 31} == {one for cited in CITED.findall(text) for one in numbers(cited)}


def test_every_cited_case_has_its_row() -> None:
    """Once: two rows for a number would contradict each other some day."""
    documented = [int(row[0]) for row in rows(PAGE)[1:]]
    here = ROOT / "tests" / "docs"
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.py") if here not in path.parents]
    cited = {one for text in texts for found in CITED.findall(text) for one in numbers(found)}

    assert cited
    assert set() == cited - set(documented)
    assert len(documented) == len(set(documented))


def test_every_test_that_is_named_exists() -> None:
    """Each row names one at least."""
    named = {row[0]: re.findall(r"`(tests/[^`]+)`", row[2]) for row in rows(PAGE)[1:]}

    assert [] == [case for case, files in named.items() if not files]
    assert [] == sorted({file for files in named.values() for file in files if not (ROOT / file).is_file()})
