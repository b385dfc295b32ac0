"""Search terms of a query, and the text that they are found in."""

import unicodedata

# Each term is another pass over user-supplied text: a hundred one-letter terms would keep a thread busy.
MAX_TERMS = 8


def fold(text: str) -> str:
    """Return a text without differences of case and encoding; databases would ignore the case of different letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def search_terms(text: str) -> list[str]:
    """Return the first `MAX_TERMS` terms, folded; further ones are ignored."""
    return fold(text).split()[:MAX_TERMS]
