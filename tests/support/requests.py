"""Exact requests: multipart bodies as rattler's clients send them, and raw bytes on sockets."""

import base64
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import func, select

from seaway.database.tables import files
from seaway.server import wiring
from seaway.settings import Settings
from tests.support import state
from tests.support.packages import PackageFile
from tests.support.server import Server

BOUNDARY = "ed6f0c5bd1a1c2c4-5f3a9d2d"
_SOCKET_SECONDS = 30
_MAX_ERROR_LENGTH = 512


@dataclass(frozen=True)
class Part:
    """One part of a multipart body with its header lines."""

    headers: Sequence[tuple[str, str]]
    content: bytes = b""

    @property
    def head(self) -> bytes:
        return b"".join(f"{name}: {value}\r\n".encode() for name, value in self.headers) + b"\r\n"


def file_part(file: PackageFile, *, name: str = "file", **changes: str | None) -> Part:
    """Return a package file as rattler sends it; a change to None leaves a header out (`_` is `-` in its name)."""
    headers = {
        "content-disposition": f'form-data; name="{name}"; filename="{file.name}"',
        "content-type": "application/octet-stream",
        "content-length": str(len(file.content)),
        "x-file-name": file.name,
        "x-file-sha256": file.sha256,
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    return Part([(key, value) for key, value in headers.items() if value is not None], file.content)


def attestation_part(content: bytes = b"{}") -> Part:
    """Return the part that `--attestation` adds."""
    return Part([("content-disposition", 'form-data; name="attestation"')], content)


def multipart(*parts: Part, end: bytes = b"--\r\n") -> bytes:
    """Return a body of these parts; with another `end` it is incomplete."""
    opening = f"--{BOUNDARY}".encode()
    return b"".join(opening + b"\r\n" + part.head + part.content + b"\r\n" for part in parts) + opening + end


def multipart_type(boundary: str = BOUNDARY) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def raw_headers(file: PackageFile) -> dict[str, str]:
    """Return the headers of an upload without multipart."""
    return {"X-File-Name": file.name, "X-File-SHA256": file.sha256}


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def upload(
    client: httpx.Client, channel: str, file: PackageFile, key: str | None = None, *, force: bool = False
) -> httpx.Response:
    """Upload without multipart; without `key`, the credentials of the client are used."""
    return client.post(
        f"/api/v1/upload/{channel}",
        params={"force": "true"} if force else {},
        content=file.content,
        headers={**raw_headers(file), **bearer(key)},
    )


def error_message(response: httpx.Response) -> str:
    """Return the body of an error response; check that it is one line of plain text that clients do not cut."""
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert 0 < len(response.text) <= _MAX_ERROR_LENGTH
    assert [response.text] == response.text.splitlines()
    return response.text


@dataclass(frozen=True)
class RawResponse:
    """A response read from a socket."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@contextmanager
def connect(address: str) -> Iterator[socket.socket]:
    """Open a socket to a server."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=_SOCKET_SECONDS) as connection:
        yield connection


def read_response(connection: socket.socket, method: str = "GET") -> RawResponse:
    """Read the next response on a socket."""
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return RawResponse(response.status, response.getheaders(), response.read())


def head_bytes(method: str, target: str | bytes, headers: dict[str, str] | None = None) -> bytes:
    """Return the head of a request with exactly this target."""
    target_bytes = target.encode() if isinstance(target, str) else target
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "seaway.test", **(headers or {})}.items())
    return method.encode() + b" " + target_bytes + b" HTTP/1.1\r\n" + lines.encode() + b"\r\n"


def exchange(
    address: str, method: str, target: str | bytes, headers: dict[str, str] | None = None, body: bytes = b""
) -> RawResponse:
    """Send one exact request; return the response."""
    with connect(address) as connection:
        connection.sendall(head_bytes(method, target, headers) + body)
        return read_response(connection, method)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until the condition is true; fail after this number of seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)


@dataclass(frozen=True)
class StoredState:
    """The blobs and spool files of a server, and the number of its file rows."""

    blobs: frozenset[str]
    spool: frozenset[str]
    rows: int


def stored_state(server: Server) -> StoredState:
    """Return what a server stores now."""
    settings = Settings(data=server.folder / "data", **state.settings(server.folder))
    blobs = frozenset(stat.key for stat in state.stored_blobs(wiring.open_store(settings)))
    database = wiring.open_database(settings)
    try:
        with database.read() as tx:
            rows = tx.execute(select(func.count()).select_from(files)).scalar_one()
    finally:
        database.close()
    return StoredState(blobs, _files_below(settings.spool_folder), rows)


@contextmanager
def leaves_nothing(server: Server) -> Iterator[None]:
    """Check that the block leaves no new blob, no spool file and no new row."""
    before = stored_state(server)
    assert frozenset() == before.spool
    yield
    after = stored_state(server)
    left = (after.blobs - before.blobs, after.spool, after.rows - before.rows)
    assert (frozenset(), frozenset(), 0) == left, f"left behind: {left}"


def _files_below(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.rglob("*") if path.is_file())
