"""
Signing in with GitHub, Google and an OpenID provider, each on the loopback: Authlib's server and a GitHub that answers
as GitHub documents (cases 22 to 26 of docs/security-cases.md).
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
from tests.support import house, mail
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.providers import CLIENT_ID, CLIENT_SECRET, GitHub, OpenIdProvider, Provider, running
from tests.web.visitor import PASSWORD, SITE, Visitor

_numbers = count(1)
_HASH = passwords.hash_new(PASSWORD)


@dataclass(frozen=True)
class World:
    """A house, and those that vouch for people."""

    seaway: Seaway
    clock: TurnedClock
    github: GitHub
    google: OpenIdProvider
    corp: OpenIdProvider
    portal: BlockingPortal

    def browser(self) -> Visitor:
        return Visitor(self.seaway, self.portal, f"2001:db8:ffff:{next(_numbers):x}::1")

    def provider(self, name: str) -> Provider:
        return {"github": self.github, "google": self.google, "corp": self.corp}[name]

    def user(self, *, address: str | None = None) -> str:
        """Somebody with the usual password."""
        name = f"grace-{next(_numbers)}"
        with self.seaway.database.write_site() as tx:
            now_ms = self.clock.now_ms()
            email = address or f"{name}@example.com"
            users.add(tx, now_ms, OPERATOR, name, email=email, password_hash=_HASH, is_admin=False)
        return name

    def letters_to(self, address: str) -> list[str]:
        return [mail.text_of(letter) for letter in mail.letters_to(self.seaway, address)]

    def verified(self, name: str) -> list[str]:
        with self.seaway.database.read() as tx:
            mine = emails.of_user(tx, users.get(tx, name).id)
        return [one.address for one in mine if one.verified_at_ms is not None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("outside")
    clock = TurnedClock()
    with ExitStack() as stack:
        github, google, corp = GitHub(), OpenIdProvider(), OpenIdProvider(email_in_token=False)
        for name, made in (("google", google), ("corp", corp)):
            made.now = lambda: clock.now_ms() // 1000
            made.redirect_uris = [f"{SITE}/signin/{name}/callback"]
        corp.auth_time = lambda: clock.now_ms() // 1000
        for each in (github, google, corp):
            stack.enter_context(running(each))
        built = house.build(
            folder,
            clock,
            public_url=SITE,
            github_client_id=CLIENT_ID, github_client_secret=CLIENT_SECRET,
            github_url=github.address, github_api_url=f"{github.address}/api",
            google_client_id=CLIENT_ID, google_client_secret=CLIENT_SECRET,
            oidc=[
                OidcSetting(
                    name="corp", title="Example Corp", issuer=corp.address, client_id=CLIENT_ID,
                    client_secret=CLIENT_SECRET, scopes=("openid", "profile", "email"),
                )
            ],
        )  # fmt: skip
        stack.callback(built.close)
        login = built.request_parts.external_login
        providers = Providers(
            [replace(one, issuer=google.address) if one.name == GOOGLE else one for one in login.providers]
        )
        built = replace(
            built, request_parts=replace(built.request_parts, external_login=replace(login, providers=providers))
        )
        People(built).user("operator-of-it", admin=True)
        yield World(built, clock, github, google, corp, portal)


@pytest.fixture(autouse=True)
def as_usual(world: World) -> None:
    """Providers make no mistakes unless a test says so."""
    for provider in (world.google, world.corp):
        provider.wrong, provider.algorithm, provider.signing_key = {}, "RS256", None
        provider.says_issuer, provider.described = None, {}
    for each in (world.github, world.google, world.corp):
        each.says_no = False
    world.corp.auth_time = lambda: world.clock.now_ms() // 1000


def octocat(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Somebody at GitHub, another one each time."""
    number = number or 10_000 + next(_numbers)
    address = {"email": f"octo-{number}@example.com", "primary": True, "verified": True, "visibility": None}
    return {"id": number, "login": f"octo-{number}", "name": "Octo", "emails": [address], **changes}


def somebody(**changes: Any) -> dict[str, Any]:
    """Somebody at an OpenID provider, another one each time."""
    number = next(_numbers)
    about = {"preferred_username": f"alan-{number}", "email": f"alan-{number}@example.com", "email_verified": True}
    return {"sub": f"sub-{number}", **about, **changes}


def go(browser: Visitor, name: str, next_path: str = "/") -> tuple[str, dict[str, str]]:
    """To the provider and back, but not in yet: the address of the callback and what is brought there."""
    led = browser.get(f"/signin/{name}", params={"next": next_path})
    assert 303 == led.status_code, led.text
    return over(led.headers["location"])


def over(url: str) -> tuple[str, dict[str, str]]:
    """What the provider sends the browser back with."""
    back = httpx.get(url)
    assert 302 == back.status_code, back.text
    parts = urlsplit(back.headers["location"])
    assert SITE == f"{parts.scheme}://{parts.netloc}"
    return parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}


def arrive(world: World, browser: Visitor, name: str, person: dict[str, Any], next_path: str = "/") -> httpx.Response:
    """The whole way, as this person."""
    world.provider(name).person = person
    path, query = go(browser, name, next_path)
    return browser.get(f"{path}?{urlencode(query)}")


def settle(world: World, browser: Visitor, name: str, person: dict[str, Any], user: str = "") -> str:
    """Make an account for somebody who has none; its name."""
    assert "/signup/external" == arrive(world, browser, name, person).headers["location"]
    browser.get("/signup/external")
    user = user or f"user-{next(_numbers)}"
    made = browser.send("/signup/external", name=user)
    assert 303 == made.status_code, made.text
    return user


def who(browser: Visitor) -> str | None:
    """Who is signed in."""
    shown = browser.get("/account")
    return None if shown.status_code != 200 else shown.text.partition("User name</dt><dd>")[2].partition("<")[0]


# The way in


@pytest.mark.parametrize("name", ["github", "google", "corp"])
def test_a_new_person_chooses_a_name_and_comes_back(world: World, name: str) -> None:
    """Cookie, name, verified address and the page that was wanted; and next time straight in."""
    person = octocat() if name == "github" else somebody()
    browser = world.browser()
    assert "/signup/external" == arrive(world, browser, name, person, "/account/keys").headers["location"]
    shown = browser.get("/signup/external").text
    login = person["login"] if name == "github" else person["preferred_username"]
    assert f'value="{login}"' in shown
    answer = browser.send("/signup/external", name=f"new-{login}")
    assert (303, "/account/keys") == (answer.status_code, answer.headers["location"])
    assert f"new-{login}" == who(browser)
    address = person["emails"][0]["email"] if name == "github" else person["email"]
    assert [address] == world.verified(f"new-{login}")

    again = world.browser()
    assert "/account/keys" == arrive(world, again, name, person, "/account/keys").headers["location"]
    assert f"new-{login}" == who(again)
    assert again.session != browser.session


def test_what_is_asked_of_a_provider(world: World) -> None:
    """The exact callback whatever Host says, PKCE, state and nonce; the state tells nothing of the cookie."""
    browser = world.browser()
    led = browser.ask(
        "GET", "/signin/corp", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    )
    asked = parse_qs(urlsplit(led.headers["location"]).query)
    assert [f"{SITE}/signin/corp/callback"] == asked["redirect_uri"]
    assert ["S256"] == asked["code_challenge_method"]
    assert ["openid profile email"] == asked["scope"]
    secret = browser.cookies["__Host-seaway_flow"]
    assert secret.startswith("swy-f-")
    assert secret not in led.headers["location"]
    assert len({asked["state"][0], asked["nonce"][0], asked["code_challenge"][0]}) == 3


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)"])
def test_next_is_a_page_of_ours(world: World, path: str) -> None:
    """Case 21, by this way in."""
    person = octocat()
    settle(world, world.browser(), "github", person)
    assert "/account" == arrive(world, world.browser(), "github", person, path).headers["location"]


@pytest.mark.parametrize("wrong", ["state", "no state", "no cookie", "other browser", "other provider", "too late"])
def test_what_was_not_begun_here_is_refused(world: World, wrong: str) -> None:
    """Case 22: nobody is signed in by an answer that this browser did not ask for, or not lately."""
    browser, other = world.browser(), world.browser()
    world.corp.person = somebody()
    path, query = go(browser, "corp")
    go(other, "corp")
    if wrong == "state":
        query["state"] = query["state"][:-1] + ("A" if query["state"][-1] != "A" else "B")
    elif wrong == "no state":
        del query["state"]
    elif wrong == "no cookie":
        browser.cookies.delete("__Host-seaway_flow")
    elif wrong == "other provider":
        path = "/signin/google/callback"
    elif wrong == "too late":
        world.clock.move(10 * MINUTE_MS)
    answer = (other if wrong == "other browser" else browser).get(f"{path}?{urlencode(query)}")
    if wrong == "too late":
        world.clock.move(-10 * MINUTE_MS)
    assert 400 == answer.status_code
    assert browser.session is None


def test_an_answer_is_taken_once(world: World) -> None:
    """Case 22: the same address again is refused, although the code might still be good."""
    person = octocat()
    browser = world.browser()
    settle(world, browser, "github", person)
    path, query = go(browser, "github")
    secret = browser.cookies["__Host-seaway_flow"]
    assert 303 == browser.get(f"{path}?{urlencode(query)}").status_code
    browser.cookies.set("__Host-seaway_flow", secret, domain="conda.example.com", path="/")
    assert 400 == browser.get(f"{path}?{urlencode(query)}").status_code


@pytest.mark.parametrize("name", ["github", "google", "corp"])
def test_a_no_there_is_a_no_here(world: World, name: str) -> None:
    """With a sentence, and without an account."""
    browser = world.browser()
    world.provider(name).says_no = True
    assert 403 == arrive(world, browser, name, octocat() if name == "github" else somebody()).status_code


# Hostile answers; what is wrong with a token in all ways stands in tests/accounts/test_id_tokens.py

WRONG: dict[str, Callable[[OpenIdProvider], None]] = {
    "other audience": lambda there: there.wrong.update(aud="somebody-else"),
    "other nonce": lambda there: there.wrong.update(nonce="of another sign-in"),
    "other issuer": lambda there: there.wrong.update(iss="https://accounts.google.com"),
    "expired": lambda there: there.wrong.update(exp=there.now() - 120),
    "alg none": lambda there: setattr(there, "algorithm", "none"),
    "HS256 by the client secret": lambda there: _sign_with(there, "HS256", OctKey.import_key(CLIENT_SECRET)),
    "another key": lambda there: _sign_with(there, "RS256", RSAKey.generate_key(2048)),
    "iss of another in the address": lambda there: setattr(there, "says_issuer", "https://evil.example"),
    "no iss, though it says so": lambda there: there.described.update(authorization_response_iss_parameter_supported=True),
}  # fmt: skip


def _sign_with(there: OpenIdProvider, algorithm: str, key: Any) -> None:
    there.algorithm, there.signing_key = algorithm, key


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG.keys())
def test_a_provider_that_says_something_else_signs_nobody_in(
    world: World, spoil: Callable[[OpenIdProvider], None]
) -> None:
    """Case 23."""
    person = somebody()
    settle(world, world.browser(), "corp", person)
    world.clock.move(60 * MINUTE_MS)  # what it says of itself is read again
    spoil(world.corp)
    world.corp.wrong = {
        "iat": world.clock.now_ms() // 1000,
        "exp": world.clock.now_ms() // 1000 + 60,
    } | world.corp.wrong
    browser = world.browser()
    answer = arrive(world, browser, "corp", person)
    assert answer.status_code in (400, 403)
    assert browser.session is None
    world.corp.described.clear()
    world.clock.move(60 * MINUTE_MS)


def test_iss_of_the_right_one_is_right(world: World) -> None:
    """RFC 9207, where the provider sends it."""
    world.corp.says_issuer = world.corp.address
    settle(world, world.browser(), "corp", somebody())


# Who is who


def test_the_same_address_links_nothing(world: World) -> None:
    """Case 24: an account with a password is not entered by GitHub; it is said what to do, and nothing is made."""
    user = world.user(address="shared@example.com")
    person = octocat(emails=[{"email": "Shared@example.com", "primary": True, "verified": True}])
    browser = world.browser()
    assert "/signup/external" == arrive(world, browser, "github", person).headers["location"]
    shown = browser.get("/signup/external")
    assert 422 == shown.status_code
    assert "An account here already has the email address" in shown.text
    browser.get("/signin")
    assert 422 == browser.send("/signup/external", name=f"new-{next(_numbers)}").status_code
    assert (None, ["shared@example.com"]) == (who(browser), world.verified(user))


def test_a_new_name_there_is_the_same_account_here(world: World) -> None:
    """Case 25: and the old name with another number is somebody else."""
    person = octocat()
    user = settle(world, world.browser(), "github", person)
    renamed = world.browser()
    arrive(world, renamed, "github", person | {"login": "renamed"})
    assert user == who(renamed)
    other = world.browser()
    assert "/signup/external" == arrive(world, other, "github", octocat(login=person["login"])).headers["location"]


@pytest.mark.parametrize("email_verified", [False, "true", None])
def test_google_must_have_verified_the_address(world: World, email_verified: object) -> None:
    """Case 26."""
    browser = world.browser()
    assert 403 == arrive(world, browser, "google", somebody(email_verified=email_verified)).status_code
    assert browser.session is None


def test_an_address_that_nobody_vouches_for_is_proved_by_a_letter(world: World) -> None:
    """Elsewhere: the person types one, and it counts when the link was opened."""
    person, browser = somebody(email_verified=False), world.browser()
    arrive(world, browser, "corp", person)
    assert 'name="address"' in browser.get("/signup/external").text
    name = f"typed-{next(_numbers)}"
    assert 303 == browser.send("/signup/external", name=name, address=f"{name}@example.com").status_code
    assert [] == world.verified(name)
    assert any(name in letter for letter in world.letters_to(f"{name}@example.com"))


@pytest.mark.parametrize("name", ["", "operator-of-it", "admin", "-x", "Ünder"])
def test_a_name_that_cannot_be_is_asked_for_again(world: World, name: str) -> None:
    """Taken, reserved, impossible; and the next try works."""
    browser = world.browser()
    arrive(world, browser, "github", octocat())
    browser.get("/signup/external")
    assert 422 == browser.send("/signup/external", name=name).status_code
    assert 303 == browser.send("/signup/external", name=f"better-{next(_numbers)}").status_code


def test_who_begins_and_never_comes_back_is_counted(world: World) -> None:
    """Each beginning is kept for ten minutes: so many from one address, then none."""
    browser = world.browser()
    statuses = [browser.get("/signin/corp").status_code for _ in range(61)]
    assert [303] * 60 + [429] == statuses


def test_a_way_back_that_nobody_began_writes_nothing(world: World) -> None:
    """A cookie of one's own making, with the state that fits it: while somebody else writes, it does not wait."""
    browser, secret = world.browser(), secret_tokens.new_key(secret_tokens.KeyKind.SIGN_IN_FLOW)
    browser.cookies.set("__Host-seaway_flow", secret, domain="conda.example.com", path="/")
    with world.seaway.database.write_site():
        assert (
            400
            == browser.get(
                f"/signin/corp/callback?{urlencode({'state': external_login.state_of(secret), 'code': 'x'})}"
            ).status_code
        )


def test_nobody_makes_an_account_who_does_not_come_from_a_provider(world: World) -> None:
    """Without the cookie of a way there and back."""
    browser = world.browser()
    browser.get("/signin")
    assert 400 == browser.send("/signup/external", name="sneaky").status_code
    assert 400 == browser.get("/signup/external").status_code


def test_a_disabled_user_does_not_come_in(world: World) -> None:
    """Case 27, by this way."""
    person = octocat()
    user = settle(world, world.browser(), "github", person)
    with world.seaway.database.write_site() as tx:
        user_access.set_disabled(tx, world.clock.now_ms(), OPERATOR, user, disabled=True)
    browser = world.browser()
    assert 401 == arrive(world, browser, "github", person).status_code
    assert browser.session is None


# Linking


def test_somebody_links_an_account_and_comes_in_by_it(world: World) -> None:
    """From the settings, told by letter; then unlinks it again."""
    user, person = world.user(), octocat()
    browser = world.browser()
    browser.sign_in(user)
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider="github").text
    world.github.person = person
    url = go_on.partition(f'href="{world.github.address}')[2].partition('"')[0].replace("&amp;", "&")
    path, query = over(world.github.address + url)
    assert "/account/identities" == browser.get(f"{path}?{urlencode(query)}").headers["location"]
    assert person["login"] in browser.get("/account/identities").text
    assert any("was linked" in letter for letter in world.letters_to(f"{user}@example.com"))

    other = world.browser()
    arrive(world, other, "github", person)
    assert user == who(other)

    number = browser.hidden("id")
    assert 303 == browser.send("/account/identities/unlink", id=number).status_code
    browser.get("/account/identities")
    assert 404 == browser.send("/account/identities/unlink", id=number).status_code
    assert "/signup/external" == arrive(world, world.browser(), "github", person).headers["location"]


def test_a_link_is_made_by_who_began_it(world: World) -> None:
    """If somebody else is signed in when the browser comes back, nothing is linked."""
    browser = world.browser()
    browser.sign_in(world.user())
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider="github").text
    world.github.person = octocat()
    url = go_on.partition(f'href="{world.github.address}')[2].partition('"')[0].replace("&amp;", "&")
    path, query = over(world.github.address + url)
    browser.cookies.delete("__Host-seaway_session")
    assert 303 == browser.sign_in(world.user()).status_code
    assert 400 == browser.get(f"{path}?{urlencode(query)}").status_code
    assert "octo-" not in browser.get("/account/identities").text


def test_linking_needs_a_fresh_proof(world: World) -> None:
    """A cookie of an hour ago links nothing and unlinks nothing; authenticating at the provider again is a proof."""
    person = somebody()
    browser = world.browser()
    user = settle(world, browser, "corp", person)
    world.clock.move(31 * MINUTE_MS)
    for path, fields in (("link", {"provider": "github"}), ("unlink", {"id": "1"})):
        browser.get("/account/identities")
        led = browser.send(f"/account/identities/{path}", **fields)
        assert (303, "/confirm?next=/account/identities") == (led.status_code, led.headers["location"])
    assert "/signin/corp?next=" in browser.get("/confirm?next=/account/identities").text
    assert "/account/identities" == arrive(world, browser, "corp", person, "/account/identities").headers["location"]
    assert user == who(browser)
    assert is_fresh(browser)


# Fresh proofs through a provider


def is_fresh(browser: Visitor) -> bool:
    """Whether this session may do what needs a fresh proof: make the link to another account, which goes nowhere."""
    browser.get("/account/identities")
    answer = browser.send("/account/identities/link", provider="github")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def linked(world: World, name: str, person: dict[str, Any]) -> str:
    """A user with a password to whom the account elsewhere is linked."""
    user, browser = world.user(), world.browser()
    browser.sign_in(user)
    browser.get("/account/identities")
    go_on = browser.send("/account/identities/link", provider=name).text
    address = world.provider(name).address
    world.provider(name).person = person
    path, query = over(address + go_on.partition(f'href="{address}')[2].partition('"')[0].replace("&amp;", "&"))
    assert "/account/identities" == browser.get(f"{path}?{urlencode(query)}").headers["location"]
    return user


@pytest.mark.parametrize("name", ["github", "google"])
def test_a_provider_that_asks_for_nothing_confirms_nobody(world: World, name: str) -> None:
    """Neither signing in by it nor confirming by it is a fresh proof; the password is."""
    person = octocat() if name == "github" else somebody()
    user = linked(world, name, person)
    browser = world.browser()
    assert "/account" == arrive(world, browser, name, person).headers["location"]
    assert user == who(browser)
    assert not is_fresh(browser)
    shown = browser.get("/confirm?next=/account/identities").text
    assert 'name="proof"' in shown
    assert ("/signin/github" in shown, "/signin/google" in shown) == (False, name == "google")
    back = arrive(world, browser, name, person, "/account/identities")
    assert "/confirm?next=/account/identities" == back.headers["location"]
    assert not is_fresh(browser)
    browser.get("/confirm?next=/account/identities")
    assert 303 == browser.send("/confirm", proof=PASSWORD, next="/account/identities").status_code
    assert is_fresh(browser)


def test_a_second_factor_after_a_provider_is_a_fresh_proof(world: World) -> None:
    """What was typed here counts, whatever the provider said."""
    person = octocat()
    user = linked(world, "github", person)
    seed = with_app(world, user)
    browser = world.browser()
    world.github.person = person
    path, query = go(browser, "github")
    assert 200 == browser.get(f"{path}?{urlencode(query)}").status_code
    assert browser.session is None
    world.clock.move(MINUTE_MS)
    code = pyotp.TOTP(seed).at(world.clock.now_ms() // 1000)
    sent = browser.send("/signin/second", flow=browser.hidden("flow"), code=code, has_totp="on")
    assert 303 == sent.status_code, sent.text
    assert is_fresh(browser)


def with_app(world: World, user: str) -> str:
    """Set up an app for codes for a user with the usual password; its seed."""
    browser = world.browser()
    browser.sign_in(user)
    return enrolled(world, browser)


def enrolled(world: World, browser: Visitor) -> str:
    """Set up an app for codes in this browser."""
    browser.get("/account/security")
    begun = browser.send("/account/security/totp")
    assert 200 == begun.status_code, begun.headers.get("location")
    seed = re.sub(r"\s", "", re.search(r"((?:[A-Z2-7]{4} ?){8})", begun.text)[1])  # type: ignore[index]
    code = pyotp.TOTP(seed).at(world.clock.now_ms() // 1000)
    assert 200 == browser.send("/account/security/totp/confirm", code=code).status_code
    return seed


def test_who_has_only_github_is_led_to_a_second_factor(world: World) -> None:
    """The first factor takes a recent sign-in; everything else takes the factor."""
    person, browser = octocat(), world.browser()
    settle(world, browser, "github", person)
    assert not is_fresh(browser)
    shown = browser.get("/confirm?next=/account/identities").text
    assert 'name="proof"' not in shown
    assert 'href="/account/security"' in shown
    assert "/signin/github?next=/account/security" in shown
    world.clock.move(31 * MINUTE_MS)
    browser.get("/account/security")
    led = browser.send("/account/security/totp")
    assert (303, "/confirm?next=/account/security") == (led.status_code, led.headers["location"])

    assert "/account/security" == arrive(world, browser, "github", person, "/account/security").headers["location"]
    seed = enrolled(world, browser)
    assert not is_fresh(browser)
    browser.get("/account/security")
    assert 303 == browser.send("/account/security/totp/remove").status_code  # to the confirmation
    world.clock.move(MINUTE_MS)
    browser.get("/confirm?next=/account/identities")
    code = pyotp.TOTP(seed).at(world.clock.now_ms() // 1000)
    assert 303 == browser.send("/confirm", proof=code, next="/account/identities").status_code
    assert is_fresh(browser)


def test_a_recent_sign_in_adds_no_factor_to_an_account_that_has_a_proof(world: World) -> None:
    """Else a browser that is signed in at GitHub would be enough to take an account with a password over."""
    person, browser = octocat(), world.browser()
    linked(world, "github", person)
    arrive(world, browser, "github", person)
    for path in ("totp", "passkeys/options", "password"):
        browser.get("/account/security")
        led = browser.send(f"/account/security/{path}", password="another 9 tangerine ladders")
        assert (303, "/confirm?next=/account/security") == (led.status_code, led.headers["location"])


@pytest.mark.parametrize(
    ("minutes_ago", "fresh"), [pytest.param(0, True), pytest.param(29, True), pytest.param(31, False)]
)
def test_a_proof_at_the_provider_is_as_old_as_it_says(world: World, minutes_ago: int, fresh: bool) -> None:
    """`auth_time` of the ID token is when the person last proved to be there; also for signing in."""
    person, browser = somebody(), world.browser()
    settle(world, browser, "corp", person)
    world.corp.auth_time = lambda: world.clock.now_ms() // 1000 - minutes_ago * 60
    arrive(world, browser, "corp", person)
    assert fresh is is_fresh(browser)


@pytest.mark.parametrize("auth_time", ["soon", True, -1, 4_000_000_000])
def test_a_provider_that_tells_no_possible_time_signs_nobody_in(world: World, auth_time: object) -> None:
    person, browser = somebody(), world.browser()
    settle(world, world.browser(), "corp", person)
    world.corp.wrong = {"auth_time": auth_time}
    world.corp.email_in_token = True
    answer = arrive(world, browser, "corp", person)
    world.corp.email_in_token = False
    assert (403, None) == (answer.status_code, browser.session)


def test_the_time_is_believed_from_the_signed_token_only(world: World) -> None:
    """What the provider says besides, at another address, is not signed and not checked."""
    person, browser = somebody(), world.browser()
    world.corp.auth_time = lambda: None
    settle(world, browser, "corp", person | {"auth_time": world.clock.now_ms() // 1000})
    arrive(world, browser, "corp", person | {"auth_time": world.clock.now_ms() // 1000})
    assert not is_fresh(browser)


def test_to_confirm_asks_for_a_new_proof(world: World) -> None:
    """`prompt=login`, and `max_age`, which makes providers say when it was."""
    browser = world.browser()
    asked = parse_qs(urlsplit(browser.get("/signin/corp").headers["location"]).query)
    assert not {"prompt", "max_age"} & asked.keys()
    settle(world, browser, "corp", somebody())
    asked = parse_qs(urlsplit(browser.get("/signin/corp").headers["location"]).query)
    assert (["login"], ["0"]) == (asked["prompt"], asked["max_age"])


def test_the_only_way_in_stays(world: World) -> None:
    """The button of somebody without a password says so."""
    browser = world.browser()
    settle(world, browser, "corp", somebody())
    browser.get("/account/identities")
    answer = browser.send("/account/identities/unlink", id=browser.hidden("id"))
    assert 403 == answer.status_code
    assert "only sign-in method" in answer.text


def test_the_sign_in_page_names_the_providers(world: World) -> None:
    """In the order of the settings, with where to go on."""
    shown = world.browser().get("/signin?next=/account/keys").text
    places = [shown.index(f'href="/signin/{name}?next=/account/keys"') for name in ("github", "google", "corp")]
    assert sorted(places) == places
    assert "Example Corp" in shown
