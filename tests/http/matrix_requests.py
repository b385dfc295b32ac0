"""Requests for each route of the permission table; each would change something if it were allowed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import groups, members
from seaway.channels.roles import Role
from seaway.keys import api_keys
from seaway.sign_in import sessions, user_access
from seaway.sign_in.sessions import FRESH_MS
from seaway.users import users
from tests.conftest import Site
from tests.http.matrix import route_of
from tests.support.packages import PackageFile, conda, index_json, zstd
from tests.support.requests import bearer, upload


def _nothing_to_check(_done: bool) -> None:
    return None


@dataclass(frozen=True)
class RouteRequest:
    """A request; `check` verifies afterwards that its effect matches its status."""

    path: str
    json: Any = None
    content: bytes | None = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    with_credentials: bool = True  # whether the headers contain the credential
    channel: str = ""  # the channel in the path, if it is not the channel of the context
    check: Callable[[bool], None] = _nothing_to_check

    def for_missing_channel(self, channel: str) -> "RouteRequest":
        """Return the same request for a missing channel whose name has the same length."""
        name = self.channel or channel
        return replace(self, path=self.path.replace(name, "x" * len(name)))


@dataclass(frozen=True)
class MatrixContext:
    """A channel, with the credentials of all callers in the table."""

    site: Site
    http: httpx.Client
    channel: str
    is_public: bool
    users: dict[str, str]  # column -> user
    secrets: dict[str, str | None]
    cookies: dict[str, str]

    def key_headers(self, caller: str) -> dict[str, str]:
        """Return the headers of a caller with a key."""
        return bearer(self.secrets[caller])

    def session_headers(self, caller: str) -> dict[str, str]:
        """Return the headers of a user in a browser, on a page of this site."""
        cookie = self.cookies[caller]
        return {
            "Cookie": f"seaway_session={cookie}",
            "X-CSRF-Token": sessions.csrf_token(cookie),
            "Sec-Fetch-Site": "same-origin",
        }

    def new_channel(self) -> str:
        """Create another channel with the same members, for changes that are possible only once per channel."""
        factory, channel = self.site.factory, self.site.new_channel(public=self.is_public, owner=self.users["owner"])
        factory.member(channel, self.users["contrib"], Role.CONTRIBUTOR)
        factory.member(channel, self.users["viewer"], Role.VIEWER)
        return channel

    def new_file(self) -> PackageFile:
        return conda(index_json(self.site.new_name("pkg")))

    def put(self) -> PackageFile:
        """Upload a new file as the owner."""
        file = self.new_file()
        assert 201 == upload(self.http, self.channel, file, self.secrets["owner"]).status_code
        return file

    def content_of(self, file: PackageFile) -> bytes | None:
        """Return the content of a file as the owner downloads it, or None."""
        response = self.http.get(f"/{self.channel}/noarch/{file.name}", headers=bearer(self.secrets["owner"]))
        return response.content if response.status_code == 200 else None

    @cached_property
    def kept(self) -> PackageFile:
        """A file that is yanked and unyanked, but never deleted."""
        return self.put()

    @cached_property
    def shard(self) -> str:
        """The path of a shard in the channel."""
        assert self.kept  # the channel needs a file to have a shard
        index = self.http.get(
            f"/{self.channel}/noarch/repodata_shards.msgpack.zst", headers=bearer(self.secrets["owner"])
        )
        digest = next(iter(msgspec.msgpack.decode(zstd.decompress(index.content))["shards"].values())).hex()
        return f"noarch/shards/{digest}.msgpack.zst"

    @property
    def parameters(self) -> dict[str, str]:
        """Values of the parameters in route paths."""
        return {
            "channel": self.channel,
            "package": self.kept.name.rsplit("-", 2)[0],
            "subdir": "noarch",
            "file": self.kept.name,
            "group": self.unchanged_group,
            "user": self.users["viewer"],
            "provider": "missing",
            "secret": "swy-inv-unknown",
        }

    @cached_property
    def unchanged_group(self) -> str:
        return self.group()

    def group(self, *, in_channel: bool = False) -> str:
        """Create a group that the owner manages, with the contributor as a member."""
        factory, name = self.site.factory, self.site.new_name("group")
        with factory.seaway.site.database.write_site() as tx:
            now_ms = factory.seaway.site.clock.now_ms()
            groups.add(tx, now_ms, OPERATOR, name, users.get(tx, self.users["owner"]))
            groups.put_member(tx, now_ms, OPERATOR, name, self.users["contrib"], outbox=None)
            if in_channel:
                members.put_group(tx, now_ms, OPERATOR, self.channel, name, Role.VIEWER)
        return name

    def new_member(self) -> str:
        """Add a new viewer to the channel."""
        return self.site.factory.member(self.channel, self.site.new_name("member"), Role.VIEWER)


def create_context(site: Site, http: httpx.Client, *, public: bool) -> MatrixContext:
    """Create a channel with a user for each role, and every kind of key."""
    factory = site.factory
    owner, contributor, viewer, nonmember, disabled_user = (
        factory.user(site.new_name(kind)) for kind in ("owner", "contributor", "viewer", "nonmember", "disabled")
    )
    channel = site.new_channel(public=public, owner=owner)
    for user, role in ((contributor, Role.CONTRIBUTOR), (disabled_user, Role.CONTRIBUTOR), (viewer, Role.VIEWER)):
        factory.member(channel, user, role)
    admin, manage = factory.user(site.new_name("admin"), admin=True), Mode.MANAGE
    secrets: dict[str, str | None] = {
        "anonymous": None,
        "nonmember": factory.key(nonmember, mode=manage),
        "viewer": factory.key(viewer, mode=manage),
        "contrib": factory.key(contributor, mode=manage),
        "owner": factory.key(owner, mode=manage),
        "admin": factory.key(admin, mode=manage),
        "READ": factory.key(owner, mode=Mode.READ),
        "WRITE": factory.key(owner, mode=Mode.READ_WRITE),
        "DELETE": factory.key(owner, mode=Mode.READ_WRITE_DELETE),
        "elsewhere": factory.key(owner, mode=manage, only=[site.new_channel(owner=owner)]),
        "expired": factory.key(owner, days=-1),
        "revoked": _revoked(site, owner, factory.key(owner)),
        "disabled": factory.key(disabled_user),
        "garbled": _garbled(factory.key(owner)),
    }
    with factory.seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, factory.seaway.site.clock.now_ms(), OPERATOR, disabled_user, disabled=True)
    users_by_column = {"nonmember": nonmember, "viewer": viewer, "contrib": contributor, "owner": owner, "admin": admin}
    cookies = {caller: session(site, user) for caller, user in users_by_column.items()}
    cookies["stale"] = session(site, owner, ago_ms=FRESH_MS + 1)
    return MatrixContext(site, http, channel, public, {**users_by_column, "stale": owner}, secrets, cookies)


def session(site: Site, user: str, *, ago_ms: int = 0) -> str:
    """Start a session; return its secret."""
    with site.factory.seaway.site.database.write_site() as tx:
        started_ms = site.factory.seaway.site.clock.now_ms() - ago_ms
        return sessions.start(tx, started_ms, users.get(tx, user).id, address="127.0.0.1", agent="a browser")


def _revoked(site: Site, user: str, secret: str) -> str:
    with site.factory.seaway.site.database.write_site() as tx:
        now_ms = site.factory.seaway.site.clock.now_ms()
        caller = api_keys.caller_of(tx, secret, now_ms)
        assert caller is not None
        api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, user), caller.key_name)
    return secret


def _garbled(secret: str) -> str:
    """Replace the last character of a key, so that its checksum is wrong."""
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


Builder = Callable[[MatrixContext, str], Iterable[RouteRequest]]
BUILDERS: dict[str, Builder] = {}


def requests_of(context: MatrixContext, row: str, caller: str) -> list[RouteRequest]:
    """Return the requests of a row."""
    builder = BUILDERS.get(row)
    if builder is not None:
        return list(builder(context, caller))
    return [RouteRequest(route_of(row).partition(" ")[2].format(**context.parameters))]


def builds(*rows: str) -> Callable[[Builder], Builder]:
    """Register the decorated function as the request builder of these rows."""

    def register(builder: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(rows, builder))
        return builder

    return register


def user_of(context: MatrixContext, caller: str) -> str:
    """Return the user of this column, or the owner, whose keys the other columns use."""
    return context.users.get(caller, context.users["owner"])


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(path: str, **fields: str) -> RouteRequest:
    """Return the request of a page form."""
    return RouteRequest(path, content=urlencode(fields).encode(), headers=FORM)
