"""Channel relations (CEP 42) and the message about v3 records (CEP 48): how they change, and their form in the index."""

import json
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.conda.repodata import ChannelRelations
from seaway.database.tables import audit, jobs
from seaway.errors import BadCredential, Malformed, NotAllowed, SeawayError
from seaway.indexing import relations
from seaway.server.wiring import Seaway
from tests.indexing.channel import NEW, A, Channel
from tests.support.packages import conda, index_json, zstd
from tests.support.sites import Factory

LINUX = conda(index_json("b", subdir="linux-64", noarch=...))


def set_relations(channel: Channel, by: Caller = OPERATOR, **named: str) -> ChannelRelations:
    seaway = channel.seaway
    return relations.change(seaway.site, by, channel.name, **named)


def index_relations(channel: Channel, subdir: str = "noarch") -> Any:
    """Return the relations in the index of a subdir; all its forms must agree."""
    zipped = zstd.decompress(channel.read(subdir, "repodata.json.zst"))
    documents = [channel.repodata(subdir), json.loads(zipped), channel.shard_index(subdir)]
    values = [document["info"].get("channel_relations") for document in documents]
    revisions = {
        channel.request(subdir, name).revision
        for name in ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
    }
    assert (1, [values[0]] * 3) == (len(revisions), values)
    return values[0]


def run_removal_jobs(seaway: Seaway) -> list[str]:
    """Run the queued jobs; return the channels whose neighbors they update."""
    with seaway.site.database.write_site() as tx:
        rows = tx.execute(select(jobs.c.args).where(jobs.c.kind == channels.RemoveRelations.kind)).scalars().all()
        tx.execute(jobs.delete().where(jobs.c.kind == channels.RemoveRelations.kind))
    names = [json.loads(args)["channel"] for args in rows]
    for name in names:
        relations.drop(seaway.site, name)
    return names


def test_every_index_document_names_the_relations(channel: Channel, factory: Factory) -> None:
    """Relation invariant 1: all subdirs and forms, with and without files, at a new revision for each change."""
    for name in ("base", "under"):
        factory.channel(name)
    for file in (A, LINUX):
        channel.put(file)
    subdirs = ("noarch", "linux-64", "osx-arm64")
    assert [None] * 3 == [index_relations(channel, subdir) for subdir in subdirs]
    before = channel.revision(), channel.revision("linux-64")
    etags = {channel.request(subdir, "repodata.json").etag for subdir in subdirs}

    assert ChannelRelations("base", "under") == set_relations(channel, base="base", overrides="../under")

    both = {"base": "../base", "overrides": "../under"}
    assert [both] * 3 == [index_relations(channel, subdir) for subdir in subdirs]
    assert tuple(each + 1 for each in before) == (channel.revision(), channel.revision("linux-64"))
    assert etags.isdisjoint(channel.request(subdir, "repodata.json").etag for subdir in subdirs)
    assert both == relate_and_read(channel, base="base")
    assert before[0] + 1 == channel.revision()
    assert {"base": "../base"} == relate_and_read(channel, overrides="")
    assert relate_and_read(channel, base="") is None
    lines = [row for row in channel.rows(audit) if "channel.changed" in row]
    assert 3 == len(lines)


def relate_and_read(channel: Channel, **named: str) -> Any:
    set_relations(channel, **named)
    return index_relations(channel)


def test_a_change_of_relations_queues_a_build_of_large_subdirs(channel_with: Any) -> None:
    channel = channel_with(whole_document_limit=0)
    Factory(channel.seaway).channel("base")
    channel.put(A)
    with channel.seaway.site.database.write_site() as tx:
        tx.execute(jobs.delete())
    set_relations(channel, base="base")
    assert ["documents"] == [kind for kind in channel.column(jobs.c.kind) if kind == "documents"]


def test_a_caller_without_permission_is_refused_without_a_lock(channel: Channel, factory: Factory) -> None:
    """While another transaction holds the channel, the refusal is immediate."""
    nonmember = factory.signed_in("nonmember")
    with channel.seaway.site.database.write_channel(channel.name):
        for caller, refusal in ((ANONYMOUS, BadCredential), (nonmember, NotAllowed)):
            with pytest.raises(refusal):
                set_relations(channel, caller, base="base")


REFUSED = {
    "another server": ("https://conda.anaconda.org/conda-forge", "not a valid channel name"),
    "another folder": ("../../elsewhere", "not a valid channel name"),
    "a subdir": ("noarch", "not a valid channel name"),
    "an unknown channel": ("nothing", "no channel 'nothing' that you can read"),
    "an unreadable channel": ("secret", "no channel 'secret' that you can read"),
    "a private channel of the caller": ("mine", "mine is private"),
    "itself": ("demo", "cannot be related to itself"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("relation", ["base", "overrides"])
def test_an_invalid_relation_is_refused(case: str, relation: str, channel: Channel, factory: Factory) -> None:
    """Relation invariant 2, for a public channel; the refusal changes nothing."""
    factory.channel("secret", owner="nonmember", public=False)
    factory.channel("mine", public=False)
    name, message = REFUSED[case]
    with pytest.raises(Malformed, match=message):
        set_relations(channel, factory.signed_in("owner"), **{relation: name})
    assert index_relations(channel) is None


def test_a_private_channel_can_name_a_private_one(channel: Channel, factory: Factory, seaway: Seaway) -> None:
    """Its editor can read both; it cannot become public while it names the other."""
    for name in ("inner", "mine"):
        factory.channel(name, public=False)
    inner = Channel(seaway, "inner")
    set_relations(inner, factory.signed_in("owner"), base="mine")
    change = partial(channels.change, now_ms=0, by=OPERATOR, name="inner", settings=ChannelSettings(public=True))
    with pytest.raises(Malformed, match="name mine, which is private"), seaway.site.database.write_site() as tx:
        change(tx)
    set_relations(inner, factory.signed_in("owner"), base="demo")
    with seaway.site.database.write_site() as tx:
        assert change(tx).is_public


def test_changing_relations_requires_manage_permission(channel: Channel, factory: Factory) -> None:
    factory.channel("base")
    nonmember = factory.signed_in("nonmember")
    with pytest.raises(NotAllowed):
        set_relations(channel, nonmember, base="base")
    with pytest.raises(NotAllowed), channel.seaway.site.database.write_site() as tx:
        relations.change_settings(tx, channel.seaway.site, nonmember, "demo", ChannelSettings(v3_message="words"))


def test_base_and_overrides_must_differ(channel: Channel, factory: Factory) -> None:
    """CEP 42; holds also if they are set one after the other."""
    factory.channel("base")
    with pytest.raises(Malformed, match="both the base of demo and overridden"):
        set_relations(channel, base="base", overrides="base")
    set_relations(channel, base="base")
    with pytest.raises(Malformed, match="both"):
        set_relations(channel, overrides="base")


CYCLES: dict[str, tuple[dict[str, dict[str, str]], bool]] = {
    "two bases": ({"demo": {"base": "x"}, "x": {"base": "demo"}}, True),
    "two overrides": ({"demo": {"overrides": "x"}, "x": {"overrides": "demo"}}, True),
    "a chain": ({"demo": {"base": "x"}, "x": {"base": "y"}, "y": {"base": "demo"}}, True),
    "both kinds": ({"demo": {"base": "x", "overrides": "y"}, "x": {"base": "z"}, "y": {"overrides": "z"}}, True),
    "the same relation from both sides": ({"demo": {"base": "x"}, "x": {"overrides": "demo"}}, False),
    "a diamond": ({"demo": {"base": "x", "overrides": "y"}, "x": {"base": "z"}, "y": {"base": "z"}}, False),
    "among other channels": ({"demo": {"base": "z"}, "x": {"base": "y"}, "y": {"base": "x"}}, False),
}


@pytest.mark.parametrize("case", CYCLES)
def test_cycles_are_refused(case: str) -> None:
    """CEP 42: the channels that a client discovers must be orderable."""
    named, is_cycle = CYCLES[case]
    declared = {name: ChannelRelations(**of_name) for name, of_name in named.items()}
    with pytest.raises(Malformed, match="cycle") if is_cycle else nullcontext():
        relations.check("demo", declared["demo"], declared)


def test_a_change_that_closes_a_cycle_is_refused(channel: Channel, factory: Factory, seaway: Seaway) -> None:
    """Relation invariant 4: relations declared by other channels count."""
    for name in "xy":
        factory.channel(name)
    set_relations(Channel(seaway, "x"), base="y")
    set_relations(Channel(seaway, "y"), base="demo")
    with pytest.raises(Malformed, match="cycle"):
        set_relations(channel, base="x")
    assert index_relations(channel) is None


def test_a_cycle_through_an_unreadable_channel_reveals_nothing(
    channel: Channel, factory: Factory, seaway: Seaway
) -> None:
    """The refusal is that of an unknown channel, and an unreachable channel does not block other relations."""
    factory.channel("secret", owner="nonmember", public=False)
    factory.channel("base")
    set_relations(Channel(seaway, "secret"), factory.signed_in("nonmember"), base="demo", overrides="base")
    with pytest.raises(Malformed, match="no channel 'secret'"):
        set_relations(channel, factory.signed_in("owner"), base="secret")
    assert "base" == set_relations(channel, factory.signed_in("owner"), base="base").base


def remove(seaway: Seaway, name: str) -> None:
    with seaway.site.database.write_site() as tx:
        channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, name)


def hide(seaway: Seaway, name: str) -> None:
    with seaway.site.database.write_site() as tx:
        channels.change(tx, seaway.site.clock.now_ms(), OPERATOR, name, ChannelSettings(public=False))


@pytest.mark.parametrize("act", [remove, hide])
def test_relations_to_a_removed_or_private_channel_are_dropped(
    act: Any, channel: Channel, factory: Factory, seaway: Seaway
) -> None:
    """Relation invariant 3: public channels drop a deleted or private neighbor at a new revision, with an audit entry."""
    for name in ("base", "under"):
        factory.channel(name)
    factory.channel("inner", public=False)
    inner = Channel(seaway, "inner")
    channel.put(A)
    set_relations(channel, base="base", overrides="under")
    set_relations(inner, base="base")
    before = channel.revision()
    act(seaway, "base")
    assert ["base"] == run_removal_jobs(seaway)
    assert {"overrides": "../under"} == index_relations(channel)
    assert before + 1 == channel.revision()
    # A private channel can still name a private one.
    with seaway.site.database.read() as tx:
        base = channels.get(tx, "inner").base
    assert ("base" if act is hide else "") == base


def test_a_relation_to_a_channel_that_is_public_again_stays(channel: Channel, factory: Factory, seaway: Seaway) -> None:
    """The job checks the state at the time it runs."""
    factory.channel("base")
    set_relations(channel, base="base")
    hide(seaway, "base")
    with seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "base", ChannelSettings(public=True))
    run_removal_jobs(seaway)
    assert {"base": "../base"} == index_relations(channel)


def set_message(channel: Channel, text: str) -> None:
    seaway = channel.seaway
    with seaway.site.database.write_site() as tx:
        relations.change_settings(tx, seaway.site, OPERATOR, channel.name, ChannelSettings(v3_message=text))


def test_the_message_is_in_subdirs_with_v3_records(channel: Channel) -> None:
    """CEP 48: the message is in all forms of the index; a subdir without v3 records does not change."""
    channel.put(NEW)
    channel.put(LINUX)
    before = channel.revision(), channel.revision("linux-64")
    set_message(channel, "Use pixi.")
    assert (before[0] + 1, before[1]) == (channel.revision(), channel.revision("linux-64"))
    for document in (channel.repodata(), channel.shard_index()):
        revision = document["info"]["repodata_revisions"]["v3"]
        assert ("Use pixi.", 1) == (revision["message"], revision["n_packages"])
    assert "repodata_revisions" not in channel.repodata("linux-64")["info"]
    set_message(channel, "Use pixi.")
    assert before[0] + 1 == channel.revision()
    set_message(channel, "")
    assert "message" not in channel.repodata()["info"]["repodata_revisions"]["v3"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("ä" * 4_097, "longer than 8,192 bytes"), ("a\x00b", "control character"), ("\x1b[1m", "control character")],
)
def test_an_invalid_message_is_refused(channel: Channel, text: str, problem: str) -> None:
    """CEP 48 limits its size in bytes; a joined emoji and a soft hyphen are allowed."""
    with pytest.raises(SeawayError, match=problem):
        set_message(channel, text)
    set_message(channel, "👩\u200d🔬 soft\u00adly\nsaid")
    set_message(channel, "ä" * 4_096)
