"""
rattler's code with an OAuth login at Seaway: py-rattler and rattler-build refresh it and store the new tokens.

The login itself is part of the command-line tools (pixi, rattler), which have no Python package; its requests are those
of `tests/http/test_openid.py`.
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
    """Return the tokens of a tool that the user has authorized."""
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


def test_login_reads_a_private_channel(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """A valid access token is not refreshed."""
    owned, user = private
    reader, auth = Reader(site, tmp_path), stored(site, log_in(site, user), expires_in=3_600)
    results = reader.run(query(reader, owned.channel), auth=auth)
    assert [ALL] == [result.get("files") for result in results], results
    assert auth == json.loads((tmp_path / "auth.json").read_text())


def test_expired_login_is_refreshed_and_stored(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """rattler requests new tokens from the token endpoint and stores them."""
    owned, user = private
    reader, issued = Reader(site, tmp_path), log_in(site, user)
    results = reader.run(query(reader, owned.channel), auth=stored(site, issued, expires_in=-10))
    assert [ALL] == [result.get("files") for result in results], results
    refreshed = json.loads((tmp_path / "auth.json").read_text())[HOST]["OAuth"]
    assert {issued.access, issued.refresh}.isdisjoint({refreshed["access_token"], refreshed["refresh_token"]})
    assert refreshed["expires_at"] > time.time() + 3_000
    with site.client(refreshed["access_token"]) as http:
        assert 200 == http.get(f"/{owned.channel}/noarch/repodata.json").status_code


def test_two_processes_can_refresh_one_login(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """Concurrent refreshes of one token both succeed."""
    owned, user = private
    auth = stored(site, log_in(site, user), expires_in=-10)
    readers = [Reader(site, tmp_path / name) for name in ("first", "second")]
    for reader in readers:
        reader.folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda reader: reader.run(query(reader, owned.channel), auth=auth), readers))
    assert [[ALL], [ALL]] == [[result.get("files") for result in each] for each in results], results


def test_revoked_login_is_refused(site: Site, tmp_path: Path, private: tuple[Owned, str]) -> None:
    """After the revocation, the client sends its request without a credential."""
    owned, user = private
    issued, database = log_in(site, user), site.factory.seaway.site.database
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        grants.revoke_token(tx, site.factory.seaway.site.clock.now_ms(), issued.refresh, "rattler", address="")
    reader = Reader(site, tmp_path)
    results = reader.run(query(reader, owned.channel), auth=stored(site, issued, expires_in=-10))
    assert ["401" in result.get("error", "") for result in results] == [True], results


def test_rattler_build_publishes_with_an_expired_login(site: Site, tmp_path: Path) -> None:
    """The refreshed token has the scope to upload."""
    user = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=user)
    auth = stored(site, log_in(site, user), expires_in=-10)
    assert "" == Publisher(site, tmp_path).upload(channel, APP, auth=auth)
