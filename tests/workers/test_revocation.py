"""Access revoked on one server ends at once on all servers, even with cached responses."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, product

import httpx
import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, members
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.keys import api_keys
from seaway.sign_in import user_access
from seaway.users import users
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer, upload, wait_until
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet, Owned, shard_path

FILE = conda(index_json("demo"))

_TURNS = 10

Request = Callable[[], httpx.Response]


@dataclass(frozen=True)
class Member:
    """A user with a key, and a channel."""

    owned: Owned
    name: str
    key: str


@dataclass(frozen=True)
class Revocation:
    """A change that revokes access, and the status that a key gets afterwards, except for index documents."""

    do: Callable[[Tx, int, Member], object]
    status: int
    was_public: bool = False

    def status_of(self, path: str) -> int:
        """Return the status of one path: clients take a 404 of an index document for a valid response."""
        is_index = "/repodata" in path or "/shards/" in path
        return 403 if self.status == 404 and is_index else self.status


def revoke_key(tx: Tx, now_ms: int, member: Member) -> None:
    api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, member.name), "key 0")


def disable_user(tx: Tx, now_ms: int, member: Member) -> None:
    user_access.set_disabled(tx, now_ms, OPERATOR, member.name, disabled=True)


def remove_member(tx: Tx, now_ms: int, member: Member) -> None:
    members.remove(tx, now_ms, OPERATOR, member.owned.channel, member.name)


def make_private(tx: Tx, now_ms: int, member: Member) -> None:
    channels.change(tx, now_ms, OPERATOR, member.owned.channel, ChannelSettings(public=False))


def make_public(tx: Tx, now_ms: int, member: Member) -> None:
    channels.change(tx, now_ms, OPERATOR, member.owned.channel, ChannelSettings(public=True))


def remove_channel(tx: Tx, now_ms: int, member: Member) -> None:
    channels.remove(tx, now_ms, OPERATOR, member.owned.channel)


REVOCATIONS = {
    "a key is revoked": Revocation(revoke_key, 401),
    "a user is disabled": Revocation(disable_user, 401),
    "a member is removed": Revocation(remove_member, 404),
    "a channel becomes private": Revocation(make_private, 404, was_public=True),
    "a channel is removed": Revocation(remove_channel, 404),
}


def new_member(fleet: Fleet, *, public: bool) -> Member:
    """Create a contributor of a new private channel, or a user without a role in a new public one."""
    owned = fleet.new_channel(public=public)
    name = fleet.factory.user(f"of-{owned.channel}")
    if not public:
        fleet.factory.member(owned.channel, name, Role.CONTRIBUTOR)
    return Member(owned, name, fleet.factory.key(name))


def perform(fleet: Fleet, act: Callable[[Tx, int, Member], object], member: Member) -> None:
    seaway = fleet.factory.seaway
    with seaway.site.database.write_site() as tx:
        act(tx, seaway.site.clock.now_ms(), member)


def paths_of_all_kinds(http: httpx.Client, owned: Owned) -> list[str]:
    """Return a path of each kind of resource."""
    shard = shard_path(http, owned, "demo")
    documents = (REPODATA, REPODATA_ZST, SHARD_INDEX, shard, "channeldata.json", "notices.json")
    return [owned.path(path) for path in (*documents, f"noarch/{FILE.name}")]


def requests(clients: Sequence[httpx.Client], paths: Sequence[str], member: Member) -> list[Request]:
    """Return a call for each server and path; the position of the key rotates through all allowed ones."""
    positions = cycle([("", bearer(member.key)), ("", basic("any-user", member.key)), (f"/t/{member.key}", {})])
    return [
        partial(http.get, prefix + path, headers=headers)
        for (http, path), (prefix, headers) in zip(product(clients, paths), positions, strict=False)
    ]


@pytest.mark.parametrize("act", REVOCATIONS.values(), ids=REVOCATIONS.keys())
def test_revoked_access_ends_on_every_server(fleet: Fleet, act: Revocation) -> None:
    """The next request is refused on every server, for every path, key position and condition."""
    member = new_member(fleet, public=act.was_public)
    with fleet.clients(member.owned.key) as owners:
        assert 201 == upload(owners[0], member.owned.channel, FILE).status_code
        paths = paths_of_all_kinds(owners[0], member.owned)
    with fleet.clients() as clients:
        calls = requests(clients, paths, member)
        before = [call() for call in calls]
        perform(fleet, act.do, member)
        after = [call() for call in calls]
        # Again with the validators of the earlier responses.
        validators = [{"If-None-Match": response.headers["etag"]} for response in before]
        after += [
            http.get(path, headers=bearer(member.key) | validator)
            for (http, path), validator in zip(product(clients, paths), validators, strict=True)
        ]
        after += [upload(http, member.owned.channel, FILE, member.key) for http in clients]
        anonymous = [http.get(path) for http, path in product(clients, paths)]
    assert {200, 302} >= {response.status_code for response in before}
    assert len(paths) == len({validator["If-None-Match"] for validator in validators})
    assert [act.status_of(response.url.path) for response in after] == [response.status_code for response in after]
    assert {401} == {response.status_code for response in anonymous}
    assert [] == [response.url for response in after if "location" in response.headers]


def test_granted_access_works_on_every_server(fleet: Fleet) -> None:
    """A user who was refused and becomes a member can read with the next request, on every server."""
    member = new_member(fleet, public=True)
    perform(fleet, make_private, member)
    with fleet.clients(member.key) as clients:
        before = {http.get(member.owned.path(SHARD_INDEX)).status_code for http in clients}
        fleet.factory.member(member.owned.channel, member.name, Role.VIEWER)
        after = {http.get(member.owned.path(SHARD_INDEX)).status_code for http in clients}
    assert ({403}, {200}) == (before, after)


class AccessTurns:
    """Access changes in turns; readers record the status of requests that fall within one turn."""

    def __init__(self) -> None:
        self.statuses: Counter[tuple[int, str, int]] = Counter()
        self._current: int | None = None
        self._over = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Start the next turn after the block."""
        number, self._current = self._current, None
        yield
        self._current = 0 if number is None else number + 1

    def end(self) -> None:
        self._over = True

    def read(self, http: httpx.Client, path: str) -> None:
        """Send requests until the end."""
        while not self._over:
            turn = self._current
            status = http.get(path).status_code
            if turn is not None and turn == self._current:
                self.statuses[turn, f"{http.base_url}{path}", status] += 1

    def was_read(self, turn: int, readers: int) -> bool:
        """Return whether each of the readers has recorded a status in this turn."""
        return len({url for number, url, _ in list(self.statuses) if number == turn}) == readers


def test_no_response_is_older_than_its_request(fleet: Fleet) -> None:
    """While a channel changes visibility, each response matches the visibility at the time of its request."""
    member = new_member(fleet, public=True)
    turns = AccessTurns()
    paths = [member.owned.path(path) for path in (REPODATA, SHARD_INDEX)]
    with fleet.clients(member.key, 2 * len(fleet.servers)) as clients, ThreadPoolExecutor(len(clients)) as threads:
        targets = list(zip(clients, sorted(paths * len(fleet.servers)), strict=True))
        reading = [threads.submit(turns.read, http, path) for http, path in targets]
        try:
            for turn in range(_TURNS):
                with turns.changing():
                    perform(fleet, make_private if turn % 2 else make_public, member)
                wait_until(partial(turns.was_read, turn, len(clients)), 60)
        finally:
            turns.end()
        for future in reading:
            future.result()
    assert {(turn % 2, status) for turn, _, status in turns.statuses} == {(0, 200), (1, 403)}
