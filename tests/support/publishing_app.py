"""A Seaway instance with a public URL, trusted publishers, and issuers whose signing keys the tests hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp, Receive, Scope, Send

from seaway.callers.caller import OPERATOR
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from tests.support import issuer, sites
from tests.support.clock import ManualClock
from tests.support.sites import Factory

MINT = "/api/oidc/mint_token"
GITHUB = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
GITLAB = {"namespace": "acme/team", "project": "tools"}
GOOGLE = {"email": "builder@acme.iam.gserviceaccount.com", "sub": "113774264463038321964"}


@dataclass
class Trust:
    """A Seaway instance with shorthand that adds publishers and issuer keys."""

    seaway: Seaway

    @property
    def factory(self) -> Factory:
        return Factory(self.seaway)

    def trust(self, channel: str, issuer_name: str, matched: dict[str, str], **settings: Any) -> Publisher:
        with self.seaway.site.database.write_site() as tx:
            return publishers.add(
                tx,
                self.seaway.site.clock.now_ms(),
                OPERATOR,
                self.seaway.request_parts.accounts.outbox,
                channel,
                issuer_name,
                PublisherSettings(fields=matched, **settings),
            )

    def keys(self, issuer_name: str, *names: str) -> None:
        with self.seaway.site.database.write_site() as tx:
            issuers.set_static_keys(tx, self.seaway.site.clock.now_ms(), OPERATOR, issuer_name, issuer.key_set(*names))


@dataclass
class PublishingApp(Trust):
    """A Seaway instance with its clock and an HTTP client of the application."""

    clock: ManualClock
    portal: BlockingPortal
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        transport = httpx.ASGITransport(app=_with_client_addresses(create_app(self.seaway)), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=f"https://{issuer.AUDIENCE}")

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request through the complete application."""
        return self.portal.call(partial(self.http.request, method, path, **options))

    @property
    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def mint(self, text: str) -> httpx.Response:
        """Request the exchange of an issuer's token."""
        return self.request("POST", MINT, json={"token": text})

    def workflow_token(self, text: str) -> str:
        """Exchange an issuer's token and return the publish token."""
        response = self.mint(text)
        assert 200 == response.status_code, response.text
        return response.text

    def read_status(self, channel: str, secret: str) -> int:
        """Return the status of a repodata request."""
        headers = {"Authorization": f"Bearer {secret}"}
        return self.request("GET", f"/{channel}/noarch/repodata.json", headers=headers).status_code


def _with_client_addresses(app: ASGIApp) -> ASGIApp:
    """Give each request its own client address, because rates are limited per address; a header can name one."""
    numbers = count(1)

    async def with_client_address(scope: Scope, receive: Receive, send: Send) -> None:
        header = dict(scope.get("headers", ())).get(b"test-address", b"").decode()
        number = next(numbers)
        scope["client"] = (header or f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1234)
        await app(scope, receive, send)

    return with_client_address


@contextmanager
def publishing_app(folder: Path, clock: ManualClock, **settings: Any) -> Iterator[PublishingApp]:
    """Build a Seaway instance with static issuer keys."""
    seaway = sites.build(folder, clock, **{"public_url": f"https://{issuer.AUDIENCE}", **settings})
    with start_blocking_portal() as portal:
        app = PublishingApp(seaway, clock, portal)
        app.keys("github", "key-1", "github-2")
        app.keys("gitlab", "key-1", "gitlab-2")
        app.keys("google", "key-1")
        yield app
        portal.call(app.http.aclose)
    seaway.close()


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[PublishingApp]:
    """A new instance whose private channel `harbour` trusts one workflow of each issuer."""
    with publishing_app(tmp_path, clock) as built:
        built.factory.channel("harbour", public=False)
        built.trust("harbour", "github", GITHUB)
        built.trust("harbour", "gitlab", GITLAB)
        built.trust("harbour", "google", GOOGLE, mode="READ")
        yield built
