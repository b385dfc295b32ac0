"""What a user typed survives a session that ended, another sign-in and a confirmation that is required."""

import re
from html import unescape

import httpx
import pytest

from tests.support.clock import ManualClock
from tests.web.http_browser import PASSWORD, HttpBrowser

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
_KEY = {"name": 'ci "&<b>', "mode": "READ", "days": "90", "for": "all"}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


def form_in(page: httpx.Response, action: str) -> dict[str, str]:
    """Return the hidden fields of the form with this action."""
    form = re.search(rf'<form [^>]*action="{re.escape(action)}".*?</form>', page.text, re.S)
    assert form, page.text
    return {unescape(name): unescape(value) for name, value in _HIDDEN.findall(form[0])}


def send_form(browser: HttpBrowser, page: httpx.Response, action: str, **typed: str) -> httpx.Response:
    """Send a form of a page as a browser does."""
    return browser.send(action, **(form_in(page, action) | typed))


def waits_for_confirmation(browser: HttpBrowser, user: str, clock: ManualClock, **fields: str) -> httpx.Response:
    """Return the confirmation that keeps a form for a key."""
    browser.sign_in(user)
    clock.move(31 * MINUTE_MS)
    browser.get("/account/keys")
    return browser.send("/account/keys", **(_KEY | fields))


def test_form_is_sent_after_the_password_was_confirmed(
    browser: HttpBrowser, ada: str, shared_clock: ManualClock
) -> None:
    """A wrong password loses nothing either."""
    browser.sign_in(ada)
    shared_clock.move(31 * MINUTE_MS)
    browser.get("/account/keys")
    kept = browser.send("/account/keys", **_KEY)
    assert 403 == kept.status_code
    wrong = send_form(browser, kept, "/confirm", proof="something else")
    assert 401 == wrong.status_code
    confirmed = send_form(browser, wrong, "/confirm", proof=PASSWORD)
    assert (200, True) == (confirmed.status_code, "data-send" in confirmed.text)
    created = send_form(browser, confirmed, "/account/keys")
    assert (200, True) == (created.status_code, "swy-u-" in created.text)
    assert "ci &#34;&amp;&lt;b&gt;" in created.text


def test_form_is_kept_when_the_session_has_ended(browser: HttpBrowser, ada: str) -> None:
    """The user signs in in another tab; the form is sent only when the user says so, since it may be another user."""
    browser.sign_in(ada)
    browser.get("/account/keys")
    token = browser.token
    browser.set_session("swy-s-ended")
    kept = browser.send("/account/keys", **_KEY, csrf_token=token)
    assert (401, True) == (kept.status_code, "Your session has ended" in kept.text)
    too_early = send_form(browser, kept, "/continue")
    assert (401, True) == (too_early.status_code, "You are not signed in yet." in too_early.text)
    browser.get("/signin?next=/continue")
    browser.send("/signin", login=ada, password=PASSWORD, next="/continue")
    assert "Continue in the other tab" in browser.get("/continue").text
    sending = send_form(browser, too_early, "/continue")
    assert (200, False) == (sending.status_code, "data-send" in sending.text)
    assert "swy-u-" in send_form(browser, sending, "/account/keys").text


def test_form_is_kept_when_the_user_signed_in_again(browser: HttpBrowser, ada: str) -> None:
    """The token in the form belongs to a session that this browser no longer has."""
    browser.sign_in(ada)
    browser.get("/account/keys")
    token = browser.token
    browser.get("/account")
    browser.send("/signout")
    browser.sign_in(ada)
    kept = browser.send("/account/keys", **_KEY, csrf_token=token)
    assert (403, True) == (kept.status_code, f"Send as {ada}" in kept.text)
    sending = send_form(browser, kept, "/continue")
    assert "data-send" in sending.text
    assert "swy-u-" in send_form(browser, sending, "/account/keys").text


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": ""}]
)
def test_forms_of_other_sites_are_not_kept(browser: HttpBrowser, ada: str, headers: dict[str, str]) -> None:
    """Invariant 1."""
    browser.sign_in(ada)
    for session in (browser.session, "swy-s-ended"):
        browser.set_session(session)
        refused = browser.send("/account/keys", **_KEY, csrf_token="", headers=headers)
        assert refused.status_code in (401, 403)
        assert "kept:" not in refused.text


@pytest.mark.parametrize("action", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_kept_forms_lead_only_to_this_site(browser: HttpBrowser, ada: str, action: str) -> None:
    browser.sign_in(ada)
    browser.set_session("swy-s-ended")
    kept = browser.send("/account/keys", **_KEY)
    browser.sign_in(ada)
    fields = form_in(kept, "/continue") | {"kept-action": action}
    sending = browser.send("/continue", **fields)
    assert (200, True) == (sending.status_code, '<form method="post" action="/">' in sending.text)


def test_confirmation_with_an_outdated_token_keeps_the_form(
    browser: HttpBrowser, ada: str, shared_clock: ManualClock
) -> None:
    """Invariant 6: the user confirmed in another tab meanwhile, which gives the session a new secret."""
    kept = waits_for_confirmation(browser, ada, shared_clock)
    browser.get("/confirm")
    browser.send("/confirm", proof=PASSWORD)
    refused = send_form(browser, kept, "/confirm", proof=PASSWORD)
    assert (403, True, False) == (refused.status_code, f"Send as {ada}" in refused.text, PASSWORD in refused.text)
    sending = send_form(browser, refused, "/continue")
    assert "swy-u-" in send_form(browser, sending, "/account/keys").text


@pytest.mark.parametrize("outdated", [True, False], ids=["sent twice", "signed out"])
def test_confirmation_without_a_session_keeps_the_form(
    browser: HttpBrowser, ada: str, shared_clock: ManualClock, outdated: bool
) -> None:
    """Invariant 6: the first of two submissions gave the session a new secret, or the session has ended."""
    kept = waits_for_confirmation(browser, ada, shared_clock)
    if outdated:
        before = browser.session
        send_form(browser, kept, "/confirm", proof=PASSWORD)
        browser.set_session(before)
    else:
        browser.get("/account")
        browser.send("/signout")
    refused = send_form(browser, kept, "/confirm", proof=PASSWORD)
    assert (401, True, False) == (
        refused.status_code,
        "Your session has ended" in refused.text,
        "proof" in refused.text,
    )
    browser.sign_in(ada)
    sending = send_form(browser, refused, "/continue")
    assert "swy-u-" in send_form(browser, sending, "/account/keys").text


def test_continuing_with_an_outdated_mark_keeps_the_form(browser: HttpBrowser, ada: str) -> None:
    """Invariant 6."""
    browser.sign_in(ada)
    browser.set_session("swy-s-ended")
    kept = browser.send("/account/keys", **_KEY)
    browser.sign_in(ada)
    refused = browser.send("/continue", **(form_in(kept, "/continue") | {"csrf_token": "outdated"}))
    assert (403, True) == (refused.status_code, f"Send as {ada}" in refused.text)
    sending = send_form(browser, refused, "/continue")
    assert "swy-u-" in send_form(browser, sending, "/account/keys").text


@pytest.mark.parametrize("path", ["/continue", "/confirm"])
def test_carried_forms_of_other_sites_are_not_kept(browser: HttpBrowser, ada: str, path: str) -> None:
    """Invariant 1."""
    browser.sign_in(ada)
    fields = {"kept-action": "/account/keys", "kept:name": "ci", "csrf_token": ""}
    refused = browser.send(path, **fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert (403, False) == (refused.status_code, "kept:" in refused.text)


@pytest.mark.parametrize(
    ("fields", "status"), [({"name": "x" * 65_300}, 422), ({f"empty{number}": "" for number in range(1_994)}, 200)]
)
def test_the_largest_form_is_kept(
    browser: HttpBrowser, ada: str, shared_clock: ManualClock, fields: dict[str, str], status: int
) -> None:
    """Its fields have longer names in the form that carries it."""
    kept = waits_for_confirmation(browser, ada, shared_clock, **fields)
    sending = send_form(browser, kept, "/confirm", proof=PASSWORD)
    assert (200, True) == (sending.status_code, "data-send" in sending.text)
    assert status == send_form(browser, sending, "/account/keys").status_code


def test_password_of_an_invitation_is_not_kept(browser: HttpBrowser, ada: str) -> None:
    """Invariant 5."""
    browser.sign_in(ada)
    browser.set_session("swy-s-ended")
    browser.get("/signin")
    refused = browser.send("/invite/swy-ln-unknown", password=PASSWORD)
    assert (404, False) == (refused.status_code, "kept:" in refused.text)
    outdated = browser.send("/invite/swy-ln-unknown", password=PASSWORD, csrf_token="outdated")
    assert (403, False) == (outdated.status_code, "kept:" in outdated.text)


def test_password_forms_report_refusals_themselves(browser: HttpBrowser, ada: str) -> None:
    browser.get("/signin")
    assert "kept:" not in browser.send("/signin", login=ada, password="wrong words here").text
