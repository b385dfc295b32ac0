"""Ids that belong to other users are not found, in every request that takes an id (case 94)."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from seaway.callers.caller import OPERATOR
from seaway.channels import invitations, notices
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database import tables
from seaway.oauth import grants
from seaway.sign_in import external_identities, sessions
from seaway.sign_in.external_identities import ExternalAccount
from seaway.trusted_publishing import publishers
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.users import users
from tests.conftest import Site
from tests.http.test_keys import signed_in

FIELDS = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
TUS_HEADERS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True)
class Tenant:
    """A user with a channel and one of everything that has an id."""

    name: str
    channel: str
    ids: dict[str, str]


def tenant(site: Site, *, public: bool) -> Tenant:
    name = site.factory.user(site.new_name("tenant"))
    channel = site.new_channel(owner=name, public=public)
    seaway = site.factory.seaway
    now_ms, notifier = seaway.site.clock.now_ms(), seaway.request_parts.accounts.outbox
    with seaway.site.database.write_site() as tx:
        user_id = users.get(tx, name).id
        sessions.start(tx, now_ms, user_id, address="", agent="")
        external_identities.link(
            tx, now_ms, OPERATOR, user_id, ExternalAccount("github", "https://github.com", name, name, name, None)
        )
        made: dict[str, Any] = {
            "notice": notices.add(tx, now_ms, OPERATOR, channel, Level.INFO, "x", expires_at_ms=now_ms + DAY_MS).id,
            "publisher": publishers.add(tx, now_ms, OPERATOR, notifier, channel, "github", PublisherSettings(fields=FIELDS)).id,
            "invitation": invitations.invite(
                tx, now_ms, OPERATOR, channel, f"{name}@example.com", Role.VIEWER, outbox=None
            )[0].id,
            "tool": grants.add(tx, now_ms, user_id, "rattler", "openid channel:read", address="")[0],
            "session": _newest(tx, tables.sessions, user_id),
            "identity": _newest(tx, tables.identities, user_id),
            "passkey": tx.execute(
                insert(tables.passkeys)
                .values(user_id=user_id, credential_id=name.encode(), public_key=b"x", sign_count=0, transports="[]",
                        name="x", created_at=now_ms)
                .returning(tables.passkeys.c.id)
            ).scalar_one(),
        }  # fmt: skip
    with site.client() as http:
        started = http.post(
            f"/api/v1/uploads/{channel}",
            headers={
                **signed_in(site, name), "Tus-Resumable": "1.0.0", "Upload-Length": "9",
                "Upload-Metadata": "filename ZGVtby0xLjAtaDFfMC5jb25kYQ==",
            },
        )  # fmt: skip
    assert 201 == started.status_code, started.text
    made["upload"] = started.headers["location"].rpartition("/")[2]
    return Tenant(name, channel, {kind: str(value) for kind, value in made.items()})


def _newest(tx: Any, table: Any, user_id: int) -> int:
    query = select(table.c.id).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(1)
    return int(tx.execute(query).scalar_one())


# Method, path (sent for the caller's channel and for the other tenant's), body.
REQUESTS: list[tuple[str, str, Any]] = [
    ("DELETE", "/api/v1/channels/{channel}/notices/{notice}", None),
    ("PATCH", "/api/v1/channels/{channel}/publishers/{publisher}", {"mode": "READ"}),
    ("DELETE", "/api/v1/channels/{channel}/publishers/{publisher}", None),
    ("POST", "/api/v1/channels/{channel}/invitations/{invitation}/resend", None),
    ("DELETE", "/api/v1/channels/{channel}/invitations/{invitation}", None),
    ("DELETE", "/api/v1/me/sessions/{session}", None),
    ("DELETE", "/api/v1/me/tools/{tool}", None),
    ("DELETE", "/api/v1/me/identities/{identity}", None),
    ("PATCH", "/api/v1/me/passkeys/{passkey}", {"name": "mine"}),
    ("DELETE", "/api/v1/me/passkeys/{passkey}", None),
    ("HEAD", "/api/v1/uploads/{upload}", None),
    ("PATCH", "/api/v1/uploads/{upload}", None),
    ("DELETE", "/api/v1/uploads/{upload}", None),
]


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
def test_ids_of_other_users_are_not_found(site: Site, http: httpx.Client, public: bool) -> None:
    """404 in the caller's channel, 403 or 404 in the other one; the other user can still delete everything."""
    mine, theirs = tenant(site, public=True), tenant(site, public=public)
    my_headers, their_headers = signed_in(site, mine.name), signed_in(site, theirs.name)

    def send(credentials: dict[str, str], method: str, path: str, channel: str, body: Any) -> int:
        address = path.format(channel=channel, **theirs.ids)
        headers = {**credentials, **(TUS_HEADERS if "{upload}" in path else {})}
        return http.request(method, address, headers=headers, **({"json": body} if body else {})).status_code

    for method, path, body in REQUESTS:
        assert 404 == send(my_headers, method, path, mine.channel, body), (method, path)
        if "{channel}" in path:
            assert send(my_headers, method, path, theirs.channel, body) == (403 if public else 404), (method, path)
    for method, path, body in REQUESTS:
        if method == "DELETE":
            assert send(their_headers, method, path, theirs.channel, body) in (200, 204), (method, path)
