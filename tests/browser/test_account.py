"""Account pages: sign-up and first API key, passkeys, authenticator app, HTML in names."""

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_site import HOSTILE, PASSWORD, DemoSite, new_user
from tests.support import mail
from tests.support.requests import bearer, wait_until

pytestmark = pytest.mark.slow


def test_new_user_creates_and_revokes_key(demo: DemoSite, page: Page) -> None:
    """Sign up, verify the email address, create an API key, use it, revoke and delete it."""
    page.goto("/")
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("User name").fill("marietta")
    page.get_by_label("Email address").fill("marietta@example.com")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create account").click()
    assert page.get_by_label("Password").get_attribute("aria-invalid") == "true"
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("heading", name="Check your email").wait_for()

    folder = demo.seaway.settings.mail_folder
    wait_until(lambda: any(email["To"] == "marietta@example.com" for email in mail.emails_in(folder)))
    page.goto(f"/verify/{mail.link_secret(mail.emails_in(folder)[-1])}")
    page.get_by_role("button", name="Verify address").click()
    page.get_by_role("link", name="Create an API key").click()

    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    page.reload()
    response = httpx.get(f"{demo.address}/api/v1/me", headers=bearer(secret))
    assert (200, "marietta") == (response.status_code, response.json()["name"])

    page.goto("/account/keys")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke").first.click()
    expect(page.get_by_text("It stops working immediately, in all channels.")).to_be_visible()
    page.get_by_role("button", name="Revoke key").click()
    assert httpx.get(f"{demo.address}/api/v1/me", headers=bearer(secret)).status_code == 401
    page.get_by_role("button", name="Delete").first.click()
    assert page.get_by_text("No keys yet").is_visible()


def test_passkey_sign_in(demo: DemoSite, page: Page) -> None:
    """A new passkey signs in without the password, as the second factor after it, and confirms an action."""
    new_user(demo.seaway, "katherine")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
            }
        },
    )
    demo.sign_in(page, "katherine")
    page.goto("/account/security")
    page.get_by_label("Passkey name").fill("the phone")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    assert page.locator(".codes li").count() == 8
    page.get_by_role("link", name="I have saved them").click()
    assert page.get_by_text("the phone", exact=True).is_visible()

    page.context.clear_cookies()
    page.goto("/signin")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/home")

    page.context.clear_cookies()
    page.goto("/signin")
    page.get_by_label("User name or email address").fill("katherine")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Second factor").wait_for()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/home")

    page.goto("/confirm?next=/account/security")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/account/security")
    page.get_by_role("button", name="Remove the passkey the phone").click()
    page.get_by_text("None", exact=True).wait_for()
    assert not page.get_by_text("the phone", exact=True).is_visible()


def test_authenticator_app(demo: DemoSite, page: Page) -> None:
    """The QR code is shown once; later sign-ins require a code or a recovery code."""
    new_user(demo.seaway, "dorothy")
    demo.sign_in(page, "dorothy")
    page.goto("/account/security")
    page.get_by_role("button", name="Set up app").click()
    assert page.locator("svg.qr").bounding_box() is not None
    totp = pyotp.TOTP(page.locator("#seed").inner_text().replace(" ", ""))
    page.get_by_role("textbox", name="Code").fill(totp.now())
    page.get_by_role("button", name="Turn on").click()
    code = page.locator(".codes li").first.inner_text()

    page.context.clear_cookies()
    page.goto("/signin")
    page.get_by_label("User name or email address").fill("dorothy")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code from your authenticator app").fill(code)
    page.get_by_role("button", name="Verify").click()
    page.wait_for_url("**/home")


def test_html_in_names_is_shown_as_text(demo: DemoSite, page: Page) -> None:
    """Case 33; the fixture `page` checks that the policy blocked nothing."""
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    demo.sign_in(page)
    page.goto("/account/keys")
    page.get_by_label("Name", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Create key").click()
    assert page.get_by_text(HOSTILE).first.is_visible()
    for path in ("/account/keys", "/", "/channels/hostile", "/account"):
        page.goto(path)
        assert page.locator("main img:not([src*='/logo/'])").count() == 0  # except logos of channels
