"""Logins of command-line tools: who gets tokens, how they follow one another, and what ends them."""

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
from tests.support.clock import TurnedClock
from tests.support.house import People

Result = TypeVar("Result")

CLIENT = "rattler"
SCOPE = "openid channel:read channel:upload"
REDIRECT = "http://127.0.0.1:40000"


@dataclass(frozen=True)
class Desk:
    """Everything that can be asked, each in a transaction of its own, as the endpoints do it."""

    seaway: Seaway
    clock: TurnedClock
    person: Caller

    def do(self, act: Callable[..., Result], *args: object, **named: object) -> Result:
        with self.seaway.database.write_unlocked() as tx:
            grants.lock(self.seaway.database, tx)
            return act(tx, self.clock.now_ms(), *args, **named)

    def log_in(self, scope: str = SCOPE) -> IssuedTokens:
        assert self.person.user_id is not None
        return self.do(grants.add, self.person.user_id, CLIENT, scope, address="192.0.2.7")[1]

    def refresh(self, secret: str, client: str = CLIENT) -> IssuedTokens | OAuthError:
        return self.do(grants.refresh, secret, client, address="192.0.2.8")

    def who(self, secret: str) -> Caller | None:
        with self.seaway.database.read() as tx:
            return grants.caller_of(tx, secret, self.clock.now_ms())

    def logins(self) -> list[grants.OAuthGrant]:
        assert self.person.user_id is not None
        with self.seaway.database.read() as tx:
            return grants.of_user(tx, self.person.user_id, self.clock.now_ms())

    def poll(self, secret: str, client: str = CLIENT) -> str:
        """The refusal's code, or «in»."""
        told = self.do(codes.exchange_device, secret, client, address="192.0.2.9")
        return told.code if isinstance(told, OAuthError) else "in"

    def code(self, verifier: str) -> str:
        wish = AuthorizationRequest(CLIENT, REDIRECT, SCOPE, codes.challenge_of(verifier), "nonce")
        return self.do(codes.add_code, self.person, wish)

    def exchange(
        self, code: str, verifier: str, redirect: str = REDIRECT, client: str = CLIENT
    ) -> IssuedTokens | OAuthError:
        return self.do(codes.exchange_code, code, client, redirect_uri=redirect, verifier=verifier, address="192.0.2.9")

    def disable(self) -> None:
        with self.seaway.database.write_site() as tx:
            user_access.set_disabled(tx, self.clock.now_ms(), OPERATOR, self.person.name, disabled=True)

    def log(self) -> list[tuple[str, str]]:
        with self.seaway.database.read() as tx:
            return [
                (row.action, row.actor)
                for row in tx.execute(select(tables.audit).order_by(tables.audit.c.id))
                if row.action.startswith("tool.")
            ]


@pytest.fixture
def desk(seaway: Seaway, clock: TurnedClock, people: People) -> Desk:
    people.user("alice")
    with seaway.database.read() as tx:
        return Desk(
            seaway, clock, Caller("alice", users.get(tx, "alice").id, CredentialKind.PERSON, address="192.0.2.1")
        )


# Tokens


def test_an_access_token_speaks_for_its_user_within_its_scope(desk: Desk) -> None:
    """It is a tool's, with the mode of the scope, for all channels of the user, for an hour."""
    issued = desk.log_in()
    by = desk.who(issued.access)
    assert by is not None
    assert ("alice", CredentialKind.TOOL, Mode.READ_WRITE, None) == (by.name, by.credential, by.mode, by.channel_ids)
    assert by.expires_at_ms == desk.clock.now_ms() + HOUR_MS
    assert "alice (tool rattler)" == by.actor.name
    desk.clock.move(HOUR_MS)
    assert desk.who(issued.access) is None


def test_a_refresh_token_opens_nothing_by_itself(desk: Desk) -> None:
    """It is for the token endpoint alone, and an access token is no refresh token."""
    issued = desk.log_in()
    assert desk.who(issued.refresh) is None
    assert isinstance(desk.refresh(issued.access), OAuthError)


def test_nothing_that_a_tool_holds_is_stored(desk: Desk) -> None:
    """Invariant 1, for tokens and codes: no row of the database has any of them."""
    verifier = secrets.token_urlsafe(48)
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="192.0.2.9")
    issued = desk.log_in()
    held = [issued.access, issued.refresh, device, user_code, user_code.replace("-", ""), desk.code(verifier)]
    with desk.seaway.database.read() as tx:
        stored = "".join(
            str(tuple(row)) for table in tables.metadata.sorted_tables for row in tx.execute(select(table))
        )
    assert [] == [secret for secret in held if secret in stored]
    assert all(secret_tokens.mask(secret) != secret for secret in held if secret.startswith("swy-"))


def test_refreshing_goes_on_for_as_long_as_it_is_used(desk: Desk) -> None:
    """Each refresh gives the next two tokens, and 90 more days."""
    issued = desk.log_in()
    for _ in range(5):
        desk.clock.move(80 * DAY_MS)
        told = desk.refresh(issued.refresh)
        assert isinstance(told, IssuedTokens)
        issued = told
    assert desk.who(issued.access) is not None
    assert ["192.0.2.8"] == [login.address for login in desk.logins()]
    desk.clock.move(90 * DAY_MS)
    assert isinstance(desk.refresh(issued.refresh), OAuthError)
    assert [] == desk.logins()


def test_two_processes_may_use_the_same_refresh_token_within_a_minute(desk: Desk) -> None:
    """Invariant 3: both go on, whichever of the two answers is stored last, and the login is one."""
    first = desk.log_in()
    one = desk.refresh(first.refresh)
    desk.clock.move(59 * SECOND_MS)
    other = desk.refresh(first.refresh)
    assert isinstance(one, IssuedTokens)
    assert isinstance(other, IssuedTokens)
    assert {one.refresh, other.refresh}.isdisjoint({first.refresh})
    desk.clock.move(HOUR_MS)
    kept = desk.refresh(one.refresh)
    assert isinstance(kept, IssuedTokens)
    assert isinstance(desk.refresh(other.refresh), IssuedTokens)
    assert 1 == len(desk.logins())


@pytest.mark.parametrize("stolen", ["the replaced one", "the other of two answers"])
def test_an_older_refresh_token_ends_the_login(desk: Desk, stolen: str) -> None:
    """Invariant 4: after the grace a replaced token is a copy, and nobody goes on with either."""
    first = desk.log_in()
    one, other = desk.refresh(first.refresh), desk.refresh(first.refresh)
    assert isinstance(one, IssuedTokens)
    assert isinstance(other, IssuedTokens)
    desk.clock.move(MINUTE_MS)
    newest = desk.refresh(one.refresh)
    assert isinstance(newest, IssuedTokens)
    desk.clock.move(MINUTE_MS)
    copy = first.refresh if stolen == "the replaced one" else other.refresh
    told = desk.refresh(copy)
    assert isinstance(told, OAuthError)
    assert "invalid_grant" == told.code
    assert desk.who(newest.access) is None
    assert isinstance(desk.refresh(newest.refresh), OAuthError)
    assert ("tool.ended", "alice (tool rattler)") == desk.log()[-1]


def test_many_refreshes_at_once_all_go_on(desk: Desk) -> None:
    """Of many processes that refresh at the same moment none loses the login."""
    first = desk.log_in()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(desk.refresh, [first.refresh] * 8))
    assert {IssuedTokens} == {type(one) for one in told}
    assert 8 == len({one.refresh for one in told if isinstance(one, IssuedTokens)})


def test_a_disabled_user_has_no_tools(desk: Desk) -> None:
    """Invariant 2: tokens stop on the next request, and no new ones are given; an approved device gets nothing."""
    issued = desk.log_in()
    verifier = secrets.token_urlsafe(48)
    code = desk.code(verifier)
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="")
    assert desk.do(codes.decide_device, desk.person, user_code, approved=True)
    desk.disable()
    assert desk.who(issued.access) is None
    assert isinstance(desk.refresh(issued.refresh), OAuthError)
    assert isinstance(desk.exchange(code, verifier), OAuthError)
    assert "access_denied" == desk.poll(device)


def test_a_login_ends_when_its_user_says_so(desk: Desk) -> None:
    """By its number, which only its owner can use."""
    issued, other = desk.log_in(), desk.log_in("channel:delete")
    newest, oldest = desk.logins()
    assert (Mode.READ_WRITE_DELETE, Mode.READ_WRITE) == (newest.mode, oldest.mode)
    assert desk.person.user_id is not None
    with pytest.raises(NotFound):
        desk.do(grants.revoke, desk.person, desk.person.user_id + 1, oldest.id)
    desk.do(grants.revoke, desk.person, desk.person.user_id, oldest.id)
    assert desk.who(issued.access) is None
    assert desk.who(other.access) is not None
    assert ("tool.revoked", "alice") == desk.log()[-1]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_tool_that_gives_a_token_back_is_logged_out(desk: Desk, kind: str) -> None:
    """RFC 7009: both tokens are over; what is unknown, or of another client, changes nothing."""
    issued = desk.log_in()
    desk.do(grants.revoke_token, getattr(issued, kind), "other", address="")
    desk.do(grants.revoke_token, secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_ACCESS), CLIENT, address="")
    assert desk.who(issued.access) is not None
    desk.do(grants.revoke_token, getattr(issued, kind), CLIENT, address="")
    assert desk.who(issued.access) is None
    assert isinstance(desk.refresh(issued.refresh), OAuthError)


def test_what_is_over_is_forgotten(desk: Desk) -> None:
    """Rows do not pile up; what is in use stays."""
    old = desk.log_in()
    desk.do(codes.add_device, CLIENT, SCOPE, address="")
    desk.code(secrets.token_urlsafe(48))
    desk.clock.move(60 * DAY_MS)
    used = desk.log_in()
    desk.clock.move(31 * DAY_MS)

    def forget(tx: Tx, now_ms: int) -> int:
        assert 2 == codes.delete_expired(tx, now_ms)
        return grants.delete_expired(tx, now_ms)

    assert 1 == desk.do(forget)
    with desk.seaway.database.read() as tx:
        rows = [len(tx.execute(select(table)).all()) for table in (tables.cli_devices, tables.cli_codes)]
    assert [0, 0] == rows
    assert isinstance(desk.refresh(old.refresh), OAuthError)
    assert isinstance(desk.refresh(used.refresh), IssuedTokens)


# Codes that people type


def test_a_tool_waits_until_its_user_has_said_yes(desk: Desk) -> None:
    """RFC 8628: pending, then in, once."""
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="192.0.2.9")
    assert "authorization_pending" == desk.poll(device)
    found = desk.do(codes.find_device, user_code.lower().replace("-", " "))
    assert codes.DeviceAuthorization(CLIENT, SCOPE, "192.0.2.9") == found
    assert desk.do(codes.decide_device, desk.person, user_code, approved=True)
    desk.clock.move(5 * SECOND_MS)
    assert ["in", "invalid_grant"] == [desk.poll(device), desk.poll(device)]
    assert [("tool.allowed", "alice"), ("tool.logged-in", "alice (tool rattler)")] == desk.log()


def test_a_no_is_told_to_the_tool(desk: Desk) -> None:
    """And a code that was answered cannot be answered again."""
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="")
    assert desk.do(codes.decide_device, desk.person, user_code, approved=False)
    assert not desk.do(codes.decide_device, desk.person, user_code, approved=True)
    assert "access_denied" == desk.poll(device)
    assert [] == desk.logins()


def test_who_asks_too_often_is_slowed_down(desk: Desk) -> None:
    """Five seconds more each time (RFC 8628, 3.5), and patience helps."""
    device, _ = desk.do(codes.add_device, CLIENT, SCOPE, address="")
    assert ["authorization_pending", "slow_down", "slow_down"] == [desk.poll(device) for _ in range(3)]
    desk.clock.move(10 * SECOND_MS)
    assert "slow_down" == desk.poll(device)
    desk.clock.move(20 * SECOND_MS)
    assert "authorization_pending" == desk.poll(device)


def test_a_code_that_nobody_enters_expires(desk: Desk) -> None:
    """After ten minutes the tool is told so, and the page knows the code no more."""
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="")
    desk.clock.move(10 * MINUTE_MS)
    assert desk.do(codes.find_device, user_code) is None
    assert not desk.do(codes.decide_device, desk.person, user_code, approved=True)
    assert "expired_token" == desk.poll(device)


def test_a_device_code_is_good_for_its_own_client(desk: Desk) -> None:
    """Another client learns nothing, and garbage is an answer."""
    device, user_code = desk.do(codes.add_device, CLIENT, SCOPE, address="")
    desk.do(codes.decide_device, desk.person, user_code, approved=True)
    assert ["invalid_grant", "invalid_grant", "in"] == [desk.poll(device, "other"), desk.poll("x"), desk.poll(device)]


# Codes that browsers carry


def test_a_code_is_good_for_the_tool_that_knows_the_verifier(desk: Desk) -> None:
    """Invariant 3, and the nonce comes along."""
    verifier = secrets.token_urlsafe(48)
    told = desk.exchange(desk.code(verifier), verifier)
    assert isinstance(told, IssuedTokens)
    assert "nonce" == told.nonce
    assert desk.who(told.access) is not None


@pytest.mark.parametrize("wrong", ["verifier", "short verifier", "redirect", "client", "late", "unknown"])
def test_a_code_in_other_hands_is_good_for_nothing(desk: Desk, wrong: str) -> None:
    """Each thing that the code is bound to is compared; the right one still works afterwards, in time."""
    verifier = secrets.token_urlsafe(48)
    code = desk.code(verifier)
    tries = {
        "verifier": lambda: desk.exchange(code, secrets.token_urlsafe(48)),
        "short verifier": lambda: desk.exchange(code, "x"),
        "redirect": lambda: desk.exchange(code, verifier, redirect="http://127.0.0.1:40001"),
        "client": lambda: desk.exchange(code, verifier, client="other"),
        "unknown": lambda: desk.exchange(secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_CODE), verifier),
        "late": lambda: desk.clock.move(MINUTE_MS) or desk.exchange(code, verifier),
    }
    told = tries[wrong]()
    assert isinstance(told, OAuthError)
    assert "invalid_grant" == told.code
    assert isinstance(desk.exchange(code, verifier), OAuthError if wrong == "late" else IssuedTokens)


def test_a_code_that_comes_again_ends_the_login_that_it_made(desk: Desk) -> None:
    """Invariant 3: two have it, so one of them stole it; and it makes no second login afterwards."""
    verifier = secrets.token_urlsafe(48)
    code = desk.code(verifier)
    told = desk.exchange(code, verifier)
    assert isinstance(told, IssuedTokens)
    assert [OAuthError, OAuthError] == [type(desk.exchange(code, verifier)) for _ in range(2)]
    assert desk.who(told.access) is None
    assert [] == desk.logins()
