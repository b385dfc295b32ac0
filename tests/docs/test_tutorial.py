"""The shell blocks of the tutorial run in order, in two terminals, against the server that they start."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.test_manual import DOCS, ROOT
from tests.support.server import variables

_SERVE = "seaway serve\n"
_START_SECONDS = 240  # the first `uv run` in a fresh clone installs everything
_FIRST_STEP = re.compile(r"git clone .*\n(.*\n)*pip install uv\n")


def blocks() -> list[str]:
    """Return the shell blocks of the page; blocks without a language show output or other clients."""
    return re.findall(r"^```shell\n(.*?)^```", (DOCS / "use/tutorial.md").read_text(), re.MULTILINE | re.DOTALL)


def terminals() -> tuple[str, str]:
    """Return the commands of the first terminal, which end by starting the server, and those of the second."""
    found = blocks()
    serve = next(number for number, block in enumerate(found) if block.endswith(_SERVE)) + 1
    return "".join(found[:serve]), "".join(found[serve:])


def prepared_machine(folder: Path) -> dict[str, str]:
    """Create stand-ins for the first step: the clone, its environment, and a `uv` that runs commands of this one."""
    (folder / "seaway/.venv/bin").mkdir(parents=True)
    (folder / "seaway/.venv/bin/activate").touch()
    uv = folder / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(
        '#!/bin/sh\n[ "$1 $2" = "run --no-dev" ] || exit 2\nshift 2\n[ "$1" != --with ] || shift 2\nexec "$@"\n'
    )
    uv.chmod(0o755)
    return {"PATH": f"{uv.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"}


def fresh_machine() -> dict[str, str]:
    """Return the variables of a shell without an active environment; the cache of uv is shared."""
    cache = os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv"
    active_environments = {str(Path(sys.executable).parent), str(ROOT / ".venv/bin")}
    path = [entry for entry in os.environ["PATH"].split(":") if entry not in active_environments]
    return {"PATH": ":".join(path), "UV_CACHE_DIR": str(cache)}


@contextmanager
def serving(commands: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the commands of the first terminal; yield the URL where the server listens."""
    log = folder / "terminal-1.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-ec", commands], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not (found := re.search(r"^Seaway \S+ listens on (\S+)$", log.read_text(), re.MULTILINE)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
    assert "warning:" not in log.read_text()  # uv warns if an environment other than .venv is active


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("fresh", [False, pytest.param(True, marks=pytest.mark.slow, id="fresh clone")])
def test_tutorial_ends_with_an_installed_package(tmp_path: Path, fresh: bool) -> None:
    """From the clone to the installed file, using only the commands of the page."""
    first, second = terminals()
    assert _FIRST_STEP.match(first)
    environment = {name: value for name, value in variables().items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment |= {"HOME": str(tmp_path), "SEAWAY_PORT": "0"}
    if fresh:
        first = first.replace("REPOSITORY", str(ROOT))
        environment |= fresh_machine()
    else:
        first = _FIRST_STEP.sub("cd seaway\n", first)
        environment |= prepared_machine(tmp_path)

    with serving(first, tmp_path, environment) as url:
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", second.replace("http://127.0.0.1:8000", url)],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip

    assert 0 == result.returncode, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert "ada is now a site admin." == lines[0]
    assert "401" == lines[2]
    assert "Uploaded 1 of 1 file to my-channel." in lines
    assert "Hello from Seaway" == lines[-1]
    assert "warning:" not in result.stderr
