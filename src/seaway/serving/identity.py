"""
Who asks, by the secret that came with the request: each kind of secret has one place that knows it.

1. Whether a secret is good is asked of today's rows (P6), and garbage is refused without asking.
"""

from collections.abc import Callable, Mapping, Sequence

from seaway import ids
from seaway.accounts import keys, sessions, tools
from seaway.accounts.principal import ANONYMOUS, Principal
from seaway.clock import Clock
from seaway.database.engine import Tx
from seaway.ids import KeyKind
from seaway.trust import tokens

_KNOWN_BY: Mapping[KeyKind, Callable[[Tx, str, int], Principal | None]] = {
    KeyKind.USER: keys.principal_of,
    KeyKind.SESSION: sessions.principal_of,
    KeyKind.TOOL: tools.principal_of,
    KeyKind.WORKFLOW: tokens.principal_of,
}


def identify(tx: Tx, clock: Clock, secrets: Sequence[str]) -> Principal:
    """Who asks, by the first good credential; a stale one on a public channel counts as none."""
    for secret in secrets:
        kind = ids.kind_of(secret)
        if kind is None or kind not in _KNOWN_BY:
            continue
        principal = _KNOWN_BY[kind](tx, secret, clock.now_ms())
        if principal is not None:
            return principal
    return ANONYMOUS
