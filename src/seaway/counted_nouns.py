"""Numbers with a noun, for text that people read."""


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return the number with the noun in the right form, such as "1 blob" or "1,000 blobs"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
