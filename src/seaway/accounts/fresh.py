"""A cookie alone may have been stolen: what is grave needs a proof of a short while ago that the person is there."""

from seaway.accounts.principal import Principal
from seaway.clock import MINUTE_MS
from seaway.errors import NotConfirmed

FRESH_MS = 30 * MINUTE_MS


def require_fresh(principal: Principal, now_ms: int) -> None:
    """Return if the person proved to be there a short while ago."""
    if principal.is_operator:
        return
    if principal.confirmed_at_ms is None or principal.confirmed_at_ms + FRESH_MS <= now_ms:
        raise NotConfirmed("This needs a fresh sign-in.", "Confirm that it is you, then do it again.")


def require_recent_sign_in(principal: Principal, now_ms: int) -> None:
    """Return if the session began a short while ago, by whichever way: enough for the first second factor only."""
    if principal.signed_in_at_ms is None or principal.signed_in_at_ms + FRESH_MS <= now_ms:
        raise NotConfirmed("This needs a fresh sign-in.", "Sign in again, then do it again.")
