"""Errors shown on pages and by the API name no command line, unless they tell the reader to ask the operator."""

import ast
from pathlib import Path

import seaway

ROOT = Path(seaway.__file__).parent
# These run at the command line or when a server starts, or say so in the sentence before.
FOR_OPERATORS = (
    "cli",
    "backup",
    "maintenance",
    "pairing",
    "server",
    "settings.py",
    "packages/sweep.py",
    "database",
    "encryption/secret_key.py",
    "sign_in/first_account.py",
)


def hints() -> list[tuple[str, str]]:
    """Return every text with a command that is given to an error, with its file."""
    found = []
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(FOR_OPERATORS):
            continue
        for raised in ast.walk(ast.parse(path.read_text())):
            if isinstance(raised, ast.Raise | ast.Return) and isinstance(
                raised.value if isinstance(raised, ast.Return) else raised.exc, ast.Call
            ):
                texts = [
                    node.value
                    for node in ast.walk(raised)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                ]
                found += [(name, " ".join(texts))] if any("`seaway " in text for text in texts) else []
    return found


def test_errors_name_no_commands_to_users() -> None:
    assert [] == [(name, text) for name, text in hints() if "operator" not in text.lower()]
