"""Uploads on the page: sent in pieces, continued after a lost connection, a pause and a reload."""

import os
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.demo_site import DemoSite
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.slow

PIECES = "**/api/v1/uploads/*"
_numbers = count(1)


def new_file(size: int) -> PackageFile:
    """A new package of about the given size."""
    return conda(index_json(f"sent-{next(_numbers)}"), files={"share/noise": os.urandom(size)})


@pytest.fixture
def upload_page(demo: DemoSite, page: Page) -> Page:
    demo.sign_in(page)
    page.goto("/channels/robots/settings/upload")
    return page


def choose(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files").set_input_files([str(path) for path in paths])


def downloaded(demo: DemoSite, file: PackageFile) -> bytes:
    """The file as an anonymous client downloads it."""
    with demo.context() as anonymous:
        return anonymous.request.get(f"/robots/noarch/{file.name}").body()


def test_several_files(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """Each file has its row; invalid files are refused there and do not delay the others."""
    files = [new_file(1_000) for _ in range(5)]
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no package")
    damaged = tmp_path / "damaged-1.0-0.conda"
    damaged.write_bytes(b"no archive")
    choose(upload_page, wrong, damaged, *(file.write_to(tmp_path) for file in files))
    rows = upload_page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(rows).to_have_count(7)
    for file in files:
        expect(rows.filter(has_text=file.name)).to_contain_text("Published: noarch, revision")
        assert file.content == downloaded(demo, file)
    expect(rows.filter(has_text="notes.txt")).to_contain_text("Only .conda and .tar.bz2 files can be uploaded.")
    expect(rows.filter(has_text="damaged")).to_have_attribute("data-state", "failed")


def test_existing_file_with_other_bytes_is_refused_without_retry(upload_page: Page, tmp_path: Path) -> None:
    """Trying again would not help: the message says what to do."""
    stored = new_file(1_000).write_to(tmp_path)
    choose(upload_page, stored)
    rows = upload_page.get_by_role("listitem").filter(has_text=stored.name)
    expect(rows).to_contain_text("Published")
    sent: list[str] = []
    upload_page.on("request", lambda request: sent.append(request.method))
    choose(upload_page, conda(index_json(stored.name.rsplit("-", 2)[0])).write_to(tmp_path))  # other bytes
    expect(rows.last).to_contain_text("raise the build number and upload again")
    expect(rows.last).to_have_attribute("data-state", "failed")
    assert 1 == sent.count("PATCH")


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
    row = upload_page.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Published", timeout=30_000)
    piece = 8 * 1024 * 1024
    assert [0, piece, piece, 2 * piece] == sent
    assert file.content == downloaded(demo, file)


def test_upload_continues_after_reload(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    """Choosing the same file again continues its upload."""
    file, path = new_file(20_000_000), tmp_path
    stored = file.write_to(path)
    upload_page.route(PIECES, _abort_after_first_piece)
    choose(upload_page, stored)
    row = upload_page.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Retrying")
    upload_page.once("dialog", lambda dialog: dialog.accept())
    upload_page.reload()
    upload_page.unroute(PIECES)
    methods: list[str] = []
    upload_page.on("request", lambda request: methods.append(request.method))
    choose(upload_page, stored)
    expect(row).to_contain_text("Published", timeout=30_000)
    assert ["HEAD", "PATCH", "PATCH"] == [method for method in methods if method != "GET"]
    assert file.content == downloaded(demo, file)


def _abort_after_first_piece(route: Route, request: Request) -> None:
    if request.method == "PATCH" and request.headers["upload-offset"] != "0":
        route.abort("connectionreset")
    else:
        route.continue_()


def test_upload_is_paused_and_resumed_by_keyboard(demo: DemoSite, upload_page: Page, tmp_path: Path) -> None:
    file = new_file(20_000_000)
    upload_page.route(PIECES, _abort_after_first_piece)
    choose(upload_page, file.write_to(tmp_path))
    row = upload_page.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Retrying")
    row.get_by_role("button", name="Pause").press("Enter")
    expect(row).to_have_attribute("data-state", "paused", timeout=30_000)
    upload_page.unroute(PIECES)
    row.get_by_role("button", name="Resume").press("Enter")
    expect(row).to_contain_text("Published", timeout=30_000)
    assert file.content == downloaded(demo, file)
