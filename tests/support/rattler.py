"""py-rattler and rattler-build in separate processes, without stored credentials."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_CLIENTS = Path(__file__).parents[1] / "clients"
_SECONDS = 120


def action(folder: Path, name: str, url: str, *specs: str, **options: Any) -> dict[str, Any]:
    """Return an action for `run` on a channel; the actions are in tests/clients/rattler_client.py."""
    return {
        "do": name, "channel": url, "specs": specs, "platforms": ["linux-64", "noarch"], "sharded": True,
        "zstd": True, "cache": str(folder / "cache"), "prefix": "", "relations": None, **options,
    }  # fmt: skip


def run(folder: Path, *actions: dict[str, Any], auth: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Let py-rattler run the actions, with cache and credentials in this folder; return the result of each."""
    auth_file, result = folder / "auth.json", folder / "result.json"
    auth_file.write_text(json.dumps(auth or {}))
    result.unlink(missing_ok=True)
    variables = {"HOME": str(folder), "RATTLER_AUTH_FILE": str(auth_file), "RATTLER_CACHE_DIR": str(folder)}
    ended = subprocess.run(
        [sys.executable, str(_CLIENTS / "rattler_client.py"), str(result)],
        input=json.dumps(actions), env={**os.environ, **variables}, text=True, capture_output=True, timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    assert result.exists(), ended.stderr
    results: list[dict[str, Any]] = json.loads(result.read_text())
    return results


def publish(folder: Path, url: str, channel: str, *paths: Path, **variables: str) -> str:
    """Run `rattler-build upload prefix` with these environment variables; return its output, empty if it succeeded."""
    auth_file = folder / "auth.json"
    auth_file.write_text("{}")
    request = {"paths": [str(path) for path in paths], "url": url, "channel": channel, "auth_file": str(auth_file)}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GITHUB", "GITLAB", "ACTIONS"))
    }
    ended = subprocess.run(
        [sys.executable, str(_CLIENTS / "publishing_client.py")], input=json.dumps(request), env={**environment, **variables},
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr
