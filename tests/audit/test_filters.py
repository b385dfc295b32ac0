"""Filters of the audit log: what they find, and that each of them is an index."""

import random

import pytest

from seaway import audit
from seaway.audit import Actor, Event, NewEntry, log
from seaway.audit.action_labels import LABELS, label_of
from seaway.audit.log import LogFilter
from seaway.server.wiring import Seaway
from tests.support.sites import Factory
from tests.support.statements import record_statements

ADA, KEY, BOT = Actor("ada"), Actor("ada (key ci)"), Actor("GitHub: acme/tools, release.yml")
HASH = "0" * 64
ENTRIES = [
    NewEntry(0, ADA, Event.MEMBER_ADDED, "boats", "bob", {}),
    NewEntry(0, KEY, Event.FILE_UPLOADED, "boats", "noarch/oar-1.0-0.conda", {"sha256": HASH}),
    NewEntry(0, BOT, Event.FILE_UPLOADED, "boats", "noarch/oar-long-1.0-0.conda", {"sha256": HASH}),
    NewEntry(0, ADA, Event.FILE_YANKED, "boats", "2 files", {"sha256": {"noarch/oar-1.0-0.conda": HASH, "noarch/sail-1.0-0.conda": HASH}}),
    NewEntry(0, ADA, Event.FILE_DELETED, "boats", "oar 2.0", {"sha256": {"noarch/oar-2.0-0.conda": HASH, "linux-64/oar-2.0-0.conda": HASH}}),
    NewEntry(0, BOT, Event.FILE_UPLOADED, "other", "noarch/oar-1.0-0.conda", {"sha256": HASH}),
]  # fmt: skip


def fill(seaway: Seaway, factory: Factory) -> None:
    factory.channel("boats")
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        entries = [
            NewEntry(now_ms, entry.actor, entry.event, entry.channel, entry.target, entry.detail) for entry in ENTRIES
        ]
        audit.write_all(tx, entries)


def targets(seaway: Seaway, **where: str) -> list[str]:
    with seaway.site.database.read() as tx:
        return [entry.target for entry in log.of_channel(tx, "boats", limit=50, where=LogFilter(**where))]


def test_filters_find_entries_of_a_person_an_action_and_a_file(seaway: Seaway, factory: Factory) -> None:
    """A person includes the keys that they used; a package includes changes of several files."""
    fill(seaway, factory)
    assert ["oar 2.0", "2 files", "noarch/oar-1.0-0.conda", "bob"] == targets(seaway, person="ada")
    assert ["noarch/oar-long-1.0-0.conda"] == targets(seaway, person="GitHub: acme/tools, release.yml")
    assert ["2 files"] == targets(seaway, action="file.yanked")
    assert ["oar 2.0", "2 files", "noarch/oar-1.0-0.conda"] == targets(seaway, file="oar")
    assert ["2 files"] == targets(seaway, file="sail")
    assert ["2 files", "noarch/oar-1.0-0.conda"] == targets(seaway, file="oar-1.0-0.conda")
    assert ["oar 2.0"] == targets(seaway, file="linux-64/oar-2.0-0.conda")
    assert ["2 files"] == targets(seaway, person="ada", action="file.yanked", file="oar")
    for nothing in ({"file": "%"}, {"file": "o"}, {"person": "ad"}, {"action": "file"}):
        assert [] == targets(seaway, **nothing)


def test_files_are_found_in_any_case(seaway: Seaway, factory: Factory) -> None:
    """On every database; versions and builds can contain capitals."""
    factory.channel("boats")
    changes = [
        ("noarch/oar-1.0-H1_0.conda", {"sha256": HASH}),
        ("2 files", {"sha256": {"noarch/oar-1.0-H1_0.conda": HASH, "noarch/sail-1.0RC1-0.conda": HASH}}),
    ]
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        audit.write_all(tx, [NewEntry(now_ms, ADA, Event.FILE_YANKED, "boats", *change) for change in changes])
    for file in ("oar-1.0-h1_0.conda", "noarch/OAR-1.0-H1_0.conda", "Oar"):
        assert ["2 files", "noarch/oar-1.0-H1_0.conda"] == targets(seaway, file=file)
    assert ["2 files"] == targets(seaway, file="sail-1.0rc1-0.conda")


def test_person_with_a_name_of_any_length_is_recorded_and_found(seaway: Seaway, factory: Factory) -> None:
    """The name of a workflow has joined claims of its issuer; an index of PostgreSQL holds 2,704 bytes."""
    factory.channel("boats")
    name = "generic " + random.Random(1).randbytes(2_000).hex()
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        audit.write(tx, now_ms, Actor(name), Event.MEMBER_ADDED, channel="boats", target="bob")
    assert ["bob"] == targets(seaway, person=name)
    with seaway.site.database.read() as tx:
        assert name == log.of_channel(tx, "boats", limit=1)[0].actor


def test_pages_of_a_filtered_log_follow_each_other(seaway: Seaway, factory: Factory) -> None:
    fill(seaway, factory)
    found: list[str] = []
    before = None
    with seaway.site.database.read() as tx:
        while entries := log.of_all(tx, before=before, limit=1, where=LogFilter(file="oar")):
            found += [entry.target for entry in entries]
            before = entries[-1].id
    assert ["noarch/oar-1.0-0.conda", "oar 2.0", "2 files", "noarch/oar-1.0-0.conda"] == found


def plan_of(seaway: Seaway, statement: str) -> str:
    """Return how SQLite finds the rows of a statement."""
    with seaway.site.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))
        return "; ".join(row.detail for row in rows)


@pytest.mark.on_disk
def test_every_filter_is_an_index(seaway: Seaway, factory: Factory) -> None:
    """No page of the log scans it or sorts it, in a channel or on the whole site."""
    fill(seaway, factory)
    filters = [
        LogFilter(),
        LogFilter(person="ada"),
        LogFilter(action="file.yanked"),
        LogFilter(file="oar"),
        LogFilter(file="noarch/oar-1.0-0.conda"),
        LogFilter(person="ada", action="file.yanked", file="oar"),
    ]
    for where in filters:
        with seaway.site.database.read() as tx, record_statements(seaway.site.database) as statements:
            log.of_channel(tx, "boats", before=1_000_000, limit=10, where=where)
            log.of_all(tx, before=1_000_000, limit=10, where=where)
        assert statements
        for plan in [plan_of(seaway, statement) for statement in statements]:
            assert "SCAN audit" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
            assert where.is_empty or "USING INDEX ix_audit_" in plan, plan


def test_every_action_has_its_own_readable_name() -> None:
    assert set(Event) == set(LABELS)
    assert len(LABELS) == len(set(LABELS.values()))
    assert ("File yanked", "made.up") == (label_of("file.yanked"), label_of("made.up"))
