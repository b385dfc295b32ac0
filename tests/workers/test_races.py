"""Two transactions on PostgreSQL, of which one waits for the commit of the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import insert, text

from seaway.callers.caller import OPERATOR
from seaway.database.tables import totp
from seaway.errors import Conflict
from seaway.keys import api_keys
from seaway.oauth import grants, provider
from seaway.packages import removal
from seaway.packages.removal import FileAction, select_files
from seaway.secret_scanning import leaked_secrets
from seaway.secret_scanning.leaked_secrets import SCANNER, ReportedSecret
from seaway.server.wiring import Seaway
from seaway.sign_in import account_security, external_identities, external_login
from seaway.sign_in.identity_providers import ExternalAccount
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor
from seaway.trusted_publishing import exchange, issuers, publishers
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.trusted_publishing.refusals import TokenRefused
from tests.support import issuer, sites, state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.requests import wait_until
from tests.support.sites import Factory

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def shared(tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    with state.choose(state.POSTGRES_S3):
        built = sites.build(tmp_path, clock, public_url=f"https://{issuer.AUDIENCE}")
    Factory(built).user("operator-of-it", admin=True)
    yield built
    built.close()
    state.forget(tmp_path)


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def start_and_wait(
    seaway: Seaway, other_thread: ThreadPoolExecutor, act: Callable[[], Any], *, waiting: int = 1
) -> Future[Any]:
    """Run `act` in another thread; return when so many wait for a lock, or when it has ended."""
    future = other_thread.submit(act)

    def waits() -> bool:
        with seaway.site.database.read() as tx:
            return future.done() or tx.execute(_WAITING).scalar_one() >= waiting

    wait_until(waits)
    return future


def test_an_external_sign_in_sees_a_concurrently_added_second_factor(
    shared: Seaway, other_thread: ThreadPoolExecutor
) -> None:
    """Otherwise its session would survive, although adding the factor ends all others."""
    ada = Factory(shared).signed_in("ada")
    assert ada.user_id is not None
    account = ExternalAccount("github", "https://github.com", "42", "ada", "Ada", None)
    now_ms = shared.site.clock.now_ms()
    with shared.site.database.write_user(ada.user_id) as tx:
        external_identities.link(tx, now_ms, ada, ada.user_id, account)

    def sign_in() -> object:
        with shared.site.database.write_unlocked() as tx:
            external_login._lock(shared.request_parts.external_login, tx, account)
            result = external_login._result_for(
                shared.request_parts.external_login, tx, account, "/", BrowserInfo("2001:db8::1", "Firefox")
            )
        assert isinstance(result, external_login.LinkedUser)
        return result.found

    with shared.site.database.write_user(ada.user_id) as tx:
        tx.execute(insert(totp).values(user_id=ada.user_id, seed=b"x", confirmed_at=now_ms, last_step=0))
        account_security.end_sessions_and_notify(
            shared.request_parts.accounts, tx, now_ms, ada.user_id, "It asks for codes.", keep=None
        )
        signing_in = start_and_wait(shared, other_thread, sign_in)
    assert isinstance(signing_in.result(), NeedsSecondFactor)


def test_a_token_exchange_sees_concurrently_pinned_ids(shared: Seaway, other_thread: ThreadPoolExecutor) -> None:
    """Another repository with the same name gets no token, and the pinned ids stay."""
    factory, parts, now_ms = Factory(shared), shared.request_parts.exchanging, shared.site.clock.now_ms()
    factory.channel("harbour", owner="ada")
    settings = PublisherSettings(fields={"owner": "acme", "repository": "tools", "workflow": "release.yml"})
    with shared.site.database.write_site() as tx:
        issuers.set_static_keys(tx, now_ms, OPERATOR, "github", issuer.key_set("key-1"))
        publisher = publishers.add(
            tx, now_ms, OPERATOR, shared.request_parts.accounts.outbox, "harbour", "github", settings
        )
    token = issuer.token(issuer.github(now_ms // 1000))
    pins = {"owner_id": "1", "repository_id": "1"}
    with shared.site.database.write_channel("harbour") as tx:
        publishers.change(tx, now_ms, OPERATOR, "harbour", publisher.id, PublisherSettings(pinned=pins))
        exchanging = start_and_wait(
            shared, other_thread, lambda: exchange.exchange(parts, token, address="2001:db8::1")
        )
    with pytest.raises(TokenRefused):
        exchanging.result()
    with shared.site.database.read() as tx:
        assert pins == dict(publishers.get(tx, "harbour", publisher.id).criteria.pins)


def test_a_leak_report_continues_if_a_grant_is_revoked_concurrently(
    shared: Seaway, other_thread: ThreadPoolExecutor
) -> None:
    """The other secrets of the report are still revoked."""
    factory, now_ms = Factory(shared), shared.site.clock.now_ms()
    ada, secret = factory.signed_in("ada"), factory.key("ada")
    assert ada.user_id is not None
    with shared.site.database.write_unlocked() as tx:
        grant, issued = grants.add(tx, now_ms, ada.user_id, "pixi", "openid channel:upload", address="2001:db8::1")
    report = [ReportedSecret(token=secret, type="key"), ReportedSecret(token=issued.refresh, type="login")]

    def revoke() -> object:
        with shared.site.database.write_unlocked() as tx:
            return leaked_secrets.revoke(
                shared.site.database, tx, now_ms, SCANNER, report, outbox=shared.request_parts.accounts.outbox
            )

    with shared.site.database.write_user(ada.user_id) as tx:
        grants.revoke(shared.site.database, tx, now_ms, ada, ada.user_id, grant)
        revoking = start_and_wait(shared, other_thread, revoke)
    assert [True, True] == [label.is_ours for label in revoking.result()]
    with shared.site.database.read() as tx:
        assert api_keys.caller_of(tx, secret, now_ms) is None


def test_a_refresh_during_a_logout_is_refused(shared: Seaway, other_thread: ThreadPoolExecutor) -> None:
    """The tool gets an OAuth error, as after the logout, and not an error of the server."""
    factory, now_ms = Factory(shared), shared.site.clock.now_ms()
    ada, parts = factory.signed_in("ada"), shared.request_parts
    assert ada.user_id is not None
    with shared.site.database.write_unlocked() as tx:
        grant, issued = grants.add(tx, now_ms, ada.user_id, "rattler", "openid channel:upload", address="2001:db8::1")
    form = {"grant_type": "refresh_token", "client_id": "rattler", "refresh_token": issued.refresh}

    with shared.site.database.write_user(ada.user_id) as tx:
        grants.revoke(shared.site.database, tx, now_ms, ada, ada.user_id, grant)
        refreshing = start_and_wait(
            shared, other_thread, lambda: provider.issue(parts.openid, form, address="2001:db8::1")
        )
    refused = refreshing.result()
    assert isinstance(refused, grants.OAuthError)
    assert "invalid_grant" == refused.code


def test_undo_of_a_yank_sees_a_concurrent_yank(shared: Seaway) -> None:
    """It waits for the channel before it reads which files are still yanked by the change."""
    factory, file = Factory(shared), conda(index_json())
    channel = factory.channel("harbour")
    anyio.run(sites.publish_file, shared, channel, file)
    chosen = select_files(files=[f"noarch/{file.name}"])
    yank = partial(removal.change, shared.site, OPERATOR, channel, FileAction.YANK, chosen)
    first = yank().yank
    assert first is not None
    with ThreadPoolExecutor(2) as threads:
        with shared.site.database.write_channel(channel):
            again = start_and_wait(shared, threads, partial(yank, reason="a leak"))
            undoing = start_and_wait(
                shared, threads, lambda: removal.undo_yank(shared.site, OPERATOR, channel, first), waiting=2
            )
        assert (f"noarch/{file.name}",) == again.result().files
        with pytest.raises(Conflict, match="can no longer be undone"):
            undoing.result()
