"""Private channels are not revealed to callers without access by lists, caches or timing."""

import httpx
import pytest

from seaway.channels.roles import Role
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.conftest import Site
from tests.http.test_keys import new_file, signed_in
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, upload
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements


@pytest.fixture(scope="module")
def owner(site: Site) -> str:
    return site.factory.user(site.new_name("owner"))


@pytest.fixture(scope="module")
def hidden(site: Site, http: httpx.Client, owner: str) -> str:
    """A private channel with one package, whose name is in no other channel; it sorts first by name."""
    channel = site.factory.channel(site.new_name("a-hidden"), owner=owner, public=False)
    file = conda(index_json(f"in-{channel}"))
    assert 201 == upload(http, channel, file, site.factory.key(owner)).status_code
    return channel


@pytest.mark.anyio
@pytest.mark.parametrize("caller", ["anonymous", "nonmember"])
async def test_hidden_and_missing_channels_need_the_same_statements(
    seaway: Seaway, factory: Factory, caller: str
) -> None:
    """Case 84: the same database statements run, so that timing reveals nothing."""
    factory.channel("hidden", owner="ada", public=False)
    await publish_file(seaway, "hidden", conda(index_json("secret")))
    headers = bearer(factory.key("eve") if caller == "nonmember" else None)
    statements_by_channel: list[list[str]] = []
    transport = httpx.ASGITransport(app=create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test", headers=headers) as http:
        await http.get("/hidden/noarch/repodata.json")  # later requests reuse what the first one loads
        for channel in ("hidden", "nothing"):
            with record_statements(seaway.site.database) as statements:
                assert (await http.get(f"/{channel}/noarch/repodata.json")).status_code in (401, 403, 404)
            statements_by_channel.append(list(statements))
    assert statements_by_channel[0] == statements_by_channel[1] != []


def lists_of(hidden: str, owner: str) -> list[str]:
    """Return the paths of lists of channels, packages or users."""
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


@pytest.mark.parametrize("caller", ["anonymous", "nonmember", "nonmember's key"])
def test_lists_do_not_contain_hidden_channel(
    site: Site, http: httpx.Client, hidden: str, owner: str, caller: str
) -> None:
    """Case 85: searches, users and their channels, the front page, and documents for crawlers and monitoring."""
    nonmember = site.factory.user(site.new_name("nonmember"))
    key = bearer(site.factory.key(nonmember))
    headers = {"anonymous": {}, "nonmember": signed_in(site, nonmember), "nonmember's key": key}[caller]
    for path in lists_of(hidden, owner):
        response = http.get(path, headers=headers)
        # A response can repeat the query, but must not contain the name as a link or a value.
        assert f'"{hidden}"' not in response.text, path
        assert f"/{hidden}/" not in response.text, path
        assert f'/channels/{hidden}"' not in response.text, path


def test_lists_contain_private_channel_for_members(site: Site, http: httpx.Client, hidden: str) -> None:
    """Case 85: proves that the test above reads lists that would contain the channel."""
    viewer = site.factory.member(hidden, site.factory.user(site.new_name("viewer")), Role.VIEWER)
    headers = bearer(site.factory.key(viewer))
    assert hidden in http.get(f"/api/v1/search?q=in-{hidden}", headers=headers).text
    assert f'"{hidden}"' in http.get("/api/v1/channels?limit=100", headers=headers).text


@pytest.mark.parametrize("form", ["bearer", "path", "cookie"])
def test_responses_of_private_channel_are_not_shared(
    site: Site, http: httpx.Client, hidden: str, owner: str, form: str
) -> None:
    """Case 86: a shared cache must not serve them to other callers, whichever credential was used."""
    key = site.factory.key(owner)
    headers = {"bearer": bearer(key), "path": {}, "cookie": signed_in(site, owner)}[form]
    prefix = f"/t/{key}/{hidden}" if form == "path" else f"/{hidden}"
    repodata = http.get(f"{prefix}/noarch/repodata.json", headers=headers)
    name = next(iter(repodata.json()["packages.conda"]))
    documents = ["repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json", name]
    responses = [repodata, *(http.get(f"{prefix}/noarch/{document}", headers=headers) for document in documents)]
    for response in responses:
        control = response.headers["cache-control"]
        assert 200 == response.status_code
        assert "private" in control or "no-store" in control
        assert "public" not in control
        assert "s-maxage" not in control
        assert "access-control-allow-origin" not in response.headers


def test_channel_made_private_revalidates_no_cached_response(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 90: conditional requests with old ETags are refused and get no 304."""
    channel, file = site.new_channel(owner=owner), new_file(site)
    credentials = signed_in(site, owner)
    assert 201 == upload(http, channel, file, site.factory.key(owner)).status_code
    paths = [f"/{channel}/noarch/repodata.json", f"/{channel}/noarch/{file.name}", f"/{channel}/channeldata.json"]
    etags = [http.get(path).headers["etag"] for path in paths]
    response = http.patch(f"/api/v1/channels/{channel}", json={"public": False}, headers=credentials)
    assert 200 == response.status_code, response.text
    nonmember = bearer(site.factory.key(site.factory.user(site.new_name("nonmember"))))
    for headers, statuses in (({}, (401, 401, 401)), (nonmember, (403, 404, 404))):
        for path, etag, status in zip(paths, etags, statuses, strict=True):
            assert status == http.get(path, headers={"If-None-Match": etag, **headers}).status_code
            assert status == http.head(path, headers={"If-None-Match": "*", **headers}).status_code
