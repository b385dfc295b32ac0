"""Search terms of a query."""

# Each term is another pass over user-supplied text: a hundred one-letter terms would keep a thread busy.
MOST_WORDS = 8


def wanted(text: str) -> list[str]:
    """Return the first `MOST_WORDS` terms in lowercase; further ones are ignored."""
    return text.lower().split()[:MOST_WORDS]
