"""
The style guide: every component in both themes, for the review of pictures.

The page exists only on a server whose site URL is http on this machine, which is a development server.
"""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from seaway.clock import DAY_MS, HOUR_MS
from seaway.errors import NotFound
from seaway.http import caller
from seaway.http.parts import RequestParts, parts_of
from seaway.urls import is_loopback
from seaway.web.page_message import Message, Undo
from seaway.web.rendering import page

_LONG_NAME = "inverse-kinematics-of-arms-with-seven-or-more-revolute-joint"
_LONG_VERSION = "2026.11.30.dev20261130101512+g9f3c1e07b5a24d68.linux.ci.4711.abc"
_LONG_BUILD = "py313h4616a5c_cuda129_mpi_openmpi_nompi_debug_static_release_042"
_ROWS = (
    ("gripper", "2.0", "h1_0", ("linux-64", "noarch"), 12_480, 2 * HOUR_MS),
    ("pixi-editor", "2026.11.0-rc.1", "h4616a5c_0", ("noarch",), 1_111, 3 * DAY_MS),
    (_LONG_NAME, _LONG_VERSION, _LONG_BUILD, ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"), 7, DAY_MS),
)


async def show(request: Request) -> Response:
    """Show all components."""
    await caller.caller_of(request)
    parts = parts_of(request)
    if not is_in_development(parts):
        raise NotFound("This page does not exist.", "Check the URL.")
    return page(request, "style.html", rows=_ROWS, **_samples(parts.site.clock.now_ms()))


def is_in_development(parts: RequestParts) -> bool:
    """Return whether only programs on this machine reach the server."""
    return not parts.uses_request_host and is_loopback(urlsplit(parts.site.url))


def _samples(now_ms: int) -> dict[str, Any]:
    messages = [
        Message("gripper-2.0-h1_0.conda was yanked. Solvers no longer choose it.", Undo("/style")),
        Message("Nothing changed.", is_change=False),
    ]
    commands = [
        SimpleNamespace(tool=tool, text=f"{tool} install -c http://localhost:8000/robots gripper", note="")
        for tool in ("pixi", "conda", "mamba")
    ]
    bars = [(x * 12, 10 + (x * 37) % 100) for x in range(40)]
    return {
        "messages": messages,
        "commands": commands,
        "bars": bars,
        "long_name": _LONG_NAME,
        "earlier_ms": now_ms - 3 * DAY_MS,
    }
