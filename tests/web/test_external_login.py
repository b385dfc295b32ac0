"""
External login with GitHub, Google and an OpenID provider, each simulated on loopback: a server made with Authlib, and a
GitHub that responds as GitHub documents (cases 22 to 26 of docs/security-cases.md).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pyotp
import pytest
from anyio.from_thread import BlockingPortal
from joserfc.jwk import OctKey, RSAKey

from seaway import secret_tokens
from seaway.callers.caller import OPERATOR
from seaway.clock import MINUTE_MS
from seaway.server.wiring import Seaway
from seaway.settings import OpenIdProvider as OidcSetting
from seaway.sign_in import external_login, passwords, user_access
from seaway.sign_in.identity_providers import GOOGLE, Providers
from seaway.users import emails, users
from tests.support import mail, sites
from tests.support.clock import ManualClock
from tests.support.providers import CLIENT_ID, CLIENT_SECRET, GitHub, OpenIdProvider, Provider, running
from tests.support.sites import Factory
from tests.web.http_browser import PASSWORD, SITE, HttpBrowser

_numbers = count(1)
_HASH = passwords.hash_new(PASSWORD)


@dataclass(frozen=True)
class Setup:
    """A Seaway and its identity providers."""

    seaway: Seaway
    clock: ManualClock
    github: GitHub
    google: OpenIdProvider
    corp: OpenIdProvider
    portal: BlockingPortal

    def browser(self) -> HttpBrowser:
        return HttpBrowser(self.seaway, self.portal, f"2001:db8:ffff:{next(_numbers):x}::1")

    def provider(self, name: str) -> Provider:
        return {"github": self.github, "google": self.google, "corp": self.corp}[name]

    def user(self, *, address: str | None = None) -> str:
        """Create a user with the password PASSWORD; return the name."""
        name = f"grace-{next(_numbers)}"
        with self.seaway.site.database.write_site() as tx:
            now_ms = self.clock.now_ms()
            email = address or f"{name}@example.com"
            users.add(tx, now_ms, OPERATOR, name, email=email, password_hash=_HASH, is_admin=False)
        return name

    def texts_of_emails_to(self, address: str) -> list[str]:
        return [mail.text_of(email) for email in mail.emails_to(self.seaway, address)]

    def verified(self, name: str) -> list[str]:
        with self.seaway.site.database.read() as tx:
            addresses = emails.of_user(tx, users.get(tx, name).id)
        return [address.address for address in addresses if address.verified_at_ms is not None]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("outside")
    clock = ManualClock()
    with ExitStack() as stack:
        github, google, corp = GitHub(), OpenIdProvider(), OpenIdProvider(email_in_token=False)
        for name, provider in (("google", google), ("corp", corp)):
            provider.now = lambda: clock.now_ms() // 1000
            provider.redirect_uris = [f"{SITE}/signin/{name}/callback"]
        corp.auth_time = lambda: clock.now_ms() // 1000
        for provider in (github, google, corp):
            stack.enter_context(running(provider))
        seaway = sites.build(
            folder,
            clock,
            public_url=SITE,
            github_client_id=CLIENT_ID, github_client_secret=CLIENT_SECRET,
            github_url=github.address,
            google_client_id=CLIENT_ID, google_client_secret=CLIENT_SECRET,
            oidc=[
                OidcSetting(
                    name="corp", title="Example Corp", issuer=corp.address, client_id=CLIENT_ID,
                    client_secret=CLIENT_SECRET, scopes=("openid", "profile", "email"),
                )
            ],
        )  # fmt: skip
        stack.callback(seaway.close)
        login = seaway.request_parts.external_login
        providers = Providers(
            [
                replace(provider, issuer=google.address) if provider.name == GOOGLE else provider
                for provider in login.providers
            ]
        )
        seaway = replace(
            seaway, request_parts=replace(seaway.request_parts, external_login=replace(login, providers=providers))
        )
        Factory(seaway).user("operator-of-it", admin=True)
        yield Setup(seaway, clock, github, google, corp, portal)


@pytest.fixture(autouse=True)
def reset_providers(setup: Setup) -> None:
    """Reset the providers before each test."""
    for provider in (setup.google, setup.corp):
        provider.changed_claims, provider.algorithm, provider.signing_key = {}, "RS256", None
        provider.issuer_in_redirect, provider.metadata = None, {}
    for provider in (setup.github, setup.google, setup.corp):
        provider.denies_access = False
    setup.corp.auth_time = lambda: setup.clock.now_ms() // 1000


def github_account(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a GitHub account, a new one each time."""
    number = number or 10_000 + next(_numbers)
    address = {"email": f"octo-{number}@example.com", "primary": True, "verified": True, "visibility": None}
    return {"id": number, "login": f"octo-{number}", "name": "Octo", "emails": [address], **changes}


def openid_account(**changes: Any) -> dict[str, Any]:
    """Return an account at an OpenID provider, a new one each time."""
    number = next(_numbers)
    about = {"preferred_username": f"alan-{number}", "email": f"alan-{number}@example.com", "email_verified": True}
    return {"sub": f"sub-{number}", **about, **changes}


def go_to_provider_and_back(browser: HttpBrowser, name: str, next_path: str = "/") -> tuple[str, dict[str, str]]:
    """Go to the provider and back, without opening the callback; return the callback's path and query."""
    redirect = browser.get(f"/signin/{name}", params={"next": next_path})
    assert 303 == redirect.status_code, redirect.text
    return follow_provider(redirect.headers["location"])


def follow_provider(url: str) -> tuple[str, dict[str, str]]:
    """Follow the provider's redirect; return the callback's path and query."""
    back = httpx.get(url)
    assert 302 == back.status_code, back.text
    parts = urlsplit(back.headers["location"])
    assert SITE == f"{parts.scheme}://{parts.netloc}"
    return parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}


def sign_in_with(
    setup: Setup, browser: HttpBrowser, name: str, account: dict[str, Any], next_path: str = "/"
) -> httpx.Response:
    """Sign in through the provider as this account; return the response of the callback."""
    setup.provider(name).account = account
    path, query = go_to_provider_and_back(browser, name, next_path)
    return browser.get(f"{path}?{urlencode(query)}")


def sign_up_with(setup: Setup, browser: HttpBrowser, name: str, account: dict[str, Any], user: str = "") -> str:
    """Sign up with an external account; return the user name."""
    assert "/signup/external" == sign_in_with(setup, browser, name, account).headers["location"]
    browser.get("/signup/external")
    user = user or f"user-{next(_numbers)}"
    response = browser.send("/signup/external", name=user)
    assert 303 == response.status_code, response.text
    return user


def signed_in_user(browser: HttpBrowser) -> str | None:
    """Return the name of the signed-in user, or None."""
    shown = browser.get("/account")
    return None if shown.status_code != 200 else shown.text.partition("User name</dt><dd>")[2].partition("<")[0]


# Signing in


@pytest.mark.parametrize("name", ["github", "google", "corp"])
def test_first_external_login_creates_an_account(setup: Setup, name: str) -> None:
    """With name, verified email address and the requested next page; the second time signs in directly."""
    account = github_account() if name == "github" else openid_account()
    browser = setup.browser()
    assert "/signup/external" == sign_in_with(setup, browser, name, account, "/account/keys").headers["location"]
    shown = browser.get("/signup/external").text
    login = account["login"] if name == "github" else account["preferred_username"]
    assert f'value="{login}"' in shown
    response = browser.send("/signup/external", name=f"new-{login}")
    assert (303, "/account/keys") == (response.status_code, response.headers["location"])
    assert f"new-{login}" == signed_in_user(browser)
    address = account["emails"][0]["email"] if name == "github" else account["email"]
    assert [address] == setup.verified(f"new-{login}")

    again = setup.browser()
    assert "/account/keys" == sign_in_with(setup, again, name, account, "/account/keys").headers["location"]
    assert f"new-{login}" == signed_in_user(again)
    assert again.session != browser.session


def test_authorization_request_has_callback_pkce_state_and_nonce(setup: Setup) -> None:
    """The callback does not depend on the Host headers, and the request does not reveal the secret of the cookie."""
    browser = setup.browser()
    redirect = browser.request(
        "GET", "/signin/corp", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    )
    request = parse_qs(urlsplit(redirect.headers["location"]).query)
    assert [f"{SITE}/signin/corp/callback"] == request["redirect_uri"]
    assert ["S256"] == request["code_challenge_method"]
    assert ["openid profile email"] == request["scope"]
    secret = browser.cookies["__Host-seaway_flow"]
    assert secret.startswith("swy-f-")
    assert secret not in redirect.headers["location"]
    assert len({request["state"][0], request["nonce"][0], request["code_challenge"][0]}) == 3


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)"])
def test_next_never_leads_to_another_site(setup: Setup, path: str) -> None:
    """Case 21, for external login."""
    account = github_account()
    sign_up_with(setup, setup.browser(), "github", account)
    assert "/home" == sign_in_with(setup, setup.browser(), "github", account, path).headers["location"]


@pytest.mark.parametrize("wrong", ["state", "no state", "no cookie", "other browser", "other provider", "too late"])
def test_callback_that_this_browser_did_not_start_is_refused(setup: Setup, wrong: str) -> None:
    """Case 22: a callback signs in only the browser that started the login, and only for ten minutes."""
    browser, other_browser = setup.browser(), setup.browser()
    setup.corp.account = openid_account()
    path, query = go_to_provider_and_back(browser, "corp")
    go_to_provider_and_back(other_browser, "corp")
    if wrong == "state":
        query["state"] = query["state"][:-1] + ("A" if query["state"][-1] != "A" else "B")
    elif wrong == "no state":
        del query["state"]
    elif wrong == "no cookie":
        browser.cookies.delete("__Host-seaway_flow")
    elif wrong == "other provider":
        path = "/signin/google/callback"
    elif wrong == "too late":
        setup.clock.move(10 * MINUTE_MS)
    response = (other_browser if wrong == "other browser" else browser).get(f"{path}?{urlencode(query)}")
    if wrong == "too late":
        setup.clock.move(-10 * MINUTE_MS)
    assert 400 == response.status_code
    assert browser.session is None


def test_callback_works_once(setup: Setup) -> None:
    """Case 22: the same URL is refused the second time, although the code could still be valid."""
    account = github_account()
    browser = setup.browser()
    sign_up_with(setup, browser, "github", account)
    path, query = go_to_provider_and_back(browser, "github")
    secret = browser.cookies["__Host-seaway_flow"]
    assert 303 == browser.get(f"{path}?{urlencode(query)}").status_code
    browser.cookies.set("__Host-seaway_flow", secret, domain="conda.example.com", path="/")
    assert 400 == browser.get(f"{path}?{urlencode(query)}").status_code


@pytest.mark.parametrize("name", ["github", "google", "corp"])
def test_refusal_at_the_provider_refuses_the_login(setup: Setup, name: str) -> None:
    browser = setup.browser()
    setup.provider(name).denies_access = True
    assert (
        403
        == sign_in_with(setup, browser, name, github_account() if name == "github" else openid_account()).status_code
    )


# Hostile responses; tests/sign_in/test_id_tokens.py tests all kinds of wrong tokens

WRONG: dict[str, Callable[[OpenIdProvider], None]] = {
    "other audience": lambda provider: provider.changed_claims.update(aud="other-client"),
    "other nonce": lambda provider: provider.changed_claims.update(nonce="of another sign-in"),
    "other issuer": lambda provider: provider.changed_claims.update(iss="https://accounts.google.com"),
    "expired": lambda provider: provider.changed_claims.update(exp=provider.now() - 120),
    "alg none": lambda provider: setattr(provider, "algorithm", "none"),
    "HS256 by the client secret": lambda provider: _sign_with(provider, "HS256", OctKey.import_key(CLIENT_SECRET)),
    "another key": lambda provider: _sign_with(provider, "RS256", RSAKey.generate_key(2048)),
    "iss of another in the address": lambda provider: setattr(provider, "issuer_in_redirect", "https://evil.example"),
    "no iss, though it says so": lambda provider: provider.metadata.update(authorization_response_iss_parameter_supported=True),
}  # fmt: skip


def _sign_with(provider: OpenIdProvider, algorithm: str, key: Any) -> None:
    provider.algorithm, provider.signing_key = algorithm, key


@pytest.mark.parametrize("make_wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_provider_response_signs_no_user_in(setup: Setup, make_wrong: Callable[[OpenIdProvider], None]) -> None:
    """Case 23."""
    account = openid_account()
    sign_up_with(setup, setup.browser(), "corp", account)
    setup.clock.move(60 * MINUTE_MS)  # so that the discovery document is read again
    make_wrong(setup.corp)
    setup.corp.changed_claims = {
        "iat": setup.clock.now_ms() // 1000,
        "exp": setup.clock.now_ms() // 1000 + 60,
    } | setup.corp.changed_claims
    browser = setup.browser()
    response = sign_in_with(setup, browser, "corp", account)
    assert response.status_code in (400, 403)
    assert browser.session is None
    setup.corp.metadata.clear()
    setup.clock.move(60 * MINUTE_MS)


def test_correct_iss_parameter_is_accepted(setup: Setup) -> None:
    """RFC 9207, for providers that send it."""
    setup.corp.issuer_in_redirect = setup.corp.address
    sign_up_with(setup, setup.browser(), "corp", openid_account())


# Identities


def test_equal_email_address_does_not_link_accounts(setup: Setup) -> None:
    """Case 24: GitHub does not open an account with a password; the page says what to do, and nothing is created."""
    user = setup.user(address="shared@example.com")
    account = github_account(emails=[{"email": "Shared@example.com", "primary": True, "verified": True}])
    browser = setup.browser()
    assert "/signup/external" == sign_in_with(setup, browser, "github", account).headers["location"]
    shown = browser.get("/signup/external")
    assert 422 == shown.status_code
    assert "An account here already has the email address" in shown.text
    browser.get("/signin")
    assert 422 == browser.send("/signup/external", name=f"new-{next(_numbers)}").status_code
    assert (None, ["shared@example.com"]) == (signed_in_user(browser), setup.verified(user))


def test_renamed_external_account_keeps_its_user(setup: Setup) -> None:
    """Case 25: the old name with another number is another account."""
    account = github_account()
    user = sign_up_with(setup, setup.browser(), "github", account)
    renamed = setup.browser()
    sign_in_with(setup, renamed, "github", account | {"login": "renamed"})
    assert user == signed_in_user(renamed)
    other_browser = setup.browser()
    assert (
        "/signup/external"
        == sign_in_with(setup, other_browser, "github", github_account(login=account["login"])).headers["location"]
    )


@pytest.mark.parametrize("email_verified", [False, "true", None])
def test_google_login_needs_a_verified_email_address(setup: Setup, email_verified: object) -> None:
    """Case 26."""
    browser = setup.browser()
    assert 403 == sign_in_with(setup, browser, "google", openid_account(email_verified=email_verified)).status_code
    assert browser.session is None


def test_unverified_email_address_is_verified_by_email(setup: Setup) -> None:
    """With other providers the user enters an address, and it is verified with the emailed link."""
    account, browser = openid_account(email_verified=False), setup.browser()
    sign_in_with(setup, browser, "corp", account)
    assert 'name="address"' in browser.get("/signup/external").text
    name = f"typed-{next(_numbers)}"
    assert 303 == browser.send("/signup/external", name=name, address=f"{name}@example.com").status_code
    assert [] == setup.verified(name)
    assert any(name in email for email in setup.texts_of_emails_to(f"{name}@example.com"))


@pytest.mark.parametrize("name", ["", "operator-of-it", "admin", "-x", "Ünder"])
def test_refused_user_name_can_be_corrected(setup: Setup, name: str) -> None:
    """Taken, reserved and invalid names; the next attempt works."""
    browser = setup.browser()
    sign_in_with(setup, browser, "github", github_account())
    browser.get("/signup/external")
    assert 422 == browser.send("/signup/external", name=name).status_code
    assert 303 == browser.send("/signup/external", name=f"better-{next(_numbers)}").status_code


def test_started_logins_are_rate_limited(setup: Setup) -> None:
    """Each started login is stored for ten minutes, so one IP address can start only 60."""
    browser = setup.browser()
    statuses = [browser.get("/signin/corp").status_code for _ in range(61)]
    assert [303] * 60 + [429] == statuses


def test_forged_callback_writes_nothing(setup: Setup) -> None:
    """A forged cookie with a matching state does not even wait for the write lock."""
    browser, secret = setup.browser(), secret_tokens.new_key(secret_tokens.KeyKind.SIGN_IN_FLOW)
    browser.cookies.set("__Host-seaway_flow", secret, domain="conda.example.com", path="/")
    with setup.seaway.site.database.write_site():
        assert (
            400
            == browser.get(
                f"/signin/corp/callback?{urlencode({'state': external_login.state_of(secret), 'code': 'x'})}"
            ).status_code
        )


def test_external_sign_up_needs_an_external_login(setup: Setup) -> None:
    """Without the cookie of a completed login it is refused."""
    browser = setup.browser()
    browser.get("/signin")
    assert 400 == browser.send("/signup/external", name="sneaky").status_code
    assert 400 == browser.get("/signup/external").status_code


def test_disabled_user_cannot_sign_in_externally(setup: Setup) -> None:
    """Case 27, for external login."""
    account = github_account()
    user = sign_up_with(setup, setup.browser(), "github", account)
    with setup.seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, setup.clock.now_ms(), OPERATOR, user, disabled=True)
    browser = setup.browser()
    assert 401 == sign_in_with(setup, browser, "github", account).status_code
    assert browser.session is None


# Linking


def test_linked_account_signs_in_until_unlinked(setup: Setup) -> None:
    """Linking in the settings sends an email; after unlinking, the account no longer signs in."""
    user, account = setup.user(), github_account()
    browser = setup.browser()
    browser.sign_in(user)
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider="github").text
    setup.github.account = account
    url = go_on.partition(f'href="{setup.github.address}')[2].partition('"')[0].replace("&amp;", "&")
    path, query = follow_provider(setup.github.address + url)
    assert "/account/identities" == browser.get(f"{path}?{urlencode(query)}").headers["location"]
    assert account["login"] in browser.get("/account/identities").text
    assert any("was linked" in email for email in setup.texts_of_emails_to(f"{user}@example.com"))

    other_browser = setup.browser()
    sign_in_with(setup, other_browser, "github", account)
    assert user == signed_in_user(other_browser)

    number = browser.hidden("id")
    assert 303 == browser.send("/account/identities/unlink", id=number).status_code
    browser.get("/account/identities")
    assert 404 == browser.send("/account/identities/unlink", id=number).status_code
    assert "/signup/external" == sign_in_with(setup, setup.browser(), "github", account).headers["location"]


def test_account_is_linked_only_to_the_user_who_started(setup: Setup) -> None:
    """If another user is signed in when the browser returns, nothing is linked."""
    browser = setup.browser()
    browser.sign_in(setup.user())
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider="github").text
    setup.github.account = github_account()
    url = go_on.partition(f'href="{setup.github.address}')[2].partition('"')[0].replace("&amp;", "&")
    path, query = follow_provider(setup.github.address + url)
    browser.cookies.delete("__Host-seaway_session")
    assert 303 == browser.sign_in(setup.user()).status_code
    assert 400 == browser.get(f"{path}?{urlencode(query)}").status_code
    assert "octo-" not in browser.get("/account/identities").text


def test_linking_needs_a_recent_confirmation(setup: Setup) -> None:
    """A session older than 30 minutes links and unlinks nothing; signing in at the provider confirms it."""
    account = openid_account()
    browser = setup.browser()
    user = sign_up_with(setup, browser, "corp", account)
    setup.clock.move(31 * MINUTE_MS)
    for path, fields in (("link", {"provider": "github"}), ("unlink", {"id": "1"})):
        browser.get("/account/identities")
        refused = browser.send(f"/account/identities/{path}", **fields)
        assert (403, True) == (refused.status_code, "Confirm access" in refused.text)
    assert "/signin/corp?next=" in browser.get("/confirm?next=/account/identities").text
    assert (
        "/account/identities"
        == sign_in_with(setup, browser, "corp", account, "/account/identities").headers["location"]
    )
    assert user == signed_in_user(browser)
    assert is_fresh(browser)


# Confirmation through a provider


def is_fresh(browser: HttpBrowser) -> bool:
    """Return whether this session can do what needs a recent confirmation: start to link another account."""
    browser.get("/account/identities")
    response = browser.send("/account/identities/link", provider="github")
    assert response.status_code in (200, 403)
    return response.status_code == 200


def user_with_linked_account(setup: Setup, name: str, account: dict[str, Any]) -> str:
    """Create a user with a password and link the external account; return the name."""
    user, browser = setup.user(), setup.browser()
    browser.sign_in(user)
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider=name).text
    address = setup.provider(name).address
    setup.provider(name).account = account
    path, query = follow_provider(
        address + go_on.partition(f'href="{address}')[2].partition('"')[0].replace("&amp;", "&")
    )
    assert "/account/identities" == browser.get(f"{path}?{urlencode(query)}").headers["location"]
    return user


@pytest.mark.parametrize("name", ["github", "google"])
def test_provider_without_auth_time_does_not_confirm(setup: Setup, name: str) -> None:
    """It may sign in without any question, so neither signing in nor confirming counts; the password does."""
    account = github_account() if name == "github" else openid_account()
    user = user_with_linked_account(setup, name, account)
    browser = setup.browser()
    assert "/home" == sign_in_with(setup, browser, name, account).headers["location"]
    assert user == signed_in_user(browser)
    assert not is_fresh(browser)
    shown = browser.get("/confirm?next=/account/identities").text
    assert 'name="proof"' in shown
    assert ("/signin/github" in shown, "/signin/google" in shown) == (False, name == "google")
    back = sign_in_with(setup, browser, name, account, "/account/identities")
    assert "/confirm?next=/account/identities" == back.headers["location"]
    assert not is_fresh(browser)
    browser.get("/confirm?next=/account/identities")
    assert 303 == browser.send("/confirm", proof=PASSWORD, next="/account/identities").status_code
    assert is_fresh(browser)


def test_second_factor_after_external_login_confirms(setup: Setup) -> None:
    """The code was checked by Seaway, whatever the provider claims."""
    account = github_account()
    user = user_with_linked_account(setup, "github", account)
    seed = add_authenticator_app(setup, user)
    browser = setup.browser()
    setup.github.account = account
    path, query = go_to_provider_and_back(browser, "github")
    assert 200 == browser.get(f"{path}?{urlencode(query)}").status_code
    assert browser.session is None
    setup.clock.move(MINUTE_MS)
    code = pyotp.TOTP(seed).at(setup.clock.now_ms() // 1000)
    sent = browser.send("/signin/second", flow=browser.hidden("flow"), code=code, has_totp="on")
    assert 303 == sent.status_code, sent.text
    assert is_fresh(browser)


def add_authenticator_app(setup: Setup, user: str) -> str:
    """Set up an authenticator app for a user with the password PASSWORD; return the seed."""
    browser = setup.browser()
    browser.sign_in(user)
    return enroll_app(setup, browser)


def enroll_app(setup: Setup, browser: HttpBrowser) -> str:
    """Set up an authenticator app in this browser; return the seed."""
    browser.get("/account/security")
    response = browser.send("/account/security/totp")
    assert 200 == response.status_code, response.headers.get("location")
    seed = re.sub(r"\s", "", re.search(r"((?:[A-Z2-7]{4} ?){8})", response.text)[1])  # type: ignore[index]
    code = pyotp.TOTP(seed).at(setup.clock.now_ms() // 1000)
    assert 200 == browser.send("/account/security/totp/confirm", code=code).status_code
    return seed


def test_user_with_only_github_is_sent_to_set_up_a_second_factor(setup: Setup) -> None:
    """Setting up the first factor needs a recent sign-in; everything else needs the factor."""
    account, browser = github_account(), setup.browser()
    sign_up_with(setup, browser, "github", account)
    assert not is_fresh(browser)
    shown = browser.get("/confirm?next=/account/identities").text
    assert 'name="proof"' not in shown
    assert 'href="/account/security"' in shown
    assert "/signin/github?next=/account/security" in shown
    setup.clock.move(31 * MINUTE_MS)
    browser.get("/account/security")
    refused = browser.send("/account/security/totp")
    assert (403, True) == (refused.status_code, "Confirm access" in refused.text)

    assert (
        "/account/security" == sign_in_with(setup, browser, "github", account, "/account/security").headers["location"]
    )
    seed = enroll_app(setup, browser)
    assert not is_fresh(browser)
    browser.get("/account/security")
    assert "Confirm access" in browser.send("/account/security/totp/remove").text
    setup.clock.move(MINUTE_MS)
    browser.get("/confirm?next=/account/identities")
    code = pyotp.TOTP(seed).at(setup.clock.now_ms() // 1000)
    assert 303 == browser.send("/confirm", proof=code, next="/account/identities").status_code
    assert is_fresh(browser)


def test_external_login_cannot_add_a_factor_to_an_account_with_a_password(setup: Setup) -> None:
    """Otherwise a browser that is signed in at GitHub could take over an account with a password."""
    account, browser = github_account(), setup.browser()
    user_with_linked_account(setup, "github", account)
    sign_in_with(setup, browser, "github", account)
    for path in ("totp", "passkeys/options", "password"):
        browser.get("/account/security")
        refused = browser.send(f"/account/security/{path}", password="another 9 tangerine ladders")
        assert (403, True) == (refused.status_code, "Confirm access" in refused.text)


@pytest.mark.parametrize(
    ("minutes_ago", "fresh"), [pytest.param(0, True), pytest.param(29, True), pytest.param(31, False)]
)
def test_auth_time_decides_whether_a_login_confirms(setup: Setup, minutes_ago: int, fresh: bool) -> None:
    """`auth_time` of the ID token is when the user last authenticated; it also counts when signing in."""
    account, browser = openid_account(), setup.browser()
    sign_up_with(setup, browser, "corp", account)
    setup.corp.auth_time = lambda: setup.clock.now_ms() // 1000 - minutes_ago * 60
    sign_in_with(setup, browser, "corp", account)
    assert fresh is is_fresh(browser)


@pytest.mark.parametrize("auth_time", ["soon", True, -1, 4_000_000_000])
def test_invalid_auth_time_signs_no_user_in(setup: Setup, auth_time: object) -> None:
    account, browser = openid_account(), setup.browser()
    sign_up_with(setup, setup.browser(), "corp", account)
    setup.corp.changed_claims = {"auth_time": auth_time}
    setup.corp.email_in_token = True
    response = sign_in_with(setup, browser, "corp", account)
    setup.corp.email_in_token = False
    assert (403, None) == (response.status_code, browser.session)


def test_auth_time_outside_the_id_token_is_ignored(setup: Setup) -> None:
    """The response of the userinfo endpoint is not signed."""
    account, browser = openid_account(), setup.browser()
    setup.corp.auth_time = lambda: None
    sign_up_with(setup, browser, "corp", account | {"auth_time": setup.clock.now_ms() // 1000})
    sign_in_with(setup, browser, "corp", account | {"auth_time": setup.clock.now_ms() // 1000})
    assert not is_fresh(browser)


def test_confirmation_requests_a_new_authentication(setup: Setup) -> None:
    """`prompt=login`, and `max_age`, which makes providers send `auth_time`."""
    browser = setup.browser()
    request = parse_qs(urlsplit(browser.get("/signin/corp").headers["location"]).query)
    assert not {"prompt", "max_age"} & request.keys()
    sign_up_with(setup, browser, "corp", openid_account())
    request = parse_qs(urlsplit(browser.get("/signin/corp").headers["location"]).query)
    assert (["login"], ["0"]) == (request["prompt"], request["max_age"])


def test_only_sign_in_method_cannot_be_removed(setup: Setup) -> None:
    """For a user without a password, unlinking is refused with this reason."""
    browser = setup.browser()
    sign_up_with(setup, browser, "corp", openid_account())
    browser.get("/account/identities")
    response = browser.send("/account/identities/unlink", id=browser.hidden("id"))
    assert 403 == response.status_code
    assert "only sign-in method" in response.text


def test_sign_in_page_lists_the_providers(setup: Setup) -> None:
    """In the order of the settings, with the next page."""
    shown = setup.browser().get("/signin?next=/account/keys").text
    positions = [shown.index(f'href="/signin/{name}?next=/account/keys"') for name in ("github", "google", "corp")]
    assert sorted(positions) == positions
    assert "Example Corp" in shown
