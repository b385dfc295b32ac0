"""
Confirmation of dangerous actions on a page that lists the effects and has the button.

The page is shown with GET, so that it works without JavaScript and a reload does no harm; its form posts to the same path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seaway.errors import SeawayError
from seaway.web.admin.byte_sizes import parse_quota
from seaway.web.formats import size


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Content of a confirmation page."""

    question: str
    effects: Sequence[str]  # whole sentences, with counts
    button: str
    back: str  # path of the page that led here
    action: str  # path that the form posts to
    is_danger: bool = True
    typed: str = ""  # the name to type, if a click is not enough
    hidden: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""  # why it cannot be done now; then there is no button


def quota_confirmation(typed: str, used: int, what: str, action: str, back: str) -> Confirmation | None:
    """Return the confirmation of a quota below the use; None for any other quota, and for an invalid one."""
    try:
        quota = parse_quota(typed).quota
    except SeawayError:
        return None
    if quota is None or quota >= used:
        return None
    return Confirmation(
        question=f"Set a quota of {size(quota)}, below the current use?",
        effects=[
            f"Storage used by {what}: {size(used)}, {size(used - quota)} more than the new quota.",
            "Existing files stay and can be downloaded.",
            "Uploads are refused until less than the quota is used.",
        ],
        button="Set quota",
        back=back,
        action=action,
        hidden={"quota": typed, "confirmed": "yes"},
    )
