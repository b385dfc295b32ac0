"""Numbers with a noun."""

import pytest

from seaway.counted_nouns import counted


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 blobs"), (1, "1 blob"), (2, "2 blobs"), (1_000, "1,000 blobs")]
)
def test_noun_agrees_with_its_number(number: int, expected: str) -> None:
    assert expected == counted(number, "blob")


def test_irregular_plural_is_given() -> None:
    assert ("1 entry", "2 entries") == tuple(counted(number, "entry", "entries") for number in (1, 2))
