"""Sizes in forms: parsing and formatting."""

import re

from seaway.api.v1.quotas import QuotaUpdate
from seaway.errors import Malformed

# Commas are allowed between thousands only: "1,5 TB" means one and a half, so it is refused instead of read as 15.
_NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,16})(?:\.\d{1,6})?"
_SIZE = re.compile(rf"({_NUMBER})\s*(b|kb|mb|gb|tb)?", re.IGNORECASE | re.ASCII)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def parse_quota(text: str) -> QuotaUpdate:
    """Return the quota for a size such as `20 GB`, `1.5 TB` or `1000`; unlimited for an empty text."""
    if not text:
        return QuotaUpdate(quota=None)
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Malformed(
            "The quota is not a size such as 20 GB or 1.5 TB.",
            "Use B, kB, MB, GB or TB, and commas between thousands only, or leave the field empty.",
            field="quota",
        )
    size = round(float(found[1].replace(",", "")) * _UNITS[(found[2] or "b").lower()])
    return QuotaUpdate.parse({"quota": size})


def format_quota(quota: int | None) -> str:
    """Format a quota for the form, exact to the byte."""
    if quota is None:
        return ""
    unit = next((name for name in ("TB", "GB", "MB", "kB") if quota and quota % _UNITS[name.lower()] == 0), "B")
    return f"{quota // _UNITS[unit.lower()]} {unit}"
