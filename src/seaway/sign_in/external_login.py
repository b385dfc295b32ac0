"""
External login: the redirect to an identity provider and the return (RFC 6749, 4.1; RFC 7636; RFC 9700).

1. A response is accepted only in the browser that was redirected, once, within ten minutes: the flow's secret is in
   its cookie, and the `state` in the URL is a hash that does not reveal the secret.
2. The code is usable only with the verifier, which never leaves the server, and an ID token only with the nonce.
3. An external account signs in only the user to whom it is linked. An equal email address links nothing: otherwise an
   attacker who took over the address would take over the account (case 24).
4. If a provider does not report when the user last authenticated (`auth_time` in the ID token; GitHub has none), the
   user is signed in, but the session is not fresh: in a browser that is already signed in there, nothing is typed.
   `prompt=login` alone proves nothing either, since the request goes through that browser.
5. Linking requires a signed-in user, and the same user at the start and at the end of the flow.
6. For an external account that is not linked, the user first chooses a user name, and an account is created only if
   sign-up is open. An email address that the provider verified is adopted unless it belongs to an account here.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from urllib.parse import urlencode

from seaway.callers import rate_limits
from seaway.callers.caller import ANONYMOUS, Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx, lock_user
from seaway.errors import Malformed, NameTaken, NotAllowed, check_all
from seaway.oauth import codes
from seaway.outbound import JsonClient
from seaway.sign_in import (
    account_security,
    external_identities,
    github,
    new_account,
    password_sign_in,
    pending_sign_ins,
    sign_up,
)
from seaway.sign_in.external_identities import Identity
from seaway.sign_in.identity_providers import ExternalAccount, LoginProtocol, Provider, Providers, callback
from seaway.sign_in.openid_providers import OpenIdProviders
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor, SignedIn
from seaway.sign_in.pending_sign_ins import Pending
from seaway.sign_in.sessions import FRESH_MS
from seaway.users import emails, users

REDIRECTED = "external-login"
PENDING_SIGN_UP = "external-sign-up"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExternalLogin:
    """Dependencies of the external login."""

    accounts: AccountParts
    providers: Providers
    fetcher: JsonClient
    openids: OpenIdProviders


@dataclass(frozen=True, slots=True)
class Redirect:
    """URL to which the browser is redirected, and the flow's secret for its cookie."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class LinkedUser:
    """Result for a linked user, who may still need a second factor."""

    found: SignedIn | NeedsSecondFactor
    next_path: str
    is_fresh: bool  # whether the provider reported a recent authentication


@dataclass(frozen=True, slots=True)
class PendingSignUp:
    """Result for an external account without a user here; `secret` retrieves the pending sign-up."""

    external_account: ExternalAccount
    next_path: str
    secret: str
    is_address_taken: bool


@dataclass(frozen=True, slots=True)
class Linked:
    """Result after the external account was linked to the signed-in user."""

    next_path: str


def begin(parts: ExternalLogin, name: str, by: Caller, *, next_path: str, link: bool = False) -> Redirect:
    """Start a redirect to a provider, to sign in, to confirm a session, or to link the account there (`link`)."""
    provider = parts.providers.get(name)
    site = parts.accounts.site
    now_ms = site.clock.now_ms()
    if link:
        require_site(by, SiteAction.OPEN_ACCOUNT)
    rate_limits.count_attempt(site.database, now_ms, Rate.EXTERNAL_LOGIN, by.address)
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    is_github = provider.dialect is LoginProtocol.GITHUB
    page = f"{provider.issuer}/login/oauth/authorize" if is_github else parts.openids.discovery(provider).authorize_url
    data = {"provider": name, "verifier": verifier, "nonce": nonce, "next": next_path}
    with site.database.write_unlocked() as tx:
        secret = pending_sign_ins.add(tx, now_ms, REDIRECTED, data, user_id=by.user_id if link else None)
    parameters = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": callback(parts.accounts.site.url, provider),
        "scope": github.SCOPE if is_github else " ".join(provider.scopes),
        "state": state_of(secret),
        "code_challenge": codes.challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    if not is_github:
        parameters["nonce"] = nonce
    if not is_github and by.is_person:
        parameters |= {"prompt": "login", "max_age": "0"}  # max_age makes `auth_time` required (OpenID Connect Core, 2)
    return Redirect(f"{page}{'&' if '?' in page else '?'}{urlencode(parameters)}", secret)


def finish(
    parts: ExternalLogin, name: str, query: Query, secret: str, by: Caller, client: BrowserInfo
) -> LinkedUser | PendingSignUp | Linked:
    """Handle the return from a provider; `secret` is from the browser's cookie."""
    provider = parts.providers.get(name)
    pending = _take_flow(parts, provider, query.get("state", ""), secret)
    _check_response(parts, provider, query)
    if pending.user_id is not None and pending.user_id != by.user_id:
        raise Malformed(
            "You are no longer signed in as the user who started this.", "Sign in, then link the account again."
        )
    external_account = _fetch_external_account(parts, provider, query["code"], pending)
    next_path = str(pending.data["next"])
    site = parts.accounts.site
    with site.database.write_unlocked() as tx:
        _lock(parts, tx, external_account)
        if pending.user_id is None:
            return _result_for(parts, tx, external_account, next_path, client)
        lock_user(site.database, tx, pending.user_id)
        now_ms = site.clock.now_ms()
        external_identities.link(tx, now_ms, by, pending.user_id, external_account)
        what = f"An account at {provider.title} was linked and can now be used to sign in."
        account_security.notify(parts.accounts, tx, now_ms, pending.user_id, what)
        return Linked(next_path)


def pending_sign_up(parts: ExternalLogin, secret: str) -> PendingSignUp:
    """Return the pending sign-up that still needs a user name, for the browser with this secret."""
    with parts.accounts.site.database.read() as tx:
        return _pending_sign_up(parts, tx, secret)


def make_account(
    parts: ExternalLogin, secret: str, name: str, address: str, client: BrowserInfo
) -> tuple[SignedIn | NeedsSecondFactor, str]:
    """Create an account for a pending sign-up; return the sign-in result and the path to continue at."""
    accounts, now_ms = parts.accounts, parts.accounts.site.clock.now_ms()
    accounts.policy.require_sign_up()
    with accounts.site.database.read() as tx:
        is_typed = not _pending_sign_up(parts, tx, secret).external_account.address
    rate_limits.count_attempt(accounts.site.database, now_ms, Rate.SIGN_UP_ADDRESS, client.address)
    checks = [partial(new_account.check_name, accounts, name)]
    check_all(*checks, *([partial(new_account.check_address, accounts, address)] if is_typed else []))
    if is_typed:  # it gets a verification email, as in a sign-up with a password
        rate_limits.count_attempt(accounts.site.database, now_ms, Rate.EMAILS_TO_ADDRESS, emails.case_folded(address))
    with accounts.site.database.write_unlocked() as tx:
        waiting = _pending_sign_up(parts, tx, secret)
        external_account = waiting.external_account
        _lock(parts, tx, external_account)
        normalized = emails.normalize(external_account.address or address)
        accounts.policy.require_domain(normalized)
        if waiting.is_address_taken:
            raise address_taken(parts.providers.title_of(external_account.provider))
        is_provider_verified = external_account.address is not None
        by = ANONYMOUS.with_address(client.address)
        user = users.add(
            tx, now_ms, by, name, email=normalized, password_hash=None, is_admin=False, is_verified=is_provider_verified
        )
        external_identities.link(tx, now_ms, by, user.id, external_account)
        if not is_provider_verified:
            sign_up.send_verification(accounts, tx, now_ms, user, normalized)
        pending_sign_ins.take(tx, now_ms, PENDING_SIGN_UP, secret)
        at_ms = min(external_account.authenticated_at_ms, now_ms)
        return password_sign_in.proceed(tx, now_ms, user.id, client, confirmed_at_ms=at_ms), waiting.next_path


def unlink(parts: ExternalLogin, by: Caller, identity_id: int) -> Identity:
    """Unlink an external account from the caller, and return it."""
    accounts, now_ms = parts.accounts, parts.accounts.site.clock.now_ms()
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    with accounts.site.database.write_user(by.user_id) as tx:
        unlinked = external_identities.unlink(tx, now_ms, by, by.user_id, identity_id)
        what = f"An account at {parts.providers.title_of(unlinked.provider)} was unlinked and no longer signs in."
        account_security.notify(accounts, tx, now_ms, by.user_id, what)
        return unlinked


def address_taken(title: str) -> NameTaken:
    """Return the refusal of a sign-up whose email address belongs to an account here."""
    return NameTaken(
        f"An account here already has the email address of your {title} account.",
        f"Sign in to that account, then link {title} in its settings.",
    )


def state_of(secret: str) -> str:
    """Return the `state` parameter derived from a flow's secret."""
    digest = hmac.digest(secret.encode(), b"state", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _take_flow(parts: ExternalLogin, provider: Provider, state: str, secret: str) -> Pending:
    """Take the flow that this browser started; every failure gives the same error."""
    pending = None
    if secret and hmac.compare_digest(state_of(secret).encode(), state.encode(errors="replace")):
        site = parts.accounts.site
        now_ms = site.clock.now_ms()
        with site.database.read() as tx:  # a request without a flow must not cause a write
            pending = pending_sign_ins.find(tx, now_ms, REDIRECTED, secret)
        if pending is not None:
            with site.database.write_unlocked() as tx:
                pending = pending_sign_ins.take(tx, now_ms, REDIRECTED, secret)
    if pending is None or pending.data["provider"] != provider.name:
        raise _not_started_here()
    return pending


def _check_response(parts: ExternalLogin, provider: Provider, query: Query) -> None:
    if provider.dialect is LoginProtocol.OPENID:
        metadata = parts.openids.discovery(provider)
        if query.get("iss", None if metadata.sends_iss else metadata.issuer) != metadata.issuer:  # RFC 9207, 2.4
            raise Malformed("This response is from another provider.", "Start again on the sign-in page.")
    if "error" in query:
        raise NotAllowed(f"{provider.title} refused the sign-in.", "Sign in again and grant access there.")
    if not query.get("code"):
        raise Malformed(f"{provider.title} sent no code.", "Start again on the sign-in page.")


def _fetch_external_account(parts: ExternalLogin, provider: Provider, code: str, pending: Pending) -> ExternalAccount:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback(parts.accounts.site.url, provider),
        "code_verifier": str(pending.data["verifier"]),
    }
    if provider.dialect is LoginProtocol.GITHUB:
        return github.external_account(parts.fetcher, provider, form)
    return parts.openids.external_account(provider, form, nonce=str(pending.data["nonce"]))


def _result_for(
    parts: ExternalLogin, tx: Tx, external_account: ExternalAccount, next_path: str, client: BrowserInfo
) -> LinkedUser | PendingSignUp:
    now_ms = parts.accounts.site.clock.now_ms()
    known = external_identities.find(tx, external_account.issuer, external_account.subject)
    if known is not None:
        lock_user(parts.accounts.site.database, tx, known.user_id)  # a second factor may be added concurrently
        external_identities.note_use(tx, now_ms, known.id, external_account)
        at_ms = min(external_account.authenticated_at_ms, now_ms)
        result = password_sign_in.proceed(tx, now_ms, known.user_id, client, confirmed_at_ms=at_ms)
        return LinkedUser(result, next_path, now_ms < at_ms + FRESH_MS)
    data = {"external_account": asdict(external_account), "next": next_path}
    secret = pending_sign_ins.add(tx, now_ms, PENDING_SIGN_UP, data)
    return PendingSignUp(external_account, next_path, secret, _is_taken(tx, external_account))


def _pending_sign_up(parts: ExternalLogin, tx: Tx, secret: str) -> PendingSignUp:
    pending = pending_sign_ins.find(tx, parts.accounts.site.clock.now_ms(), PENDING_SIGN_UP, secret)
    if pending is None:
        raise _not_started_here()
    external_account = ExternalAccount(**pending.data["external_account"])
    return PendingSignUp(external_account, str(pending.data["next"]), secret, _is_taken(tx, external_account))


def _not_started_here() -> Malformed:
    return Malformed(
        "This sign-in was not started in this browser, or has expired.", "Start again on the sign-in page."
    )


def _is_taken(tx: Tx, external_account: ExternalAccount) -> bool:
    return external_account.address is not None and emails.owner_if_address(tx, external_account.address) is not None


def _lock(parts: ExternalLogin, tx: Tx, external_account: ExternalAccount) -> None:
    """Lock an external account: two browsers may return with it at the same time."""
    parts.accounts.site.database.lock(tx, f"identity/{external_account.issuer}/{external_account.subject}")
