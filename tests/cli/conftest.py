"""A shell that runs commands, and folders with data."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import forks, issuer, state
from tests.support.packages import conda

FILE = conda()


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON that the command printed."""
        assert 0 == self.code, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error that a command with --json printed."""
        assert (1, "") == (self.code, self.out)
        printed: dict[str, dict[str, str]] = json.loads(self.err)
        return printed["error"]


@dataclass(frozen=True)
class Shell:
    """Run `seaway` in a folder, with additional environment variables."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, stdin: str = "", **variables: str) -> CommandResult:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SEAWAY_")}
        environment |= {**state.variables(self.folder), **self.variables, **variables}
        ended = forks.run([*map(str, arguments)], folder=self.folder, environment=environment, stdin=stdin)
        return CommandResult(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two users, a channel with a member, a key, a publisher and a file; tests must not change it."""
    folder = tmp_path_factory.mktemp("filled")
    shell = Shell(folder, {"SEAWAY_EXAMINERS": "1"})
    FILE.write_to(folder)
    (folder / "keys.json").write_text(issuer.key_set("key-1"))
    for command in (
        ["user", "add", "ada"],
        ["user", "add", "bob"],
        ["channel", "add", "tools", "--owner", "ada", "--public"],
        ["member", "add", "tools", "bob"],
        ["group", "add", "crew", "--manager", "ada"],
        ["group", "add-member", "crew", "bob"],
        ["group", "role", "tools", "crew", "viewer"],
        ["key", "add", "ada", "laptop"],
        ["notice", "add", "tools", "We sail at dawn"],
        ["issuer", "add", "forge", "https://gitlab.example.com", "--kind", "gitlab"],
        ["publisher", "add", "tools", "gitlab", "--namespace", "acme", "--project", "tools"],
        ["upload", "tools", FILE.name],
    ):
        assert 0 == shell.run(*command).code
    return folder


@pytest.fixture
def filled_shell(shell: Shell, filled_folder: Path, tmp_path: Path) -> Shell:
    """A shell in a copy of the folder with data."""
    folder = tmp_path / "site"
    state.copy(filled_folder, folder)
    return replace(shell, folder=folder, variables={"SEAWAY_EXAMINERS": "1"})
