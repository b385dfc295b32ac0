"""py-rattler and rattler-build as users run them: in processes of their own, with nothing stored on the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_CLIENTS = Path(__file__).parents[1] / "clients"
_SECONDS = 120


def action(folder: Path, do: str, url: str, *specs: str, **more: Any) -> dict[str, Any]:
    """Something for py-rattler to do with a channel."""
    return {
        "do": do, "channel": url, "specs": specs, "platforms": ["linux-64", "noarch"], "sharded": True,
        "zstd": True, "cache": str(folder / "cache"), "prefix": "", "relations": None, **more,
    }  # fmt: skip


def run(folder: Path, *actions: dict[str, Any], auth: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What py-rattler says to each, with its cache and its credentials in this folder."""
    auth_file, result = folder / "auth.json", folder / "result.json"
    auth_file.write_text(json.dumps(auth or {}))
    result.unlink(missing_ok=True)
    own = {"HOME": str(folder), "RATTLER_AUTH_FILE": str(auth_file), "RATTLER_CACHE_DIR": str(folder)}
    ended = subprocess.run(
        [sys.executable, str(_CLIENTS / "rattler_client.py"), str(result)],
        input=json.dumps(actions), env={**os.environ, **own}, text=True, capture_output=True, timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    assert result.exists(), ended.stderr
    told: list[dict[str, Any]] = json.loads(result.read_text())
    return told


def publish(folder: Path, url: str, channel: str, *paths: Path, **variables: str) -> str:
    """What `rattler-build upload prefix` tells in a job with these variables; empty when all went well."""
    auth_file = folder / "auth.json"
    auth_file.write_text("{}")
    order = {"paths": [str(path) for path in paths], "url": url, "channel": channel, "auth_file": str(auth_file)}
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB", "GITLAB", "ACTIONS"))}
    ran = subprocess.run(
        [sys.executable, str(_CLIENTS / "publishing_client.py")], input=json.dumps(order), env={**ours, **variables},
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr
