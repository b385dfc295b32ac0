"""
Message that confirms an action on the page that follows it.

The URL of that page holds only the action and a count, so a forged URL can only choose among these sentences.
"""

from urllib.parse import urlencode

from starlette.requests import Request

_PARTICIPLES = {
    "correct": "corrected",
    "restore": "restored to its original metadata",
    "yank": "yanked",
    "unyank": "unyanked",
    "delete": "deleted",
}
_MAX_DIGITS = 6


def with_message(path: str, action: str, count: int) -> str:
    """Return the path with query parameters that name the action and the count."""
    return f"{path}?{urlencode({'done': action, 'count': count})}"


def message_of(request: Request) -> str:
    """Return the sentence that confirms the action, or an empty string."""
    action = _PARTICIPLES.get(request.query_params.get("done", ""))
    count = request.query_params.get("count", "")
    if action is None or not count.isascii() or not count.isdigit() or len(count) > _MAX_DIGITS:
        return ""
    if int(count) == 0:
        return "Nothing changed."
    return f"The file was {action}." if int(count) == 1 else f"{int(count):,} files were {action}."
