"""Numbers as people read them."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Bytes, in the unit that leaves up to three digits before the point."""
    value = float(abs(count))
    unit = 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    said = f"{value:.0f}" if unit == 0 or value >= 99.95 else f"{value:.1f}"
    return f"{'−' if count < 0 else ''}{said} {_UNITS[unit]}"


def grown(count: int) -> str:
    """A difference in bytes, with its sign."""
    return "as large" if count == 0 else f"+{size(count)}" if count > 0 else size(count)
