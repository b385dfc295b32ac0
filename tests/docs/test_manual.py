"""The manual names everything that an operator or user can meet, and nothing that is not there."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.main import get_command

from seaway import settings
from seaway.cli.main import app
from seaway.conda.refusals import RefusalReason
from seaway.http import problems
from seaway.settings import Settings
from seaway.storage import open_store
from seaway.trusted_publishing import workflow_snippets
from seaway.trusted_publishing.issuer_kinds.generic import STORED, IssuerRules
from seaway.trusted_publishing.refusals import Code

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = (DOCS / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]


def test_every_setting_has_its_row() -> None:
    """Name, default and meaning in the manual are those of the code."""
    documented = {row[0]: row[1:] for row in rows("operate/settings.md")[1:]}
    expected = {
        f"`{name}`": [f"`{_written(field.default)}`", field.description]
        for name, field in Settings.model_fields.items()
    }

    assert expected == documented


def test_settings_and_store_know_the_same_addresses() -> None:
    """The settings may not look into the store, so each has the list of schemes; they are one list."""
    assert settings._STORAGE_SCHEMES == open_store.SCHEMES


def _written(default: object) -> str:
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    return " " if plain in ("", None) else str(plain)


def test_every_reason_has_its_row() -> None:
    """Code and meaning in the manual are those of the code."""
    documented = {row[0]: row[1] for row in rows("use/refusals.md")[1:]}

    assert {f"`{reason.value}`": reason.meaning for reason in RefusalReason} == documented


def commands() -> dict[str, set[str]]:
    """Every command with its long options."""
    found = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        for path, leaf in (
            [(name, command)] if inner is None else [(f"{name} {key}", value) for key, value in inner.items()]
        ):
            options = {option for parameter in leaf.params for option in (*parameter.opts, *parameter.secondary_opts)}
            found[path] = {option for option in options if option.startswith("--")} - {"--json", "--help"}
    return found


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_and_option_is_in_the_manual(command: str) -> None:
    """A command stands in the table with each of its options."""
    usages = re.findall(r"`([^`]+)`", (DOCS / "operate/commands.md").read_text())
    usage = max((usage for usage in usages if f"{usage} ".startswith(command + " ")), key=len, default="")

    assert usage
    assert set() == {option for option in commands()[command] if option not in usage and option != "--private"}


def test_every_status_of_an_error_is_in_the_manual() -> None:
    """A client that gets a status finds what it means."""
    documented = {int(code) for row in rows("use/uploading.md") for code in re.findall(r"\d{3}", row[0])}

    assert set(problems._STATUS.values()) <= documented


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of README and docs names a file that exists, and a heading of that file."""
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}{anchor}"
        for page in pages
        for target, anchor in re.findall(r"\]\(([^)#:]*)(#[^)]+)?\)", page.read_text())
        if not _exists(page.parent / target if target else page, anchor)
    ]

    assert broken == []


def _exists(path: Path, anchor: str) -> bool:
    if not path.exists() or not anchor:
        return path.exists()
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return anchor[1:] in {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    """A reader of docs/README.md, or of decisions/README.md for the decisions, finds every page."""
    pages = {page for page in DOCS.rglob("*.md") if page.name != "README.md"}
    linked = {
        (index.parent / target).resolve()
        for index in (DOCS / "README.md", DOCS / "decisions" / "README.md")
        for target in re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index.read_text(), re.MULTILINE)
    }

    assert set() == pages - linked


def test_the_architecture_page_names_what_exists() -> None:
    """Every file and symbol in the walks of ARCHITECTURE.md is there."""
    text = (DOCS / "ARCHITECTURE.md").read_text()
    source = ROOT / "src" / "seaway"
    missing = []
    for path, symbol in re.findall(r"`([a-z_]+/[a-z_]+\.py)(?:::(\w+))?`", text):
        file = (ROOT if path.startswith("tests/") else source) / path
        if not file.exists() or (symbol and not re.search(rf"(def|class) {symbol}\b", file.read_text())):
            missing.append(f"{path}::{symbol}")

    assert missing == []


def test_every_refusal_of_a_token_is_in_the_manual() -> None:
    """Code, status and meaning in the manual are those of the code."""
    documented = [row for row in rows("use/trusted-publishing.md")[1:] if len(row) == 3]

    assert [[f"`{code.value}`", str(code.status), code.meaning] for code in Code] == documented


@pytest.mark.parametrize("snippet", [workflow_snippets.github, workflow_snippets.gitlab, workflow_snippets.google])
def test_what_is_to_be_pasted_is_what_the_pages_show(snippet: Callable[[str, str, str], str]) -> None:
    """The manual shows the snippet for an example."""
    text = snippet("https://conda.example.com", "conda.example.com", "my-channel")

    assert f"\n{text}```" in (DOCS / "use/trusted-publishing.md").read_text()


def test_every_rule_of_an_issuer_is_in_the_manual() -> None:
    """Whoever writes a file of rules finds each of them."""
    documented = {row[0].strip("`") for row in rows("operate/issuers.md")[1:]}

    assert set(IssuerRules.__struct_fields__) == documented
    assert all(f"`{name}`" in (DOCS / "operate/issuers.md").read_text() for name in STORED)
