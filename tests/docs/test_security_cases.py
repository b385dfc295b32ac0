"""Every security case that a test cites is in the manual, and the tests named there exist."""

import re

from tests.docs.test_manual import ROOT, rows

PAGE = "security-cases.md"
CITED = re.compile(r"\bcases? (\d+(?:(?:, | and | to )\d+)*)", re.IGNORECASE)


def case_numbers(cited: str) -> set[int]:
    """Return the case numbers: `22, 31` and `19 and 20` are two each, `1 to 3` are three."""
    found: set[int] = set()
    for part in re.split(r", | and ", cited):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_citations_are_parsed() -> None:
    """A form of citation that is not recognized would not be checked."""
    text = "Cases 1 to 3 and 7: so; case 22, 31 as well (CASE 5), in case of 9."
    assert {1, 2, 3, 5, 7, 22, 31} == {case for cited in CITED.findall(text) for case in case_numbers(cited)}


def test_every_cited_case_has_one_row() -> None:
    """Two rows for one number could contradict each other."""
    documented = [int(row[0]) for row in rows(PAGE)[1:]]
    docs_tests = ROOT / "tests" / "docs"
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.py") if docs_tests not in path.parents]
    cited = {case for text in texts for found in CITED.findall(text) for case in case_numbers(found)}

    assert cited
    assert set() == cited - set(documented)
    assert len(documented) == len(set(documented))


def test_every_row_names_existing_tests() -> None:
    named = {row[0]: re.findall(r"`(tests/[^`]+)`", row[2]) for row in rows(PAGE)[1:]}

    assert [] == [case for case, files in named.items() if not files]
    assert [] == sorted({file for files in named.values() for file in files if not (ROOT / file).is_file()})
