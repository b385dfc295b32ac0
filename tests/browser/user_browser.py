"""A user with a browser, and the steps of tests that involve several pages."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import BrowserLog
from tests.browser.demo_site import PASSWORD, DemoSite
from tests.support import mail
from tests.support.requests import wait_until

_DROP = """
(target, files) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))], name));
  }
  for (const type of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}
"""


def drop_files(target: Locator, *paths: Path) -> None:
    """Drop files on an element."""
    target.evaluate(_DROP, [(path.name, b64encode(path.read_bytes()).decode()) for path in paths])


@dataclass(frozen=True)
class BrowserUser:
    """A user with their own browser profile."""

    name: str
    demo: DemoSite
    page: Page

    @property
    def address(self) -> str:
        return f"{self.name}@example.com"

    def sign_up(self) -> None:
        """Create an account with the form and verify it with the email; the user is signed in then."""
        page = self.page
        page.goto("/signup")
        page.get_by_label("User name").fill(self.name)
        page.get_by_label("Email address").fill(self.address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("heading", name="Check your email").wait_for()
        page.goto(f"/verify/{self.secret_in_email('Verify your email address')}")
        page.get_by_role("button", name="Verify address").click()
        page.wait_for_url("**/home")

    def secret_in_email(self, subject: str) -> str:
        """Wait for an email whose subject starts with `subject`; return the secret in the link of the newest one."""
        folder = self.demo.seaway.settings.mail_folder

        def found() -> list[str]:
            emails = (email for email in mail.emails_in(folder) if email["To"] == self.address)
            return [mail.link_secret(email) for email in emails if email["Subject"].startswith(subject)]

        wait_until(found)
        return found()[-1]

    def create_channel(self, name: str) -> None:
        """Create a private channel, the default of the form."""
        page = self.page
        page.goto("/channels")
        page.get_by_role("link", name="New channel").first.click()
        page.get_by_label("Name", exact=True).fill(name)
        expect(page.locator("#name-free")).to_contain_text("Available")
        assert page.get_by_label("Private").is_checked()
        page.get_by_role("button", name="Create channel").click()
        page.wait_for_url(f"**/channels/{name}")

    def create_key(self, name: str, mode: str) -> str:
        """Create an API key; return its secret from the page."""
        page = self.page
        page.goto("/account/keys")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("radio", name=mode).check()
        page.get_by_role("button", name="Create key").click()
        return page.locator("#secret").inner_text()

    def drop(self, channel: str, *paths: Path) -> None:
        """Drop files on the upload page, and wait until they are published."""
        self.page.goto(f"/channels/{channel}/settings/upload")
        drop_files(self.page.locator("[data-drop]"), *paths)
        rows = self.page.get_by_role("list", name="Uploads").get_by_role("listitem")
        for path in paths:
            expect(rows.filter(has_text=path.name)).to_contain_text("Published", timeout=60_000)

    def add_member(self, channel: str, name_or_email: str, role: str) -> None:
        """Add a user, or invite an email address."""
        page = self.page
        page.goto(f"/channels/{channel}/settings/members")
        page.get_by_label("User, group or email address").fill(name_or_email)
        page.get_by_label("Role", exact=True).select_option(role)
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_text(name_or_email).first.wait_for()


@contextmanager
def browser_user(demo: DemoSite, name: str) -> Iterator[BrowserUser]:
    """Open a new browser profile for a user, who may have no account yet; fail if the browser reports an error."""
    with demo.context() as context:
        log = BrowserLog(context)
        yield BrowserUser(name, demo, context.new_page())
        assert [] == log.errors
