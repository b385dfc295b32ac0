"""Reexamination: a file published before a rule is examined by today's rules when its row is compared with its blob."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from seaway.callers.caller import OPERATOR
from seaway.database.tables import audit, files
from seaway.maintenance.check import check
from seaway.publishing.reexamine import rebuild
from seaway.storage import keys
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import packages, sites
from tests.support.clock import ManualClock
from tests.support.hostile import digest_of
from tests.support.packages import index_json
from tests.support.sites import Factory


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with closing(sites.build(tmp_path, ManualClock())) as built:
        yield Channel(with_in_process_examiners(built), Factory(built).channel("demo"))


@pytest.mark.parametrize(
    "fields",
    [{"python_site_packages_path": "../escaped-sp"}, {"depends": ["a\t>=1"]}, {"depends": ["file:///x-1-0.conda"]}],
)
def test_file_that_breaks_a_newer_rule_is_reported_and_unchanged(
    channel: Channel, fields: dict[str, Any], tmp_path: Path
) -> None:
    """Reexamine invariant 2: its row stays, and `check` reports why it would be refused."""
    channel.put(packages.conda(index_json("old")))
    content = packages.conda(index_json("old", **fields)).content
    hashes = digest_of(content)
    (tmp_path / "blob").write_bytes(content)
    channel.seaway.site.blobs.put_files({keys.blob(hashes.sha256): tmp_path / "blob"})
    with channel.seaway.site.database.write_site() as tx:
        tx.execute(update(files).values(sha256=hashes.sha256, size=hashes.size))
    before = channel.column(files.c.record)

    assert any("would be refused today" in broken.what for broken in check(channel.seaway))
    seaway = channel.seaway
    (subdir_id,) = channel.column(files.c.subdir_id)
    (outcome,) = rebuild(seaway.site, subdir_id, OPERATOR.actor)
    assert ((), True) == (outcome.changed, "would be refused today" in outcome.reason)
    assert before == channel.column(files.c.record)
    assert "file.rebuilt" not in channel.column(audit.c.action)


def test_rebuild_keeps_warnings_about_other_files(channel: Channel) -> None:
    """Reexamine invariant 1: a blob does not contain similar names, so the row keeps the upload's warnings."""
    channel.put(packages.conda(index_json("my-pkg")))
    (warning,) = channel.put(packages.conda(index_json("my_pkg"))).warnings
    seaway = channel.seaway
    (subdir_id,) = set(channel.column(files.c.subdir_id))
    assert [] == list(rebuild(seaway.site, subdir_id, OPERATOR.actor))
    with seaway.site.database.write_site() as tx:
        tx.execute(update(files).values(version="9"))
    assert [("version",)] * 2 == [outcome.changed for outcome in rebuild(seaway.site, subdir_id, OPERATOR.actor)]
    assert [None, [warning]] == [msgspec.json.decode(about).get("warnings") for about in channel.column(files.c.about)]


@pytest.mark.parametrize("damaged", [b"{", b'{"warnings": 1}', b'{"warnings": [1]}'])
def test_unreadable_warnings_are_rebuilt_from_the_blob(channel: Channel, damaged: bytes) -> None:
    """The warnings that the package itself causes can be computed again."""
    (warning,) = channel.put(packages.conda(index_json("a", depends=["b (>=1)"]))).warnings
    seaway = channel.seaway
    with seaway.site.database.write_site() as tx:
        tx.execute(update(files).values(about=damaged))
    (subdir_id,) = channel.column(files.c.subdir_id)
    assert [("about",)] == [outcome.changed for outcome in rebuild(seaway.site, subdir_id, OPERATOR.actor)]
    assert [[warning]] == [msgspec.json.decode(about)["warnings"] for about in channel.column(files.c.about)]


def test_row_changed_during_a_rebuild_is_skipped(channel: Channel) -> None:
    """Findings about the older row must not overwrite a file that was replaced since."""
    old, new = (packages.conda(index_json("b", license=text)) for text in ("MIT", "BSD"))
    for file in (packages.conda(index_json("a")), old):
        channel.put(file)
    seaway = channel.seaway
    with seaway.site.database.write_site() as tx:
        tx.execute(update(files).values(version="9"))
    (subdir_id,) = set(channel.column(files.c.subdir_id))
    outcomes = rebuild(seaway.site, subdir_id, OPERATOR.actor)
    assert ("version",) == next(outcomes).changed
    channel.put(new, force=True)
    (left,) = outcomes
    assert ((), True) == (left.changed, "changed meanwhile" in left.reason)
    assert [] == list(check(seaway))
