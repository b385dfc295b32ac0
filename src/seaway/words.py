"""What somebody types to find something, as the words that are looked for."""

# Each word is another pass over names and texts of strangers' choosing: a hundred of one letter would hold a thread.
MOST_WORDS = 8


def wanted(text: str) -> list[str]:
    """The first words, folded; those behind them narrow nothing."""
    return text.lower().split()[:MOST_WORDS]
