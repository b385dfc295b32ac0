"""`seaway upload`: upload package files to a channel of the local store or of another Seaway."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.context import JsonOption, options, show
from seaway.counted_nouns import counted
from seaway.errors import BadSetting, SeawayError

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

    from seaway.server.wiring import Seaway

_CHUNK_BYTES = 1024 * 1024
_AT_ONCE = 4
_SUFFIXES = (".conda", ".tar.bz2")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result for one file: uploaded, replaced, exists or refused, with the server's message."""

    file: str
    status: str
    message: str


def upload(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Package files, or folders that contain them.", exists=True)
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Do not fail if a file already exists.")
    ] = False,
    server: Annotated[
        str | None, typer.Option(help="URL of a Seaway; default: the local store.", envvar="SEAWAY_SERVER")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="API key for --server; prefer the environment variable.", envvar="SEAWAY_KEY")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Upload package files. The exit code is 1 if any of them was refused."""
    files = list(_package_files(paths))
    if not files:
        raise BadSetting("No .conda or .tar.bz2 files were found.", "Give package files, or folders that contain them.")
    with _progress(files) as progress:
        if server:
            outcomes = _upload_remote(server, key, channel, files, force, progress)
        else:
            with options(context).open_site() as seaway:
                outcomes = _upload_local(seaway, channel, files, force, progress)
    failed = [
        outcome
        for outcome in outcomes
        if outcome.status == "refused" or (outcome.status == "exists" and not skip_existing)
    ]
    done = sum(outcome.status in ("uploaded", "replaced") for outcome in outcomes)
    lines = [f"{outcome.file}: {outcome.message}" for outcome in failed]
    show(
        {"channel": channel, "files": [asdict(outcome) for outcome in outcomes]},
        as_json,
        "\n".join([*lines, f"Uploaded {done} of {counted(len(files), 'file')} to {channel}."]),
    )
    if failed:
        raise typer.Exit(1)


def _package_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
            yield from sorted(file for file in found if file.name.endswith(_SUFFIXES))
        else:
            yield path


def _progress(files: Sequence[Path]) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    total = 0 if progress.disable else sum(file.stat().st_size for file in files)
    progress.add_task(counted(len(files), "file"), total=total)
    return progress


def _upload_local(
    seaway: Seaway, channel: str, files: Sequence[Path], force: bool, progress: Progress
) -> list[Outcome]:
    from seaway.callers.caller import OPERATOR
    from seaway.publishing.import_files import import_files

    outcomes = []
    for path, result in import_files(seaway.request_parts.publishing, channel, files, by=OPERATOR, force=force):
        if isinstance(result, SeawayError):
            outcomes.append(_failure(path.name, result))
        else:
            status = "exists" if result.repeated else "replaced" if result.replaced else "uploaded"
            outcomes.append(Outcome(path.name, status, " ".join(result.warnings)))
        if not progress.disable:
            progress.advance(progress.task_ids[0], path.stat().st_size)
    return outcomes


def _failure(file: str, error: SeawayError) -> Outcome:
    from seaway.errors import FileExists

    return Outcome(file, "exists" if isinstance(error, FileExists) else "refused", error.full_message)


def _upload_remote(
    server: str, key: str | None, channel: str, files: Sequence[Path], force: bool, progress: Progress
) -> list[Outcome]:
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    from seaway.outbound import OutboundRequestFailed, proxy_for, tls_context

    if not key:
        raise BadSetting("An upload to a server needs an API key.", "Set SEAWAY_KEY, or pass --key.")
    try:
        address = httpx.URL(server.rstrip("/"))
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise BadSetting(f"{server!r} is not the URL of a server.", "Use a URL that begins with https:// or http://.")
    if not key.isascii():
        raise BadSetting("The API key has invalid characters.", "Copy it again.")
    try:
        proxy = proxy_for(server)
    except OutboundRequestFailed as error:
        raise BadSetting(f"The server cannot be reached: {error}.", "Correct HTTPS_PROXY or ALL_PROXY.") from None
    headers = {"Authorization": f"Bearer {key}"}
    timeout = httpx.Timeout(60, read=600)
    with (
        httpx.Client(
            base_url=address, headers=headers, timeout=timeout, proxy=proxy, verify=tls_context(), trust_env=False
        ) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        return list(pool.map(lambda path: _post(client, channel, path, force, progress), files))


def _post(client: httpx.Client, channel: str, path: Path, force: bool, progress: Progress) -> Outcome:
    import httpx

    try:
        response = client.post(
            f"/api/v1/upload/{channel}",
            params={"force": "true"} if force else {},
            content=_LocalChunks(path, progress),
            headers=_headers(path),
        )
    except httpx.HTTPError as error:
        return Outcome(path.name, "refused", f"The server could not be reached: {error}.")
    except OSError as error:
        return Outcome(path.name, "refused", f"The file cannot be read: {error.strerror}.")
    except UnicodeError:
        return Outcome(path.name, "refused", "The file name has characters that are not allowed in package file names.")
    # 200 without force: the same uploader had already uploaded the same file.
    status = {200: "replaced" if force else "exists", 201: "uploaded", 409: "exists"}.get(
        response.status_code, "refused"
    )
    return Outcome(path.name, status, response.text)


def _headers(path: Path) -> dict[str, str]:
    import hashlib

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(path.stat().st_size),
        "X-File-Name": path.name,
        "X-File-SHA256": sha256,
    }


class _LocalChunks:
    """Chunks of a local file for the HTTP client, counted for the progress bar."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
                self._progress.advance(self._progress.task_ids[0], len(chunk))
