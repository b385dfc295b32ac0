"""A file as large as a server takes: cut off in the middle by the network, then by a reload, and gone on with to the end."""

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
from tests.browser.stage import Stand, new_user
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
    """The most that some processes, and those that they started, have held more than at first, in bytes."""

    first: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    def look(self, name: str, processes: list[psutil.Process]) -> None:
        held = sum(map(_private, processes))
        self.first.setdefault(name, held)
        self.most[name] = max(self.most.get(name, 0), held - self.first[name])


def _private(process: psutil.Process) -> int:
    """Without the pages of files: those of a package on its way belong to the system, which takes them back."""
    try:
        found = process.memory_info()
        return int(found.rss - found.shared)
    except psutil.Error:  # it has ended
        return 0


@contextmanager
def watched(server: int) -> Iterator[Memory]:
    """Look at the server and at the browser ten times a second."""
    memory, stop, ours = Memory(), threading.Event(), psutil.Process()

    def look() -> None:
        while not stop.wait(0.1):
            parent = psutil.Process(server)
            memory.look("server", [parent, *parent.children(recursive=True)])
            below = ours.children(recursive=True)
            memory.look("browser", [one for one in below if "chrom" in _name(one)])

    thread = threading.Thread(target=look)
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


def make(folder: Path) -> Path:
    """A .conda just below the limit whose payload cannot be compressed."""
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
    dice = random.Random(size)
    for start in range(0, size, MB):
        yield dice.randbytes(min(MB, size - start))
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def until_sent(page: Page, megabytes: int) -> None:
    sent = "document.querySelector('progress')?.value ?? 0"
    wait_until(lambda: page.evaluate(sent) > megabytes * MB, seconds=120)


def test_a_gigabyte_arrives_whatever_happens_on_the_way(stand: Stand) -> None:
    """What had arrived is not sent again; neither the page nor the server holds the file in memory."""
    with tempfile.TemporaryDirectory() as made, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(made), free.getsockname()[1]
        free.close()
        with (
            FaultProxy("127.0.0.1", port) as proxy,
            serving(folder, port=port, public_url=f"http://localhost:{proxy.port}", examiners=1) as server,
            stand.browser.new_context(base_url=f"http://localhost:{proxy.port}") as context,
        ):
            beside = sites.build(folder, public_url=f"http://localhost:{proxy.port}")
            Factory(beside).channel("robots", owner=new_user(beside, "ada"))
            beside.close()
            file, page, begun = make(folder), context.new_page(), list[int]()
            stand.sign_in(page)
            page.goto("/channels/robots/settings/upload")
            page.on("request", lambda request: _note(begun, request))
            with watched(server.process.pid) as memory:
                page.get_by_label("Choose files").set_input_files(str(file))
                until_sent(page, 300)
                proxy.cut()
                until_sent(page, 600)
                page.once("dialog", lambda dialog: dialog.accept())
                page.reload()
                page.get_by_label("Choose files").set_input_files(str(file))
                row = page.get_by_role("listitem").filter(has_text=file.name)
                expect(row).to_contain_text("Published: noarch, revision 1", timeout=180_000)
            answer = httpx.head(f"{server.address}/robots/noarch/{file.name}")
            assert file.stat().st_size == int(answer.headers["content-length"])
    # Each piece once, but for those that were on their way at the cut and at the reload: of them what had arrived is
    # kept, so that the next one begins within a piece.
    offsets = sorted(begun)
    assert 0 == offsets[0]
    assert all(after - before <= PIECE for before, after in pairwise(offsets))
    assert len(begun) <= file_pieces() + 3
    assert memory.most["server"] < 250 * MB  # a bucket takes it in parts, some of them at once
    assert memory.most["browser"] < 150 * MB


def file_pieces() -> int:
    return -(-LIMIT // PIECE)


def _note(begun: list[int], request: Request) -> None:
    if request.method == "PATCH":
        begun.append(int(request.headers["upload-offset"]))
