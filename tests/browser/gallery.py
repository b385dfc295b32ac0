"""Pictures of every page, by day and by night, narrow and wide: `python -m tests.browser.gallery FOLDER`."""

import sys
import tempfile
from pathlib import Path

from tests.browser.stage import PAGES, Stand, standing
from tests.support import state

WIDTHS = (320, 1280)


def take(stand: Stand, folder: Path, wanted: tuple[str, ...] = ()) -> None:
    """One file for each page, chart and width."""
    for dark in (False, True):
        for width in WIDTHS:
            with stand.context(width=width, dark=dark) as mine, stand.context(width=width, dark=dark) as nobodys:
                page = mine.new_page()
                stand.sign_in(page)
                other = nobodys.new_page()
                for shot in PAGES:
                    if wanted and shot.name not in wanted:
                        continue
                    seen = page if shot.signed_in else other
                    seen.goto(shot.path)
                    name = f"{shot.name}-{'night' if dark else 'day'}-{width}.png"
                    seen.screenshot(path=folder / name, full_page=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, state.choose(state.SQLITE_DISK), standing(Path(scratch)) as stand:
        take(stand, folder, tuple(sys.argv[2:]))
