"""The style guide exists only on development servers."""

import re
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from seaway.web import rendering
from tests.support import sites
from tests.web.http_browser import HttpBrowser

TEMPLATES = Path(rendering.__file__).parent / "templates"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 200),
        ({"public_url": "http://localhost:8000"}, 200),
        ({"public_url": "https://conda.example.com"}, 404),
        ({"host": "0.0.0.0"}, 404),  # others reach it, at a URL that it does not know
    ],
)
def test_style_guide_exists_in_development_only(
    tmp_path: Path, portal: BlockingPortal, settings: dict[str, str], status: int
) -> None:
    """A URL of this machine is the sign of a development server."""
    seaway = sites.build(tmp_path, **settings)
    try:
        response = HttpBrowser(seaway, portal, "2001:db8::1").get("/style")
    finally:
        seaway.close()
    assert status == response.status_code
    assert (status == 200) == ('data-theme="night"' in response.text)


def test_style_guide_shows_all_components() -> None:
    """Each macro of macros.html, except parts of components and lists that are made of components."""
    macros = set(re.findall(r"{%-? macro ([a-z]\w*)", (TEMPLATES / "macros.html").read_text()))
    style = (TEMPLATES / "style.html").read_text()
    not_shown = {name for name in macros if not re.search(rf"\b{name}\(", style)}
    assert set() == not_shown - {
        "audit_detail",
        "audit_log",
        "csrf",
        "date",
        "kept_fields",
        "mark",
        "passkey_form",
        "problem_notice",
    }


def test_templates_do_not_ask_for_tabular_figures() -> None:
    """The class `number` does, in columns of numbers; elsewhere they tear versions and dates apart."""
    assert [] == [file.name for file in TEMPLATES.rglob("*.html") if "tabular-nums" in file.read_text()]


def test_components_are_not_drawn_by_hand() -> None:
    """Notices, messages, empty states and error pages come from their macros."""
    by_hand = re.compile(r'class="(notice|message|empty|status-code)[ "]')
    assert ["macros.html"] == [file.name for file in TEMPLATES.rglob("*.html") if by_hand.search(file.read_text())]
