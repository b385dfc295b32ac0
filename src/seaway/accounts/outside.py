"""
Signing in with an account elsewhere: the way there, and the way back (RFC 6749, 4.1; RFC 7636; RFC 9700).

1. What comes back is believed only in the browser that was sent, once, within ten minutes: the secret of the flow is
   in its cookie, and the `state` in the address is made from it and tells nothing of it.
2. The code is good only with the verifier, which never leaves the server; an ID token only with the nonce.
3. An account elsewhere signs in the user to whom it is linked, and nobody else. That an address is the same links
   nothing: who has taken over an address would have taken over the account (case 24).
4. Linking needs the person signed in here, the same one at both ends of the way.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from sqlalchemy import select

from seaway.accounts import github, identities, sign_ins, tool_codes
from seaway.accounts.fetching import Fetcher
from seaway.accounts.oidc import OpenIdProviders
from seaway.accounts.principal import Principal
from seaway.accounts.providers import Dialect, Outsider, Provider, Providers, callback
from seaway.accounts.sign_ins import Pending
from seaway.clock import Clock
from seaway.database.engine import Database, Tx
from seaway.database.tables import users
from seaway.errors import Malformed, NotAllowed

UNDER_WAY = "outside"
STRANGER = "outside-stranger"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outside:
    """The parts that it works with."""

    database: Database
    clock: Clock
    site_url: str
    providers: Providers
    fetcher: Fetcher
    openids: OpenIdProviders


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and the secret of the flow, for its cookie."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who has an account here."""

    user_id: int
    next: str


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who has none; `secret` finds what is known of them again."""

    outsider: Outsider
    secret: str


@dataclass(frozen=True, slots=True)
class Linked:
    """The person who is signed in has one more way in."""

    user_id: int
    outsider: Outsider
    next: str


def begin(parts: Outside, name: str, *, next_path: str, link_to: int | None = None) -> Begun:
    """Send somebody to a provider, to sign in, or to link the account there to a user here."""
    provider = parts.providers.get(name)
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    page = _page_of(parts, provider)
    data = {"provider": name, "verifier": verifier, "nonce": nonce, "next": next_path}
    with parts.database.write_part() as tx:
        secret = sign_ins.put(tx, parts.clock.now_ms(), UNDER_WAY, data, user_id=link_to)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": callback(parts.site_url, provider),
        "scope": github.scope() if provider.dialect is Dialect.GITHUB else " ".join(provider.scopes),
        "state": state_of(secret),
        "code_challenge": tool_codes.challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    if provider.dialect is Dialect.OPENID:
        asked["nonce"] = nonce
    return Begun(f"{page}{'&' if '?' in page else '?'}{urlencode(asked)}", secret)


def finish(parts: Outside, name: str, query: Query, secret: str, by: Principal) -> Known | Stranger | Linked:
    """Take somebody back; `secret` is what their browser's cookie holds."""
    provider = parts.providers.get(name)
    pending = _taken(parts, provider, query.get("state", ""), secret)
    _check_answer(parts, provider, query)
    if pending.user_id is not None and pending.user_id != by.user_id:
        raise Malformed("You are not signed in any more as who began this.", "Sign in, then link the account again.")
    outsider = _outsider(parts, provider, query["code"], pending)
    next_path = str(pending.data["next"])
    with parts.database.write_part() as tx:
        now_ms = parts.clock.now_ms()
        parts.database.hold(tx, f"identity/{outsider.issuer}/{outsider.subject}")  # two browsers may come back at once
        if pending.user_id is not None:
            identities.link(tx, now_ms, by, pending.user_id, outsider)
            return Linked(pending.user_id, outsider, next_path)
        known = identities.find(tx, outsider.issuer, outsider.subject)
        if known is None:
            data = {"outsider": asdict(outsider), "next": next_path}
            return Stranger(outsider, sign_ins.put(tx, now_ms, STRANGER, data))
        _require_open(tx, known.user_id)
        identities.note_use(tx, now_ms, known.id, outsider)
        return Known(known.user_id, next_path)


def state_of(secret: str) -> str:
    """What stands in addresses for the secret of a flow."""
    digest = hmac.digest(secret.encode(), b"state", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _taken(parts: Outside, provider: Provider, state: str, secret: str) -> Pending:
    """What this browser began; whatever is wrong looks the same."""
    pending = None
    if secret and hmac.compare_digest(state_of(secret).encode(), state.encode(errors="replace")):
        with parts.database.write_part() as tx:
            pending = sign_ins.take(tx, parts.clock.now_ms(), UNDER_WAY, secret)
    if pending is None or pending.data["provider"] != provider.name:
        raise Malformed("This sign-in was not begun in this browser, or has ended.", "Begin again on the sign-in page.")
    return pending


def _check_answer(parts: Outside, provider: Provider, query: Query) -> None:
    if provider.dialect is Dialect.OPENID:
        must_say = parts.openids.description(provider).says_issuer
        if query.get("iss", None if must_say else provider.issuer) != provider.issuer:  # RFC 9207, 2.4
            raise Malformed("This answer comes from another provider.", "Begin again on the sign-in page.")
    if "error" in query:
        raise NotAllowed(f"{provider.title} did not let you in.", "Sign in again, and agree there.")
    if not query.get("code"):
        raise Malformed(f"{provider.title} sent no code.", "Begin again on the sign-in page.")


def _outsider(parts: Outside, provider: Provider, code: str, pending: Pending) -> Outsider:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback(parts.site_url, provider),
        "code_verifier": str(pending.data["verifier"]),
    }
    if provider.dialect is Dialect.GITHUB:
        return github.outsider(parts.fetcher, provider, form)
    return parts.openids.outsider(provider, form, nonce=str(pending.data["nonce"]))


def _page_of(parts: Outside, provider: Provider) -> str:
    if provider.dialect is Dialect.GITHUB:
        return github.authorize_url(provider)
    return parts.openids.description(provider).authorize_url


def _require_open(tx: Tx, user_id: int) -> None:
    if tx.execute(select(users.c.disabled_at).where(users.c.id == user_id)).scalar_one() is not None:
        raise NotAllowed("This account is disabled.", "Ask an admin of this site.")
