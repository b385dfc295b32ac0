"""Where files come from, by the API: the record of uploads and who may read it, what is in a file, what changed."""

import hashlib
import json
from collections.abc import Callable
from functools import partial

from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.server.wiring import Seaway
from tests.api.v1.conftest import Person
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json, paths_json
from tests.support.workflows import Attester


def test_the_record_is_of_one_channel_and_proves_itself(
    inside: Seaway, portal: BlockingPortal, new_person: Callable[..., Person]
) -> None:
    """A name that is used again begins a new record for its owner; admins read the older one too, page by page."""
    owner, admin = new_person(), new_person(admin=True)
    channel = f"again-{owner.name}"
    files = [conda(index_json("demo", version=version)) for version in ("1.0", "2.0", "3.0")]
    People(inside).channel(channel, owner=owner.name)
    portal.call(publish_file, inside, channel, files[0])
    with inside.database.write_site() as tx:
        channels.remove(tx, inside.clock.now_ms(), OPERATOR, channel)
    People(inside).channel(channel, owner=owner.name)
    for file in files[1:]:
        portal.call(publish_file, inside, channel, file)

    shown = owner.api("GET", f"channels/{channel}/upload-log").json()["items"]
    assert [file.name for file in files[1:]] == [row["file_name"] for row in shown]
    rows, after = [], ""
    while after is not None:
        page = admin.api("GET", "upload-log", params={"channel": channel, "limit": 1, "after": after}).json()
        rows, after = rows + page["items"], page["next"]
    assert [file.name for file in files] == [row["file_name"] for row in rows]
    assert shown == rows[1:]
    for row in rows:
        stated = row.pop("hash")
        assert hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == stated
    assert 422 == admin.api("GET", "upload-log", params={"channel": channel, "after": "1"}).status_code
    assert 403 == owner.api("GET", "upload-log", params={"channel": channel}).status_code


def test_a_file_and_what_changed_in_it(inside: Seaway, portal: BlockingPortal, person: Person) -> None:
    """Who sent it, what it installs, what it is beside another one; and that nothing attests it."""
    channel = person.api("POST", "channels", json={"name": f"files-{person.name}"}).json()["name"]
    before = {"bin/tool": b"abc"}
    after = {**before, "bin/other": b"abc"}
    old = conda(index_json("demo", version="1.0"), files=before, paths=paths_json(before, sha256=...))
    new = conda(index_json("demo", version="2.0", depends=["numpy"]), files=after, paths=paths_json(after, sha256=...))
    for file in (old, new):
        portal.call(publish_file, inside, channel, file)
    path = f"channels/{channel}/files/noarch/{new.name}"

    found = person.api("GET", f"{path}/provenance").json()
    assert ("", False, None) == (found["upload"]["repository"], found["upload"]["replaced"], found["attestation"])
    told = person.api("GET", f"channels/{channel}/packages/demo/provenance").json()["items"]
    assert [("2.0", "none"), ("1.0", "none")] == [(one["version"], one["state"]) for one in told]
    first = person.api("GET", f"{path}/paths", params={"limit": 1}).json()
    second = person.api("GET", f"{path}/paths", params={"limit": 1, "after": first["next"]}).json()
    assert ["bin/other", "bin/tool"] == [first["items"][0]["path"], second["items"][0]["path"]]
    assert ["bin/tool"] == [one["path"] for one in person.api("GET", f"{path}/paths?q=too").json()["items"]]
    changed = person.api("GET", f"{path}/difference", params={"against": f"noarch/{old.name}"}).json()
    assert (["numpy"], ["bin/other"], 3) == (
        [change["name"] for change in changed["depends"]],
        [change["name"] for change in changed["paths"]],
        changed["installed_size_change"],
    )
    for against, status in (("", 400), ("noarch/nothing.conda", 404)):
        assert status == person.api("GET", f"{path}/difference", params={"against": against}).status_code


def test_an_attested_file_tells_who_built_it(inside: Seaway, portal: BlockingPortal, person: Person) -> None:
    """The workflow that sent it, with its addresses; and the sidecar that it is proved by, under the hash that is told."""
    channel = person.api("POST", "channels", json={"name": f"attested-{person.name}"}).json()["name"]
    attester, file = Attester.trusted_by(inside), conda()
    send = partial(publish_file, by=attester.principal(channel), attestation=attester.bundle(file, channel))
    portal.call(send, inside, channel, file)
    found = person.api("GET", f"channels/{channel}/files/noarch/{file.name}/provenance").json()
    assert ("acme/demo", "https://github.com/acme/demo") == (
        found["upload"]["repository"],
        found["upload"]["repository_url"],
    )
    sidecar = person.ask("GET", f"/{channel}/noarch/{file.name}.sigs").content
    assert hashlib.sha256(sidecar).hexdigest() == found["attestation"]["sha256"]
    told = person.api("GET", f"channels/{channel}/packages/demo/provenance").json()["items"]
    assert [("full", [found["attestation"]["repository"]])] == [(one["state"], one["repositories"]) for one in told]
