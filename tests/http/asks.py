"""How each route is asked by the table of permissions: a request that would do something if it were allowed."""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from seaway.accounts import keys, sessions, users
from seaway.accounts.principal import OPERATOR, Carrier, Mode, Principal
from seaway.channels import channels, groups, invitations, members, notices, transfers
from seaway.channels.notices import Level
from seaway.channels.permissions import FRESH_MS
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.trust import publishers
from seaway.web import assets
from tests.conftest import Site
from tests.http.matrix import route_of
from tests.support.packages import PackageFile, conda, index_json, zstd
from tests.support.requests import bearer, raw_headers, upload

INDEX_DOCUMENTS = (
    "noarch/repodata.json",
    "noarch/repodata.json.zst",
    "noarch/run_exports.json",
    "noarch/run_exports.json.zst",
    "noarch/repodata_shards.msgpack.zst",
    "linux-64/repodata_shards.msgpack.zst",
    "notices.json",
    "channeldata.json",
)


def _nothing_to_check(_done: bool) -> None:
    return None


@dataclass(frozen=True)
class Ask:
    """One request; `check` looks afterwards whether it did what its status says."""

    path: str
    json: Any = None
    content: bytes | None = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    signed: bool = True  # whether the key goes into the header
    about: str = ""  # the channel in the path, if it is another one than the stage's
    check: Callable[[bool], None] = _nothing_to_check

    def elsewhere(self, channel: str) -> "Ask":
        """The same request about a channel that nobody has, whose name is as long."""
        about = self.about or channel
        return replace(self, path=self.path.replace(about, "x" * len(about)))


@dataclass(frozen=True)
class Stage:
    """One channel, and the key of everybody in the table."""

    site: Site
    http: httpx.Client
    channel: str
    is_public: bool
    users: dict[str, str]  # who stands in each column
    secrets: dict[str, str | None]
    cookies: dict[str, str]

    def signed(self, who: str) -> dict[str, str]:
        """The headers of somebody with a key."""
        return bearer(self.secrets[who])

    def signed_in(self, who: str) -> dict[str, str]:
        """The headers of somebody in a browser, on a page of this site."""
        cookie = self.cookies[who]
        return {
            "Cookie": f"seaway_session={cookie}",
            "X-CSRF-Token": sessions.csrf_token(cookie),
            "Sec-Fetch-Site": "same-origin",
        }

    def new_channel(self) -> str:
        """Another channel with the same people, for what can be done to one only once."""
        people, channel = self.site.people, self.site.new_channel(public=self.is_public, owner=self.users["owner"])
        people.member(channel, self.users["contrib"], Role.CONTRIBUTOR)
        people.member(channel, self.users["viewer"], Role.VIEWER)
        return channel

    def new_file(self) -> PackageFile:
        return conda(index_json(self.site.new_name("pkg")))

    def put(self) -> PackageFile:
        """A new file that the owner uploaded."""
        file = self.new_file()
        assert 201 == upload(self.http, self.channel, file, self.secrets["owner"]).status_code
        return file

    def content_of(self, file: PackageFile) -> bytes | None:
        """What a reader gets of a file."""
        answer = self.http.get(f"/{self.channel}/noarch/{file.name}", headers=bearer(self.secrets["owner"]))
        return answer.content if answer.status_code == 200 else None

    @cached_property
    def kept(self) -> PackageFile:
        """A file that may be yanked and unyanked, but stays."""
        return self.put()

    @cached_property
    def shard(self) -> str:
        """The address of a shard."""
        index = self.http.get(
            f"/{self.channel}/noarch/repodata_shards.msgpack.zst", headers=bearer(self.secrets["owner"])
        )
        digest = next(iter(msgspec.msgpack.decode(zstd.decompress(index.content))["shards"].values())).hex()
        return f"noarch/shards/{digest}.msgpack.zst"

    @property
    def parameters(self) -> dict[str, str]:
        """What stands in the paths of routes."""
        return {
            "channel": self.channel,
            "package": self.kept.name.rsplit("-", 2)[0],
            "subdir": "noarch",
            "file": self.kept.name,
            "group": self.group(),
            "user": self.users["viewer"],
            "provider": "nobody",
            "secret": "swy-inv-unknown",
        }

    def group(self, *, in_channel: bool = False) -> str:
        """A new group that the owner manages, with the contributor in it."""
        people, name = self.site.people, self.site.new_name("group")
        with people.seaway.database.write() as tx:
            now_ms = people.seaway.clock.now_ms()
            groups.add(tx, now_ms, OPERATOR, name, users.get(tx, self.users["owner"]))
            groups.put_member(tx, now_ms, OPERATOR, name, self.users["contrib"])
            if in_channel:
                members.put_group(tx, now_ms, OPERATOR, self.channel, name, Role.VIEWER)
        return name

    def new_member(self) -> str:
        """A viewer whom nobody else knows."""
        return self.site.people.member(self.channel, self.site.new_name("member"), Role.VIEWER)


def stage(site: Site, http: httpx.Client, *, public: bool) -> Stage:
    """A channel with one person of each kind, and every kind of key."""
    people = site.people
    owner, contributor, viewer, stranger, gone = (
        people.user(site.new_name(kind)) for kind in ("owner", "contributor", "viewer", "stranger", "gone")
    )
    channel = site.new_channel(public=public, owner=owner)
    for user, role in ((contributor, Role.CONTRIBUTOR), (gone, Role.CONTRIBUTOR), (viewer, Role.VIEWER)):
        people.member(channel, user, role)
    admin, manage = people.user(site.new_name("admin"), admin=True), Mode.MANAGE
    secrets: dict[str, str | None] = {
        "nobody": None,
        "stranger": people.key(stranger, mode=manage),
        "viewer": people.key(viewer, mode=manage),
        "contrib": people.key(contributor, mode=manage),
        "owner": people.key(owner, mode=manage),
        "admin": people.key(admin, mode=manage),
        "READ": people.key(owner, mode=Mode.READ),
        "WRITE": people.key(owner, mode=Mode.READ_WRITE),
        "DELETE": people.key(owner, mode=Mode.READ_WRITE_DELETE),
        "elsewhere": people.key(owner, mode=manage, only=[site.new_channel(owner=owner)]),
        "expired": people.key(owner, days=-1),
        "revoked": _revoked(site, owner, people.key(owner)),
        "disabled": people.key(gone),
        "garbled": _garbled(people.key(owner)),
    }
    with people.seaway.database.write() as tx:
        users.set_disabled(tx, people.seaway.clock.now_ms(), OPERATOR, gone, disabled=True)
    standing = {"stranger": stranger, "viewer": viewer, "contrib": contributor, "owner": owner, "admin": admin}
    cookies = {who: _session(site, user) for who, user in standing.items()}
    cookies["stale"] = _session(site, owner, ago_ms=FRESH_MS + 1)
    return Stage(site, http, channel, public, {**standing, "stale": owner}, secrets, cookies)


def _session(site: Site, user: str, *, ago_ms: int = 0) -> str:
    with site.people.seaway.database.write() as tx:
        began_ms = site.people.seaway.clock.now_ms() - ago_ms
        return sessions.start(tx, began_ms, users.get(tx, user).id, address="127.0.0.1", agent="a browser")


def _revoked(site: Site, user: str, secret: str) -> str:
    with site.people.seaway.database.write() as tx:
        now_ms = site.people.seaway.clock.now_ms()
        principal = keys.principal_of(tx, secret, now_ms)
        assert principal is not None
        keys.revoke(tx, now_ms, OPERATOR, users.get(tx, user), principal.key_name)
    return secret


def _garbled(secret: str) -> str:
    """A key whose last character is another, so that its checksum is wrong."""
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


Builder = Callable[[Stage, str], Iterable[Ask]]
BUILDERS: dict[str, Builder] = {}


def of(stage: Stage, row: str, who: str) -> list[Ask]:
    """The requests of a row."""
    builder = BUILDERS.get(row)
    if builder is not None:
        return list(builder(stage, who))
    return [Ask(route_of(row).partition(" ")[2].format(**stage.parameters))]


def builds(*rows: str) -> Callable[[Builder], Builder]:
    """How these rows are asked."""

    def register(builder: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(rows, builder))
        return builder

    return register


@builds("GET /static/{name}", "HEAD /static/{name}")
def _asset(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(assets.address("seaway.css"))


@builds(
    *(
        f"{method} /{purpose}/{{secret}}"
        for purpose in ("verify", "reset", "first-account")
        for method in ("GET", "HEAD", "POST")
    )
)
def _link(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/verify/swy-ln-unknown")
    yield Ask("/reset/swy-ln-unknown")
    yield Ask("/first-account/swy-ln-unknown")


@builds("POST /api/v1/upload/{channel:path}")
def _uploading(stage: Stage, _who: str) -> Iterable[Ask]:
    file = stage.new_file()

    def check(done: bool) -> None:
        assert stage.content_of(file) == (file.content if done else None)

    yield Ask(f"/api/v1/upload/{stage.channel}", content=file.content, headers=raw_headers(file), check=check)


@builds("POST /api/v1/upload/{channel:path} #over-another's")
def _overwriting(stage: Stage, who: str) -> Iterable[Ask]:
    old = stage.put()
    new = conda(index_json(old.name.rsplit("-", 2)[0]), files={"share/other": who.encode()})

    def check(done: bool) -> None:
        assert stage.content_of(old) == (new if done else old).content

    yield Ask(
        f"/api/v1/upload/{stage.channel}",
        content=new.content,
        params={"force": "true"},
        headers=raw_headers(new),
        check=check,
    )


@builds("DELETE /api/v1/delete/{path:path}")
def _deleting(stage: Stage, _who: str) -> Iterable[Ask]:
    file = stage.put()

    def check(done: bool) -> None:
        assert stage.content_of(file) == (None if done else file.content)

    yield Ask(f"/api/v1/delete/{stage.channel}/noarch/{file.name}", check=check)


@builds("POST /api/v1/yank/{path:path}")
def _yanking(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/yank/{stage.channel}/noarch/{stage.kept.name}")


@builds("POST /api/v1/unyank/{path:path}")
def _unyanking(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/unyank/{stage.channel}/noarch/{stage.kept.name}")


_ACT = "POST /channels/{channel}/packages/{package}/files/{subdir}/{file}/{act}"


def _act(stage: Stage, act: str, file: PackageFile, content: bytes) -> Ask:
    package = file.name.rsplit("-", 2)[0]
    path = f"/channels/{stage.channel}/packages/{package}/files/noarch/{file.name}/{act}"
    return Ask(path, content=content, headers={"Content-Type": "application/x-www-form-urlencoded"})


@builds(_ACT)
def _yanking_on_a_page(stage: Stage, _who: str) -> Iterable[Ask]:
    for act in ("yank", "unyank"):
        yield _act(stage, act, stage.kept, b"confirmed=yes")


@builds(f"{_ACT} #delete")
def _deleting_on_a_page(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _act(stage, "delete", stage.put(), b"confirmed=yes")


@builds(f"{_ACT} #unconfirmed")
def _asking_to_yank(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _act(stage, "yank", stage.kept, b"")


_TUS = {"Tus-Resumable": "1.0.0"}


def _begin_upload(stage: Stage, who: str) -> tuple[PackageFile, httpx.Response]:
    file = stage.new_file()
    name = base64.b64encode(file.name.encode()).decode()
    headers = {**_TUS, "Upload-Length": str(len(file.content)), "Upload-Metadata": f"filename {name}"}
    return file, stage.http.post(f"/api/v1/uploads/{stage.channel}", headers={**headers, **bearer(stage.secrets[who])})


@builds("OPTIONS /api/v1/uploads")
def _asking_what_uploads_can(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/uploads")


@builds("POST /api/v1/uploads/{channel}")
def _beginning_an_upload(stage: Stage, _who: str) -> Iterable[Ask]:
    name = base64.b64encode(stage.new_file().name.encode()).decode()
    headers = {**_TUS, "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
    yield Ask(f"/api/v1/uploads/{stage.channel}", headers=headers)


@builds("HEAD /api/v1/uploads/{id}", "DELETE /api/v1/uploads/{id}")
def _looking_at_an_upload(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(_begin_upload(stage, "owner")[1].headers["location"], headers=_TUS)


@builds("PATCH /api/v1/uploads/{id}")
def _going_on_with_an_upload(stage: Stage, _who: str) -> Iterable[Ask]:
    file, begun = _begin_upload(stage, "owner")

    def check(done: bool) -> None:
        assert stage.content_of(file) == (file.content if done else None)

    headers = {**_TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    yield Ask(begun.headers["location"], content=file.content, headers=headers, check=check)


@builds("POST /api/oidc/mint_token")
def _exchanging(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/oidc/mint_token", json={"token": "a.b.c"})


@builds("POST /api/github/secret-scanning")
def _reporting_a_leak(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/github/secret-scanning", json=[])


@builds("GET /{path:path}", "HEAD /{path:path}", "OPTIONS /{path:path}")
def _reading(stage: Stage, _who: str) -> Iterable[Ask]:
    """Every kind of thing that a channel holds."""
    for path in (*INDEX_DOCUMENTS, f"noarch/{stage.kept.name}", stage.shard):
        yield Ask(f"/{stage.channel}/{path}")


@builds("GET /{path:path} #key-in-path")
def _reading_with_the_key_in_the_path(stage: Stage, who: str) -> Iterable[Ask]:
    for ask in _reading(stage, who):
        yield Ask(f"/t/{stage.secrets[who] or ''}{ask.path}", signed=False)


@builds("POST /api/v1/channels")
def _adding_a_channel(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/channels", json={"name": stage.site.new_name("made")})


@builds("PATCH /api/v1/channels/{channel}")
def _changing_a_channel(stage: Stage, who: str) -> Iterable[Ask]:
    said = f"changed by {who}"

    def check(done: bool) -> None:
        answer = stage.http.get(f"/api/v1/channels/{stage.channel}", headers=bearer(stage.secrets["owner"]))
        assert (answer.json()["description"] == said) is done

    yield Ask(f"/api/v1/channels/{stage.channel}", json={"description": said}, check=check)


@builds("PUT /api/v1/channels/{channel}/members/{user}")
def _adding_a_member(stage: Stage, _who: str) -> Iterable[Ask]:
    user = stage.site.people.user(stage.site.new_name("newcomer"))
    yield Ask(f"/api/v1/channels/{stage.channel}/members/{user}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/members/{user}")
def _removing_a_member(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/members/{stage.new_member()}")


@builds("PUT /api/v1/channels/{channel}/groups/{group}")
def _adding_a_group_of_members(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/groups/{stage.group()}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/groups/{group}")
def _removing_a_group_of_members(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/groups/{stage.group(in_channel=True)}")


@builds("POST /api/v1/channels/{channel}/leave")
def _leaving(stage: Stage, who: str) -> Iterable[Ask]:
    def check(done: bool) -> None:
        if done:
            role = Role.VIEWER if who == "viewer" else Role.CONTRIBUTOR
            stage.site.people.member(stage.channel, stage.users[who], role)

    yield Ask(f"/api/v1/channels/{stage.channel}/leave", check=check)


@builds("POST /api/v1/groups")
def _adding_a_group(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/groups", json={"name": stage.site.new_name("group")})


@builds("PATCH /api/v1/groups/{group}")
def _changing_a_group(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}", json={"description": "another"})


@builds("PUT /api/v1/groups/{group}/members/{user}")
def _adding_to_a_group(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}/members/{stage.users['stranger']}", json={"manager": False})


@builds("DELETE /api/v1/groups/{group}/members/{user}")
def _removing_from_a_group(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}/members/{stage.users['contrib']}")


@builds("GET /api/v1/search")
def _searching(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/search", params={"q": "pkg", "channel": stage.channel})


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@builds("POST /api/oauth/device")
def _tool_begins(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/oauth/device", content=b"client_id=rattler", headers=_FORM)


@builds("POST /api/oauth/token")
def _tool_refreshes(_stage: Stage, _who: str) -> Iterable[Ask]:
    content = b"client_id=rattler&grant_type=refresh_token&refresh_token=unknown"
    yield Ask("/api/oauth/token", content=content, headers=_FORM)


@builds("POST /api/oauth/revoke")
def _tool_ends(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/oauth/revoke", content=b"client_id=rattler&token=unknown", headers=_FORM)


@builds("POST /api/graphql")
def _viewer(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/graphql", json={"query": "query { viewer { login } }"})


@builds("DELETE /api/v1/channels/{channel}")
def _removing_a_channel(stage: Stage, _who: str) -> Iterable[Ask]:
    channel = stage.new_channel()

    def check(done: bool) -> None:
        with stage.site.people.seaway.database.read() as tx:
            assert (channels.access_of(tx, channel, OPERATOR) is None) is done

    yield Ask(f"/api/v1/channels/{channel}", params={"confirm": channel}, about=channel, check=check)


@builds("GET /api/v1/channel-names/{channel}")
def _asking_for_a_name(stage: Stage, _who: str) -> Iterable[Ask]:
    """A name that is free: that one can see which are not is the one exception to silence."""
    yield Ask(f"/api/v1/channel-names/{stage.site.new_name('free')}")


@builds("POST /api/v1/channels/{channel}/invitations")
def _inviting(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(
        f"/api/v1/channels/{stage.channel}/invitations", json={"address": f"{stage.site.new_name('m')}@example.com"}
    )


def _invited(stage: Stage, channel: str) -> tuple[int, str]:
    """The number and the secret of a new invitation."""
    people = stage.site.people
    with people.seaway.database.write() as tx:
        address = f"{stage.site.new_name('m')}@example.com"
        made, secret = invitations.invite(
            tx, people.seaway.clock.now_ms(), OPERATOR, channel, address, Role.VIEWER, telling=None
        )
    return made.id, secret


@builds("POST /api/v1/channels/{channel}/invitations/{invitation}/resend")
def _resending(stage: Stage, _who: str) -> Iterable[Ask]:
    number, _ = _invited(stage, stage.channel)
    yield Ask(f"/api/v1/channels/{stage.channel}/invitations/{number}/resend")


@builds("DELETE /api/v1/channels/{channel}/invitations/{invitation}")
def _withdrawing(stage: Stage, _who: str) -> Iterable[Ask]:
    number, _ = _invited(stage, stage.channel)
    yield Ask(f"/api/v1/channels/{stage.channel}/invitations/{number}")


@builds("POST /api/v1/invitations/answer")
def _answering_an_invitation(stage: Stage, _who: str) -> Iterable[Ask]:
    _, secret = _invited(stage, stage.new_channel())
    yield Ask("/api/v1/invitations/answer", json={"secret": secret, "answer": "accept"})


def _offered(stage: Stage) -> str:
    """A new channel that its owner offers to the contributor."""
    people, channel = stage.site.people, stage.new_channel()
    with people.seaway.database.write() as tx:
        now_ms = people.seaway.clock.now_ms()
        owner = users.get(tx, stage.users["owner"])
        by = Principal(owner.name, owner.id, Carrier.PERSON, confirmed_at_ms=now_ms)
        transfers.offer(tx, now_ms, by, channel, stage.users["contrib"])
    return channel


@builds("POST /api/v1/channels/{channel}/transfer")
def _offering(stage: Stage, _who: str) -> Iterable[Ask]:
    channel = stage.new_channel()
    yield Ask(f"/api/v1/channels/{channel}/transfer", json={"to_user": stage.users["contrib"]}, about=channel)


@builds("DELETE /api/v1/channels/{channel}/transfer")
def _cancelling(stage: Stage, _who: str) -> Iterable[Ask]:
    channel = _offered(stage)
    yield Ask(f"/api/v1/channels/{channel}/transfer", about=channel)


@builds("POST /api/v1/channels/{channel}/transfer/answer")
def _answering_an_offer(stage: Stage, _who: str) -> Iterable[Ask]:
    channel = _offered(stage)
    yield Ask(f"/api/v1/channels/{channel}/transfer/answer", json={"answer": "accept"}, about=channel)


@builds("POST /api/v1/channels/{channel}/notices")
def _telling(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/notices", json={"message": "Hello"})


@builds("DELETE /api/v1/channels/{channel}/notices/{notice}")
def _taking_back(stage: Stage, _who: str) -> Iterable[Ask]:
    people, channel = stage.site.people, stage.new_channel()
    with people.seaway.database.write() as tx:
        now_ms = people.seaway.clock.now_ms()
        notice = notices.add(tx, now_ms, OPERATOR, channel, Level.INFO, "Hello", expires_at_ms=now_ms + DAY_MS)
    yield Ask(f"/api/v1/channels/{channel}/notices/{notice.id}", about=channel)


def _key_of(stage: Stage, user: str) -> int:
    """The number of a new key."""
    people = stage.site.people
    with people.seaway.database.write() as tx:
        made, _ = keys.add(
            tx, people.seaway.clock.now_ms(), OPERATOR, users.get(tx, user), stage.site.new_name("key"),
            mode=Mode.READ, channel_ids=None, expires_at_ms=None,
        )  # fmt: skip
    return made.id


def user_of(stage: Stage, who: str) -> str:
    """Who stands in this column, or the owner, whose keys the others are."""
    return stage.users.get(who, stage.users["owner"])


@builds("POST /api/v1/keys")
def _making_a_key(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/keys", json={"name": stage.site.new_name("key"), "days": 1})


@builds("POST /api/v1/keys/{key}/revoke")
def _revoking_a_key(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_key_of(stage, user_of(stage, who))}/revoke")


@builds("DELETE /api/v1/keys/{key}")
def _removing_a_key(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_key_of(stage, user_of(stage, who))}")


@builds("DELETE /api/v1/keys/{key} #another's")
def _removing_the_key_of_another(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_key_of(stage, stage.site.people.user(stage.site.new_name('other')))}")


def _browser_of(stage: Stage, user: str) -> int:
    """The number of a new session."""
    people, secret = stage.site.people, _session(stage.site, user)
    with people.seaway.database.read() as tx:
        found = sessions.principal_of(tx, secret, people.seaway.clock.now_ms())
    assert found is not None
    assert found.session_id is not None
    return found.session_id


@builds("DELETE /api/v1/me/sessions/{session}")
def _ending_a_session(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/sessions/{_browser_of(stage, user_of(stage, who))}")


@builds("DELETE /api/v1/me/sessions/{session} #another's")
def _ending_the_session_of_another(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/sessions/{_browser_of(stage, stage.site.people.user(stage.site.new_name('other')))}")


@builds("DELETE /api/v1/me/tools/{tool}")
def _ending_no_tool(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/tools/1000000")


@builds("PATCH /api/v1/users/{user}")
def _shutting_an_account(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/users/{stage.site.people.user(stage.site.new_name('other'))}", json={"disabled": True})


def _new_project(stage: Stage) -> dict[str, str]:
    return {"namespace": "acme", "project": stage.site.new_name("project")}


def _new_publisher(stage: Stage) -> int:
    """The only workflow that the channel trusts."""
    seaway = stage.site.people.seaway
    with seaway.database.write() as tx:
        for known in publishers.in_channel(tx, channels.get(tx, stage.channel).id):
            publishers.remove(tx, 1, OPERATOR, seaway.house.exchanging.teller, stage.channel, known.id)
        now_ms, teller = seaway.clock.now_ms(), seaway.house.exchanging.teller
        draft = publishers.Draft(matched=_new_project(stage))
        return publishers.add(tx, now_ms, OPERATOR, teller, stage.channel, "gitlab", draft).id


@builds("POST /api/v1/channels/{channel}/publishers")
def _adding_a_publisher(stage: Stage, _who: str) -> Iterable[Ask]:
    given = {"issuer": "gitlab", "fields": _new_project(stage)}
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers", json=given)


@builds("PATCH /api/v1/channels/{channel}/publishers/{publisher}")
def _changing_a_publisher(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers/{_new_publisher(stage)}", json={"mode": "READ"})


@builds("DELETE /api/v1/channels/{channel}/publishers/{publisher}")
def _removing_a_publisher(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/publishers/{_new_publisher(stage)}")


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _form(path: str, **fields: str) -> Ask:
    return Ask(path, content=urlencode(fields).encode(), headers=_FORM)


@builds("POST /channels/{channel}/settings")
def _setting_a_channel(stage: Stage, _who: str) -> Iterable[Ask]:
    visibility = "public" if stage.is_public else "private"
    yield _form(f"/channels/{stage.channel}/settings", description="words", visibility=visibility)


@builds("POST /channels/{channel}/settings/notices")
def _noticing(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _form(f"/channels/{stage.channel}/settings/notices", message="words", level="info", days="1")


@builds("POST /channels/{channel}/settings/members")
def _adding_a_member_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    user = stage.site.people.user(stage.site.new_name("newcomer"))
    yield _form(f"/channels/{stage.channel}/settings/members", who=user, role="viewer")


@builds("POST /channels/{channel}/settings/members/remove")
def _removing_a_member_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _form(f"/channels/{stage.channel}/settings/members/remove", who=stage.new_member())


@builds("POST /channels/{channel}/settings/publishers")
def _trusting_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    fields = {"owner": "octo", "repository": stage.site.new_name("repo"), "workflow": "publish.yml"}
    yield _form(f"/channels/{stage.channel}/settings/publishers", issuer="github", mode="READ", **fields)


@builds("POST /channels/{channel}/settings/publishers/rules")
def _setting_rules_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _form(f"/channels/{stage.channel}/settings/publishers/rules", attestations="optional")


@builds("POST /channels/{channel}/settings/danger/offer")
def _offering_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    yield _form(f"/channels/{stage.new_channel()}/settings/danger/offer", to=stage.users["contrib"])


@builds("POST /channels/{channel}/settings/danger/delete")
def _deleting_by_page(stage: Stage, _who: str) -> Iterable[Ask]:
    name = stage.new_channel()
    yield _form(f"/channels/{name}/settings/danger/delete", name=name)
