"""Two transactions on PostgreSQL, of which one waits for what the other has not committed yet."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from seaway.callers.caller import OPERATOR
from seaway.database.tables import totp
from seaway.keys import api_keys
from seaway.oauth import grants
from seaway.secret_scanning import leaked_secrets
from seaway.secret_scanning.leaked_secrets import SCANNER, ReportedSecret
from seaway.server.wiring import Seaway
from seaway.sign_in import account_security, external_identities, external_login
from seaway.sign_in.identity_providers import ExternalAccount
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor
from seaway.trusted_publishing import exchange, issuers, publishers
from seaway.trusted_publishing.publishers import Draft
from seaway.trusted_publishing.refusals import TokenRefused
from tests.support import house, issuer, state
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.requests import until

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def shared(tmp_path: Path, clock: TurnedClock) -> Iterator[Seaway]:
    with state.choose(state.POSTGRES_S3):
        built = house.build(tmp_path, clock, public_url=f"https://{issuer.AUDIENCE}")
    People(built).user("operator-of-it", admin=True)
    yield built
    built.close()
    state.forget(tmp_path)


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def begun(seaway: Seaway, beside: ThreadPoolExecutor, act: Callable[[], Any]) -> Future[Any]:
    """Begin to act in another thread; return when it waits for a lock, or has ended."""
    future = beside.submit(act)

    def waits() -> bool:
        with seaway.database.read() as tx:
            return future.done() or tx.execute(_WAITING).scalar_one() > 0

    until(waits)
    return future


def test_a_sign_in_by_a_provider_sees_a_second_factor_that_comes_meanwhile(
    shared: Seaway, beside: ThreadPoolExecutor
) -> None:
    """Else its session would outlive the end of all others that comes with the factor."""
    ada = People(shared).person("ada")
    assert ada.user_id is not None
    known = ExternalAccount("github", "https://github.com", "42", "ada", "Ada", None)
    now_ms = shared.clock.now_ms()
    with shared.database.write_user(ada.user_id) as tx:
        external_identities.link(tx, now_ms, ada, ada.user_id, known)

    def sign_in() -> object:
        with shared.database.write_part() as tx:
            external_login._lock(shared.request_parts.external_login, tx, known)
            found = external_login._result_for(
                shared.request_parts.external_login, tx, known, "/", BrowserInfo("2001:db8::1", "Firefox")
            )
        assert isinstance(found, external_login.LinkedUser)
        return found.found

    with shared.database.write_user(ada.user_id) as tx:
        tx.execute(insert(totp).values(user_id=ada.user_id, seed=b"x", confirmed_at=now_ms, last_step=0))
        account_security.end_sessions_and_notify(
            shared.request_parts.accounts, tx, now_ms, ada.user_id, "It asks for codes.", keep=None
        )
        signing_in = begun(shared, beside, sign_in)
    assert isinstance(signing_in.result(), NeedsSecondFactor)


def test_an_exchange_sees_ids_that_the_owner_pins_meanwhile(shared: Seaway, beside: ThreadPoolExecutor) -> None:
    """Another repository of that name gets no token, and the ids stay those of the owner."""
    people, parts, now_ms = People(shared), shared.request_parts.exchanging, shared.clock.now_ms()
    people.channel("harbour", owner="ada")
    draft = Draft(matched={"owner": "acme", "repository": "tools", "workflow": "release.yml"})
    with shared.database.write_site() as tx:
        issuers.set_static_keys(tx, now_ms, OPERATOR, "github", issuer.key_set("key-1"))
        made = publishers.add(tx, now_ms, OPERATOR, parts.notifier, "harbour", "github", draft)
    token = issuer.token(issuer.github(now_ms // 1000))
    pins = {"owner_id": "1", "repository_id": "1"}
    with shared.database.write_channel("harbour") as tx:
        publishers.change(tx, now_ms, OPERATOR, "harbour", made.id, replace(draft, pins=pins))
        exchanging = begun(shared, beside, lambda: exchange.exchange(parts, token, address="2001:db8::1"))
    with pytest.raises(TokenRefused):
        exchanging.result()
    with shared.database.read() as tx:
        assert pins == dict(publishers.get(tx, "harbour", made.id).criteria.pins)


def test_a_report_of_leaks_goes_on_where_a_login_ends_meanwhile(shared: Seaway, beside: ThreadPoolExecutor) -> None:
    """The other secrets of the report are revoked all the same."""
    people, now_ms = People(shared), shared.clock.now_ms()
    ada, secret = people.person("ada"), people.key("ada")
    assert ada.user_id is not None
    with shared.database.write_part() as tx:
        login, issued = grants.add(tx, now_ms, ada.user_id, "pixi", "openid channel:upload", address="2001:db8::1")
    report = [ReportedSecret(token=secret, type="key"), ReportedSecret(token=issued.refresh, type="login")]

    def revoke() -> object:
        with shared.database.write_part() as tx:
            return leaked_secrets.revoke(tx, now_ms, SCANNER, report, notifications=shared.request_parts.accounts)

    with shared.database.write_user(ada.user_id) as tx:
        grants.revoke(tx, now_ms, ada, ada.user_id, login)
        revoking = begun(shared, beside, revoke)
    assert [True, True] == [label.is_ours for label in revoking.result()]
    with shared.database.read() as tx:
        assert api_keys.caller_of(tx, secret, now_ms) is None
