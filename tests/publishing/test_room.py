"""While the room that deletions need is all that a disk has, no upload is taken, and none of its bytes is read."""

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
from tests.support.house import FromMemory, People
from tests.support.packages import conda

MORE_THAN_THERE_IS = 1 << 60
FILE = conda()


class Unread(FromMemory):
    """A file whose bytes nobody may ask for."""

    async def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""


@pytest.fixture
def reserve(tmp_path: Path) -> Path:
    return tmp_path / "used-reserve"


@pytest.fixture
def narrow(seaway: Seaway, people: People, reserve: Path) -> Seaway:
    """A house that takes no upload as long as its reserve is an empty file."""
    people.channel("boats", owner="ada")
    publishing = replace(seaway.request_parts.publishing, reserve=Reserve(reserve, MORE_THAN_THERE_IS))
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


def test_an_upload_is_refused_unread(narrow: Seaway, reserve: Path) -> None:
    """Whole, and in pieces, also where it was begun before."""
    parts, ada = narrow.request_parts.publishing, People(narrow).by_key(People(narrow).key("ada"))
    order = resumable.ResumableRequest("boats", FILE.name, len(FILE.content), FILE.sha256, force=False)
    begun = anyio.run(partial(resumable.begin, parts, order, by=ada))
    reserve.write_bytes(b"")
    incoming = Unread(FILE)
    for way in (
        partial(publish, parts, "boats", incoming, by=ada, force=False),
        partial(resumable.begin, parts, order, by=ada),
        partial(resumable.append, parts, begun.id, 0, incoming.chunks(), by=ada),
    ):
        with pytest.raises(DiskFull):
            anyio.run(way)


def test_an_import_is_refused_unread(narrow: Seaway, reserve: Path, tmp_path: Path) -> None:
    """Each file is told so, though none of them is there."""
    reserve.write_bytes(b"")
    paths = [tmp_path / f"gone-{number}-0.conda" for number in range(2)]
    results = import_files(narrow.request_parts.publishing, "boats", paths, by=OPERATOR, force=False)
    assert [DiskFull, DiskFull] == [type(result) for _, result in results]
