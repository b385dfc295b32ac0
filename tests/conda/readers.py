"""Read shards with py-rattler in a separate process: it may crash at exit, after the result was written."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from seaway.conda.shards import build_index

_SECONDS = 60
_SCRIPT = """
import asyncio, json, sys
from pathlib import Path
import rattler
from rattler.repo_data.gateway import Gateway, SourceConfig

async def read(url, subdir, names, cache):
    gateway = Gateway(cache_dir=cache, default_config=SourceConfig(zstd_enabled=False, bz2_enabled=False))
    (records,) = await gateway.query([rattler.Channel(url)], [subdir], names, recursive=False)
    return [[record.file_name, record.sha256.hex(), record.md5.hex(), record.size] for record in records]

url, subdir, cache, request_path, response_path = sys.argv[1:]
try:
    records = asyncio.run(read(url, subdir, json.loads(Path(request_path).read_text()), cache))
except Exception as error:
    records = str(error)
Path(response_path).write_text(json.dumps(records))
"""


class _Quiet(SimpleHTTPRequestHandler):
    """Serve a folder without logging requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Accept the hundred connections that a gateway opens at once."""

    request_queue_size = 512


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yield the URL."""
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def write_shards(folder: Path, subdir: str, shards: Mapping[str, bytes]) -> None:
    """Write shards and their index to the paths where clients look for them."""
    (folder / subdir / "shards").mkdir(parents=True)
    for shard in shards.values():
        (folder / subdir / "shards" / f"{sha256(shard).hexdigest()}.msgpack.zst").write_bytes(shard)
    hashes = {name: sha256(shard).digest() for name, shard in shards.items()}
    (folder / subdir / "repodata_shards.msgpack.zst").write_bytes(build_index(subdir, hashes, 0, None))


def records_in_shards(folder: Path, subdir: str, names: Sequence[str], scratch: Path) -> list[list[Any]] | str:
    """Return [file name, sha256, md5, size] of every record that py-rattler finds for the names, or its error."""
    request_path, response_path = scratch / "request.json", scratch / "response.json"
    request_path.write_text(json.dumps(list(names)))
    with served(folder) as url:
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, url, subdir, str(scratch / "cache"), str(request_path), str(response_path)],
            check=False,  # only the written result counts
            capture_output=True,
            timeout=_SECONDS,
        )
    records: list[list[Any]] | str = json.loads(response_path.read_text())
    return records
