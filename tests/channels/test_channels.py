"""Channel names, ownership, settings and deletion."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from seaway.callers.caller import ANONYMOUS, OPERATOR
from seaway.channels import channels, members, transfers
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.conda.subdir import KNOWN_SUBDIRS
from seaway.database.tables import audit
from seaway.database.tables import members as member_rows
from seaway.errors import Conflict, Invalid, NameTaken, NotAllowed, NotFound
from seaway.keys import api_keys
from seaway.server.app import ROUTES
from seaway.server.wiring import Seaway
from seaway.users.reserved_names import is_reserved
from tests.support.clock import ManualClock
from tests.support.sites import Factory


def owners(seaway: Seaway, name: str) -> list[str]:
    with seaway.site.database.read() as tx:
        all_members = members.all_members(tx, channels.get(tx, name).id)
    return [member.user for member in all_members if member.role is Role.OWNER]


def roles(seaway: Seaway, name: str) -> dict[str, Role]:
    with seaway.site.database.read() as tx:
        return {member.user: member.role for member in members.all_members(tx, channels.get(tx, name).id)}


def transfer(seaway: Seaway, name: str, user: str) -> None:
    with seaway.site.database.write_site() as tx:
        transfers.transfer_now(tx, seaway.site.clock.now_ms(), OPERATOR, name, user)


def remove(seaway: Seaway, name: str) -> None:
    with seaway.site.database.write_site() as tx:
        channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, name)


GOOD_NAMES = [
    "a",
    "conda-forge",
    "my.channel",
    "under_score",
    "_private",
    "7zip",
    "a--b",
    "x" * 128,
    "noarch2",
    "linux",
]
BAD_NAMES = [
    "", "A", "Conda-Forge", "-a", "a-", ".a", "a.", "a..b", "a b", "a/b", "a\\b", "a%2fb", "ä", "a\n", "a\0", "x" * 129,
    "a:b", "a@b", "a+b", "a!b", "~a", "*", "..", ".",
]  # fmt: skip
RESERVED = ["api", "t", "static", "channels", "admin", "login", "well-known", "seaway", "shards", *KNOWN_SUBDIRS]


@pytest.mark.parametrize("name", GOOD_NAMES, ids=lambda name: name[:20])
def test_valid_channel_name_is_possible(name: str) -> None:
    """Names consist of lowercase letters and digits, with - _ . between them (CEP 26)."""
    assert channels.is_possible_name(name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_invalid_channel_name_is_not_possible(name: str) -> None:
    """Names that are no plain path segment or resemble another name."""
    assert not channels.is_possible_name(name)


def test_channel_with_invalid_or_reserved_name_is_refused(factory: Factory) -> None:
    for names, reason in (BAD_NAMES, "is not a valid channel name|needs a name"), (RESERVED, "is reserved"):
        for name in names:
            with pytest.raises(NameTaken, match=reason) as refusal:
                factory.channel(name)
            assert ["name"] == list(refusal.value.fields)


@pytest.mark.parametrize("name", RESERVED)
def test_site_words_and_platforms_are_reserved(name: str) -> None:
    """A channel must not shadow a page, a protocol or a subdir."""
    assert is_reserved(name)
    assert not channels.is_possible_name(name)


def test_first_segment_of_every_route_is_reserved() -> None:
    segments = {route.path.split("/")[1] for route in ROUTES}
    assert [] == [
        segment for segment in segments if segment and not segment.startswith("{") and not is_reserved(segment)
    ]


def test_channel_name_is_unique(factory: Factory) -> None:
    """Names are unique over the whole site, not only per owner."""
    factory.channel("taken", owner="one")
    with pytest.raises(NameTaken, match="already exists"):
        factory.channel("taken", owner="two")


def test_private_channel_is_listed_only_for_users_with_access(seaway: Seaway, factory: Factory) -> None:
    factory.channel("hidden", public=False)
    factory.channel("open", public=True)
    with seaway.site.database.read() as tx:
        assert ["open"] == [channel.name for channel in channels.visible_to(tx, ANONYMOUS)]
        assert ["hidden", "open"] == [channel.name for channel in channels.visible_to(tx, OPERATOR)]


def test_owner_can_reuse_name_of_deleted_channel_at_once(seaway: Seaway, factory: Factory) -> None:
    factory.channel("mine", owner="owner")
    remove(seaway, "mine")
    factory.channel("mine", owner="owner")
    assert ["owner"] == owners(seaway, "mine")


def test_name_of_channel_without_overwriting_is_reserved_for_its_owner_too(
    seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """Caches were allowed to store its files as immutable for a year."""
    factory.channel("fixed", owner="owner")
    with seaway.site.database.write_site() as tx:
        channels.change(tx, clock.now_ms(), OPERATOR, "fixed", ChannelSettings(allows_overwrite=False))
        with pytest.raises(NotAllowed, match="cannot be undone"):
            channels.change(tx, clock.now_ms(), OPERATOR, "fixed", ChannelSettings(allows_overwrite=True))
    remove(seaway, "fixed")
    with pytest.raises(NameTaken, match="less than a year ago"):
        factory.channel("fixed", owner="owner")
    with seaway.site.database.read() as tx:
        assert not channels.is_free(tx, clock.now_ms(), factory.signed_in("owner"), "fixed")
    clock.move(365 * DAY_MS)
    factory.channel("fixed", owner="owner")


@pytest.mark.parametrize(("days", "is_free"), [(0, False), (364, False), (365, True), (1_000, True)], ids=str)
def test_name_of_deleted_channel_is_reserved_for_a_year(
    seaway: Seaway, factory: Factory, clock: ManualClock, days: int, is_free: bool
) -> None:
    """Configurations still name the deleted channel, so no other user can take the name for a year."""
    factory.channel("gone", owner="owner")
    remove(seaway, "gone")
    clock.move(days * DAY_MS)
    if is_free:
        factory.channel("gone", owner="other")
        assert ["other"] == owners(seaway, "gone")
    else:
        with pytest.raises(NameTaken, match="less than a year ago"):
            factory.channel("gone", owner="other")


def test_name_of_deleted_channel_is_reserved_for_the_last_owner(seaway: Seaway, factory: Factory) -> None:
    """After a transfer that is the new owner."""
    factory.channel("gone", owner="old")
    factory.user("newcomer")
    transfer(seaway, "gone", "newcomer")
    remove(seaway, "gone")
    with pytest.raises(NameTaken):
        factory.channel("gone", owner="old")
    factory.channel("gone", owner="newcomer")


def test_each_deletion_reserves_the_name_for_another_year(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    for _ in range(2):
        factory.channel("gone", owner="owner")
        remove(seaway, "gone")
        clock.move(300 * DAY_MS)
    with pytest.raises(NameTaken):
        factory.channel("gone", owner="other")


# Ownership


def test_new_channel_has_its_owner_as_only_member(seaway: Seaway, factory: Factory) -> None:
    factory.channel("newcomer", owner="owner")
    assert {"owner": Role.OWNER} == roles(seaway, "newcomer")


@pytest.mark.parametrize(
    "previous_role", [None, Role.VIEWER, Role.CONTRIBUTOR], ids=["no member", "viewer", "contributor"]
)
def test_transfer_makes_the_previous_owner_a_contributor(
    seaway: Seaway, factory: Factory, previous_role: Role | None
) -> None:
    """The new owner, member or not, is the only owner."""
    factory.channel("given", owner="old")
    factory.user("newcomer")
    if previous_role is not None:
        factory.member("given", "newcomer", previous_role)
    transfer(seaway, "given", "newcomer")
    assert {"old": Role.CONTRIBUTOR, "newcomer": Role.OWNER} == roles(seaway, "given")


def test_transfer_to_the_owner_changes_nothing(seaway: Seaway, factory: Factory) -> None:
    factory.channel("given", owner="owner")
    transfer(seaway, "given", "owner")
    assert {"owner": Role.OWNER} == roles(seaway, "given")


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_role_of_the_owner_cannot_be_changed(seaway: Seaway, factory: Factory, role: Role) -> None:
    """Ownership changes only by transfer."""
    factory.channel("kept", owner="owner")
    with pytest.raises(Conflict, match="exactly one owner"):
        factory.member("kept", "owner", role)
    assert ["owner"] == owners(seaway, "kept")


def test_second_owner_cannot_be_added(seaway: Seaway, factory: Factory) -> None:
    factory.channel("kept", owner="owner")
    with pytest.raises(Conflict, match="exactly one owner"):
        factory.member("kept", "other", Role.OWNER)
    assert ["owner"] == owners(seaway, "kept")


def test_owner_cannot_be_removed(seaway: Seaway, factory: Factory) -> None:
    """A channel always has an owner."""
    factory.channel("kept", owner="owner")
    with seaway.site.database.write_site() as tx, pytest.raises(Conflict, match="Transfer it to another member first"):
        members.remove(tx, 0, OPERATOR, "kept", "owner")
    assert ["owner"] == owners(seaway, "kept")


def test_database_refuses_a_second_owner(seaway: Seaway, factory: Factory) -> None:
    """Even if the code has an error, two owners of one channel cannot be stored."""
    factory.channel("kept", owner="owner")
    factory.member("kept", "other", Role.VIEWER)
    with pytest.raises(IntegrityError), seaway.site.database.write_site() as tx:
        tx.execute(update(member_rows).values(role=Role.OWNER.value))
    assert ["owner"] == owners(seaway, "kept")


# Members


def test_adding_a_member_again_changes_the_role(seaway: Seaway, factory: Factory) -> None:
    factory.channel("crew", owner="owner")
    factory.member("crew", "friend", Role.VIEWER)
    factory.member("crew", "friend", Role.CONTRIBUTOR)
    assert {"owner": Role.OWNER, "friend": Role.CONTRIBUTOR} == roles(seaway, "crew")


def test_removing_a_non_member_raises_not_found(seaway: Seaway, factory: Factory) -> None:
    factory.channel("crew", owner="owner")
    factory.user("friend")
    with seaway.site.database.write_site() as tx, pytest.raises(NotFound, match="is not a member of crew"):
        members.remove(tx, 0, OPERATOR, "crew", "friend")


# Settings


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"description": "d" * 4_001}, id="long description"),
        pytest.param({"description": "a\0b"}, id="NUL in the description"),
        pytest.param({"description": "a\u202eb"}, id="bidi in the description"),
        pytest.param({"description": "a\x1b[31mb"}, id="escape in the description"),
    ],
)
def test_unsafe_description_is_refused(seaway: Seaway, factory: Factory, change: dict[str, str]) -> None:
    """A description is printable text of bounded length."""
    factory.channel("plain")
    with pytest.raises(Invalid), seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "plain", ChannelSettings.parse(change))
    with seaway.site.database.read() as tx:
        assert "" == channels.get(tx, "plain").description


def test_change_keeps_settings_that_are_not_given(seaway: Seaway, factory: Factory) -> None:
    factory.channel("plain", public=False)
    with seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "plain", ChannelSettings(description="Tools\nof ours"))
        changed = channels.change(tx, 0, OPERATOR, "plain", ChannelSettings(public=True))
    assert ("Tools\nof ours", True, False) == (changed.description, changed.is_public, changed.refuses_lookalikes)


def test_unknown_channel_raises_not_found(seaway: Seaway) -> None:
    with seaway.site.database.read() as tx, pytest.raises(NotFound, match="no channel named 'nothing'"):
        channels.get(tx, "nothing")


def test_deleting_a_channel_deletes_its_members_and_key_scopes(seaway: Seaway, factory: Factory) -> None:
    """A new channel with the same name inherits nothing, and a key restricted to the old one grants nothing."""
    factory.channel("gone", owner="owner")
    factory.member("gone", "friend", Role.CONTRIBUTOR)
    secret = factory.key("owner", only=["gone"])
    remove(seaway, "gone")
    factory.channel("gone", owner="owner")
    with seaway.site.database.read() as tx:
        caller = api_keys.caller_of(tx, secret, seaway.site.clock.now_ms())
    assert {"owner": Role.OWNER} == roles(seaway, "gone")
    assert caller is not None
    assert frozenset() == caller.channel_ids


def test_every_channel_change_is_logged(seaway: Seaway, factory: Factory) -> None:
    """The audit log contains changes of the channel and its members, in order."""
    factory.channel("logged", owner="owner")
    factory.member("logged", "friend", Role.VIEWER)
    factory.member("logged", "friend", Role.CONTRIBUTOR)
    transfer(seaway, "logged", "friend")
    with seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "logged", ChannelSettings(description="x"))
        members.remove(tx, 0, OPERATOR, "logged", "owner")
    remove(seaway, "logged")
    with seaway.site.database.read() as tx:
        actions = (
            tx.execute(select(audit.c.action).where(audit.c.channel == "logged").order_by(audit.c.id)).scalars().all()
        )
    assert [
        "channel.added", "member.added", "member.changed", "channel.transferred",
        "channel.changed", "member.removed", "channel.removed",
    ] == actions  # fmt: skip
