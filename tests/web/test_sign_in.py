"""Sign-in and sign-out pages: cookies, forged forms, disclosed information (1 to 21 of docs/security-cases.md)."""

import re
from collections.abc import Callable

import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.channels import invitations
from seaway.channels.roles import Role
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.server.wiring import Seaway
from seaway.sign_in import first_account, sessions
from tests.support import mail, sites
from tests.support.clock import ManualClock
from tests.support.requests import bearer
from tests.support.sites import Factory
from tests.support.statements import record_statements
from tests.web.http_browser import PASSWORD, SITE, HttpBrowser

UNVERIFIED = "Verify your email address."
WRONG = "not the password at all"
PROGRAM = {"Accept": "*/*"}


def test_session_cookie_is_bound_to_the_host(browser: HttpBrowser, ada: str) -> None:
    """Case 17: prefix and flags of the cookie."""
    response = browser.sign_in(ada)
    assert 303 == response.status_code
    cookie = next(header for header in response.headers.get_list("set-cookie") if "session" in header)
    assert cookie.startswith("__Host-seaway_session=swy-s-")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "max-age=31536000" in response.headers["strict-transport-security"]


def test_each_sign_in_makes_a_new_session_secret(browser: HttpBrowser, ada: str) -> None:
    """Case 12: the previous secret differs and is invalid."""
    browser.sign_in(ada)
    old = browser.session
    browser.cookies.delete("__Host-seaway_session")
    browser.sign_in(ada)
    assert old != browser.session

    second_browser = browser.another()
    second_browser.get("/signin")
    second_browser.set_session(browser.session)
    assert 303 == second_browser.send("/signin", login=ada, password=PASSWORD).status_code
    assert second_browser.session not in (None, browser.session)
    assert 401 == browser.get("/account", headers=PROGRAM).status_code


def test_session_secret_from_the_client_is_not_adopted(browser: HttpBrowser, ada: str) -> None:
    """Case 13: session fixation; an attacker cannot choose the secret of another user's session."""
    chosen = "swy-s-000000000000000000000000000000000000000000"
    browser.set_session(chosen)
    browser.sign_in(ada)
    assert browser.session not in (None, chosen)


def test_sign_out_invalidates_the_cookie(browser: HttpBrowser, ada: str) -> None:
    """Case 14: a copy of the cookie stops working."""
    browser.sign_in(ada)
    copy = browser.session
    browser.get("/account")
    assert 303 == browser.send("/signout").status_code
    assert browser.session is None
    browser.set_session(copy)
    assert 401 == browser.get("/account", headers=PROGRAM).status_code
    assert "/signin?next=/account" == browser.get("/account").headers["location"]


def test_password_change_ends_other_sessions(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """Case 15."""
    changing, other_browser = new_browser(), new_browser()
    changing.sign_in(ada)
    other_browser.sign_in(ada)
    changing.get("/account/security")
    assert 303 == changing.send("/account/security/password", password="quarry bishop 31 lanterns").status_code
    assert 200 == changing.get("/account").status_code
    assert 401 == other_browser.get("/account", headers=PROGRAM).status_code


def test_session_expires(browser: HttpBrowser, ada: str, shared_clock: ManualClock) -> None:
    """Case 16: after 12 hours without use, and after 14 days even if used all the time."""
    browser.sign_in(ada)
    shared_clock.move(12 * HOUR_MS)
    assert 401 == browser.get("/account", headers=PROGRAM).status_code
    browser.sign_in(ada)
    for _ in range(28):
        shared_clock.move(12 * HOUR_MS - MINUTE_MS)
        status = browser.get("/account", headers=PROGRAM).status_code
        assert 200 == status
    shared_clock.move(DAY_MS // 24)
    assert 401 == browser.get("/account", headers=PROGRAM).status_code


@pytest.mark.parametrize(
    ("headers", "token", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "right", 303),
        ({"Origin": SITE}, "right", 303),
        ({"Sec-Fetch-Site": "none"}, "right", 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "", 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": SITE}, "wrong", 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": SITE}, "right", 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": SITE}, "right", 403),
        ({"Sec-Fetch-Site": "none", "Origin": "https://evil.example"}, "right", 403),
        ({"Origin": "https://evil.example"}, "right", 403),
        ({"Origin": "null"}, "right", 403),
        ({}, "right", 403),
    ],
)
def test_form_without_origin_and_token_is_refused(
    browser: HttpBrowser, ada: str, headers: dict[str, str], token: str, expected: int
) -> None:
    """Case 18: requests that a page of another site could send are refused and change nothing."""
    browser.sign_in(ada)
    browser.get("/account")
    sent = browser.token if token == "right" else token
    response = browser.request("POST", "/signout", data={"csrf_token": sent}, headers=headers)
    assert expected == response.status_code
    assert (401 if expected == 303 else 200) == browser.get("/account", headers=PROGRAM).status_code


def test_json_sent_as_plain_text_is_refused(browser: HttpBrowser, ada: str) -> None:
    """Case 18: a form of another site can send JSON as plain text; it is not read as a form with a token."""
    browser.sign_in(ada)
    browser.get("/account")
    body = f'{{"csrf_token": "{browser.token}"}}'
    response = browser.request(
        "POST", "/signout", content=body, headers={"Content-Type": "text/plain", "Sec-Fetch-Site": "same-origin"}
    )
    assert 403 == response.status_code


def test_form_token_of_another_session_is_refused(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """A form token is valid only for the session of its page."""
    own, foreign = new_browser(), new_browser()
    for browser in (own, foreign):
        browser.sign_in(ada)
        browser.get("/account")
    response = own.request(
        "POST", "/signout", data={"csrf_token": foreign.token}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert 403 == response.status_code


def test_sign_in_form_is_bound_to_the_browser(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """Login CSRF: the form token needs a cookie that an attacker cannot set in another browser."""
    own, foreign = new_browser(), new_browser()
    foreign.get("/signin")
    own.get("/signin")
    own.cookies.clear()
    assert 403 == own.send("/signin", login=ada, password="x").status_code
    own.get("/signin")
    response = own.send("/signin", login=ada, password="x", csrf_token=foreign.token)
    assert 403 == response.status_code


def test_key_needs_no_form_token_and_cookie_does_not_replace_it(shared: Seaway, browser: HttpBrowser, ada: str) -> None:
    """Cases 19 and 20: if there is an Authorization header, it alone decides, whether valid or not."""
    factory = Factory(shared)
    channel = factory.channel(f"of-{ada}", owner=ada, public=False)
    key = factory.key(ada)
    path = f"/{channel}/noarch/repodata.json"
    assert 200 == browser.request("GET", path, headers=bearer(key)).status_code
    browser.sign_in(ada)
    assert 200 == browser.request("GET", path).status_code
    bad = bearer(key[:-1] + ("0" if key[-1] != "0" else "1"))
    for address in (path, "/account", f"/channels/{channel}", "/"):
        assert 401 == browser.request("GET", address, headers=bad | PROGRAM).status_code


def test_key_opens_no_account_page_and_session_is_no_bearer_token(
    shared: Seaway, browser: HttpBrowser, ada: str
) -> None:
    key = Factory(shared).key(ada)
    assert 403 == browser.request("GET", "/account/keys", headers=bearer(key)).status_code
    browser.sign_in(ada)
    assert 401 == browser.another().request("GET", "/account", headers=bearer(browser.session) | PROGRAM).status_code


@pytest.mark.parametrize("evil", ["//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)"])
def test_next_never_leads_to_another_site(browser: HttpBrowser, ada: str, evil: str) -> None:
    """Case 21: in the query and in the form."""
    browser.get("/signin", params={"next": evil})
    assert evil not in browser.shown
    for path in ("/account/keys", evil):
        browser.get("/signin")
        response = browser.send("/signin", login=ada, password=PASSWORD, next=path)
        assert ("/home" if path == evil else path) == response.headers["location"]
        browser.cookies.clear()


def test_unknown_user_and_wrong_password_get_the_same_page(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """Case 7, the message; tests/sign_in/test_password_sign_in.py compares the work."""
    pages = set()
    for login in (ada, "unknown-user"):
        browser = new_browser()
        response = browser.sign_in(login, WRONG)
        assert 401 == response.status_code
        pages.add(response.text.replace(login, "").replace(browser.token, ""))
    assert len(pages) == 1


def test_eleventh_attempt_is_rate_limited(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """Case 8: the response says how long to wait."""
    browser = new_browser()
    for _ in range(10):
        assert 401 == browser.sign_in(f"unknown-{ada}", WRONG).status_code
    response = browser.sign_in(f"unknown-{ada}", WRONG)
    assert 429 == response.status_code
    assert int(response.headers["retry-after"]) > 0
    assert 303 == new_browser().sign_in(ada).status_code


def test_confirming_the_password_makes_a_new_session_secret(
    browser: HttpBrowser, ada: str, shared_clock: ManualClock
) -> None:
    """After half an hour, sensitive changes need the password again; the previous session secret is invalid."""
    browser.sign_in(ada)
    shared_clock.move(31 * MINUTE_MS)
    browser.get("/account/keys")
    browser.get("/confirm?next=/account/keys")
    old, token = browser.session, browser.token
    assert 401 == browser.send("/confirm", proof=WRONG, next="/account/keys").status_code
    response = browser.send("/confirm", proof=PASSWORD, next="/account/keys", csrf_token=token)
    assert "/account/keys" == response.headers["location"]
    assert old != browser.session
    with browser.seaway.site.database.read() as tx:
        assert sessions.caller_of(tx, old or "", shared_clock.now_ms()) is None
    browser.get("/account/keys")
    created = browser.send("/account/keys", name="ci", mode="READ", days="90", **{"for": "all"})
    assert 200 == created.status_code
    assert "swy-u-" in created.text


def test_sign_up_and_email_verification(browser: HttpBrowser, ada: str) -> None:
    """Cases 1 to 3: opening the link verifies nothing, the button does, and pressing it twice is harmless."""
    name = f"new-{ada}"
    assert "/signup/sent" == browser.sign_up(name, f"{name}@example.com").headers["location"]
    assert browser.session is not None
    browser.get("/account/keys")
    refused = browser.send("/account/keys", name="ci", mode="READ", days="90", **{"for": "all"})
    assert 403 == refused.status_code
    assert "not verified" in refused.text

    email = mail.emails_to(browser.seaway, f"{name}@example.com")[-1]
    path = f"/verify/{mail.link_secret(email)}"
    scanner = browser.another()
    assert [200, 200] == [scanner.get(path).status_code, scanner.get(path).status_code]
    assert UNVERIFIED in browser.get("/account").text

    assert f"<strong>{name}</strong>" in browser.get(path).text
    token = browser.token
    shown = browser.send(path)
    assert (303, "/home") == (shown.status_code, shown.headers["location"])
    assert f"Your email address {name}@example.com is verified." in browser.get("/home").text
    assert UNVERIFIED not in browser.get("/account").text
    again = browser.send(path, csrf_token=token)
    assert 200 == again.status_code
    assert "Already verified" in again.text


def test_verification_needs_the_account_that_added_the_address(
    browser: HttpBrowser, new_browser: Callable[[], HttpBrowser], ada: str
) -> None:
    """For other callers the page names the account to sign in to, and a submitted form is refused."""
    name = f"eve-{ada}"
    browser.sign_up(name, f"{name}@example.com")
    path = f"/verify/{mail.link_secret(mail.emails_to(browser.seaway, f'{name}@example.com')[-1])}"

    anonymous = new_browser()
    shown = anonymous.get(path).text
    assert f"<strong>{name}</strong>" in shown
    assert f'href="/signin?next={path}"' in shown
    assert "Verify address" not in shown
    assert 401 == anonymous.send(path).status_code

    other_user = new_browser()
    other_user.sign_in(ada)
    assert f"You are signed in as {ada}" in other_user.get(path).text
    assert 403 == other_user.send(path).status_code
    assert UNVERIFIED in browser.get("/account").text

    other_user.get(path)
    assert f"/signin?next={path}" == other_user.send("/signout", next=path).headers["location"]
    other_user.get(f"/signin?next={path}")
    signed_in = other_user.send("/signin", login=name, password=PASSWORD, next=other_user.hidden("next"))
    assert path == signed_in.headers["location"]
    other_user.get(path)
    assert 303 == other_user.send(path).status_code
    assert UNVERIFIED not in browser.get("/account").text


def test_sign_up_with_a_known_address_looks_like_a_new_one(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """Case 4: the same page and a session; only the owner of the address gets an email about it."""
    responses = []
    for number, address in enumerate((f"{ada}@example.com", f"other-{ada}@example.com")):
        browser = new_browser()
        response = browser.sign_up(f"twin{number}-{ada}", address)
        shown = browser.get("/signup/sent").text.partition("<main")[2]
        responses.append(
            (
                response.status_code,
                response.headers["location"],
                browser.session is not None,
                shown.replace(address, "ADDRESS").replace(browser.token, "TOKEN"),
            )
        )
    assert responses[0] == responses[1]
    email = mail.emails_to(new_browser().seaway, f"{ada}@example.com")[-1]
    assert "already" in email["Subject"]


def test_password_reset_does_not_reveal_whether_an_address_is_known(
    new_browser: Callable[[], HttpBrowser], ada: str
) -> None:
    """Case 5: same response and same database statements for known and unknown addresses."""
    responses, work = [], []
    for address in (f"{ada}@example.com", f"unknown-{ada}@example.com"):
        browser = new_browser()
        browser.get("/reset")
        with record_statements(browser.seaway.site.database) as statements:
            response = browser.send("/reset", address=address)
        work.append(list(statements))
        responses.append((response.status_code, response.headers["location"], browser.get("/reset/sent").text))
    assert responses[0] == responses[1]
    assert work[0] == work[1]


def test_password_reset_link_sets_one_password(browser: HttpBrowser, ada: str) -> None:
    """Case 6, the pages: the link works once and signs no user in."""
    browser.get("/reset")
    browser.send("/reset", address=f"{ada}@example.com")
    mail.sent_emails(browser.seaway)
    path = f"/reset/{mail.link_secret(mail.emails_to(browser.seaway, f'{ada}@example.com')[-1])}"
    browser.get(path)
    assert 422 == browser.send(path, password="short").status_code
    browser.get(path)
    assert 200 == browser.send(path, password="quarry bishop 31 lanterns").status_code
    assert browser.session is None
    assert 404 == browser.get(path).status_code
    assert 401 == browser.sign_in(ada).status_code
    assert 303 == browser.sign_in(ada, "quarry bishop 31 lanterns").status_code


def test_huge_password_is_refused_without_database_access(browser: HttpBrowser, ada: str) -> None:
    """Case 10: a form of one megabyte returns 413."""
    browser.get("/signin")
    with record_statements(browser.seaway.site.database) as statements:
        assert 413 == browser.send("/signin", login=ada, password="x" * 1_000_000).status_code
    assert [] == statements


@pytest.mark.parametrize(
    ("path", "button"),
    [
        ("/verify/swy-ln-over", "/signin?next=/account/emails"),
        ("/invite/swy-ln-over", "/signup"),
        ("/reset/swy-ln-over", "/reset"),
        ("/invitations/swy-inv-over", "/signin"),
    ],
)
def test_links_that_are_over_look_the_same(browser: HttpBrowser, path: str, button: str) -> None:
    """Each page says what to do instead; its main button is for someone without a session."""
    page = browser.get(path)
    assert (404, True) == (page.status_code, "<h1>Invalid or expired link</h1>" in page.text)
    assert [button] == re.findall(r'btn-primary" href="([^"]+)"', page.text)


def test_closed_sign_up_shows_no_form(
    tmp_path_factory: pytest.TempPathFactory, shared_clock: ManualClock, portal: BlockingPortal
) -> None:
    """If only admins create accounts, the page says so."""
    closed = sites.build(tmp_path_factory.mktemp("closed"), shared_clock, public_url=SITE, sign_up="closed")
    Factory(closed).user("founder")
    browser = HttpBrowser(closed, portal, "203.0.113.9")
    assert "Only an admin can create accounts" in browser.get("/signup").text
    channel = Factory(closed).channel("harbor", owner="founder")
    with closed.site.database.write_site() as tx:
        _, secret = invitations.invite(
            tx, closed.site.clock.now_ms(), OPERATOR, channel, "new@example.com", Role.VIEWER, outbox=None
        )
    assert "Ask a site admin for an account." in browser.get(f"/invitations/{secret}").text
    for path in ("/signin", f"/invitations/{secret}", "/invite/swy-ln-over"):
        assert "/signup" not in browser.get(path).text.partition("<main")[2]
    assert 403 == browser.send("/signup", name="x", address="x@example.com", password="y" * 20).status_code
    closed.close()


def test_first_account_link_works_once_and_makes_an_admin(
    tmp_path_factory: pytest.TempPathFactory, shared_clock: ManualClock, portal: BlockingPortal
) -> None:
    """`serve` prints this link."""
    empty = sites.build(tmp_path_factory.mktemp("empty"), shared_clock, public_url=SITE)
    link = first_account.create_link(empty.site)
    assert link is not None
    path = link.removeprefix(SITE)
    browser = HttpBrowser(empty, portal, "203.0.113.10")
    assert "seaway user add NAME" in browser.get("/signup").text
    assert "<form" not in browser.shown.partition("<main")[2]
    browser.get(path)
    fields = {"name": "root-of-it", "address": "root@example.com"}
    assert 422 == browser.send(path, password="short", **fields).status_code
    assert "/signin" == browser.send(path, password=PASSWORD, **fields).headers["location"]
    assert 404 == browser.get(path).status_code
    browser.sign_in("root-of-it")
    assert "Site admin" in browser.get("/account").text
    empty.close()


def test_account_name_addresses_and_deletion(browser: HttpBrowser, ada: str) -> None:
    """Deletion needs the typed name."""
    browser.sign_in(ada)
    browser.get("/account")
    assert 303 == browser.send("/account", display_name="Ada <b>King</b>").status_code
    assert "Ada &lt;b&gt;King&lt;/b&gt;" in browser.get("/account").text
    browser.get("/account/emails")
    assert 303 == browser.send("/account/emails", address=f"{ada}@elsewhere.example").status_code
    assert f"{ada}@elsewhere.example" in browser.get("/account/emails").text
    assert 303 == browser.send("/account/emails/remove", address=f"{ada}@elsewhere.example").status_code
    assert f"{ada}@elsewhere.example was removed from your account." in browser.get("/account/emails").text
    assert f"{ada}@elsewhere.example" not in browser.get("/account/emails").text
    assert 403 == browser.send("/account/emails/remove", address=f"{ada}@example.com").status_code
    browser.get("/account")
    assert 400 == browser.send("/account/delete", typed_name="other").status_code
    assert "/" == browser.send("/account/delete", typed_name=ada).headers["location"]
    assert browser.session is None
    assert 401 == browser.sign_in(ada).status_code


def test_session_secret_is_accepted_in_the_cookie_only(browser: HttpBrowser, shared: Seaway, ada: str) -> None:
    """URLs and headers are logged and forwarded, so the secret must not work there, not even for reading."""
    channel = Factory(shared).channel(f"of-{ada}", owner=ada, public=False)
    browser.sign_in(ada)
    secret, document = browser.session, f"/{channel}/noarch/repodata.json"
    assert 200 == browser.get(document, headers=PROGRAM).status_code
    browser.set_session(None)
    assert 401 == browser.get(f"/t/{secret}{document}", headers=PROGRAM).status_code
    assert 401 == browser.get(document, headers=PROGRAM | bearer(secret)).status_code
