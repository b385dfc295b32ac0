"""Files dropped on the page: sent in pieces, gone on with after a lost connection and after a reload."""

import os
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.stage import Stand
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.slow

PIECES = "**/api/v1/uploads/*"
_numbers = count(1)


def new_file(size: int) -> PackageFile:
    """A package of about this size, which nobody has seen."""
    return conda(index_json(f"sent-{next(_numbers)}"), files={"share/noise": os.urandom(size)})


@pytest.fixture
def uploading(stand: Stand, page: Page) -> Page:
    stand.sign_in(page)
    page.goto("/channels/robots/settings/upload")
    return page


def choose(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files").set_input_files([str(path) for path in paths])


def served(stand: Stand, file: PackageFile) -> bytes:
    """What a reader gets, who has no cookie."""
    with stand.context() as reader:
        return reader.request.get(f"/robots/noarch/{file.name}").body()


def test_several_files_at_once(stand: Stand, uploading: Page, tmp_path: Path) -> None:
    """Each has its row; one that is no package is refused beside its name, and keeps nobody waiting."""
    files = [new_file(1_000) for _ in range(5)]
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no package")
    damaged = tmp_path / "damaged-1.0-0.conda"
    damaged.write_bytes(b"no archive")
    choose(uploading, wrong, damaged, *(file.write_to(tmp_path) for file in files))
    rows = uploading.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(rows).to_have_count(7)
    for file in files:
        expect(rows.filter(has_text=file.name)).to_contain_text("Published: noarch, revision")
        assert file.content == served(stand, file)
    expect(rows.filter(has_text="notes.txt")).to_contain_text("Only .conda and .tar.bz2 files can be uploaded.")
    expect(rows.filter(has_text="damaged")).to_have_attribute("data-state", "failed")


def test_what_is_there_is_refused_at_once(uploading: Page, tmp_path: Path) -> None:
    """Trying again would not help: the sentence says what would."""
    stored = new_file(1_000).write_to(tmp_path)
    choose(uploading, stored)
    rows = uploading.get_by_role("listitem").filter(has_text=stored.name)
    expect(rows).to_contain_text("Published")
    sent: list[str] = []
    uploading.on("request", lambda request: sent.append(request.method))
    choose(uploading, conda(index_json(stored.name.rsplit("-", 2)[0])).write_to(tmp_path))  # other bytes
    expect(rows.last).to_contain_text("raise the build number and upload again")
    expect(rows.last).to_have_attribute("data-state", "failed")
    assert 1 == sent.count("PATCH")


def test_it_goes_on_after_a_lost_connection(stand: Stand, uploading: Page, tmp_path: Path) -> None:
    """By itself, from where the server is: nothing that had arrived is sent again."""
    file, sent = new_file(20_000_000), list[int]()

    def flaky(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            sent.append(int(request.headers["upload-offset"]))
        if request.method == "PATCH" and len(sent) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    uploading.route(PIECES, flaky)
    choose(uploading, file.write_to(tmp_path))
    row = uploading.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Published", timeout=30_000)
    piece = 8 * 1024 * 1024
    assert [0, piece, piece, 2 * piece] == sent
    assert file.content == served(stand, file)


def test_it_goes_on_after_a_reload(stand: Stand, uploading: Page, tmp_path: Path) -> None:
    """Choosing the same file again goes on with the upload that was begun."""
    file, path = new_file(20_000_000), tmp_path
    stored = file.write_to(path)
    uploading.route(PIECES, _only_the_first)
    choose(uploading, stored)
    row = uploading.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Retrying")
    uploading.once("dialog", lambda dialog: dialog.accept())
    uploading.reload()
    uploading.unroute(PIECES)
    asked: list[str] = []
    uploading.on("request", lambda request: asked.append(request.method))
    choose(uploading, stored)
    expect(row).to_contain_text("Published", timeout=30_000)
    assert ["HEAD", "PATCH", "PATCH"] == [method for method in asked if method != "GET"]
    assert file.content == served(stand, file)


def _only_the_first(route: Route, request: Request) -> None:
    if request.method == "PATCH" and request.headers["upload-offset"] != "0":
        route.abort("connectionreset")
    else:
        route.continue_()


def test_pause_and_go_on(stand: Stand, uploading: Page, tmp_path: Path) -> None:
    """A button for each file, which a keyboard reaches."""
    file = new_file(20_000_000)
    uploading.route(PIECES, _only_the_first)
    choose(uploading, file.write_to(tmp_path))
    row = uploading.get_by_role("listitem").filter(has_text=file.name)
    expect(row).to_contain_text("Retrying")
    row.get_by_role("button", name="Pause").press("Enter")
    expect(row).to_have_attribute("data-state", "paused", timeout=30_000)
    uploading.unroute(PIECES)
    row.get_by_role("button", name="Resume").press("Enter")
    expect(row).to_contain_text("Published", timeout=30_000)
    assert file.content == served(stand, file)
