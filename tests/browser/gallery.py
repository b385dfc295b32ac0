"""Screenshots of all pages in light and dark theme, narrow and wide: `python -m tests.browser.gallery FOLDER`."""

import sys
import tempfile
from pathlib import Path

from tests.browser.demo_site import PAGES, DemoSite, running_demo_site
from tests.support import state

WIDTHS = (390, 1440)


def take(demo: DemoSite, folder: Path, wanted: tuple[str, ...] = ()) -> None:
    """Write one file for each page, theme and width."""
    for dark in (False, True):
        for width in WIDTHS:
            with demo.context(width=width, dark=dark) as first, demo.context(width=width, dark=dark) as second:
                signed_in, anonymous = first.new_page(), second.new_page()
                demo.sign_in(signed_in)
                for shown in PAGES:
                    if wanted and shown.name not in wanted:
                        continue
                    page = signed_in if shown.signed_in else anonymous
                    page.goto(shown.path)
                    name = f"{shown.name}-{'dark' if dark else 'light'}-{width}.png"
                    page.screenshot(path=folder / name, full_page=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        state.choose(state.SQLITE_DISK),
        running_demo_site(Path(scratch)) as demo,
    ):
        take(demo, folder, tuple(sys.argv[2:]))
