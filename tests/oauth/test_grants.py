"""OAuth grants of command-line tools: authorization, tokens, refresh and revocation."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import select

from seaway import secret_tokens
from seaway.callers.caller import OPERATOR, Caller, CredentialKind, Mode
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from seaway.database import tables
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.oauth import codes, grants
from seaway.oauth.codes import AuthorizationRequest
from seaway.oauth.grants import IssuedTokens, OAuthError
from seaway.server.wiring import Seaway
from seaway.sign_in import user_access
from seaway.users import users
from tests.support.clock import ManualClock
from tests.support.sites import Factory

Result = TypeVar("Result")

CLIENT = "rattler"
SCOPE = "openid channel:read channel:upload"
REDIRECT = "http://127.0.0.1:40000"


@dataclass(frozen=True)
class OAuthGrants:
    """OAuth operations of one user, each in its own transaction, as in the endpoints."""

    seaway: Seaway
    clock: ManualClock
    user: Caller

    def run(self, operation: Callable[..., Result], *args: object, **options: object) -> Result:
        with self.seaway.site.database.write_unlocked() as tx:
            grants.lock(self.seaway.site.database, tx)
            return operation(tx, self.clock.now_ms(), *args, **options)

    def revoke(self, user_id: int, grant_id: int) -> None:
        with self.seaway.site.database.write_user(user_id) as tx:
            grants.revoke(self.seaway.site.database, tx, self.clock.now_ms(), self.user, user_id, grant_id)

    def add_grant(self, scope: str = SCOPE) -> IssuedTokens:
        assert self.user.user_id is not None
        return self.run(grants.add, self.user.user_id, CLIENT, scope, address="192.0.2.7")[1]

    def refresh(self, secret: str, client: str = CLIENT) -> IssuedTokens | OAuthError:
        return self.run(grants.refresh, secret, client, address="192.0.2.8")

    def caller_of(self, secret: str) -> Caller | None:
        with self.seaway.site.database.read() as tx:
            return grants.caller_of(tx, secret, self.clock.now_ms())

    def user_grants(self) -> list[grants.OAuthGrant]:
        assert self.user.user_id is not None
        with self.seaway.site.database.read() as tx:
            return grants.of_user(tx, self.user.user_id, self.clock.now_ms())

    def poll(self, secret: str, client: str = CLIENT) -> str:
        """Poll with a device code; return the error code, or "ok" when tokens were issued."""
        response = self.run(codes.exchange_device, secret, client, address="192.0.2.9")
        return response.code if isinstance(response, OAuthError) else "ok"

    def code(self, verifier: str) -> str:
        request = AuthorizationRequest(CLIENT, REDIRECT, SCOPE, codes.challenge_of(verifier), "nonce")
        return self.run(codes.add_code, self.user, request)

    def exchange(
        self, code: str, verifier: str, redirect: str = REDIRECT, client: str = CLIENT
    ) -> IssuedTokens | OAuthError:
        return self.run(
            codes.exchange_code, code, client, redirect_uri=redirect, verifier=verifier, address="192.0.2.9"
        )

    def disable(self) -> None:
        with self.seaway.site.database.write_site() as tx:
            user_access.set_disabled(tx, self.clock.now_ms(), OPERATOR, self.user.name, disabled=True)

    def audit_entries(self) -> list[tuple[str, str]]:
        with self.seaway.site.database.read() as tx:
            return [
                (row.action, row.actor)
                for row in tx.execute(select(tables.audit).order_by(tables.audit.c.id))
                if row.action.startswith("tool.")
            ]


@pytest.fixture
def oauth(seaway: Seaway, clock: ManualClock, factory: Factory) -> OAuthGrants:
    factory.user("alice")
    with seaway.site.database.read() as tx:
        return OAuthGrants(
            seaway, clock, Caller("alice", users.get(tx, "alice").id, CredentialKind.PERSON, address="192.0.2.1")
        )


# Tokens


def test_access_token_identifies_its_user_within_its_scope(oauth: OAuthGrants) -> None:
    """It has the mode of the scope, covers all channels of the user, and expires after an hour."""
    issued = oauth.add_grant()
    by = oauth.caller_of(issued.access)
    assert by is not None
    assert ("alice", CredentialKind.TOOL, Mode.READ_WRITE, None) == (by.name, by.credential, by.mode, by.channel_ids)
    assert by.expires_at_ms == oauth.clock.now_ms() + HOUR_MS
    assert "alice (tool rattler)" == by.actor.name
    oauth.clock.move(HOUR_MS)
    assert oauth.caller_of(issued.access) is None


def test_refresh_token_does_not_authenticate(oauth: OAuthGrants) -> None:
    """It works only at the token endpoint, and an access token does not refresh."""
    issued = oauth.add_grant()
    assert oauth.caller_of(issued.refresh) is None
    assert isinstance(oauth.refresh(issued.access), OAuthError)


def test_tokens_and_codes_are_not_stored(oauth: OAuthGrants) -> None:
    """Invariant 1: no row of the database contains any of them."""
    verifier = secrets.token_urlsafe(48)
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="192.0.2.9")
    issued = oauth.add_grant()
    secrets_held = [issued.access, issued.refresh, device, user_code, user_code.replace("-", ""), oauth.code(verifier)]
    with oauth.seaway.site.database.read() as tx:
        stored = "".join(
            str(tuple(row)) for table in tables.metadata.sorted_tables for row in tx.execute(select(table))
        )
    assert [] == [secret for secret in secrets_held if secret in stored]
    assert all(secret_tokens.mask(secret) != secret for secret in secrets_held if secret.startswith("swy-"))


def test_refreshing_extends_the_grant(oauth: OAuthGrants) -> None:
    """Each refresh issues two new tokens and extends the grant by 90 days."""
    issued = oauth.add_grant()
    for _ in range(5):
        oauth.clock.move(80 * DAY_MS)
        response = oauth.refresh(issued.refresh)
        assert isinstance(response, IssuedTokens)
        issued = response
    assert oauth.caller_of(issued.access) is not None
    assert ["192.0.2.8"] == [grant.address for grant in oauth.user_grants()]
    oauth.clock.move(90 * DAY_MS)
    assert isinstance(oauth.refresh(issued.refresh), OAuthError)
    assert [] == oauth.user_grants()


def test_two_processes_can_use_the_same_refresh_token_within_a_minute(oauth: OAuthGrants) -> None:
    """Invariant 3: both continue, whichever response is stored last, and there is one grant."""
    original = oauth.add_grant()
    first = oauth.refresh(original.refresh)
    oauth.clock.move(59 * SECOND_MS)
    second = oauth.refresh(original.refresh)
    assert isinstance(first, IssuedTokens)
    assert isinstance(second, IssuedTokens)
    assert {first.refresh, second.refresh}.isdisjoint({original.refresh})
    oauth.clock.move(HOUR_MS)
    latest = oauth.refresh(first.refresh)
    assert isinstance(latest, IssuedTokens)
    assert isinstance(oauth.refresh(second.refresh), IssuedTokens)
    assert 1 == len(oauth.user_grants())


@pytest.mark.parametrize("stolen", ["the replaced token", "the second of two responses"])
def test_replaced_refresh_token_revokes_the_grant(oauth: OAuthGrants, stolen: str) -> None:
    """Invariant 4: after the grace period a replaced token must be a copy, so the whole grant is revoked."""
    original = oauth.add_grant()
    first, second = oauth.refresh(original.refresh), oauth.refresh(original.refresh)
    assert isinstance(first, IssuedTokens)
    assert isinstance(second, IssuedTokens)
    oauth.clock.move(MINUTE_MS)
    newest = oauth.refresh(first.refresh)
    assert isinstance(newest, IssuedTokens)
    oauth.clock.move(MINUTE_MS)
    copy = original.refresh if stolen == "the replaced token" else second.refresh
    response = oauth.refresh(copy)
    assert isinstance(response, OAuthError)
    assert "invalid_grant" == response.code
    assert oauth.caller_of(newest.access) is None
    assert isinstance(oauth.refresh(newest.refresh), OAuthError)
    assert ("tool.ended", "alice (tool rattler)") == oauth.audit_entries()[-1]


def test_concurrent_refreshes_all_succeed(oauth: OAuthGrants) -> None:
    original = oauth.add_grant()
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(oauth.refresh, [original.refresh] * 8))
    assert {IssuedTokens} == {type(response) for response in responses}
    assert 8 == len({response.refresh for response in responses if isinstance(response, IssuedTokens)})


def test_grants_of_disabled_user_are_refused(oauth: OAuthGrants) -> None:
    """Invariant 2: tokens stop working on the next request, and no new ones are issued, even for an approved device."""
    issued = oauth.add_grant()
    verifier = secrets.token_urlsafe(48)
    code = oauth.code(verifier)
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    assert oauth.run(codes.decide_device, oauth.user, user_code, approved=True)
    oauth.disable()
    assert oauth.caller_of(issued.access) is None
    assert isinstance(oauth.refresh(issued.refresh), OAuthError)
    assert isinstance(oauth.exchange(code, verifier), OAuthError)
    assert "access_denied" == oauth.poll(device)


def test_user_revokes_own_grant_by_id(oauth: OAuthGrants) -> None:
    issued, other_issued = oauth.add_grant(), oauth.add_grant("channel:delete")
    newest, oldest = oauth.user_grants()
    assert (Mode.READ_WRITE_DELETE, Mode.READ_WRITE) == (newest.mode, oldest.mode)
    assert oauth.user.user_id is not None
    with pytest.raises(NotFound):
        oauth.revoke(oauth.user.user_id + 1, oldest.id)
    oauth.revoke(oauth.user.user_id, oldest.id)
    assert oauth.caller_of(issued.access) is None
    assert oauth.caller_of(other_issued.access) is not None
    assert ("tool.revoked", "alice") == oauth.audit_entries()[-1]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_revoking_a_token_revokes_its_grant(oauth: OAuthGrants, kind: str) -> None:
    """RFC 7009: both tokens are revoked; an unknown token or one of another client changes nothing."""
    issued = oauth.add_grant()
    oauth.run(grants.revoke_token, getattr(issued, kind), "other", address="")
    oauth.run(grants.revoke_token, secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_ACCESS), CLIENT, address="")
    assert oauth.caller_of(issued.access) is not None
    oauth.run(grants.revoke_token, getattr(issued, kind), CLIENT, address="")
    assert oauth.caller_of(issued.access) is None
    assert isinstance(oauth.refresh(issued.refresh), OAuthError)


def test_expired_grants_and_codes_are_deleted(oauth: OAuthGrants) -> None:
    old = oauth.add_grant()
    oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    oauth.code(secrets.token_urlsafe(48))
    oauth.clock.move(60 * DAY_MS)
    used = oauth.add_grant()
    oauth.clock.move(31 * DAY_MS)

    def forget(tx: Tx, now_ms: int) -> int:
        assert 2 == codes.delete_expired(tx, now_ms)
        return grants.delete_expired(tx, now_ms)

    assert 1 == oauth.run(forget)
    with oauth.seaway.site.database.read() as tx:
        rows = [len(tx.execute(select(table)).all()) for table in (tables.cli_devices, tables.cli_codes)]
    assert [0, 0] == rows
    assert isinstance(oauth.refresh(old.refresh), OAuthError)
    assert isinstance(oauth.refresh(used.refresh), IssuedTokens)


# Device codes


def test_device_code_is_exchanged_once_after_approval(oauth: OAuthGrants) -> None:
    """RFC 8628."""
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="192.0.2.9")
    assert "authorization_pending" == oauth.poll(device)
    authorization = oauth.run(codes.find_device, user_code.lower().replace("-", " "))
    assert codes.DeviceAuthorization(CLIENT, SCOPE, "192.0.2.9") == authorization
    assert oauth.run(codes.decide_device, oauth.user, user_code, approved=True)
    oauth.clock.move(5 * SECOND_MS)
    assert ["ok", "invalid_grant"] == [oauth.poll(device), oauth.poll(device)]
    assert [("tool.allowed", "alice"), ("tool.logged-in", "alice (tool rattler)")] == oauth.audit_entries()


def test_denied_device_code_returns_access_denied(oauth: OAuthGrants) -> None:
    """A code that was decided cannot be decided again."""
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    assert oauth.run(codes.decide_device, oauth.user, user_code, approved=False)
    assert not oauth.run(codes.decide_device, oauth.user, user_code, approved=True)
    assert "access_denied" == oauth.poll(device)
    assert [] == oauth.user_grants()


def test_frequent_polling_returns_slow_down(oauth: OAuthGrants) -> None:
    """The interval grows by five seconds each time (RFC 8628, 3.5); polling slowly works again."""
    device, _ = oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    assert ["authorization_pending", "slow_down", "slow_down"] == [oauth.poll(device) for _ in range(3)]
    oauth.clock.move(10 * SECOND_MS)
    assert "slow_down" == oauth.poll(device)
    oauth.clock.move(20 * SECOND_MS)
    assert "authorization_pending" == oauth.poll(device)


def test_device_code_expires_after_ten_minutes(oauth: OAuthGrants) -> None:
    """The tool gets expired_token, and the page does not find the code."""
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    oauth.clock.move(10 * MINUTE_MS)
    assert oauth.run(codes.find_device, user_code) is None
    assert not oauth.run(codes.decide_device, oauth.user, user_code, approved=True)
    assert "expired_token" == oauth.poll(device)


def test_device_code_is_bound_to_its_client(oauth: OAuthGrants) -> None:
    device, user_code = oauth.run(codes.add_device, CLIENT, SCOPE, address="")
    oauth.run(codes.decide_device, oauth.user, user_code, approved=True)
    assert ["invalid_grant", "invalid_grant", "ok"] == [
        oauth.poll(device, "other"),
        oauth.poll("x"),
        oauth.poll(device),
    ]


# Authorization codes


def test_authorization_code_needs_the_verifier(oauth: OAuthGrants) -> None:
    """Invariant 3; the response contains the nonce."""
    verifier = secrets.token_urlsafe(48)
    response = oauth.exchange(oauth.code(verifier), verifier)
    assert isinstance(response, IssuedTokens)
    assert "nonce" == response.nonce
    assert oauth.caller_of(response.access) is not None


@pytest.mark.parametrize("wrong", ["verifier", "short verifier", "redirect", "client", "late", "unknown"])
def test_authorization_code_is_bound_to_its_request(oauth: OAuthGrants, wrong: str) -> None:
    """Each bound value is compared; a failed attempt does not use up the code, unless it expired."""
    verifier = secrets.token_urlsafe(48)
    code = oauth.code(verifier)
    tries = {
        "verifier": lambda: oauth.exchange(code, secrets.token_urlsafe(48)),
        "short verifier": lambda: oauth.exchange(code, "x"),
        "redirect": lambda: oauth.exchange(code, verifier, redirect="http://127.0.0.1:40001"),
        "client": lambda: oauth.exchange(code, verifier, client="other"),
        "unknown": lambda: oauth.exchange(secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_CODE), verifier),
        "late": lambda: oauth.clock.move(MINUTE_MS) or oauth.exchange(code, verifier),
    }
    response = tries[wrong]()
    assert isinstance(response, OAuthError)
    assert "invalid_grant" == response.code
    assert isinstance(oauth.exchange(code, verifier), OAuthError if wrong == "late" else IssuedTokens)


def test_reused_authorization_code_revokes_its_grant(oauth: OAuthGrants) -> None:
    """Invariant 3: the code was stolen if two clients have it; no further grant is created."""
    verifier = secrets.token_urlsafe(48)
    code = oauth.code(verifier)
    response = oauth.exchange(code, verifier)
    assert isinstance(response, IssuedTokens)
    assert [OAuthError, OAuthError] == [type(oauth.exchange(code, verifier)) for _ in range(2)]
    assert oauth.caller_of(response.access) is None
    assert [] == oauth.user_grants()
