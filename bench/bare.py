"""Bare Starlette application that serves the files of a folder, with the same uvicorn settings as Seaway."""

import hashlib
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

_SMALL_BYTES = 4 * 1024 * 1024


def main(folder: Path) -> None:
    """Load the small files into memory and serve all files."""
    small = {
        path.name: (content := path.read_bytes(), {"ETag": f'"{hashlib.sha256(content).hexdigest()[:40]}"'})
        for path in folder.iterdir()
        if path.stat().st_size <= _SMALL_BYTES
    }

    async def read(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in small:
            return FileResponse(folder / name)
        content, headers = small[name]
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="application/octet-stream")

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    listener.listen(2048)
    print(f"listens on http://{host}:{port}", flush=True)
    app = Starlette(routes=[Route("/{name}", read)])
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
