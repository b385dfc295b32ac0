"""Relations of a channel as several servers serve them while one of them changes them."""

import json

import msgspec

from seaway.callers.caller import Mode
from tests.support.packages import conda, index_json, zstd
from tests.support.requests import upload
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet

READ = {
    REPODATA: json.loads,
    REPODATA_ZST: lambda content: json.loads(zstd.decompress(content)),
    SHARD_INDEX: lambda content: msgspec.msgpack.decode(zstd.decompress(content)),
}


def test_every_server_serves_the_relations_that_one_set(fleet: Fleet) -> None:
    """S2, S4: each form on each server has them with the answer, at one revision, also where it was in memory."""
    base, owned = fleet.new_channel(), fleet.new_channel()
    owner = fleet.people.by_key(owned.key).name
    with fleet.clients(fleet.people.key(owner, mode=Mode.MANAGE)) as clients:
        assert 201 == upload(clients[0], owned.channel, conda(index_json("demo"))).status_code
        for number, wanted in enumerate((base.channel, "", base.channel)):
            for client in clients:
                assert {200} == {client.get(owned.path(path)).status_code for path in READ}
            setter = clients[number % len(clients)]
            setter.put(f"/api/v1/channels/{owned.channel}/relations", json={"base": wanted}).raise_for_status()
            answers = [(path, client.get(owned.path(path))) for client in clients for path in READ]
            expected = {"base": f"../{wanted}"} if wanted else None
            found = [READ[path](answer.content)["info"].get("channel_relations") for path, answer in answers]
            assert [expected] * len(found) == found
            assert 1 == len({answer.headers["seaway-revision"] for _, answer in answers})
    assert [] == fleet.broken()
