"""
rattler's own code with a login of ours: py-rattler and rattler-build refresh it, store the next tokens and go on.

The login itself is the command line's (pixi, rattler), which has no Python package; its requests are those of
`tests/http/test_openid.py`.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seaway.oauth import grants
from seaway.oauth.grants import IssuedTokens
from seaway.users import users
from tests.clients.test_rattler import ALL, APP, HOST, Owned, Publisher, Reader, stock
from tests.conftest import Site


def log_in(site: Site, user: str) -> IssuedTokens:
    """What the tool has after its user agreed."""
    database = site.factory.seaway.site.database
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        now_ms, user_id = site.factory.seaway.site.clock.now_ms(), users.get(tx, user).id
        return grants.add(tx, now_ms, user_id, "rattler", "openid channel:read channel:upload", address="")[1]


def stored(site: Site, issued: IssuedTokens, *, expires_in: int) -> dict[str, Any]:
    """The credential as `auth login --oauth` stores it."""
    address = site.server.address
    login = {
        "access_token": issued.access, "refresh_token": issued.refresh, "expires_at": int(time.time()) + expires_in,
        "token_endpoint": f"{address}/api/oauth/token", "revocation_endpoint": f"{address}/api/oauth/revoke",
        "client_id": "rattler",
    }  # fmt: skip
    return {HOST: {"OAuth": login}}


@pytest.fixture(scope="module")
def private(site: Site) -> tuple[Owned, str]:
    """A private channel with packages, and its owner."""
    owned = stock(site, public=False)
    with site.client(owned.key) as http:
        name = http.post("/api/graphql", json={"query": "query { viewer { login } }"}).json()["data"]["viewer"]["login"]
    return owned, name


def query(reader: Reader, channel: str) -> dict[str, Any]:
    return reader.action("query", reader.url(channel), "app", "lib", "native")


def test_a_login_reads_a_private_channel(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """While the access token is good, nothing is refreshed."""
    owned, user = private
    reader, auth = Reader(site, tmp_path), stored(site, log_in(site, user), expires_in=3_600)
    told = reader.run(query(reader, owned.channel), auth=auth)
    assert [ALL] == [one.get("files") for one in told], told
    assert auth == json.loads((tmp_path / "auth.json").read_text())


def test_an_expired_login_is_refreshed_and_stored(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """rattler asks our token endpoint, takes the next tokens, and keeps them for the next time."""
    owned, user = private
    reader, issued = Reader(site, tmp_path), log_in(site, user)
    told = reader.run(query(reader, owned.channel), auth=stored(site, issued, expires_in=-10))
    assert [ALL] == [one.get("files") for one in told], told
    kept = json.loads((tmp_path / "auth.json").read_text())[HOST]["OAuth"]
    assert {issued.access, issued.refresh}.isdisjoint({kept["access_token"], kept["refresh_token"]})
    assert kept["expires_at"] > time.time() + 3_000
    with site.client(kept["access_token"]) as http:
        assert 200 == http.get(f"/{owned.channel}/noarch/repodata.json").status_code


def test_two_processes_refresh_one_login(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """Neither knows of the other, and both go on."""
    owned, user = private
    auth = stored(site, log_in(site, user), expires_in=-10)
    readers = [Reader(site, tmp_path / name) for name in ("one", "other")]
    for reader in readers:
        reader.folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda reader: reader.run(query(reader, owned.channel), auth=auth), readers))
    assert [[ALL], [ALL]] == [[one.get("files") for one in each] for each in told], told


def test_an_ended_login_asks_for_another(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """After the user ended it, the request goes without a credential and is refused."""
    owned, user = private
    issued, database = log_in(site, user), site.factory.seaway.site.database
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        grants.revoke_token(tx, site.factory.seaway.site.clock.now_ms(), issued.refresh, "rattler", address="")
    reader = Reader(site, tmp_path)
    told = reader.run(query(reader, owned.channel), auth=stored(site, issued, expires_in=-10))
    assert ["401" in one.get("error", "") for one in told] == [True], told


def test_rattler_build_publishes_with_an_expired_login(site: Site, tmp_path: Path) -> None:
    """The refreshed token has the scope to upload."""
    user = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=user)
    auth = stored(site, log_in(site, user), expires_in=-10)
    assert "" == Publisher(site, tmp_path).upload(channel, APP, auth=auth)
