"""A house that trusts workflows, at a public address of its own, with issuers whose keys the tests have."""

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

from seaway.callers.caller import OPERATOR, Mode
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.publishers import Draft, Publisher
from tests.support import house, issuer
from tests.support.clock import TurnedClock
from tests.support.house import People

MINT = "/api/oidc/mint_token"
GITHUB = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
GITLAB = {"namespace": "acme/team", "project": "tools"}
GOOGLE = {"email": "builder@acme.iam.gserviceaccount.com", "sub": "113774264463038321964"}


@dataclass
class Trust:
    """A house, and shorthand for what makes it trust."""

    seaway: Seaway

    @property
    def people(self) -> People:
        return People(self.seaway)

    def trust(self, channel: str, issuer_name: str, matched: dict[str, str], **draft: Any) -> Publisher:
        with self.seaway.database.write_site() as tx:
            return publishers.add(
                tx,
                self.seaway.clock.now_ms(),
                OPERATOR,
                self.seaway.request_parts.exchanging.notifier,
                channel,
                issuer_name,
                Draft(matched=matched, **draft),
            )

    def keys(self, issuer_name: str, *names: str) -> None:
        with self.seaway.database.write_site() as tx:
            issuers.set_static_keys(tx, self.seaway.clock.now_ms(), OPERATOR, issuer_name, issuer.key_set(*names))


@dataclass
class Trusting(Trust):
    """The same, with its clock and the exchange."""

    clock: TurnedClock
    portal: BlockingPortal
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        transport = httpx.ASGITransport(app=_from_many_places(create_app(self.seaway)), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=f"https://{issuer.AUDIENCE}")

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request, through the whole application."""
        return self.portal.call(partial(self.http.request, method, path, **request))

    @property
    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def mint(self, text: str) -> httpx.Response:
        return self.ask("POST", MINT, json={"token": text})

    def minted(self, text: str) -> str:
        answer = self.mint(text)
        assert 200 == answer.status_code, answer.text
        return answer.text

    def read(self, channel: str, secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return self.ask("GET", f"/{channel}/noarch/repodata.json", headers=headers).status_code


def _from_many_places(app: ASGIApp) -> ASGIApp:
    """Each request comes from an address of its own, unless it says from which: what is limited is each address."""
    numbers = count(1)

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        told = dict(scope.get("headers", ())).get(b"test-address", b"").decode()
        number = next(numbers)
        scope["client"] = (told or f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1234)
        await app(scope, receive, send)

    return elsewhere


@contextmanager
def trusting(folder: Path, clock: TurnedClock, **settings: Any) -> Iterator[Trusting]:
    """A house with the issuers' keys as files."""
    seaway = house.build(folder, clock, **{"public_url": f"https://{issuer.AUDIENCE}", **settings})
    with start_blocking_portal() as portal:
        made = Trusting(seaway, clock, portal)
        made.keys("github", "key-1", "github-2")
        made.keys("gitlab", "key-1", "gitlab-2")
        made.keys("google", "key-1")
        yield made
        portal.call(made.http.aclose)
    seaway.close()


@pytest.fixture
def here(tmp_path: Path, clock: TurnedClock) -> Iterator[Trusting]:
    """A fresh house with a private channel `harbour` that trusts one workflow of each issuer."""
    with trusting(tmp_path, clock) as made:
        made.people.channel("harbour", public=False)
        made.trust("harbour", "github", GITHUB)
        made.trust("harbour", "gitlab", GITLAB)
        made.trust("harbour", "google", GOOGLE, mode=Mode.READ)
        yield made
