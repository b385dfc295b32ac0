"""Whole stories of channels: from nothing to a package that a second person installs; a workflow; another owner; the end."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import expect

from seaway.callers.caller import OPERATOR
from seaway.trusted_publishing import issuers, workflow_snippets
from tests.browser.person import Person, arriving
from tests.browser.stage import Stand, new_user
from tests.support import rattler
from tests.support.issuer import LocalIssuer, gitlab, local_issuer, now_s, token
from tests.support.packages import REAL, conda, index_json
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

EDITOR = REAL / "pixi" / "noarch" / "pixi-editor-2.0.0-h4616a5c_0.conda"
_numbers = count(1)


@pytest.fixture
def owner(stand: Stand) -> Iterator[Person]:
    """Somebody with an account, signed in."""
    with arriving(stand, new_user(stand.beside, f"owner-{next(_numbers)}")) as person:
        stand.sign_in(person.page, person.name)
        yield person


@pytest.fixture
def channel(stand: Stand, owner: Person) -> str:
    """A private channel of theirs."""
    return Factory(stand.beside).channel(f"story-{next(_numbers)}", owner=owner.name, public=False)


def install(stand: Stand, folder: Path, channel: str, key: str, spec: str) -> list[dict[str, object]]:
    """By py-rattler, with this key in its store."""
    action = rattler.action(folder, "solve", f"{stand.address}/{channel}", spec, prefix=str(folder / "prefix"))
    return rattler.run(folder, action, auth={"localhost": {"BearerToken": key}})


def test_from_an_account_to_a_package_that_somebody_else_installs(stand: Stand, tmp_path: Path) -> None:
    """Sign up, a private channel, a key, a file dropped; an invitation by letter, a second account, an installation."""
    with arriving(stand, "mary") as mary, arriving(stand, "anning") as anning:
        mary.sign_up()
        mary.make_channel("fossils")
        key = mary.make_key("laptop", "Read and publish")
        mary.drop("fossils", EDITOR)
        mary.page.get_by_role("link", name="noarch, revision").click()
        mary.page.get_by_role("heading", level=1, name="pixi-editor 2.0.0").wait_for()
        assert [{"solved": [EDITOR.name]}] == install(stand, tmp_path, "fossils", key, "pixi-editor")

        anning.page.goto("/channels/fossils")
        assert anning.page.get_by_text("There is no such channel").is_visible()
        mary.add_member("fossils", anning.address, "viewer")
        invitation = f"/invitations/{anning.secret_of_letter('Invitation')}"
        anning.page.goto(invitation)
        anning.page.get_by_role("link", name="Create one").click()
        anning.sign_up()
        anning.page.goto(invitation)
        anning.page.get_by_role("button", name="Join as anning").click()
        anning.page.get_by_role("link", name="pixi-editor").click()
        anning.page.get_by_role("heading", level=1, name="pixi-editor 2.0.0").wait_for()
        assert not anning.page.get_by_role("link", name="Upload").is_visible()

        (tmp_path / "anning").mkdir()
        key = anning.make_key("workstation", "Read Install")
        assert [{"solved": [EDITOR.name]}] == install(stand, tmp_path / "anning", "fossils", key, "pixi-editor")
        assert (tmp_path / "anning/prefix/Menu/pixi-editor.json").is_file()


@pytest.fixture
def forge(stand: Stand) -> Iterator[LocalIssuer]:
    """A GitLab at an address of its own."""
    with local_issuer() as running:
        with stand.beside.site.database.write_site() as tx:
            issuers.add(tx, stand.beside.site.clock.now_ms(), OPERATOR, "yard", kind="gitlab", issuer=running.address)
        yield running


def test_a_workflow_that_is_trusted_on_the_page_publishes(
    stand: Stand, owner: Person, channel: str, forge: LocalIssuer, tmp_path: Path
) -> None:
    """The form, the lines to paste, a job with a token of that issuer; the page then says when and by what."""
    page = owner.page
    page.goto(f"/channels/{channel}/settings/publishers")
    page.get_by_role("link", name="GitLab (yard)").click()
    page.get_by_label("Namespace").fill("acme/team")
    page.get_by_label("Project").fill("tools")
    page.get_by_role("button", name="Add publisher").click()
    expect(page.get_by_role("row").filter(has_text="acme/team/tools")).to_contain_text("never")
    variable = workflow_snippets.token_variable("localhost")
    expect(page.locator("#snippet")).to_contain_text(variable)
    expect(page.locator("#snippet")).to_contain_text(f"--url {stand.address} --channel {channel}")

    file = conda(index_json(f"by-workflow-{channel}"))
    variables = {"GITLAB_CI": "true", variable: token(gitlab(now_s(), issuer=forge.address, aud="localhost"))}
    assert "" == rattler.publish(tmp_path, stand.address, channel, file.write_to(tmp_path), **variables)
    page.goto(f"/channels/{channel}/packages/by-workflow-{channel}")
    expect(page.get_by_label("Details of 1.0")).to_contain_text("the workflow of acme/team/tools")
    page.goto(f"/channels/{channel}/settings/publishers")
    expect(page.get_by_role("row").filter(has_text="acme/team/tools")).not_to_contain_text("never")


def test_a_channel_is_given_away(stand: Stand, owner: Person, channel: str) -> None:
    """Offered to a member, who accepts: then it is theirs, and who gave it away may publish to it still."""
    with arriving(stand, new_user(stand.beside, f"heir-{channel}")) as heir:
        owner.add_member(channel, heir.name, "viewer")
        page = owner.page
        page.goto(f"/channels/{channel}/settings/danger")
        page.get_by_label("New owner").select_option(heir.name)
        page.get_by_role("button", name="Offer channel").click()
        page.get_by_role("button", name="Withdraw offer").wait_for()

        stand.sign_in(heir.page, heir.name)
        heir.page.goto("/account/offers")
        heir.page.get_by_role("button", name=f"Accept {channel}").click()
        heir.page.goto(f"/channels/{channel}")
        heir.page.get_by_role("link", name="Settings").wait_for()
        page.goto(f"/channels/{channel}")
        expect(page.locator("main")).to_contain_text("your role: contributor")
        assert not page.get_by_role("link", name="Settings").is_visible()


def test_a_channel_is_deleted_by_its_name(owner: Person, channel: str) -> None:
    """A name that is not quite it deletes nothing."""
    page = owner.page
    page.goto(f"/channels/{channel}/settings/danger")
    page.get_by_label("to confirm").fill(channel[:-1])
    page.get_by_role("button", name="Delete this channel").click()
    page.get_by_role("alert").wait_for()
    assert channel[:-1] == page.get_by_label("to confirm").input_value()
    page.get_by_label("to confirm").fill(channel)
    page.get_by_role("button", name="Delete this channel").click()
    page.wait_for_url("**/channels")
    page.goto(f"/channels/{channel}")
    assert page.get_by_text("There is no such channel").is_visible()
