"""
Static assets built by `ui/`, served from memory under names that contain a hash of their content.

They are compressed once, when they are loaded: about 100 kB in all.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import NotFound
from seaway.http.channel_request import encodings

_DIST = Path(__file__).parent / "static" / "dist"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    media_type: str
    plain: bytes
    packed: bytes | None  # None for formats that are already compressed


def _load(path: Path) -> _Asset:
    plain = path.read_bytes()
    packed = None if path.suffix == ".woff2" else gzip.compress(plain, 9, mtime=0)
    return _Asset(_TYPES[path.suffix], plain, packed)


_NAMES: dict[str, str] = json.loads((_DIST / "manifest.json").read_text())
_ASSETS = {hashed: _load(_DIST / hashed) for hashed in _NAMES.values()}


def asset_path(name: str) -> str:
    """Return the path of the current version of an asset."""
    return f"/static/{_NAMES[name]}"


def sizes() -> dict[str, int]:
    """Return the transfer size of each asset in bytes, compressed where possible."""
    return {name: len(_ASSETS[hashed].packed or _ASSETS[hashed].plain) for name, hashed in _NAMES.items()}


async def asset(request: Request) -> Response:
    """Serve an asset. Its name changes with its content, so browsers cache it for a year."""
    found = _ASSETS.get(request.path_params["name"])
    if found is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    # An SVG that is opened directly is a document of our origin.
    headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if found.packed is not None and "gzip" in encodings(request.headers.get("accept-encoding", "")):
        return Response(found.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media_type)
    return Response(found.plain, headers=headers, media_type=found.media_type)
