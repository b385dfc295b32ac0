"""An upload of the largest allowed file continues after a lost connection and after a reload of the page."""

import random
import socket
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, Request, expect

from seaway.settings import Settings
from tests.browser.demo_site import DemoSite, new_user
from tests.support import sites
from tests.support.packages import Tar, index_json, info_files, zstd
from tests.support.proxy import FaultProxy
from tests.support.requests import wait_until
from tests.support.server import serving
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

MB = 1_000_000
PIECE = 8 * 1024 * 1024
LIMIT = Settings.model_fields["upload_limit"].default
STEM = "large-1.0-h1_0"


@dataclass
class Memory:
    """Maximum growth of the memory of groups of processes, in bytes."""

    initial: dict[str, int] = field(default_factory=dict)
    growth: dict[str, int] = field(default_factory=dict)

    def measure(self, name: str, processes: list[psutil.Process]) -> None:
        used = sum(map(_private_memory, processes))
        self.initial.setdefault(name, used)
        self.growth[name] = max(self.growth.get(name, 0), used - self.initial[name])


def _private_memory(process: psutil.Process) -> int:
    """Resident memory in bytes without the page cache, which the system can reclaim."""
    try:
        info = process.memory_info()
        return int(info.rss - info.shared)
    except psutil.Error:  # the process has ended
        return 0


@contextmanager
def measured_memory(server_pid: int) -> Iterator[Memory]:
    """Measure the memory of the server and of the browser ten times a second."""
    memory, stop, own_process = Memory(), threading.Event(), psutil.Process()

    def measure() -> None:
        while not stop.wait(0.1):
            server = psutil.Process(server_pid)
            memory.measure("server", [server, *server.children(recursive=True)])
            children = own_process.children(recursive=True)
            memory.measure("browser", [child for child in children if "chrom" in _name(child)])

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield memory
    finally:
        stop.set()
        thread.join()


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def create_file(folder: Path) -> Path:
    """Create a .conda file just below the upload limit whose payload cannot be compressed."""
    path, size = folder / f"{STEM}.conda", LIMIT - 200_000
    info = Tar(info_files(index_json("large"))).build()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("metadata.json"), b'{"conda_pkg_format_version": 2}')
        with archive.open(zipfile.ZipInfo(f"pkg-{STEM}.tar.zst"), "w") as payload:
            compressor = zstd.ZstdCompressor(level=1)
            for piece in _tar(size):
                payload.write(compressor.compress(piece))
            payload.write(compressor.flush())
        archive.writestr(zipfile.ZipInfo(f"info-{STEM}.tar.zst"), zstd.compress(info))
    assert LIMIT - 200_000 < path.stat().st_size <= LIMIT
    return path


def _tar(size: int) -> Iterator[bytes]:
    info = tarfile.TarInfo("share/data")
    info.size = size
    yield info.tobuf(tarfile.PAX_FORMAT)
    generator = random.Random(size)
    for start in range(0, size, MB):
        yield generator.randbytes(min(MB, size - start))
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def until_sent(page: Page, megabytes: int) -> None:
    """Wait until the bar of the upload shows so many megabytes, after the file was hashed."""
    share = "document.querySelector('[data-state=sending] progress')?.value ?? 0"
    wait_until(lambda: page.evaluate(share) * LIMIT > megabytes * MB, seconds=300)


def test_large_upload_continues_after_interruptions(demo: DemoSite) -> None:
    """Received bytes are not sent again; neither the page nor the server keeps the file in memory."""
    with tempfile.TemporaryDirectory() as temporary, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(temporary), free.getsockname()[1]
        free.close()
        with (
            FaultProxy("127.0.0.1", port) as proxy,
            serving(folder, port=port, public_url=f"http://localhost:{proxy.port}", examiners=1) as server,
            demo.browser.new_context(base_url=f"http://localhost:{proxy.port}") as context,
        ):
            seaway = sites.build(folder, public_url=f"http://localhost:{proxy.port}")
            Factory(seaway).channel("robots", owner=new_user(seaway, "ada"))
            seaway.close()
            file, page, offsets = create_file(folder), context.new_page(), list[int]()
            demo.sign_in(page)
            page.goto("/channels/robots/settings/upload")
            page.on("request", lambda request: _add_offset(offsets, request))
            with measured_memory(server.process.pid) as memory:
                page.get_by_label("Choose files").set_input_files(str(file))
                until_sent(page, 300)
                proxy.cut()
                until_sent(page, 600)
                page.once("dialog", lambda dialog: dialog.accept())
                page.reload()
                page.get_by_label("Choose files").set_input_files(str(file))
                row = page.get_by_role("listitem").filter(has_text=file.name)
                expect(row).to_contain_text("Published: noarch, revision 1", timeout=300_000)
            response = httpx.head(f"{server.address}/robots/noarch/{file.name}")
            assert file.stat().st_size == int(response.headers["content-length"])
    # Each piece is sent once, except those interrupted by the cut and by the reload: the server keeps the bytes that
    # arrived, so the next request starts within a piece.
    offsets.sort()
    assert 0 == offsets[0]
    assert all(after - before <= PIECE for before, after in pairwise(offsets))
    assert len(offsets) <= -(-LIMIT // PIECE) + 3
    assert memory.growth["server"] < 250 * MB  # uploads to a bucket send several parts at the same time
    assert memory.growth["browser"] < 150 * MB


def _add_offset(offsets: list[int], request: Request) -> None:
    if request.method == "PATCH":
        offsets.append(int(request.headers["upload-offset"]))
