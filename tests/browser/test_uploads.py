"""Uploads on the page: each state of a file, refusals, lost connections, and the form without JavaScript."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from seaway.channels.roles import Role
from tests.browser.demo_site import DemoSite, new_user
from tests.browser.user_browser import drop_files
from tests.support.packages import PackageFile, conda, index_json
from tests.support.proxy import FaultProxy, Pass, Stall
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

PIECES = "**/api/v1/uploads/**"
UPLOAD = "/channels/robots/settings/upload"
PIECE = 8 * 1024 * 1024
PATIENT = 60_000  # milliseconds: a busy machine is slow, and only a failing test waits that long
_numbers = count(1)


def new_file(size: int = 1_000, name: str = "") -> PackageFile:
    """A new package of about the given size, or other contents for the name of an earlier one."""
    return conda(index_json(name or f"sent-{next(_numbers)}"), files={"share/noise": os.urandom(size)})


def other_contents(file: PackageFile) -> PackageFile:
    return new_file(name=package_of(file))


def package_of(file: PackageFile) -> str:
    return file.name.rsplit("-", 2)[0]


@pytest.fixture
def upload_page(demo: DemoSite, page: Page) -> Page:
    demo.sign_in(page)
    page.goto(UPLOAD)
    return page


def choose(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files").set_input_files([str(path) for path in paths])


def row_of(page: Page, name: str) -> Locator:
    """The row of the latest upload of a file."""
    return page.get_by_role("list", name="Uploads").get_by_role("listitem").filter(has_text=name).last


def expect_state(row: Locator, state: str) -> None:
    expect(row).to_have_attribute("data-state", state, timeout=PATIENT)


def downloaded(demo: DemoSite, file: PackageFile) -> bytes:
    """The file as an anonymous client downloads it."""
    with demo.context() as anonymous:
        return anonymous.request.get(f"/robots/noarch/{file.name}").body()


def publish(page: Page, folder: Path) -> PackageFile:
    """Publish a new file on the page."""
    file = new_file()
    choose(page, file.write_to(folder))
    expect_state(row_of(page, file.name), "published")
    return file


def test_several_files(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """Each file has its row; refused files do not delay the others, and other files are named in one sentence."""
    files = [new_file() for _ in range(5)]
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no package")
    damaged = tmp_path / "damaged-1.0-0.conda"
    damaged.write_bytes(b"no archive")
    choose(upload_page, wrong, damaged, *(file.write_to(tmp_path) for file in files))
    expect(upload_page.get_by_role("list", name="Uploads").get_by_role("listitem")).to_have_count(6)
    for file in files:
        row = row_of(upload_page, file.name)
        expect(row).to_contain_text("Published: noarch, revision", timeout=PATIENT)
        address = f"/channels/robots/packages/{package_of(file)}/files/noarch/{file.name}"
        expect(row.get_by_role("link", name=file.name)).to_have_attribute("href", address)
        assert file.content == downloaded(demo, file)
    expect_state(row_of(upload_page, "damaged"), "refused")
    summary = upload_page.get_by_role("status").filter(has_text="published")
    expect(summary).to_contain_text("5 files published: ")
    expect(summary).to_contain_text("1 file was not published.")
    expect(summary).to_contain_text("notes.txt was skipped: only .conda and .tar.bz2 files can be uploaded.")


def test_page_shows_the_channel_after_the_upload(upload_page: Page, tmp_path: Path) -> None:
    """The number of packages and the recent uploads are fresh, and the summary links the package."""
    before = int(upload_page.get_by_text(re.compile(r"^\d+ packages$")).inner_text().split()[0])
    file = publish(upload_page, tmp_path)
    expect(upload_page.get_by_text(f"{before + 1} packages")).to_be_visible()
    expect(upload_page.get_by_role("table").get_by_role("link", name=file.name)).to_be_visible()
    upload_page.get_by_role("status").get_by_role("link", name=package_of(file)).click()
    upload_page.wait_for_url(f"**/channels/robots/packages/{package_of(file)}")


def test_live_region_announces_start_and_end_only(upload_page: Page, tmp_path: Path) -> None:
    """Not every percent, which a screen reader would read aloud."""
    upload_page.evaluate(
        """() => {
            window.announced = [];
            const region = document.querySelector("[data-status]");
            new MutationObserver(() => announced.push(region.innerText.trim())).observe(region, { childList: true });
        }"""
    )
    file = new_file(20_000_000)
    choose(upload_page, file.write_to(tmp_path))
    expect_state(row_of(upload_page, file.name), "published")
    announced = ["Uploading 1 file.", f"1 file published: {package_of(file)}."]
    expect(upload_page.get_by_role("status").filter(has_text="published")).to_be_visible()
    assert announced == [text for text in upload_page.evaluate("announced") if text]


def test_same_bytes_again_are_no_error(upload_page: Page, tmp_path: Path) -> None:
    """The row says so, with a link to the file."""
    file = publish(upload_page, tmp_path)
    choose(upload_page, tmp_path / file.name)
    row = row_of(upload_page, file.name)
    expect_state(row, "existing")
    expect(row).to_contain_text("Already in the channel: noarch, revision")
    expect(row.get_by_role("link", name=file.name)).to_be_visible()
    expect(row.get_by_role("button")).to_have_count(0)
    expect(upload_page.get_by_role("status").filter(has_text="already")).to_contain_text(
        "1 file was already in the channel."
    )


def test_same_bytes_of_another_member_are_not_sent(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """The hash is enough to know it: no error, and no byte is sent. Other bytes are refused without a way to replace."""
    file = publish(upload_page, tmp_path)
    contributor = Factory(demo.seaway).member("robots", new_user(demo.seaway, "rigger"), Role.CONTRIBUTOR)
    with demo.context() as context:
        page = context.new_page()
        demo.sign_in(page, contributor)
        page.goto(UPLOAD)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.method))
        choose(page, tmp_path / file.name)
        expect_state(row_of(page, file.name), "existing")
        assert "PATCH" not in sent
        choose(page, other_contents(file).write_to(tmp_path))
        row = row_of(page, file.name)
        expect_state(row, "refused")
        expect(row).to_contain_text("with other contents")
        expect(row).to_contain_text("raise the build number and upload again")
        expect(row.get_by_role("button")).to_have_text(["Remove from list"])


def test_file_with_other_bytes_is_replaced_after_confirmation(
    demo: DemoSite, upload_page: Page, tmp_path: Path
) -> None:
    """By keyboard: the confirmation names the consequence, and keeping the old file is the first choice."""
    old = publish(upload_page, tmp_path)
    new = other_contents(old)
    choose(upload_page, new.write_to(tmp_path))
    row = row_of(upload_page, old.name)
    expect_state(row, "replaceable")
    row.get_by_role("button", name="Replace").press("Enter")
    expect(row).to_contain_text("Lock files that name the old file will no longer install.")
    expect(row.get_by_role("button", name="Keep the old file")).to_be_focused()
    upload_page.keyboard.press("Enter")
    expect_state(row, "replaceable")
    assert old.content == downloaded(demo, old)
    row.get_by_role("button", name="Replace").press("Enter")
    row.get_by_role("button", name="Replace file").press("Enter")
    expect_state(row, "published")
    expect(row).to_contain_text("Replaced: noarch, revision")
    assert new.content == downloaded(demo, new)


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422])
def test_final_refusal_offers_no_further_attempt(upload_page: Page, tmp_path: Path, status: int) -> None:
    """Trying again would give the same answer: the reason is shown in full, and one request is sent."""
    sentence = f"The server says {status}. Do something else."
    sent: list[str] = []
    upload_page.on("request", lambda request: sent.append(request.method))
    upload_page.route(PIECES, lambda route: route.fulfill(status=status, body=sentence))
    file = new_file()
    choose(upload_page, file.write_to(tmp_path))
    row = row_of(upload_page, file.name)
    expect_state(row, "refused")
    expect(row.locator("[data-text]")).to_have_text(sentence)
    expect(row.get_by_role("button")).to_have_text(["Remove from list"])
    assert ["POST"] == [method for method in sent if method != "GET"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_further_attempt_is_offered_where_it_can_help(upload_page: Page, tmp_path: Path, status: int) -> None:
    """With a long wait, it is left to the user."""
    upload_page.route(
        PIECES, lambda route: route.fulfill(status=status, body="Not now.", headers={"Retry-After": "600"})
    )
    file = new_file()
    choose(upload_page, file.write_to(tmp_path))
    row = row_of(upload_page, file.name)
    expect_state(row, "failed")
    upload_page.unroute(PIECES)
    row.get_by_role("button", name="Try again").click()
    expect_state(row, "published")


def test_session_that_ended_leads_to_the_sign_in_page(upload_page: Page, tmp_path: Path) -> None:
    upload_page.context.clear_cookies()
    file = new_file()
    choose(upload_page, file.write_to(tmp_path))
    row = row_of(upload_page, file.name)
    expect_state(row, "refused")
    expect(row.get_by_role("link", name="Sign in")).to_have_attribute(
        "href", "/signin?next=%2Fchannels%2Frobots%2Fsettings%2Fupload"
    )


def test_upload_that_the_server_lost_begins_again(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """For example after it has expired."""
    upload_page.route(PIECES, _lose_first_upload())
    file = new_file()
    choose(upload_page, file.write_to(tmp_path))
    expect_state(row_of(upload_page, file.name), "published")
    assert file.content == downloaded(demo, file)


def _lose_first_upload() -> Callable[[Route, Request], None]:
    lost: list[Route] = []

    def handle(route: Route, request: Request) -> None:
        if request.method == "PATCH" and not lost:
            lost.append(route)
            route.fulfill(status=404, body="The server lost a part of this upload. Start it again.")
        else:
            route.continue_()

    return handle


def test_whole_zone_opens_the_file_dialog(upload_page: Page) -> None:
    """Its corners as well as its button; and the keyboard."""
    # Registered early: the browser may miss a handler that is registered just before the click.
    upload_page.on("filechooser", lambda _: None)
    zone = upload_page.locator("[data-drop]")
    box = zone.bounding_box()
    assert box is not None
    for x, y in ((6, 6), (box["width"] - 6, 6), (6, box["height"] - 6), (box["width"] / 2, box["height"] / 2)):
        with upload_page.expect_file_chooser() as chooser:
            zone.click(position={"x": x, "y": y})
        assert chooser.value.is_multiple()
    with upload_page.expect_file_chooser():
        upload_page.get_by_label("Choose files").press("Enter")


def test_files_are_dropped_anywhere_on_the_page(upload_page: Page, tmp_path: Path) -> None:
    files = [new_file(), new_file()]
    drop_files(upload_page.locator("footer"), *(file.write_to(tmp_path) for file in files))
    for file in files:
        expect_state(row_of(upload_page, file.name), "published")


def test_folder_is_uploaded_with_the_folders_in_it(upload_page: Page, tmp_path: Path) -> None:
    """Other files in it are counted, not listed."""
    folder = tmp_path / "output" / "noarch"
    folder.mkdir(parents=True)
    files = [new_file(), new_file()]
    for file in files:
        file.write_to(folder)
    for name in ("repodata.json", "repodata.json.zst", "index.html", "build.log"):
        (folder / name).write_text("no package")
    upload_page.get_by_label("Choose a folder").set_input_files(str(tmp_path / "output"))
    for file in files:
        expect_state(row_of(upload_page, file.name), "published")
    expect(upload_page.get_by_role("status").filter(has_text="published")).to_contain_text("4 files were skipped")


@contextmanager
def proxied_page(demo: DemoSite) -> Iterator[tuple[Page, FaultProxy]]:
    """The upload page behind a proxy, which can hold back requests and responses."""
    port = urlsplit(demo.address).port
    assert port is not None
    with (
        FaultProxy("127.0.0.1", port) as proxy,
        demo.browser.new_context(base_url=f"http://localhost:{proxy.port}") as context,
    ):
        page = context.new_page()
        demo.sign_in(page)
        page.goto(UPLOAD)
        yield page, proxy


def test_file_that_is_checked_cannot_be_paused(demo: DemoSite, tmp_path: Path) -> None:
    """All bytes are sent, and the server has not answered."""
    with proxied_page(demo) as (page, proxy):

        def stall(route: Route, request: Request) -> None:
            if request.method == "PATCH":
                proxy.mode = Stall()
            route.continue_()

        page.route(PIECES, stall)
        file = new_file()
        choose(page, file.write_to(tmp_path))
        row = row_of(page, file.name)
        expect_state(row, "checking")
        expect(row).to_contain_text("Checking the package")
        expect(row.get_by_role("button")).to_have_count(0)
        proxy.mode = Pass()
        expect_state(row, "published")


def test_upload_continues_after_lost_connection(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """It continues without the user, from the offset of the server: received bytes are not sent again."""
    file, sent = new_file(20_000_000), list[int]()

    def flaky(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            sent.append(int(request.headers["upload-offset"]))
        if request.method == "PATCH" and len(sent) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    upload_page.route(PIECES, flaky)
    choose(upload_page, file.write_to(tmp_path))
    expect_state(row_of(upload_page, file.name), "published")
    assert [0, PIECE, PIECE, 2 * PIECE] == sent
    assert file.content == downloaded(demo, file)


def test_upload_continues_after_reload(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """Choosing the same file again continues its upload."""
    file = new_file(20_000_000)
    stored = file.write_to(tmp_path)
    upload_page.route(PIECES, _hold_after_first_piece)
    choose(upload_page, stored)
    row = row_of(upload_page, file.name)
    expect(row).to_contain_text("Uploading, 4", timeout=PATIENT)  # 8 of 20 MB
    upload_page.once("dialog", lambda dialog: dialog.accept())
    upload_page.reload()
    upload_page.unroute(PIECES)
    methods: list[str] = []
    upload_page.on("request", lambda request: methods.append(request.method))
    choose(upload_page, stored)
    expect_state(row, "published")
    assert ["HEAD", "PATCH", "PATCH"] == [method for method in methods if method != "GET"]
    assert file.content == downloaded(demo, file)


def _hold_after_first_piece(route: Route, request: Request) -> None:
    """Let the first piece pass; the next ones stay on their way."""
    if request.method != "PATCH" or request.headers["upload-offset"] == "0":
        route.continue_()


def test_upload_is_paused_and_resumed_by_keyboard(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """The focus stays on the button, which resumes what it has paused."""
    file = new_file(20_000_000)
    upload_page.route(PIECES, _hold_after_first_piece)
    choose(upload_page, file.write_to(tmp_path))
    row = row_of(upload_page, file.name)
    expect(row).to_contain_text("Uploading, 4", timeout=PATIENT)
    row.get_by_role("button", name="Pause").press("Enter")
    expect_state(row, "paused")
    expect(row.get_by_role("button", name="Resume")).to_be_focused()
    upload_page.unroute(PIECES)
    upload_page.keyboard.press("Enter")
    expect_state(row, "published")
    assert file.content == downloaded(demo, file)


def test_canceled_upload_leaves_the_list(upload_page: Page, tmp_path: Path) -> None:
    """The server deletes what it has received."""
    file = new_file(20_000_000)
    upload_page.route(PIECES, _hold_after_first_piece)
    choose(upload_page, file.write_to(tmp_path))
    row = row_of(upload_page, file.name)
    expect(row).to_contain_text("Uploading, 4", timeout=PATIENT)
    with upload_page.expect_response(lambda response: response.request.method == "DELETE") as response:
        row.get_by_role("button", name="Cancel").click()
    assert 204 == response.value.status
    expect(upload_page.get_by_role("list", name="Uploads").get_by_role("listitem")).to_have_count(0)


def test_form_without_scripts(demo: DemoSite, tmp_path: Path) -> None:
    """One file at a time: published, refused at the field, and replaced after confirmation."""
    with demo.context(scripts=False) as context:
        page = context.new_page()
        demo.sign_in(page)
        page.goto(UPLOAD)
        old = new_file()
        submit(page, old.write_to(tmp_path))
        page.wait_for_url(f"**/channels/robots/packages/{package_of(old)}*")
        expect(page.get_by_text(f"{old.name} was published.")).to_be_visible()

        page.goto(UPLOAD)
        new = other_contents(old)
        submit(page, new.write_to(tmp_path))
        expect(page.locator("#file-error")).to_contain_text("with other contents")
        page.get_by_label("Replace the file in the channel").check()
        submit(page, tmp_path / new.name)
        page.wait_for_url(f"**/channels/robots/packages/{package_of(old)}*")
        expect(page.get_by_text(f"{new.name} was replaced.")).to_be_visible()
        assert new.content == downloaded(demo, new)


def submit(page: Page, path: Path) -> None:
    """Choose one file and submit the form."""
    page.get_by_label("Package file").set_input_files(str(path))
    page.get_by_role("button", name="Upload", exact=True).click()
