"""py-rattler as a reader of shards, in a process of its own: it may end badly after its answer was written."""

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

url, subdir, cache, questions, answer = sys.argv[1:]
try:
    told = asyncio.run(read(url, subdir, json.loads(Path(questions).read_text()), cache))
except Exception as error:
    told = str(error)
Path(answer).write_text(json.dumps(told))
"""


class _Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing of it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Takes the hundred connections that a gateway opens at once."""

    request_queue_size = 512


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the files of a folder can be read."""
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def write_shards(folder: Path, subdir: str, shards: Mapping[str, bytes]) -> None:
    """Lay out these shards by name, with their index, as clients look for them."""
    (folder / subdir / "shards").mkdir(parents=True)
    for shard in shards.values():
        (folder / subdir / "shards" / f"{sha256(shard).hexdigest()}.msgpack.zst").write_bytes(shard)
    hashes = {name: sha256(shard).digest() for name, shard in shards.items()}
    (folder / subdir / "repodata_shards.msgpack.zst").write_bytes(build_index(subdir, hashes, 0, None))


def records_in_shards(folder: Path, subdir: str, names: Sequence[str], scratch: Path) -> list[list[Any]] | str:
    """The [file name, sha256, md5, size] of every record that py-rattler finds in the shards of these names, or its error."""
    questions, answer = scratch / "questions.json", scratch / "answer.json"
    questions.write_text(json.dumps(list(names)))
    with served(folder) as url:
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, url, subdir, str(scratch / "cache"), str(questions), str(answer)],
            check=False,  # only what it wrote counts
            capture_output=True,
            timeout=_SECONDS,
        )
    told: list[list[Any]] | str = json.loads(answer.read_text())
    return told
