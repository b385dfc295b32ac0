"""Whole stories: an account from nothing to a key in use; passkeys; names that would be programs."""

import httpx
import pyotp
import pytest
from playwright.sync_api import Page

from tests.browser.stage import HOSTILE, PASSWORD, Stand, new_user
from tests.support import mail
from tests.support.requests import bearer, wait_until

pytestmark = pytest.mark.slow


def test_from_sign_up_to_a_key_in_use(stand: Stand, page: Page) -> None:
    """Sign up, open the letter, press the button, make a key, use it."""
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

    folder = stand.beside.settings.mail_folder
    wait_until(lambda: any(one["To"] == "marietta@example.com" for one in mail.emails_in(folder)))
    page.goto(f"/verify/{mail.link_secret(mail.emails_in(folder)[-1])}")
    page.get_by_role("button", name="Verify address").click()
    page.get_by_role("link", name="Create an API key").click()

    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    page.reload()
    answer = httpx.get(f"{stand.address}/api/v1/me", headers=bearer(secret))
    assert (200, "marietta") == (answer.status_code, answer.json()["name"])

    page.goto("/account/keys")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke").first.click()
    assert httpx.get(f"{stand.address}/api/v1/me", headers=bearer(secret)).status_code == 401
    page.get_by_role("button", name="Delete").first.click()
    assert page.get_by_text("No keys yet").is_visible()


def test_a_passkey_signs_in(stand: Stand, page: Page) -> None:
    """Added in the account, then alone in place of the password, then as the second factor after it."""
    new_user(stand.beside, "katherine")
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
    stand.sign_in(page, "katherine")
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
    page.wait_for_url("**/account")

    page.context.clear_cookies()
    page.goto("/signin")
    page.get_by_label("User name or email address").fill("katherine")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Second factor").wait_for()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/account")

    page.goto("/confirm?next=/account/security")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/account/security")
    page.get_by_role("button", name="Remove the passkey the phone").click()
    page.get_by_text("None", exact=True).wait_for()
    assert not page.get_by_text("the phone", exact=True).is_visible()


def test_an_app_for_codes(stand: Stand, page: Page) -> None:
    """The picture is shown once; its codes are asked for from then on."""
    new_user(stand.beside, "dorothy")
    stand.sign_in(page, "dorothy")
    page.goto("/account/security")
    page.get_by_role("button", name="Set up app").click()
    assert page.locator("svg.qr").bounding_box() is not None
    app = pyotp.TOTP(page.locator("#seed").inner_text().replace(" ", ""))
    page.get_by_role("textbox", name="Code").fill(app.now())
    page.get_by_role("button", name="Turn on").click()
    code = page.locator(".codes li").first.inner_text()

    page.context.clear_cookies()
    page.goto("/signin")
    page.get_by_label("User name or email address").fill("dorothy")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code from your authenticator app").fill(code)
    page.get_by_role("button", name="Verify").click()
    page.wait_for_url("**/account")


def test_names_that_would_be_programs(stand: Stand, page: Page) -> None:
    """Case 33: what strangers type is shown as text; the fixture sees that the policy had nothing to refuse."""
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    stand.sign_in(page)
    page.goto("/account/keys")
    page.get_by_label("Name", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Create key").click()
    assert page.get_by_text(HOSTILE).first.is_visible()
    for path in ("/account/keys", "/", "/channels/hostile", "/account"):
        page.goto(path)
        assert page.locator("main img:not([src*='/logo/'])").count() == 0  # the logos of channels are ours
