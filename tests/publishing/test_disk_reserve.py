"""Uploads are refused before a byte is read when only the disk reserve for deletions is left."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from seaway.callers.caller import OPERATOR
from seaway.errors import DiskFull
from seaway.publishing import resumable
from seaway.publishing.import_files import import_files
from seaway.publishing.publish import publish
from seaway.server.wiring import Seaway
from seaway.storage.disk_reserve import Reserve
from tests.support.packages import conda
from tests.support.sites import Factory, IncomingFile

MORE_THAN_ANY_DISK = 1 << 60
FILE = conda()


class Unread(IncomingFile):
    """A file whose bytes must not be read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""


@pytest.fixture
def reserve(tmp_path: Path) -> Path:
    return tmp_path / "used-reserve"


@pytest.fixture
def with_low_disk(seaway: Seaway, factory: Factory, reserve: Path) -> Seaway:
    """Return a Seaway instance that refuses uploads while its reserve is an empty file."""
    factory.channel("boats", owner="ada")
    site = replace(seaway.site, reserve=Reserve(reserve, MORE_THAN_ANY_DISK))
    publishing = replace(seaway.request_parts.publishing, site=site)
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


def test_upload_is_refused_before_its_bytes_are_read(with_low_disk: Seaway, reserve: Path) -> None:
    """Whole files and resumable uploads, also those that began before."""
    parts, ada = (
        with_low_disk.request_parts.publishing,
        Factory(with_low_disk).caller_of_key(Factory(with_low_disk).key("ada")),
    )
    request = resumable.ResumableRequest("boats", FILE.name, len(FILE.content), FILE.sha256, force=False)
    unfinished = anyio.run(partial(resumable.begin, parts, request, by=ada))
    reserve.write_bytes(b"")
    incoming = Unread(FILE)
    for upload in (
        partial(publish, parts, "boats", incoming, by=ada, force=False),
        partial(resumable.begin, parts, request, by=ada),
        partial(resumable.append, parts, unfinished.id, 0, incoming.chunks(), by=ada),
    ):
        with pytest.raises(DiskFull):
            anyio.run(upload)


def test_import_is_refused_before_its_files_are_read(with_low_disk: Seaway, reserve: Path, tmp_path: Path) -> None:
    """Each file gets the refusal; none of these files exists."""
    reserve.write_bytes(b"")
    paths = [tmp_path / f"gone-{number}-0.conda" for number in range(2)]
    results = import_files(with_low_disk.request_parts.publishing, "boats", paths, by=OPERATOR, force=False)
    assert [DiskFull, DiskFull] == [type(result) for _, result in results]
