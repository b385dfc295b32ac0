"""
Every route x everybody x public and private, against one table.

A cell is `public/private`. Who stands in a column asks with a bearer key; what the key lacks, the user has.
A route or method without a row fails: whoever adds one says here who may use it.
"""

from dataclasses import dataclass

import httpx
import msgspec
import pytest

from seaway.accounts import keys, users
from seaway.accounts.principal import OPERATOR, Mode
from seaway.channels.roles import Role
from seaway.server.app import ROUTES
from tests.conftest import Site
from tests.support.packages import PackageFile, conda, index_json, zstd
from tests.support.requests import bearer, upload

ACTORS = (
    "anonymous", "stranger", "viewer", "contributor", "owner", "admin",
    "READ", "READ_WRITE", "READ_WRITE_DELETE", "MANAGE",
    "expired", "revoked", "disabled", "elsewhere", "garbled",
)  # fmt: skip

TABLE = """
                                      anonymous stranger viewer  contributor owner   admin   READ    READ_WRITE READ_WRITE_DELETE MANAGE  expired revoked disabled elsewhere garbled
POST /api/v1/upload/{channel:path}    401/401   403/404  403/403 201/201     201/201 403/403 403/403 201/201    201/201           201/201 401/401 401/401 401/401  403/404   401/401
POST overwrite                        401/401   403/404  403/403 403/403     200/200 403/403 403/403 403/403    200/200           200/200 401/401 401/401 401/401  403/404   401/401
DELETE /api/v1/delete/{path:path}     401/401   403/404  403/403 403/403     200/200 200/200 403/403 403/403    200/200           200/200 401/401 401/401 401/401  403/404   401/401
POST /api/v1/yank/{path:path}         401/401   403/404  403/403 200/200     200/200 403/403 403/403 200/200    200/200           200/200 401/401 401/401 401/401  403/404   401/401
POST /api/v1/unyank/{path:path}       401/401   403/404  403/403 200/200     200/200 403/403 403/403 200/200    200/200           200/200 401/401 401/401 401/401  403/404   401/401
GET /health/live                      200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
HEAD /health/live                     200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
GET /health/ready                     200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
HEAD /health/ready                    200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
GET /                                 200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
HEAD /                                200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
GET /channels/{channel}               200/404   200/404  200/404 200/404     200/404 200/404 200/404 200/404    200/404           200/404 200/404 200/404 200/404  200/404   200/404
HEAD /channels/{channel}              200/404   200/404  200/404 200/404     200/404 200/404 200/404 200/404    200/404           200/404 200/404 200/404 200/404  200/404   200/404
GET /static/seaway.css                200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
HEAD /static/seaway.css               200/200   200/200  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/200 200/200 200/200  200/200   200/200
GET /{path:path}                      200/401   200/404  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/401 200/401 200/401  200/404   200/401
HEAD /{path:path}                     200/401   200/404  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/401 200/401 200/401  200/404   200/401
GET key in path                       200/401   200/404  200/200 200/200     200/200 200/200 200/200 200/200    200/200           200/200 200/401 200/401 200/401  200/404   200/401
OPTIONS /{path:path}                  204/204   204/204  204/204 204/204     204/204 204/204 204/204 204/204    204/204           204/204 204/204 204/204 204/204  204/204   204/204
"""  # fmt: skip

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


def rows() -> dict[str, dict[str, tuple[int, int]]]:
    """The table as values: row -> actor -> (status if public, status if private)."""
    head, *lines = TABLE.strip("\n").splitlines()
    actors = head.split()
    found = {}
    for line in lines:
        name, cells = line[:38].strip(), line[38:].split()
        both = [tuple(int(status) for status in cell.split("/")) for cell in cells]
        found[name] = dict(zip(actors, both, strict=True))
    return found


ROWS = rows()


def test_every_route_has_a_row() -> None:
    """Whoever adds a route says in the table who may use it."""
    routes = {f"{method} {route.path}" for route in ROUTES for method in route.methods or ()}
    assert routes == {row for row in ROWS if "/" in row}
    assert {ACTORS} == {tuple(cells) for cells in ROWS.values()}


@dataclass(frozen=True)
class Stage:
    """One channel, and the key of everybody in the table."""

    site: Site
    http: httpx.Client
    channel: str
    secrets: dict[str, str | None]
    is_public: bool

    def put(self) -> PackageFile:
        """A new file that the owner uploaded."""
        file = conda(index_json(self.site.new_name("pkg")))
        assert 201 == upload(self.http, self.channel, file, self.secrets["owner"]).status_code
        return file

    def expected(self, row: str, actor: str) -> int:
        return ROWS[row][actor][0 if self.is_public else 1]


@pytest.fixture(scope="module", params=["public", "private"])
def stage(request: pytest.FixtureRequest, site: Site, http: httpx.Client) -> Stage:
    people = site.people
    owner, contributor, viewer, stranger, gone = (
        people.user(site.new_name(kind)) for kind in ("owner", "contributor", "viewer", "stranger", "gone")
    )
    channel = site.new_channel(public=request.param == "public", owner=owner)
    for user, role in ((contributor, Role.CONTRIBUTOR), (gone, Role.CONTRIBUTOR), (viewer, Role.VIEWER)):
        people.member(channel, user, role)
    secrets: dict[str, str | None] = {
        "anonymous": None,
        "stranger": people.key(stranger),
        "viewer": people.key(viewer),
        "contributor": people.key(contributor),
        "owner": people.key(owner),
        "admin": people.key(people.user(site.new_name("admin"), admin=True)),
        **{mode.name: people.key(owner, mode=mode) for mode in Mode},
        "expired": people.key(owner, days=-1),
        "revoked": revoked(site, owner, people.key(owner)),
        "disabled": people.key(gone),
        "elsewhere": people.key(owner, only=[site.new_channel(owner=owner)]),
        "garbled": garbled(people.key(owner)),
    }
    with people.seaway.database.write() as tx:
        users.set_disabled(tx, people.seaway.clock.now_ms(), OPERATOR, gone, disabled=True)
    return Stage(site, http, channel, secrets, request.param == "public")


def revoked(site: Site, user: str, secret: str) -> str:
    with site.people.seaway.database.write() as tx:
        now_ms = site.people.seaway.clock.now_ms()
        principal = keys.principal_of(tx, secret, now_ms)
        assert principal is not None
        keys.revoke(tx, now_ms, OPERATOR, users.get(tx, user), principal.key_name)
    return secret


def garbled(secret: str) -> str:
    """A key whose last character is another, so that its checksum is wrong."""
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


@pytest.fixture(scope="module")
def read_paths(stage: Stage) -> list[str]:
    """Every kind of thing that a channel holds."""
    file = stage.put()
    client = stage.http
    answer = client.get(f"/{stage.channel}/noarch/repodata_shards.msgpack.zst", headers=bearer(stage.secrets["owner"]))
    digest = next(iter(msgspec.msgpack.decode(zstd.decompress(answer.content))["shards"].values())).hex()
    return [*INDEX_DOCUMENTS, f"noarch/{file.name}", f"noarch/shards/{digest}.msgpack.zst"]


@pytest.fixture(scope="module")
def listed(stage: Stage) -> PackageFile:
    """A file that may be yanked and unyanked any number of times."""
    return stage.put()


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.split()[0] in ("GET", "HEAD") and "path}" in row])
def test_reading(stage: Stage, read_paths: list[str], row: str, actor: str) -> None:
    """Whoever may read a channel may read all of it, and whoever may not gets one and the same refusal everywhere."""
    answers = [
        stage.http.request(row.split(maxsplit=1)[0], f"/{stage.channel}/{path}", headers=bearer(stage.secrets[actor]))
        for path in read_paths
    ]
    assert {stage.expected(row, actor)} == {answer.status_code for answer in answers}


@pytest.mark.parametrize("actor", ACTORS)
def test_reading_with_the_key_in_the_path(stage: Stage, read_paths: list[str], actor: str) -> None:
    """A key in the path opens what the same key in the header opens."""
    prefix = f"/t/{stage.secrets[actor] or ''}/{stage.channel}"
    answers = [stage.http.get(f"{prefix}/{path}") for path in read_paths]
    assert {stage.expected("GET key in path", actor)} == {answer.status_code for answer in answers}


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.split()[0] in ("GET", "HEAD") and "path" not in row])
def test_pages(stage: Stage, row: str, actor: str) -> None:
    """Pages are for people without a key; they show public channels."""
    method, path = row.split()
    answer = stage.http.request(method, path.format(channel=stage.channel), headers=bearer(stage.secrets[actor]))
    assert stage.expected(row, actor) == answer.status_code


@pytest.mark.parametrize("actor", ACTORS)
def test_preflight(stage: Stage, actor: str) -> None:
    """Preflights are the same for everybody and everything."""
    answer = stage.http.options(f"/{stage.channel}/noarch/x", headers=bearer(stage.secrets[actor]))
    assert stage.expected("OPTIONS /{path:path}", actor) == answer.status_code


@pytest.mark.parametrize("actor", ACTORS)
def test_uploading(stage: Stage, actor: str) -> None:
    """Who may upload a new file."""
    file = conda(index_json(stage.site.new_name("pkg")))
    answer = upload(stage.http, stage.channel, file, stage.secrets[actor])
    assert stage.expected("POST /api/v1/upload/{channel:path}", actor) == answer.status_code, answer.text
    assert (200 if answer.status_code == 201 else 404) == status_of(stage, file)


@pytest.mark.parametrize("actor", ACTORS)
def test_overwriting(stage: Stage, actor: str) -> None:
    """Who may replace a file of the owner; an admin cannot upload, so does not replace either."""
    file = stage.put()
    other = conda(index_json(file.name.removesuffix("-1.0-h1_0.conda")), files={"share/other": actor.encode()})
    answer = upload(stage.http, stage.channel, other, stage.secrets[actor], force=True)
    served = stage.http.get(f"/{stage.channel}/noarch/{file.name}", headers=bearer(stage.secrets["owner"])).content
    assert stage.expected("POST overwrite", actor) == answer.status_code, answer.text
    assert (other if answer.status_code == 200 else file).content == served


@pytest.mark.parametrize("actor", ACTORS)
def test_deleting(stage: Stage, actor: str) -> None:
    """Who may delete a file of the owner."""
    file = stage.put()
    answer = stage.http.delete(
        f"/api/v1/delete/{stage.channel}/noarch/{file.name}", headers=bearer(stage.secrets[actor])
    )
    assert stage.expected("DELETE /api/v1/delete/{path:path}", actor) == answer.status_code, answer.text
    assert (404 if answer.status_code == 200 else 200) == status_of(stage, file)


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("act", ["yank", "unyank"])
def test_yanking(stage: Stage, listed: PackageFile, actor: str, act: str) -> None:
    """Who may yank a file of the owner, and list it again."""
    answer = stage.http.post(
        f"/api/v1/{act}/{stage.channel}/noarch/{listed.name}", headers=bearer(stage.secrets[actor])
    )
    assert stage.expected(f"POST /api/v1/{act}/{{path:path}}", actor) == answer.status_code, answer.text
    assert 200 == status_of(stage, listed)


def status_of(stage: Stage, file: PackageFile) -> int:
    return stage.http.head(f"/{stage.channel}/noarch/{file.name}", headers=bearer(stage.secrets["owner"])).status_code
