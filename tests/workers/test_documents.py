"""Whole documents that several servers build, serve and delete."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
import httpx
from sqlalchemy import text

from seaway.indexing.documents import REPODATA as REPODATA_KIND
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.storage.blobs import BlobStore
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import sites, state
from tests.support.packages import conda, index_json
from tests.support.requests import upload
from tests.support.sites import Factory
from tests.workers.fleet import REPODATA, REPODATA_ZST, Fleet, Owned, at_once

READERS = 12
ROUNDS = 3

# Builds of all processes, recorded by the database.
NOTES = "CREATE TABLE noted_builds (subdir_id BIGINT, revision BIGINT)"
NOTE = "INSERT INTO noted_builds VALUES (NEW.subdir_id, NEW.revision)"
TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER note_build AFTER INSERT ON documents WHEN NEW.kind = '{REPODATA_KIND}' BEGIN {NOTE}; END",
        "DROP TRIGGER note_build",
    ],
    "postgresql": [
        f"CREATE FUNCTION note_build() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN NULL; END $$",
        f"CREATE TRIGGER note_build AFTER INSERT ON documents FOR EACH ROW WHEN (NEW.kind = '{REPODATA_KIND}') EXECUTE FUNCTION note_build()",
        "DROP TRIGGER note_build ON documents",
        "DROP FUNCTION note_build",
    ],
}


@contextmanager
def noted_builds(fleet: Fleet, owned: Owned) -> Iterator[Callable[[], list[int]]]:
    """Yield a function that returns the revisions of all builds of the channel in this block, by any process."""
    database = fleet.factory.seaway.site.database
    statements = TRIGGERS[database.engine.dialect.name]
    half = len(statements) // 2

    def run(statements: list[str]) -> None:
        with database.write_site() as tx:
            for statement in statements:
                tx.execute(text(statement))

    def builds() -> list[int]:
        with database.read() as tx:
            return list(tx.execute(text(_BUILDS), {"channel": owned.channel}).scalars())

    run([NOTES, *statements[:half]])
    try:
        yield builds
    finally:
        run([*statements[half:], "DROP TABLE noted_builds"])


_BUILDS = """
SELECT noted_builds.revision FROM noted_builds
JOIN subdirs ON subdirs.id = noted_builds.subdir_id JOIN channels ON channels.id = subdirs.channel_id
WHERE channels.name = :channel ORDER BY noted_builds.revision
"""


def test_readers_on_all_servers_wait_for_one_build(fleet: Fleet) -> None:
    """Concurrent requests to several servers for an outdated document cause one build, which all of them get."""
    owned = fleet.new_channel()
    with noted_builds(fleet, owned) as builds, fleet.clients(owned.key, READERS) as clients:
        for number in range(1, ROUNDS + 1):
            uploaded = upload(clients[number], owned.channel, conda(index_json(f"n{number}")))
            assert 201 == uploaded.status_code
            requests = [
                partial(http.get, owned.path((REPODATA, REPODATA_ZST)[each % 2])) for each, http in enumerate(clients)
            ]
            responses = at_once(requests)
            assert {(200, str(number))} == {
                (response.status_code, response.headers["seaway-revision"]) for response in responses
            }
            assert [1, 1] == [len({response.content for response in responses[each::2]}) for each in (0, 1)]
        assert list(range(1, ROUNDS + 1)) == builds()


class RacingStore:
    """A store that runs an action once, before a blob is opened."""

    def __init__(self, blobs: BlobStore, before_open: Callable[[], object]) -> None:
        self._blobs = blobs
        self._before: Callable[[], object] | None = before_open

    def __getattr__(self, name: str) -> object:
        return getattr(self._blobs, name)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        before, self._before = self._before, None
        if before is not None:
            before()
        return self._blobs.open(key, start)


def test_a_document_that_another_server_replaces_is_found_again(on_both: str, tmp_path: Path) -> None:
    """If a document is replaced before its blob is opened, the response is the next document."""
    with closing(sites.build(tmp_path)) as other:
        channel = Channel(with_in_process_examiners(other), Factory(other).channel("chan"))
        channel.put(conda(index_json("first")))

        def replace_document() -> None:
            channel.put(conda(index_json("second")))
            channel.repodata()

        settings = Settings(data=tmp_path / "data", **state.settings(tmp_path))
        racing_store: BlobStore = RacingStore(wiring.open_store(settings), replace_document)  # type: ignore[assignment]
        with closing(wiring.build(settings, blobs=racing_store)) as seaway:
            response = anyio.run(get, seaway, f"/chan/{REPODATA}")
    assert (200, "2") == (response.status_code, response.headers.get("seaway-revision"))
    assert {"first-1.0-h1_0.conda", "second-1.0-h1_0.conda"} == set(response.json()["packages.conda"])


async def get(seaway: Seaway, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=create_app(seaway))
    plain = {"Accept-Encoding": "identity"}
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test", headers=plain) as http:
        return await http.get(path)
