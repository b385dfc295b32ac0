"""Every module that connects to another host is listed in the manual."""

import ast
from pathlib import Path

from tests.docs.test_manual import ROOT

PAGE = ROOT / "docs" / "security.md"
SOURCE = ROOT / "src" / "seaway"
# Libraries and modules that connect to a given host.
CLIENTS = {
    "httpx",
    "aiosmtplib",
    "tuf",
    "obstore",
    "psycopg",
    "urllib.request",
    "http.client",
    "requests",
    "smtplib",
    "seaway.outbound",
}


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def connects(path: Path) -> bool:
    return any(name == client or name.startswith(f"{client}.") for name in imported(path) for client in CLIENTS)


def test_every_module_that_connects_is_listed() -> None:
    """A new module needs a row: destination, time, and how to disable it."""
    section = PAGE.read_text().partition("### Outbound requests")[2].partition("\n## ")[0]
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if connects(path)}

    assert "outbound.py" in found
    assert [] == sorted(name for name in found if f"`{name}`" not in section)
