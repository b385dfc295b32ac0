"""Confirmation of a quota below the current use."""

from seaway.errors import SeawayError
from seaway.web.action_confirmation import Confirmation
from seaway.web.admin.byte_sizes import parse_quota
from seaway.web.formats import size


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
