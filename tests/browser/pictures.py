"""The pictures in the manual: `python -m tests.browser.pictures docs/pictures`. Look at them before they are committed."""

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from tests.browser.stage import Stand, standing
from tests.support import state
from tests.support.packages import conda, index_json

WIDTH, HEIGHT, NARROW = 1180, 780, 380  # points
_COLOURS = 256
_ADDRESS = "https://conda.example.com"
# Each server of the tests has a port of its own, which says nothing.
_NAME_THE_SITE = """
([from, to]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
}
"""


@dataclass(frozen=True)
class Picture:
    """A page as the manual shows it, by day unless it is by night."""

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
    Picture("upload", "/channels/robots/settings/upload", signed_in=True),
    Picture("settings-publishers", "/channels/robots/settings/publishers", signed_in=True, height=1100),
    Picture("channel-narrow", "/channels/robots", dark=True, width=NARROW),
)  # fmt: skip


def take(stand: Stand, folder: Path) -> None:
    """All of them, with few colours, so that they stay small; without the channel that is there to do harm."""
    with stand.beside.site.database.write_site() as tx:
        channels.remove(tx, stand.beside.site.clock.now_ms(), OPERATOR, "hostile")
    for one in PICTURES:
        with stand.context(width=one.width, dark=one.dark) as context:
            page = context.new_page()
            page.set_viewport_size({"width": one.width, "height": one.height})
            if one.signed_in:
                stand.sign_in(page)
            page.goto(one.path)
            if one.name in _ACTS:
                _ACTS[one.name](page)
            page.evaluate(_NAME_THE_SITE, [stand.address, _ADDRESS])
            shot = Image.open(io.BytesIO(page.screenshot()))
            small = shot.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            small.save(folder / f"{one.name}.png", optimize=True)


def _upload(page: Page) -> None:
    there = conda(index_json("gripper", "2.0"), about={"summary": "Other bytes"})
    fresh = [conda(index_json(name, "0.3.1")) for name in ("wrist-camera", "wrist-torque")]
    files = [{"name": one.name, "mimeType": "", "buffer": one.content} for one in (*fresh, there)]
    page.get_by_label("Choose files").set_input_files(files)
    rows = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    for one in fresh:
        expect(rows.filter(has_text=one.name)).to_contain_text("Published")
    expect(rows.filter(has_text=there.name)).to_have_attribute("data-state", "failed")


def _trust(page: Page) -> None:
    for label, text in (("User or organization", "acme"), ("Repository", "robots"), ("Workflow file", "release.yml")):
        page.get_by_label(label, exact=True).fill(text)
    page.evaluate("document.activeElement.blur()")


_ACTS = {"upload": _upload, "settings-publishers": _trust}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, state.choose(state.SQLITE_DISK), standing(Path(scratch)) as stand:
        take(stand, folder)
