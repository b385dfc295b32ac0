"""The manual is complete and current: settings, refusals, commands, statuses, links, file names and snippets."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from typer.core import TyperGroup
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
    """Return the cells of every table row of a page."""
    lines = (DOCS / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]


def test_every_setting_is_in_the_manual() -> None:
    """Name, default and description match the code."""
    documented = {row[0]: row[1:] for row in rows("operate/settings.md")[1:]}
    expected = {
        f"`{name}`": [f"`{_written(field.default)}`", field.description]
        for name, field in Settings.model_fields.items()
    }

    assert expected == documented


def test_settings_and_store_have_the_same_url_schemes() -> None:
    """The settings cannot import the store, so both have the list of schemes."""
    assert settings._STORAGE_SCHEMES == open_store.SCHEMES


def _written(default: object) -> str:
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    return " " if plain in ("", None) else str(plain)


def test_every_refusal_reason_is_in_the_manual() -> None:
    """Code and meaning match the code base."""
    documented = {row[0]: row[1] for row in rows("use/refusals.md")[1:]}

    assert {f"`{reason.value}`": reason.meaning for reason in RefusalReason} == documented


def commands() -> dict[str, Any]:
    """Return every command by its full name, in the order of `seaway --help`."""
    single: dict[str, Any] = {}
    grouped: dict[str, Any] = {}
    for name, command in cast("TyperGroup", get_command(app)).commands.items():
        if isinstance(command, TyperGroup):
            grouped |= {f"{name} {key}": leaf for key, leaf in command.commands.items()}
        else:
            single[name] = command
    return single | grouped


def sections() -> dict[str, str]:
    """Return the manual's text for each command, in its order."""
    text = (DOCS / "operate/commands.md").read_text().replace("\n## ", "\n### ")
    parts = (part.partition("\n\n") for part in text.split("\n### ")[1:])
    return {title.removeprefix("seaway "): body for title, _, body in parts if title.startswith("seaway ")}


def examples(command: str) -> list[list[str]]:
    """Return the arguments of a command's examples, lines such as `$ VARIABLE=x seaway --data DIR COMMAND ... < FILE`."""
    blocks = re.findall(r"^```\n(.*?)^```$", sections().get(command, ""), re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^\$ (.*)$", "".join(blocks).replace("\\\n", ""), re.MULTILINE)
    found = (
        re.match(rf"(?:\w+=\S+ )*seaway (?:--data \S+ )?{command}(?= |$)(.*?)(?: < \S+)?$", line) for line in lines
    )
    return [shlex.split(match[1]) for match in found if match]


def test_commands_have_the_order_of_the_help() -> None:
    """No section of a removed or renamed command remains."""
    groups = {name.partition(" ")[0] for name in commands() if " " in name}

    assert list(commands()) == [title for title in sections() if title not in groups]


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_in_the_manual_with_an_example(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The description matches `--help`, the usage names each option, and the program accepts every example."""
    (tmp_path / "dist").mkdir()  # the two paths that must exist
    (tmp_path / "trusted_root.json").touch()
    monkeypatch.chdir(tmp_path)
    leaf, text = commands()[command], " ".join(sections()[command].split())
    usage = re.search(rf"Usage: `(seaway {command}(?: [^`]*)?)`", text)
    options = {option for parameter in leaf.params for option in (*parameter.opts, *parameter.secondary_opts)}

    assert text.startswith(" ".join((leaf.help or "?").split()))
    assert usage
    assert set() == {option for option in options if option.startswith("--") and option not in usage[1]} - {"--json"}
    assert examples(command)
    for arguments in examples(command):
        leaf.make_context(command, arguments)  # raises UsageError if it does not accept them


def test_every_status_of_an_error_is_in_the_manual() -> None:
    """The page on uploads explains every status."""
    documented = {int(code) for row in rows("use/uploading.md") for code in re.findall(r"\d{3}", row[0])}

    assert set(problems._STATUS.values()) <= documented


def test_links_between_pages_resolve() -> None:
    """Every relative link in docs/ and the root names an existing file and, if it has an anchor, a heading in it."""
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
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
    """docs/README.md links every page, and decisions/README.md every decision."""
    pages = {page for page in DOCS.rglob("*.md") if page.name != "README.md"}
    linked = {
        (index.parent / target).resolve()
        for index in (DOCS / "README.md", DOCS / "decisions" / "README.md")
        for target in re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index.read_text(), re.MULTILINE)
    }

    assert set() == pages - linked


_CODE_PATH = re.compile(r"`((?:[\w-]+/)*\w+\.py|(?:src|docs|\.ci|\.github|requirements)/[\w./-]+)(?:::([\w.]+))?`")
# Tests are also named in commands and in running text, sometimes as a pattern such as `matrix_*.py`, which is not checked.
_TEST_PATH = re.compile(r"(?<![\w/.-])(tests/[\w./-]*+)(?:::(\w+))?+(?!\*)")


@pytest.mark.parametrize("page", [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_page_names_files_and_symbols_that_exist(page: Path) -> None:
    """Each path exists in the repository or in src/seaway, and the symbol of each `path::symbol` is defined there."""
    text = page.read_text()
    missing = [
        f"{path}::{symbol}"
        for path, symbol in (*_CODE_PATH.findall(text), *_TEST_PATH.findall(text))
        if not _defines(path.rstrip("."), symbol)
    ]

    assert missing == []


def _defines(path: str, symbol: str) -> bool:
    found = next((folder / path for folder in (ROOT, ROOT / "src" / "seaway") if (folder / path).exists()), None)
    if found is None or not symbol:
        return found is not None
    text = found.read_text()
    return all(re.search(rf"\b(?:def|class) {name}\b", text) for name in symbol.split("."))


def test_every_token_refusal_is_in_the_manual() -> None:
    """Code, status and meaning match the code base."""
    documented = [row for row in rows("use/trusted-publishing.md")[1:] if len(row) == 3]

    assert [[f"`{code.value}`", str(code.status), code.meaning] for code in Code] == documented


@pytest.mark.parametrize("snippet", [workflow_snippets.github, workflow_snippets.gitlab, workflow_snippets.google])
def test_manual_shows_the_snippets_of_the_pages(snippet: Callable[[str, str, str], str]) -> None:
    text = snippet("https://HOST", "HOST", "my-channel")

    assert f"\n{text}```" in (DOCS / "use/trusted-publishing.md").read_text()


def test_every_issuer_rule_is_in_the_manual() -> None:
    documented = {row[0].strip("`") for row in rows("operate/issuers.md")[1:]}

    assert set(IssuerRules.__struct_fields__) == documented
    assert all(f"`{name}`" in (DOCS / "operate/issuers.md").read_text() for name in STORED)
