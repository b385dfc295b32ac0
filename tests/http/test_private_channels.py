"""What nobody learns of a private channel who may not read it: not by a list, not by a cache, not by a clock."""

import httpx
import pytest

from seaway.channels.roles import Role
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.conftest import Site
from tests.http.test_keys import new_file, signed_in
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, upload
from tests.support.statements import counted


@pytest.fixture(scope="module")
def owner(site: Site) -> str:
    return site.people.user(site.new_name("owner"))


@pytest.fixture(scope="module")
def hidden(site: Site, http: httpx.Client, owner: str) -> str:
    """A private channel with one package, whose name no other channel has; it comes first in lists by name."""
    channel = site.people.channel(site.new_name("a-hidden"), owner=owner, public=False)
    file = conda(index_json(f"in-{channel}"))
    assert 201 == upload(http, channel, file, site.people.key(owner)).status_code
    return channel


@pytest.mark.anyio
@pytest.mark.parametrize("who", ["anonymous", "stranger"])
async def test_its_answer_takes_the_work_of_that_of_none(seaway: Seaway, people: People, who: str) -> None:
    """Case 84: the same statements are sent to the database, so that the time tells nothing."""
    people.channel("hidden", owner="ada", public=False)
    await publish_file(seaway, "hidden", conda(index_json("secret")))
    headers = bearer(people.key("eve") if who == "stranger" else None)
    work: list[list[str]] = []
    transport = httpx.ASGITransport(app=create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test", headers=headers) as http:
        await http.get("/hidden/noarch/repodata.json")  # what the first request loads, later ones have
        for channel in ("hidden", "nothing"):
            with counted(seaway.database) as statements:
                assert (await http.get(f"/{channel}/noarch/repodata.json")).status_code in (401, 403, 404)
            work.append(list(statements))
    assert work[0] == work[1] != []


def lists_of(hidden: str, owner: str) -> list[str]:
    """The addresses that name channels, packages or people."""
    return [
        "/",
        f"/channels/{hidden[:-1]}",
        "/api/v1/channels?limit=100",
        f"/api/v1/channels?owner={owner}",
        f"/api/v1/search?q=in-{hidden}",
        f"/api/v1/search?q={hidden}",
        f"/api/v1/users/{owner}",
        f"/api/v1/users?q={owner}",
        f"/account/user-names?q={owner}",
        "/robots.txt",
        "/sitemap.xml",
        "/api/v1/openapi.json",
        "/metrics",
    ]


@pytest.mark.parametrize("who", ["anonymous", "stranger", "stranger's key"])
def test_no_list_names_it(site: Site, http: httpx.Client, hidden: str, owner: str, who: str) -> None:
    """Case 85: search, users and their channels, the front page, what robots and monitors read."""
    stranger = site.people.user(site.new_name("stranger"))
    key = bearer(site.people.key(stranger))
    headers = {"anonymous": {}, "stranger": signed_in(site, stranger), "stranger's key": key}[who]
    for path in lists_of(hidden, owner):
        answer = http.get(path, headers=headers)
        # What was asked for may be said again; a link to it, or it as a value, may not.
        assert f'"{hidden}"' not in answer.text, path
        assert f"/{hidden}/" not in answer.text, path
        assert f'/channels/{hidden}"' not in answer.text, path


def test_its_lists_name_it_to_members(site: Site, http: httpx.Client, hidden: str) -> None:
    """Case 85, the other way round: so the test above looks where it would be named."""
    viewer = site.people.member(hidden, site.people.user(site.new_name("viewer")), Role.VIEWER)
    headers = bearer(site.people.key(viewer))
    assert hidden in http.get(f"/api/v1/search?q=in-{hidden}", headers=headers).text
    assert f'"{hidden}"' in http.get("/api/v1/channels?limit=100", headers=headers).text


@pytest.mark.parametrize("form", ["bearer", "path", "cookie"])
def test_no_shared_cache_keeps_it(site: Site, http: httpx.Client, hidden: str, owner: str, form: str) -> None:
    """Case 86: whatever opened it, a cache in front may not give the answer to the next one who asks."""
    key = site.people.key(owner)
    headers = {"bearer": bearer(key), "path": {}, "cookie": signed_in(site, owner)}[form]
    prefix = f"/t/{key}/{hidden}" if form == "path" else f"/{hidden}"
    repodata = http.get(f"{prefix}/noarch/repodata.json", headers=headers)
    name = next(iter(repodata.json()["packages.conda"]))
    documents = ["repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json", name]
    answers = [repodata, *(http.get(f"{prefix}/noarch/{document}", headers=headers) for document in documents)]
    for answer in answers:
        control = answer.headers["cache-control"]
        assert 200 == answer.status_code
        assert "private" in control or "no-store" in control
        assert "public" not in control
        assert "s-maxage" not in control
        assert "access-control-allow-origin" not in answer.headers


def test_what_was_public_is_private_for_caches_too(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 90: closed by the API; who has the old answer is not told that it is still good, by any of the forms."""
    channel, file = site.new_channel(owner=owner), new_file(site)
    person = signed_in(site, owner)
    assert 201 == upload(http, channel, file, site.people.key(owner)).status_code
    paths = [f"/{channel}/noarch/repodata.json", f"/{channel}/noarch/{file.name}", f"/{channel}/channeldata.json"]
    etags = [http.get(path).headers["etag"] for path in paths]
    answer = http.patch(f"/api/v1/channels/{channel}", json={"public": False}, headers=person)
    assert 200 == answer.status_code, answer.text
    stranger = bearer(site.people.key(site.people.user(site.new_name("stranger"))))
    for headers, statuses in (({}, (401, 401, 401)), (stranger, (403, 404, 404))):
        for path, etag, status in zip(paths, etags, statuses, strict=True):
            assert status == http.get(path, headers={"If-None-Match": etag, **headers}).status_code
            assert status == http.head(path, headers={"If-None-Match": "*", **headers}).status_code
