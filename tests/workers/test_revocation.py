"""What is taken from somebody on one server is taken at once on all of them, also where answers were remembered."""

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
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.keys import api_keys
from seaway.sign_in import user_access
from seaway.users import users
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer, until, upload
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet, Owned, shard_path

FILE = conda(index_json("demo"))

_TURNS = 10

Ask = Callable[[], httpx.Response]


@dataclass(frozen=True)
class Member:
    """Somebody with a key, and the channel."""

    owned: Owned
    name: str
    key: str


@dataclass(frozen=True)
class Act:
    """Something that takes a right away, and the status that a key hears afterwards, apart from index documents."""

    do: Callable[[Tx, int, Member], object]
    status: int
    was_public: bool = False

    def status_of(self, path: str) -> int:
        """Return the status of one path: clients take a 404 of an index document for an answer."""
        is_index = "/repodata" in path or "/shards/" in path
        return 403 if self.status == 404 and is_index else self.status


def revoke_key(tx: Tx, now_ms: int, member: Member) -> None:
    api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, member.name), "key 0")


def disable_user(tx: Tx, now_ms: int, member: Member) -> None:
    user_access.set_disabled(tx, now_ms, OPERATOR, member.name, disabled=True)


def remove_member(tx: Tx, now_ms: int, member: Member) -> None:
    members.remove(tx, now_ms, OPERATOR, member.owned.channel, member.name)


def make_private(tx: Tx, now_ms: int, member: Member) -> None:
    channels.change(tx, now_ms, OPERATOR, member.owned.channel, is_public=False)


def make_public(tx: Tx, now_ms: int, member: Member) -> None:
    channels.change(tx, now_ms, OPERATOR, member.owned.channel, is_public=True)


def remove_channel(tx: Tx, now_ms: int, member: Member) -> None:
    channels.remove(tx, now_ms, OPERATOR, member.owned.channel)


ACTS = {
    "a key is revoked": Act(revoke_key, 401),
    "a user is disabled": Act(disable_user, 401),
    "a member is removed": Act(remove_member, 404),
    "a channel becomes private": Act(make_private, 404, was_public=True),
    "a channel is removed": Act(remove_channel, 404),
}


def new_member(fleet: Fleet, *, public: bool) -> Member:
    """A contributor of a new private channel, or a stranger to a new public one."""
    owned = fleet.new_channel(public=public)
    name = fleet.people.user(f"of-{owned.channel}")
    if not public:
        fleet.people.member(owned.channel, name, Role.CONTRIBUTOR)
    return Member(owned, name, fleet.people.key(name))


def perform(fleet: Fleet, act: Callable[[Tx, int, Member], object], member: Member) -> None:
    seaway = fleet.people.seaway
    with seaway.database.write_site() as tx:
        act(tx, seaway.clock.now_ms(), member)


def everything(http: httpx.Client, owned: Owned) -> list[str]:
    """A path of each sort that is read."""
    shard = shard_path(http, owned, "demo")
    documents = (REPODATA, REPODATA_ZST, SHARD_INDEX, shard, "channeldata.json", "notices.json")
    return [owned.path(path) for path in (*documents, f"noarch/{FILE.name}")]


def requests(clients: Sequence[httpx.Client], paths: Sequence[str], member: Member) -> list[Ask]:
    """A question of each server for each path; the key is in one of the places where it may stand, each time in the next."""
    places = cycle([("", bearer(member.key)), ("", basic("anybody", member.key)), (f"/t/{member.key}", {})])
    return [
        partial(http.get, prefix + path, headers=headers)
        for (http, path), (prefix, headers) in zip(product(clients, paths), places, strict=False)
    ]


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_what_is_taken_away_is_gone_on_every_server(fleet: Fleet, act: Act) -> None:
    """The very next request is refused: on every server, for every thing, with the key in any place, on any condition."""
    member = new_member(fleet, public=act.was_public)
    with fleet.clients(member.owned.key) as owners:
        assert 201 == upload(owners[0], member.owned.channel, FILE).status_code
        paths = everything(owners[0], member.owned)
    with fleet.clients() as clients:
        asks = requests(clients, paths, member)
        before = [ask() for ask in asks]
        perform(fleet, act.do, member)
        after = [ask() for ask in asks]
        # A second time, with what a client knows from before.
        validators = [{"If-None-Match": answer.headers["etag"]} for answer in before]
        after += [
            http.get(path, headers=bearer(member.key) | validator)
            for (http, path), validator in zip(product(clients, paths), validators, strict=True)
        ]
        after += [upload(http, member.owned.channel, FILE, member.key) for http in clients]
        anonymous = [http.get(path) for http, path in product(clients, paths)]
    assert {200, 302} >= {answer.status_code for answer in before}
    assert len(paths) == len({validator["If-None-Match"] for validator in validators})
    assert [act.status_of(answer.url.path) for answer in after] == [answer.status_code for answer in after]
    assert {401} == {answer.status_code for answer in anonymous}
    assert [] == [answer.url for answer in after if "location" in answer.headers]


def test_what_is_given_is_there_on_every_server(fleet: Fleet) -> None:
    """Whoever was refused a moment ago and becomes a member reads with the next request, on every server."""
    member = new_member(fleet, public=True)
    perform(fleet, make_private, member)
    with fleet.clients(member.key) as clients:
        before = {http.get(member.owned.path(SHARD_INDEX)).status_code for http in clients}
        fleet.people.member(member.owned.channel, member.name, Role.VIEWER)
        after = {http.get(member.owned.path(SHARD_INDEX)).status_code for http in clients}
    assert ({403}, {200}) == (before, after)


class Turns:
    """Who may read changes turn by turn; readers note what they hear in requests that lie within one turn."""

    def __init__(self) -> None:
        self.heard: Counter[tuple[int, str, int]] = Counter()
        self._current: int | None = None
        self._over = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The next turn begins after this."""
        number, self._current = self._current, None
        yield
        self._current = 0 if number is None else number + 1

    def end(self) -> None:
        self._over = True

    def read(self, http: httpx.Client, path: str) -> None:
        """Ask until the end."""
        while not self._over:
            turn = self._current
            status = http.get(path).status_code
            if turn is not None and turn == self._current:
                self.heard[turn, f"{http.base_url}{path}", status] += 1

    def was_heard(self, turn: int, readers: int) -> bool:
        """Whether each of so many readers has heard something in this turn."""
        return len({question for number, question, _ in list(self.heard) if number == turn}) == readers


def test_no_answer_is_older_than_its_question(fleet: Fleet) -> None:
    """A channel becomes private and public again while readers ask all servers: each hears what holds when it asks."""
    member = new_member(fleet, public=True)
    turns = Turns()
    paths = [member.owned.path(path) for path in (REPODATA, SHARD_INDEX)]
    with fleet.clients(member.key, 2 * len(fleet.servers)) as clients, ThreadPoolExecutor(len(clients)) as threads:
        asked = list(zip(clients, sorted(paths * len(fleet.servers)), strict=True))
        reading = [threads.submit(turns.read, http, path) for http, path in asked]
        try:
            for turn in range(_TURNS):
                with turns.changing():
                    perform(fleet, make_private if turn % 2 else make_public, member)
                until(partial(turns.was_heard, turn, len(clients)), 60)
        finally:
            turns.end()
        for one in reading:
            one.result()
    assert {(turn % 2, status) for turn, _, status in turns.heard} == {(0, 200), (1, 403)}
