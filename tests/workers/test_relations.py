"""Relations of a channel, changed on one of several servers."""

import json

import msgspec

from seaway.callers.caller import Mode
from tests.support.packages import conda, index_json, zstd
from tests.support.requests import upload
from tests.workers.fleet import REPODATA, REPODATA_ZST, SHARD_INDEX, Fleet

DECODERS = {
    REPODATA: json.loads,
    REPODATA_ZST: lambda content: json.loads(zstd.decompress(content)),
    SHARD_INDEX: lambda content: msgspec.msgpack.decode(zstd.decompress(content)),
}


def test_every_server_serves_the_relations_that_one_set(fleet: Fleet) -> None:
    """S2, S4: right after the response all forms on all servers have the relations at one revision, even if cached."""
    base, owned = fleet.new_channel(), fleet.new_channel()
    owner = fleet.factory.caller_of_key(owned.key).name
    with fleet.clients(fleet.factory.key(owner, mode=Mode.MANAGE)) as clients:
        assert 201 == upload(clients[0], owned.channel, conda(index_json("demo"))).status_code
        for number, base_name in enumerate((base.channel, "", base.channel)):
            for client in clients:
                assert {200} == {client.get(owned.path(path)).status_code for path in DECODERS}
            setter = clients[number % len(clients)]
            setter.put(f"/api/v1/channels/{owned.channel}/relations", json={"base": base_name}).raise_for_status()
            responses = [(path, client.get(owned.path(path))) for client in clients for path in DECODERS]
            expected = {"base": f"../{base_name}"} if base_name else None
            values = [DECODERS[path](response.content)["info"].get("channel_relations") for path, response in responses]
            assert [expected] * len(values) == values
            assert 1 == len({response.headers["seaway-revision"] for _, response in responses})
    assert [] == fleet.broken()
