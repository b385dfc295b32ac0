"""
Signing in with an account elsewhere: the way there, and the way back (RFC 6749, 4.1; RFC 7636; RFC 9700).

1. What comes back is believed only in the browser that was sent, once, within ten minutes: the secret of the flow is
   in its cookie, and the `state` in the address is made from it and tells nothing of it.
2. The code is good only with the verifier, which never leaves the server; an ID token only with the nonce.
3. An account elsewhere signs in the user to whom it is linked, and nobody else. That an address is the same links
   nothing: who has taken over an address would have taken over the account (case 24).
4. A provider that does not report when the person last authenticated (`auth_time` in the ID token; GitHub has
   none) signs them in, but its word is no fresh proof: whoever sits at a browser that is signed in there types nothing.
   `prompt=login` alone proves nothing either, since it goes through that browser.
5. Linking needs the person signed in here, the same one at both ends of the way.
6. Whoever has no account is asked for a user name first, and gets one only where strangers may sign up. An address that
   the provider vouches for is taken over, unless it is somebody's here already.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from seaway.accounts import (
    emails,
    github,
    identities,
    security,
    sign_ins,
    signing_in,
    signing_up,
    throttle,
    tool_codes,
    users,
)
from seaway.accounts.oidc import OpenIdProviders
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import ANONYMOUS, Principal
from seaway.accounts.providers import Dialect, Outsider, Provider, Providers, callback
from seaway.accounts.sessions import FRESH_MS
from seaway.accounts.sign_ins import Pending
from seaway.accounts.signing_in import Client, NeedsSecondFactor, SignedIn
from seaway.accounts.throttle import Rate
from seaway.database.engine import Tx, hold_user
from seaway.errors import Malformed, NameTaken, NotAllowed
from seaway.visiting import Fetcher

UNDER_WAY = "outside"
STRANGER = "outside-stranger"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outside:
    """The parts that it works with."""

    accounts: Accounts
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
    """Somebody who has an account here, and may need a second factor."""

    found: SignedIn | NeedsSecondFactor
    next_path: str
    is_fresh: bool  # whether the provider vouches for a proof of a short while ago


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who has no account; `secret` finds what is known of them again."""

    outsider: Outsider
    next_path: str
    secret: str
    is_address_taken: bool


@dataclass(frozen=True, slots=True)
class Linked:
    """The person who is signed in has one more way in."""

    next_path: str


def begin(parts: Outside, name: str, by: Principal, *, next_path: str, link: bool = False) -> Begun:
    """Send somebody to a provider: to sign in, to prove again who they are, or to link the account there."""
    provider = parts.providers.get(name)
    now_ms = parts.accounts.clock.now_ms()
    if link:
        require_site(by, SiteAction.OPEN_ACCOUNT)
    throttle.take(parts.accounts.database, now_ms, Rate.OUTSIDE, by.address)
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    page = _page_of(parts, provider)
    data = {"provider": name, "verifier": verifier, "nonce": nonce, "next": next_path}
    with parts.accounts.database.write_part() as tx:
        secret = sign_ins.put(tx, now_ms, UNDER_WAY, data, user_id=by.user_id if link else None)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": callback(parts.accounts.site_url, provider),
        "scope": github.scope() if provider.dialect is Dialect.GITHUB else " ".join(provider.scopes),
        "state": state_of(secret),
        "code_challenge": tool_codes.challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    if provider.dialect is Dialect.OPENID:
        asked["nonce"] = nonce
    if provider.dialect is Dialect.OPENID and by.is_person:
        asked |= {"prompt": "login", "max_age": "0"}  # max_age makes `auth_time` compulsory (OpenID Connect Core, 2)
    return Begun(f"{page}{'&' if '?' in page else '?'}{urlencode(asked)}", secret)


def finish(
    parts: Outside, name: str, query: Query, secret: str, by: Principal, client: Client
) -> Known | Stranger | Linked:
    """Take somebody back; `secret` is what their browser's cookie holds."""
    provider = parts.providers.get(name)
    pending = _taken(parts, provider, query.get("state", ""), secret)
    _check_answer(parts, provider, query)
    if pending.user_id is not None and pending.user_id != by.user_id:
        raise Malformed("You are not signed in any more as who began this.", "Sign in, then link the account again.")
    outsider = _outsider(parts, provider, query["code"], pending)
    next_path = str(pending.data["next"])
    with parts.accounts.database.write_part() as tx:
        _hold(parts, tx, outsider)
        if pending.user_id is None:
            return _entered(parts, tx, outsider, next_path, client)
        hold_user(parts.accounts.database, tx, pending.user_id)
        identities.link(tx, parts.accounts.clock.now_ms(), by, pending.user_id, outsider)
        what = f"An account at {provider.title} was linked to it, and signs in to it from now on."
        security.announce(parts.accounts, tx, parts.accounts.clock.now_ms(), pending.user_id, what)
        return Linked(next_path)


def stranger(parts: Outside, secret: str) -> Stranger:
    """Who waits for a user name, in the browser that has this secret."""
    with parts.accounts.database.read() as tx:
        return _waiting(parts, tx, secret)


def make_account(
    parts: Outside, secret: str, name: str, address: str, client: Client
) -> tuple[SignedIn | NeedsSecondFactor, str]:
    """An account for a stranger under this user name, and where they wanted to go."""
    house, now_ms = parts.accounts, parts.accounts.clock.now_ms()
    house.policy.require_sign_up()
    with house.database.read() as tx:
        unvouched = "" if _waiting(parts, tx, secret).outsider.address else emails.folded(address)
    # An address that was typed gets an email, as when signing up with a password.
    letter = [(Rate.LETTER_TO, (unvouched,))] if unvouched else []
    throttle.take_all(house.database, now_ms, (Rate.SIGN_UP_ADDRESS, (client.address,)), *letter)
    with house.database.write_part() as tx:
        waiting = _waiting(parts, tx, secret)
        outsider = waiting.outsider
        _hold(parts, tx, outsider)
        written = emails.checked(outsider.address or address)
        house.policy.require_domain(written)
        if waiting.is_address_taken:
            raise address_taken(parts.providers.title_of(outsider.provider))
        is_vouched = outsider.address is not None
        by = ANONYMOUS.seen_from(client.address)
        user = users.add(
            tx, now_ms, by, name, email=written, password_hash=None, is_admin=False, is_verified=is_vouched
        )
        identities.link(tx, now_ms, by, user.id, outsider)
        if not is_vouched:
            signing_up.ask_to_verify(house, tx, now_ms, user, written)
        sign_ins.take(tx, now_ms, STRANGER, secret)
        at_ms = min(outsider.authenticated_at_ms, now_ms)
        return signing_in.proceed(tx, now_ms, user.id, client, confirmed_at_ms=at_ms), waiting.next_path


def unlink(parts: Outside, by: Principal, identity_id: int) -> None:
    """Let an account elsewhere sign the person in no more."""
    house, now_ms = parts.accounts, parts.accounts.clock.now_ms()
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    with house.database.write_user(by.user_id) as tx:
        gone = identities.unlink(tx, now_ms, by, by.user_id, identity_id)
        what = f"An account at {parts.providers.title_of(gone.provider)} does not sign in to it any more."
        security.announce(house, tx, now_ms, by.user_id, what)


def address_taken(title: str) -> NameTaken:
    """What somebody is told whose address belongs to an account here."""
    return NameTaken(
        f"An account here has the address of your {title} account already.",
        f"Sign in to it as before, then link {title} in its settings.",
    )


def state_of(secret: str) -> str:
    """What stands in addresses for the secret of a flow."""
    digest = hmac.digest(secret.encode(), b"state", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _taken(parts: Outside, provider: Provider, state: str, secret: str) -> Pending:
    """What this browser began; whatever is wrong looks the same."""
    pending = None
    if secret and hmac.compare_digest(state_of(secret).encode(), state.encode(errors="replace")):
        now_ms = parts.accounts.clock.now_ms()
        with parts.accounts.database.read() as tx:  # whoever began nothing makes us write nothing
            pending = sign_ins.look(tx, now_ms, UNDER_WAY, secret)
        if pending is not None:
            with parts.accounts.database.write_part() as tx:
                pending = sign_ins.take(tx, now_ms, UNDER_WAY, secret)
    if pending is None or pending.data["provider"] != provider.name:
        raise Malformed("This sign-in was not begun in this browser, or has ended.", "Begin again on the sign-in page.")
    return pending


def _check_answer(parts: Outside, provider: Provider, query: Query) -> None:
    if provider.dialect is Dialect.OPENID:
        about = parts.openids.description(provider)
        if query.get("iss", None if about.says_issuer else about.issuer) != about.issuer:  # RFC 9207, 2.4
            raise Malformed("This answer comes from another provider.", "Begin again on the sign-in page.")
    if "error" in query:
        raise NotAllowed(f"{provider.title} did not let you in.", "Sign in again, and agree there.")
    if not query.get("code"):
        raise Malformed(f"{provider.title} sent no code.", "Begin again on the sign-in page.")


def _outsider(parts: Outside, provider: Provider, code: str, pending: Pending) -> Outsider:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback(parts.accounts.site_url, provider),
        "code_verifier": str(pending.data["verifier"]),
    }
    if provider.dialect is Dialect.GITHUB:
        return github.outsider(parts.fetcher, provider, form)
    return parts.openids.outsider(provider, form, nonce=str(pending.data["nonce"]))


def _entered(parts: Outside, tx: Tx, outsider: Outsider, next_path: str, client: Client) -> Known | Stranger:
    now_ms = parts.accounts.clock.now_ms()
    known = identities.find(tx, outsider.issuer, outsider.subject)
    if known is not None:
        hold_user(parts.accounts.database, tx, known.user_id)  # a second factor may come at this moment
        identities.note_use(tx, now_ms, known.id, outsider)
        at_ms = min(outsider.authenticated_at_ms, now_ms)
        entered = signing_in.proceed(tx, now_ms, known.user_id, client, confirmed_at_ms=at_ms)
        return Known(entered, next_path, now_ms < at_ms + FRESH_MS)
    data = {"outsider": asdict(outsider), "next": next_path}
    secret = sign_ins.put(tx, now_ms, STRANGER, data)
    return Stranger(outsider, next_path, secret, _is_taken(tx, outsider))


def _waiting(parts: Outside, tx: Tx, secret: str) -> Stranger:
    pending = sign_ins.look(tx, parts.accounts.clock.now_ms(), STRANGER, secret)
    if pending is None:
        raise Malformed("This sign-in was not begun in this browser, or has ended.", "Begin again on the sign-in page.")
    outsider = Outsider(**pending.data["outsider"])
    return Stranger(outsider, str(pending.data["next"]), secret, _is_taken(tx, outsider))


def _is_taken(tx: Tx, outsider: Outsider) -> bool:
    return outsider.address is not None and emails.owner_if_address(tx, outsider.address) is not None


def _hold(parts: Outside, tx: Tx, outsider: Outsider) -> None:
    """Two browsers may come back with one account at one moment."""
    parts.accounts.database.hold(tx, f"identity/{outsider.issuer}/{outsider.subject}")


def _page_of(parts: Outside, provider: Provider) -> str:
    if provider.dialect is Dialect.GITHUB:
        return github.authorize_url(provider)
    return parts.openids.description(provider).authorize_url
