"""What people do on the pages, in the words of a story; each has a browser of their own."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.stage import PASSWORD, Stand
from tests.support import mail
from tests.support.requests import wait_until

_DROP = """
(target, files) => {
  const carried = new DataTransfer();
  for (const [name, text] of files) {
    carried.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name));
  }
  for (const type of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}
"""


@dataclass(frozen=True)
class Person:
    """Somebody before a browser."""

    name: str
    stand: Stand
    page: Page

    @property
    def address(self) -> str:
        return f"{self.name}@example.com"

    def sign_up(self) -> None:
        """From the form of the site to a verified account that is signed in, by the letter."""
        page = self.page
        page.goto("/signup")
        page.get_by_label("User name").fill(self.name)
        page.get_by_label("Email address").fill(self.address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("heading", name="Check your email").wait_for()
        page.goto(f"/verify/{self.secret_of_letter('Verify your email address')}")
        page.get_by_role("button", name="Verify address").click()
        page.get_by_role("heading", name="verified").wait_for()

    def secret_of_letter(self, subject: str) -> str:
        """What the link in the newest letter holds that begins so; it may still be on its way."""
        folder = self.stand.beside.settings.mail_folder

        def found() -> list[str]:
            mine = (letter for letter in mail.emails_in(folder) if letter["To"] == self.address)
            return [mail.link_secret(letter) for letter in mine if letter["Subject"].startswith(subject)]

        wait_until(found)
        return found()[-1]

    def make_channel(self, name: str) -> None:
        """A private one, as the form proposes."""
        page = self.page
        page.goto("/channels")
        page.get_by_role("link", name="New channel").first.click()
        page.get_by_label("Name", exact=True).fill(name)
        expect(page.locator("#name-free")).to_contain_text("is available")
        assert page.get_by_label("Private").is_checked()
        page.get_by_role("button", name="Create channel").click()
        page.wait_for_url(f"**/channels/{name}")

    def make_key(self, name: str, mode: str) -> str:
        """The secret of a new key, as it is shown once."""
        page = self.page
        page.goto("/account/keys")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("radio", name=mode).check()
        page.get_by_role("button", name="Create key").click()
        return page.locator("#secret").inner_text()

    def drop(self, channel: str, *paths: Path) -> None:
        """Files let go over the page for uploads, and published."""
        self.page.goto(f"/channels/{channel}/settings/upload")
        files = [(path.name, b64encode(path.read_bytes()).decode()) for path in paths]
        self.page.locator("[data-drop]").evaluate(_DROP, files)
        for path in paths:
            expect(self.page.get_by_role("listitem").filter(has_text=path.name)).to_contain_text("Published")

    def add_member(self, channel: str, who: str, role: str) -> None:
        """A user at once, the reader of an address by a letter."""
        page = self.page
        page.goto(f"/channels/{channel}/settings/members")
        page.get_by_label("User name or email address").fill(who)
        page.get_by_role("combobox", name="Role", exact=True).first.select_option(role)
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_text(who).first.wait_for()


@contextmanager
def arriving(stand: Stand, name: str) -> Iterator[Person]:
    """Somebody nobody knows yet, whose browser complains of nothing."""
    with stand.context() as context:
        watched = Watched(context)
        yield Person(name, stand, context.new_page())
        assert [] == watched.complaints
