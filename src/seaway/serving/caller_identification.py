"""
Identify the caller of a request by its secrets; no other function does this.

1. Whether a secret is valid is read from the current rows (P6); malformed secrets are refused without a query.
2. Each route states which kinds of secret it accepts (`Accepted`); other kinds count as malformed there.
3. A secret counts only in the place for its kind: session secrets in the cookie, every other kind in a header or, for
   reads of a channel, in the path. Headers and URLs are logged and shared; cookies are not.
4. The account policy of the site is applied to every caller.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from seaway import secret_tokens
from seaway.callers.caller import ANONYMOUS, Caller
from seaway.database.engine import Tx
from seaway.keys import api_keys
from seaway.oauth import grants
from seaway.secret_tokens import KeyKind
from seaway.sign_in import sessions
from seaway.sign_in.account_policy import apply_policy
from seaway.sign_in.policy_settings import AccountPolicy
from seaway.trusted_publishing import tokens

_KNOWN_BY: Mapping[KeyKind, Callable[[Tx, str, int], Caller | None]] = {
    KeyKind.USER: api_keys.caller_of,
    KeyKind.SESSION: sessions.caller_of,
    KeyKind.OAUTH_ACCESS: grants.caller_of,
    KeyKind.WORKFLOW: tokens.caller_of,
}


class Accepted(Enum):
    """The kinds of secret that a route accepts; the value is the set of kinds."""

    ANY = frozenset(_KNOWN_BY)  # pages, the API, reads of a channel
    BEARER = frozenset(_KNOWN_BY) - {KeyKind.SESSION}  # uploads by clients
    SESSION = frozenset({KeyKind.SESSION})
    OAUTH = frozenset({KeyKind.OAUTH_ACCESS})  # the access token of an OAuth grant
    WORKFLOW = frozenset({KeyKind.WORKFLOW})  # the token that a workflow got in exchange for its issuer's token


class Secrets(NamedTuple):
    """The secrets of a request: `bearer` from header and path, most likely first; `session` from the cookie."""

    bearer: tuple[str, ...] = ()
    session: str = ""


def identify(tx: Tx, now_ms: int, policy: AccountPolicy, secrets: Secrets, accepted: Accepted) -> Caller:
    """Return the caller with the first valid secret of an accepted kind, or `ANONYMOUS`."""
    for kind, secret in _carried(secrets):
        if kind in accepted.value:
            by = _KNOWN_BY[kind](tx, secret, now_ms)
            if by is not None:
                return apply_policy(tx, policy, by)
    return ANONYMOUS


def _carried(secrets: Secrets) -> Iterator[tuple[KeyKind, str]]:
    """Yield the well-formed secrets that are in the place for their kind (invariant 3)."""
    for secret in secrets.bearer:
        kind = secret_tokens.kind_of(secret)
        if kind is not None and kind is not KeyKind.SESSION:
            yield kind, secret
    if secrets.session:
        yield KeyKind.SESSION, secrets.session
