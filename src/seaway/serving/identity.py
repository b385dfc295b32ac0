"""
Identify the caller of a request by the secrets that it carries: the only function that does.

1. Whether a secret is good is read from today's rows (P6); garbage is refused without a query.
2. A route says which kinds of secret it accepts (`Accepted`); any other kind counts as garbage there.
3. A secret counts only where its kind is carried: that of a session in its cookie, every other one in a header or,
   for reads of a channel, in the path. Headers and addresses are logged and shared; cookies are not.
4. The account policy of the site is applied to every caller.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from seaway import ids
from seaway.accounts import keys, sessions, tools
from seaway.accounts.policy import Policy
from seaway.accounts.principal import ANONYMOUS, Principal
from seaway.accounts.standing import judged
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


class Accepted(Enum):
    """Which kinds of secret a route accepts; the value is the set of them."""

    ANY = frozenset(_KNOWN_BY)  # pages, the API, reads of a channel
    BEARER = frozenset(_KNOWN_BY) - {KeyKind.SESSION}  # what clients publish with
    SESSION = frozenset({KeyKind.SESSION})
    TOOL = frozenset({KeyKind.TOOL})  # the access token of a tool that a user logged in
    WORKFLOW = frozenset({KeyKind.WORKFLOW})  # what a workflow got for the token of its issuer


class Secrets(NamedTuple):
    """The secrets of a request by what carries them: `bearer` in the header or path, most likely first, `session` in the cookie."""

    bearer: tuple[str, ...] = ()
    session: str = ""


@dataclass(frozen=True, slots=True)
class Identifying:
    """What identifying a caller needs besides the database."""

    clock: Clock
    policy: Policy


def identify(tx: Tx, parts: Identifying, secrets: Secrets, accepted: Accepted) -> Principal:
    """Return the caller by the first good secret of an accepted kind; `ANONYMOUS` without one."""
    for kind, secret in _carried(secrets):
        if kind in accepted.value:
            principal = _KNOWN_BY[kind](tx, secret, parts.clock.now_ms())
            if principal is not None:
                return judged(tx, parts.policy, principal)
    return ANONYMOUS


def _carried(secrets: Secrets) -> Iterator[tuple[KeyKind, str]]:
    """The well-formed secrets, each where its kind is carried."""
    for secret in secrets.bearer:
        kind = ids.kind_of(secret)
        if kind is not None and kind is not KeyKind.SESSION:
            yield kind, secret
    if secrets.session:
        yield KeyKind.SESSION, secrets.session
