"""The manual names everything that an operator or user can meet, and nothing that is not there."""

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


def commands() -> dict[str, Any]:
    """Every command by its words, in the order of `seaway --help`."""
    single: dict[str, Any] = {}
    grouped: dict[str, Any] = {}
    for name, command in cast("TyperGroup", get_command(app)).commands.items():
        if isinstance(command, TyperGroup):
            grouped |= {f"{name} {key}": leaf for key, leaf in command.commands.items()}
        else:
            single[name] = command
    return single | grouped


def sections() -> dict[str, str]:
    """The text below each heading of a command in the manual, in its order."""
    text = (DOCS / "operate/commands.md").read_text().replace("\n## ", "\n### ")
    parts = (part.partition("\n\n") for part in text.split("\n### ")[1:])
    return {title.removeprefix("seaway "): body for title, _, body in parts if title.startswith("seaway ")}


def examples(command: str) -> list[list[str]]:
    """The arguments of each example of a command: lines such as `$ VARIABLE=x seaway --data DIR COMMAND ... < FILE`."""
    blocks = re.findall(r"^```\n(.*?)^```$", sections().get(command, ""), re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^\$ (.*)$", "".join(blocks).replace("\\\n", ""), re.MULTILINE)
    found = (
        re.match(rf"(?:\w+=\S+ )*seaway (?:--data \S+ )?{command}(?= |$)(.*?)(?: < \S+)?$", line) for line in lines
    )
    return [shlex.split(match[1]) for match in found if match]


def test_the_manual_lists_the_commands_in_the_order_of_the_help() -> None:
    """A command that is removed or renamed leaves no section behind."""
    groups = {name.partition(" ")[0] for name in commands() if " " in name}

    assert list(commands()) == [title for title in sections() if title not in groups]


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_in_the_manual_with_an_example(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The purpose is that of `--help`, the usage names each option, and the program accepts every example."""
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
    """A client that gets a status finds what it means."""
    documented = {int(code) for row in rows("use/uploading.md") for code in re.findall(r"\d{3}", row[0])}

    assert set(problems._STATUS.values()) <= documented


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of the pages in docs/ and in the root names a file that exists, and a heading of that file."""
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


_SOURCE_PATH = re.compile(
    r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.py|(?:src|tests|docs|\.ci|\.github|requirements)/[\w./-]+)(?:::\w+)?`"
)


def test_decisions_name_files_that_exist() -> None:
    """Every source file, test and folder that the pages for developers name is there."""
    missing = [
        f"{page.name}: {path}"
        for page in [*(DOCS / "decisions").glob("*.md"), ROOT / "CONTRIBUTING.md"]
        for path in _SOURCE_PATH.findall(page.read_text())
        if not any((folder / path).exists() for folder in (ROOT, ROOT / "src" / "seaway"))
    ]

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
