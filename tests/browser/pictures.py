"""Screenshots for the manual: `python -m tests.browser.pictures docs/pictures`. Look at them before a commit."""

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from tests.browser.demo_site import DemoSite, running_demo_site
from tests.support import state
from tests.support.packages import conda, index_json

WIDTH, HEIGHT, NARROW = 1180, 780, 380  # points
_COLORS = 256
_SHOWN_URL = "https://conda.example.com"
_REPLACE_URL = """
([from, to]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
}
"""


@dataclass(frozen=True)
class Picture:
    """A page as the manual shows it."""

    name: str
    path: str
    signed_in: bool = False
    dark: bool = False
    width: int = WIDTH
    height: int = HEIGHT


PICTURES = (
    Picture("front", "/"),
    Picture("channel", "/channels/robots"),
    Picture("channel-night", "/channels/robots", dark=True),
    Picture("package", "/channels/robots/packages/pixi-editor?days=90", height=1200),
    Picture("package-night", "/channels/robots/packages/calibration", dark=True),
    Picture("file-compared", "/channels/robots/packages/pixi-editor/files/noarch/pixi-editor-2.0.0-h4616a5c_0.conda?against=noarch/pixi-editor-1.0.0-h4616a5c_0.conda"),
    Picture("upload", "/channels/robots/settings/upload", signed_in=True, height=1000),
    Picture("settings-publishers", "/channels/robots/settings/publishers", signed_in=True, height=1100),
    Picture("channel-narrow", "/channels/robots", dark=True, width=NARROW),
)  # fmt: skip


def take(demo: DemoSite, folder: Path) -> None:
    """Take all pictures, with few colors to keep the files small, and without the channel of hostile texts."""
    with demo.seaway.site.database.write_site() as tx:
        channels.remove(tx, demo.seaway.site.clock.now_ms(), OPERATOR, "hostile")
    for picture in PICTURES:
        with demo.context(width=picture.width, dark=picture.dark) as context:
            page = context.new_page()
            page.set_viewport_size({"width": picture.width, "height": picture.height})
            if picture.signed_in:
                demo.sign_in(page)
            page.goto(picture.path)
            if picture.name in _ACTIONS:
                _ACTIONS[picture.name](page)
            page.evaluate(_REPLACE_URL, [demo.address, _SHOWN_URL])
            image = Image.open(io.BytesIO(page.screenshot()))
            small = image.convert("RGB").quantize(_COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            small.save(folder / f"{picture.name}.png", optimize=True)


def _upload_files(page: Page) -> None:
    conflicting = conda(index_json("gripper", "2.0"), about={"summary": "Other bytes"})
    new = [conda(index_json(name, "0.3.1")) for name in ("wrist-camera", "wrist-torque")]
    files = [{"name": file.name, "mimeType": "", "buffer": file.content} for file in (*new, conflicting)]
    page.get_by_label("Choose files").set_input_files(files)
    rows = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    for file in new:
        expect(rows.filter(has_text=file.name)).to_contain_text("Published")
    expect(rows.filter(has_text=conflicting.name)).to_have_attribute("data-state", "replaceable")


def _fill_publisher_form(page: Page) -> None:
    for label, text in (("User or organization", "acme"), ("Repository", "robots"), ("Workflow file", "release.yml")):
        page.get_by_label(label, exact=True).fill(text)
    page.evaluate("document.activeElement.blur()")


_ACTIONS = {"upload": _upload_files, "settings-publishers": _fill_publisher_form}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        state.choose(state.SQLITE_DISK),
        running_demo_site(Path(scratch)) as demo,
    ):
        take(demo, folder)
