"""Provenance in the API: the upload log and its readers, the paths of a file, and differences between files."""

import hashlib
import json
from collections.abc import Callable
from functools import partial

from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.server.wiring import Seaway
from tests.api.v1.conftest import SignedInUser
from tests.support.packages import conda, index_json, paths_json
from tests.support.sites import Factory, publish_file
from tests.support.workflows import Attester


def test_upload_log_covers_one_channel_and_can_be_verified(
    local_seaway: Seaway, portal: BlockingPortal, new_user: Callable[..., SignedInUser]
) -> None:
    """A channel with a reused name has a new log for its owner; admins can also read the older one, page by page."""
    owner, admin = new_user(), new_user(admin=True)
    channel = f"again-{owner.name}"
    files = [conda(index_json("demo", version=version)) for version in ("1.0", "2.0", "3.0")]
    Factory(local_seaway).channel(channel, owner=owner.name)
    portal.call(publish_file, local_seaway, channel, files[0])
    with local_seaway.site.database.write_site() as tx:
        channels.remove(tx, local_seaway.site.clock.now_ms(), OPERATOR, channel)
    Factory(local_seaway).channel(channel, owner=owner.name)
    for file in files[1:]:
        portal.call(publish_file, local_seaway, channel, file)

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


def test_file_provenance_paths_and_difference(local_seaway: Seaway, portal: BlockingPortal, user: SignedInUser) -> None:
    """For a file without attestation."""
    channel = user.api("POST", "channels", json={"name": f"files-{user.name}"}).json()["name"]
    before = {"bin/tool": b"abc"}
    after = {**before, "bin/other": b"abc"}
    old = conda(index_json("demo", version="1.0"), files=before, paths=paths_json(before, sha256=...))
    new = conda(index_json("demo", version="2.0", depends=["numpy"]), files=after, paths=paths_json(after, sha256=...))
    for file in (old, new):
        portal.call(publish_file, local_seaway, channel, file)
    path = f"channels/{channel}/files/noarch/{new.name}"

    found = user.api("GET", f"{path}/provenance").json()
    assert ("", False, None) == (found["upload"]["repository"], found["upload"]["replaced"], found["attestation"])
    versions = user.api("GET", f"channels/{channel}/packages/demo/provenance").json()["items"]
    assert [("2.0", "none"), ("1.0", "none")] == [(version["version"], version["state"]) for version in versions]
    first = user.api("GET", f"{path}/paths", params={"limit": 1}).json()
    second = user.api("GET", f"{path}/paths", params={"limit": 1, "after": first["next"]}).json()
    assert ["bin/other", "bin/tool"] == [first["items"][0]["path"], second["items"][0]["path"]]
    assert ["bin/tool"] == [item["path"] for item in user.api("GET", f"{path}/paths?q=too").json()["items"]]
    changed = user.api("GET", f"{path}/difference", params={"against": f"noarch/{old.name}"}).json()
    assert (["numpy"], ["bin/other"], 3) == (
        [change["name"] for change in changed["depends"]],
        [change["name"] for change in changed["paths"]],
        changed["installed_size_change"],
    )
    for against, status in (("", 400), ("noarch/nothing.conda", 404)):
        assert status == user.api("GET", f"{path}/difference", params={"against": against}).status_code


def test_attested_file_shows_its_workflow_and_attestation(
    local_seaway: Seaway, portal: BlockingPortal, user: SignedInUser
) -> None:
    """The response has the URLs of the workflow and the hash of the sidecar."""
    channel = user.api("POST", "channels", json={"name": f"attested-{user.name}"}).json()["name"]
    attester, file = Attester.trusted_by(local_seaway), conda()
    send = partial(publish_file, by=attester.caller(channel), attestation=attester.bundle(file, channel))
    portal.call(send, local_seaway, channel, file)
    found = user.api("GET", f"channels/{channel}/files/noarch/{file.name}/provenance").json()
    assert ("acme/demo", "https://github.com/acme/demo") == (
        found["upload"]["repository"],
        found["upload"]["repository_url"],
    )
    sidecar = user.request("GET", f"/{channel}/noarch/{file.name}.sigs").content
    assert hashlib.sha256(sidecar).hexdigest() == found["attestation"]["sha256"]
    versions = user.api("GET", f"channels/{channel}/packages/demo/provenance").json()["items"]
    assert [("full", [found["attestation"]["repository"]])] == [
        (version["state"], version["repositories"]) for version in versions
    ]
