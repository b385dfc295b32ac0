"""The latest packages, and the latest files of a channel."""

import pytest

from seaway.callers.caller import ANONYMOUS
from seaway.channels import channels
from seaway.channels.roles import Role
from seaway.packages import recent_uploads
from seaway.server.wiring import Seaway
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements

pytestmark = pytest.mark.anyio


async def publish(seaway: Seaway, channel: str, name: str, version: str = "1.0", summary: str = "") -> None:
    await publish_file(seaway, channel, conda(index_json(name, version), about={"summary": summary}))


async def test_recent_uploads_show_only_readable_channels(seaway: Seaway, factory: Factory) -> None:
    """A private channel is listed only for users who can read it (P4)."""
    factory.channel("open")
    factory.channel("hidden", public=False)
    factory.member("hidden", "reader", Role.VIEWER)
    await publish(seaway, "open", "plain")
    await publish(seaway, "hidden", "secret-tool", summary="unheard of")
    with seaway.site.database.read() as tx:
        for by in (ANONYMOUS, factory.signed_in("nonmember")):
            assert [upload.package for upload in recent_uploads.packages_for(tx, by, 9)] == ["plain"]
        found = recent_uploads.packages_for(tx, factory.signed_in("reader"), 9)
    assert {upload.package for upload in found} == {"plain", "secret-tool"}


async def test_recent_uploads_list_each_package_once_newest_first(seaway: Seaway, factory: Factory) -> None:
    """The feed lists every file; the number of statements does not grow with the channel."""
    factory.channel("chan")
    for name, version in (("a", "1.0"), ("b", "1.0"), ("a", "2.0")):
        await publish(seaway, "chan", name, version, summary=f"{name} {version}")
    with seaway.site.database.read() as tx:
        newest = recent_uploads.packages_for(tx, ANONYMOUS, 10)
        with record_statements(seaway.site.database) as statements:
            feed = recent_uploads.files_of(tx, channels.get(tx, "chan").id, "chan", 2)
    assert [("a", "2.0", "a 2.0"), ("b", "1.0", "b 1.0")] == [
        (upload.package, upload.version, upload.summary) for upload in newest
    ]
    assert [file.file_name for file in feed] == ["a-2.0-h1_0.conda", "b-1.0-h1_0.conda"]
    assert len(statements) == 6
