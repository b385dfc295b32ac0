"""Channels on the pages: creation, upload, invitation and installation; trusted publisher; transfer; deletion."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import expect

from seaway.callers.caller import OPERATOR
from seaway.trusted_publishing import issuers, workflow_snippets
from tests.browser.demo_site import PASSWORD, DemoSite, new_user
from tests.browser.user_browser import BrowserUser, browser_user
from tests.support import rattler
from tests.support.issuer import LocalIssuer, gitlab, local_issuer, now_s, token
from tests.support.packages import REAL, conda, index_json
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

EDITOR = REAL / "pixi" / "noarch" / "pixi-editor-2.0.0-h4616a5c_0.conda"
_numbers = count(1)


@pytest.fixture
def owner(demo: DemoSite) -> Iterator[BrowserUser]:
    """A signed-in user."""
    with browser_user(demo, new_user(demo.seaway, f"owner-{next(_numbers)}")) as user:
        demo.sign_in(user.page, user.name)
        yield user


@pytest.fixture
def channel(demo: DemoSite, owner: BrowserUser) -> str:
    """A private channel of the owner."""
    return Factory(demo.seaway).channel(f"channel-{next(_numbers)}", owner=owner.name, public=False)


def install(demo: DemoSite, folder: Path, channel: str, key: str, spec: str) -> list[dict[str, object]]:
    """Install with py-rattler, which has the API key in its credential store."""
    action = rattler.action(folder, "solve", f"{demo.address}/{channel}", spec, prefix=str(folder / "prefix"))
    return rattler.run(folder, action, auth={"localhost": {"BearerToken": key}})


def test_new_channel_takes_three_clicks(owner: BrowserUser) -> None:
    """Menu, New channel, Create; the name is checked while it is typed, and the channel page shows what comes next."""
    page = owner.page
    page.goto("/")
    page.locator("summary", has_text=owner.name).click()
    page.get_by_role("link", name="New channel").click()
    name = f"quick-{next(_numbers)}"
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("robots")
    expect(page.get_by_text("Not available")).to_be_visible()
    page.get_by_label("Name").fill(name)
    expect(page.get_by_text("Available", exact=True)).to_be_visible()
    page.get_by_role("button", name="Create channel").click()
    page.wait_for_url(f"**/channels/{name}")
    expect(page.get_by_text(f"The channel {name} was created.")).to_be_visible()
    expect(page.get_by_role("heading", name="Publish your first package")).to_be_visible()


def test_unverified_user_gets_the_email_again(demo: DemoSite) -> None:
    """The page for a new channel has no form yet, but a button for another verification email."""
    with browser_user(demo, f"early-{next(_numbers)}") as early:
        page = early.page
        page.goto("/signup")
        page.get_by_label("User name").fill(early.name)
        page.get_by_label("Email address").fill(early.address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("heading", name="Check your email").wait_for()
        page.goto("/channels/new")
        expect(page.get_by_label("Name")).to_have_count(0)
        page.get_by_role("button", name=f"Resend verification email to {early.address}").click()
        expect(page.get_by_text(early.address).first).to_be_visible()
        assert early.secret_in_email("Verify your email address")


def test_invited_user_installs_package_of_new_channel(demo: DemoSite, tmp_path: Path) -> None:
    """Sign up, private channel, API key, dropped file; then invitation by email, second account and installation."""
    with browser_user(demo, "mary") as mary, browser_user(demo, "anning") as anning:
        mary.sign_up()
        mary.create_channel("fossils")
        key = mary.create_key("laptop", "Read and publish")
        mary.drop("fossils", EDITOR)
        mary.page.get_by_role("status").get_by_role("link", name="pixi-editor").click()
        mary.page.get_by_role("heading", level=1, name="pixi-editor 2.0.0").wait_for()
        assert [{"solved": [EDITOR.name]}] == install(demo, tmp_path, "fossils", key, "pixi-editor")

        anning.page.goto("/channels/fossils")
        assert anning.page.get_by_text("There is no such channel").is_visible()
        mary.add_member("fossils", anning.address, "viewer")
        invitation = f"/invitations/{anning.secret_in_email('Invitation')}"
        anning.page.goto(invitation)
        anning.page.get_by_role("link", name="Create one").click()
        anning.sign_up()
        anning.page.goto(invitation)
        anning.page.get_by_role("button", name="Join as anning").click()
        anning.page.get_by_role("link", name="pixi-editor").click()
        anning.page.get_by_role("heading", level=1, name="pixi-editor 2.0.0").wait_for()
        assert not anning.page.get_by_role("link", name="Upload").is_visible()

        (tmp_path / "anning").mkdir()
        key = anning.create_key("workstation", "Read (READ)")
        assert [{"solved": [EDITOR.name]}] == install(demo, tmp_path / "anning", "fossils", key, "pixi-editor")
        assert (tmp_path / "anning/prefix/Menu/pixi-editor.json").is_file()


@pytest.fixture
def forge(demo: DemoSite) -> Iterator[LocalIssuer]:
    """A registered GitLab instance."""
    with local_issuer() as running:
        with demo.seaway.site.database.write_site() as tx:
            issuers.add(tx, demo.seaway.site.clock.now_ms(), OPERATOR, "yard", kind="gitlab", issuer=running.address)
        yield running


def test_workflow_publishes_after_form_adds_publisher(
    demo: DemoSite, owner: BrowserUser, channel: str, forge: LocalIssuer, tmp_path: Path
) -> None:
    """Add a publisher, check the snippet, publish with a token of that issuer; the pages then show the publisher."""
    page = owner.page
    page.goto(f"/channels/{channel}/settings/publishers")
    page.get_by_role("link", name="GitLab (yard)").click()
    page.get_by_label("Namespace").fill("acme/team")
    page.get_by_label("Project").fill("tools")
    page.get_by_role("button", name="Add publisher").click()
    expect(page.get_by_role("listitem").filter(has_text="acme/team/tools")).to_contain_text("never")
    variable = workflow_snippets.token_variable("localhost")
    expect(page.locator("#snippet")).to_contain_text(variable)
    expect(page.locator("#snippet")).to_contain_text(f"--url {demo.address} ")
    expect(page.locator("#snippet")).to_contain_text(f"--channel {channel} ")

    file = conda(index_json(f"by-workflow-{channel}"))
    variables = {"GITLAB_CI": "true", variable: token(gitlab(now_s(), issuer=forge.address, aud="localhost"))}
    assert "" == rattler.publish(tmp_path, demo.address, channel, file.write_to(tmp_path), **variables)
    page.goto(f"/channels/{channel}/packages/by-workflow-{channel}")
    expect(page.get_by_label("Details of 1.0")).to_contain_text("acme/team/tools (workflow)")
    page.goto(f"/channels/{channel}/settings/publishers")
    expect(page.get_by_role("listitem").filter(has_text="acme/team/tools")).not_to_contain_text("never")


def test_channel_transfer(demo: DemoSite, owner: BrowserUser, channel: str) -> None:
    """A member accepts the offer and becomes the owner; the former owner becomes a contributor."""
    with browser_user(demo, new_user(demo.seaway, f"heir-{channel}")) as heir:
        owner.add_member(channel, heir.name, "viewer")
        page = owner.page
        page.goto(f"/channels/{channel}/settings/danger")
        page.get_by_label("New owner").select_option(heir.name)
        page.get_by_role("button", name="Offer channel").click()
        page.get_by_role("button", name="Withdraw offer").wait_for()

        demo.sign_in(heir.page, heir.name)
        heir.page.goto("/account/offers")
        heir.page.get_by_role("button", name=f"Accept the ownership of {channel}").click()
        heir.page.goto(f"/channels/{channel}")
        heir.page.get_by_role("link", name="Settings").wait_for()
        page.goto(f"/channels/{channel}")
        expect(page.locator("main")).to_contain_text("Your role: contributor")
        assert not page.get_by_role("link", name="Settings").is_visible()


def test_channel_deletion_needs_its_exact_name(owner: BrowserUser, channel: str) -> None:
    page = owner.page
    page.goto(f"/channels/{channel}/settings/danger")
    page.get_by_label("to confirm").fill(channel[:-1])
    page.get_by_role("button", name="Delete this channel").click()
    expect(page.locator("#name-error")).to_contain_text("name")
    expect(page.get_by_label("to confirm")).to_be_focused()
    assert channel[:-1] == page.get_by_label("to confirm").input_value()
    page.get_by_label("to confirm").fill(channel)
    page.get_by_role("button", name="Delete this channel").click()
    page.wait_for_url("**/channels")
    page.goto(f"/channels/{channel}")
    assert page.get_by_text("There is no such channel").is_visible()
