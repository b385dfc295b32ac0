"""Search terms of a query."""

# Each term is another pass over user-supplied text: a hundred one-letter terms would keep a thread busy.
MAX_TERMS = 8


def search_terms(text: str) -> list[str]:
    """Return the first `MAX_TERMS` terms in lowercase; further ones are ignored."""
    return text.lower().split()[:MAX_TERMS]
