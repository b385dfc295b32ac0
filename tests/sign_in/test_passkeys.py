"""Passkeys (sign_in/passkeys.py), with a software authenticator that can also misbehave."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaway.callers.caller import OPERATOR
from seaway.clock import HOUR_MS, MINUTE_MS
from seaway.errors import BadCredential, ConfirmationRequired, Malformed, NameTaken, NotFound
from seaway.server.wiring import Seaway
from seaway.sign_in import passkeys, second_factors, user_access
from seaway.sign_in.password_sign_in import NeedsSecondFactor, SignedIn
from tests.support.accounts import AWAY, HOME, Accounts
from tests.support.authenticator import Authenticator
from tests.support.clock import ManualClock
from tests.support.mail import sent_emails, text_of

pytestmark = pytest.mark.anyio


async def enroll(accounts: Accounts, name: str = "ada", authenticator: Authenticator | None = None) -> Authenticator:
    """Add a user with a passkey and return its authenticator."""
    accounts.add(name)
    by, _ = await accounts.session(name)
    authenticator = authenticator or Authenticator()
    passkeys.add(
        accounts.parts, by, authenticator.register(passkeys.creation_options(accounts.parts.site, by)), "laptop"
    )
    return authenticator


async def flow_of(accounts: Accounts, name: str = "ada") -> str:
    result = await accounts.sign_in(name)
    assert isinstance(result, NeedsSecondFactor)
    assert (False, True) == (result.has_totp, result.has_passkeys)
    return result.flow


def sign_in(accounts: Accounts, authenticator: Authenticator) -> SignedIn:
    return passkeys.sign_in(
        accounts.parts.site, authenticator.sign(passkeys.sign_in_options(accounts.parts.site, AWAY)), AWAY
    )


async def test_passkey_signs_in_without_name_and_password(accounts: Accounts, seaway: Seaway) -> None:
    """Adding one notifies the user and signs out other browsers."""
    ada = accounts.add("ada")
    _, other_session = await accounts.session("ada", AWAY)
    by, own_session = await accounts.session("ada")
    authenticator = Authenticator()
    registered = passkeys.add(
        accounts.parts, by, authenticator.register(passkeys.creation_options(accounts.parts.site, by)), "laptop"
    )
    assert [True, False] == [accounts.is_valid(secret) for secret in (own_session, other_session)]
    for _ in range(2):
        assert ada == accounts.caller_of(sign_in(accounts, authenticator).secret).user_id
    assert "A passkey was added" in text_of(sent_emails(seaway)[-1])
    with seaway.site.database.read() as tx:
        (result,) = passkeys.of_user(tx, ada)
    assert (registered.id, "laptop", accounts.now_ms) == (result.id, result.name, result.used_at_ms)


async def test_passkey_without_user_verification_is_only_a_second_factor(accounts: Accounts) -> None:
    """A thief of the security key must not be able to sign in with it alone (3)."""
    authenticator = await enroll(accounts, authenticator=Authenticator(verifies_user=False))
    with pytest.raises(BadCredential):
        sign_in(accounts, authenticator)
    flow = await flow_of(accounts)
    proof = authenticator.sign(passkeys.second_factor_options(accounts.parts.site, flow, HOME))
    assert accounts.is_valid(passkeys.second_factor(accounts.parts.site, flow, proof, HOME).secret)


FAULTS = {
    "another origin": {"origin": "http://evil.example"},
    "another port": {"origin": "http://127.0.0.1:9000"},
    "another site": {"rp_id": "evil.example"},
    "a counter that went back": {"count": -1},
    "another key": {"key": Authenticator().key},
    "another credential": {"credential_id": b"x" * 32},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_faulty_assertion_is_refused(accounts: Accounts, fault: str) -> None:
    """Case 31: sign-in and second factor give the same error message for each fault (2, 4, 5)."""
    authenticator = await enroll(accounts, authenticator=Authenticator(count=5))
    flow = await flow_of(accounts)
    sign_in(accounts, authenticator)
    for name, value in FAULTS[fault].items():
        setattr(authenticator, name, value)
    with pytest.raises(BadCredential, match="was not accepted"):
        sign_in(accounts, authenticator)
    with pytest.raises(BadCredential, match="was not accepted"):
        passkeys.second_factor(
            accounts.parts.site,
            flow,
            authenticator.sign(passkeys.second_factor_options(accounts.parts.site, flow, HOME)),
            HOME,
        )


@pytest.mark.parametrize("fault", ["another origin", "another port", "another site"])
async def test_faulty_registration_is_refused(accounts: Accounts, seaway: Seaway, fault: str) -> None:
    """Case 31: no passkey is stored (2)."""
    ada = accounts.add("ada")
    by, _ = await accounts.session("ada")
    authenticator = Authenticator(**FAULTS[fault])  # type: ignore[arg-type]
    with pytest.raises(BadCredential):
        passkeys.add(
            accounts.parts, by, authenticator.register(passkeys.creation_options(accounts.parts.site, by)), "laptop"
        )
    with seaway.site.database.read() as tx:
        assert not second_factors.of_user(tx, ada).any


async def test_challenge_is_used_once_and_expires(accounts: Accounts, clock: ManualClock) -> None:
    """Case 31: used, expired (five minutes) and never issued challenges are refused (1)."""
    authenticator = await enroll(accounts)
    options = passkeys.sign_in_options(accounts.parts.site, AWAY)
    proof = authenticator.sign(options)
    passkeys.sign_in(accounts.parts.site, proof, HOME)
    for proof_again in (proof, authenticator.sign(options), authenticator.sign(json.dumps({"challenge": "c3d5"}))):
        with pytest.raises(BadCredential):
            passkeys.sign_in(accounts.parts.site, proof_again, HOME)
    late = passkeys.sign_in_options(accounts.parts.site, AWAY)
    clock.move(5 * MINUTE_MS)
    with pytest.raises(BadCredential):
        passkeys.sign_in(accounts.parts.site, authenticator.sign(late), HOME)


async def test_challenge_is_bound_to_purpose_and_user(accounts: Accounts) -> None:
    """Case 31: a second-factor challenge does not sign in, and another user's passkey is not accepted (1, 4)."""
    own_passkey = await enroll(accounts)
    other_passkey = await enroll(accounts, "bob")
    flow = await flow_of(accounts)
    with pytest.raises(BadCredential):
        passkeys.sign_in(
            accounts.parts.site, own_passkey.sign(passkeys.second_factor_options(accounts.parts.site, flow, HOME)), HOME
        )
    with pytest.raises(BadCredential):
        passkeys.second_factor(
            accounts.parts.site,
            flow,
            other_passkey.sign(passkeys.second_factor_options(accounts.parts.site, flow, HOME)),
            HOME,
        )
    with pytest.raises(BadCredential):
        passkeys.second_factor(
            accounts.parts.site,
            flow,
            own_passkey.sign(passkeys.second_factor_options(accounts.parts.site, await flow_of(accounts, "bob"), HOME)),
            HOME,
        )
    with pytest.raises(BadCredential):
        passkeys.second_factor(
            accounts.parts.site, flow, own_passkey.sign(passkeys.sign_in_options(accounts.parts.site, AWAY)), HOME
        )


async def test_passkey_cannot_be_registered_twice(accounts: Accounts) -> None:
    """Case 31: neither by its owner nor by another user (4)."""
    authenticator = await enroll(accounts)
    accounts.add("bob")
    by, _ = await accounts.session("bob")
    with pytest.raises(NameTaken, match="already registered"):
        passkeys.add(
            accounts.parts, by, authenticator.register(passkeys.creation_options(accounts.parts.site, by)), "mine now"
        )


async def test_registration_is_bound_to_the_requesting_user(accounts: Accounts) -> None:
    """A user must not get another user's passkey into their account (1)."""
    accounts.add("ada")
    accounts.add("bob")
    ada, bob = (await accounts.session("ada"))[0], (await accounts.session("bob"))[0]
    with pytest.raises(BadCredential):
        passkeys.add(
            accounts.parts, bob, Authenticator().register(passkeys.creation_options(accounts.parts.site, ada)), "laptop"
        )


async def test_disabled_user_cannot_sign_in_with_passkey(accounts: Accounts, seaway: Seaway) -> None:
    """Case 27."""
    authenticator = await enroll(accounts)
    with seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    with pytest.raises(BadCredential):
        sign_in(accounts, authenticator)


async def test_only_owner_removes_a_passkey(accounts: Accounts) -> None:
    authenticator = await enroll(accounts)
    ada = accounts.caller_of(sign_in(accounts, authenticator).secret)
    accounts.add("bob")
    bob, _ = await accounts.session("bob")
    with accounts.seaway.site.database.read() as tx:
        assert ada.user_id is not None
        (result,) = passkeys.of_user(tx, ada.user_id)
    with pytest.raises(NotFound):
        passkeys.remove(accounts.parts, bob, result.id)
    passkeys.remove(accounts.parts, ada, result.id)
    with pytest.raises(BadCredential):
        sign_in(accounts, authenticator)


async def test_passkey_confirms_a_session(accounts: Accounts, clock: ManualClock) -> None:
    """It replaces the password as a fresh sign-in; without one no passkey is added or removed (case 32)."""
    authenticator = await enroll(accounts)
    signed_in = sign_in(accounts, authenticator)
    clock.move(HOUR_MS)
    by = accounts.caller_of(signed_in.secret)
    for change in (
        lambda: passkeys.creation_options(accounts.parts.site, by),
        lambda: passkeys.remove(accounts.parts, by, 1),
    ):
        with pytest.raises(ConfirmationRequired):
            change()
    proof = authenticator.sign(passkeys.confirm_options(accounts.parts.site, by))
    fresh = passkeys.confirm(accounts.parts.site, by, signed_in.secret, proof, HOME)
    assert (False, True) == (by.is_fresh, accounts.caller_of(fresh).is_fresh)
    assert not accounts.is_valid(signed_in.secret)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "two\nlines"])
async def test_passkey_name_must_be_short_and_printable(accounts: Accounts, name: str) -> None:
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    with pytest.raises(NameTaken):
        passkeys.add(accounts.parts, by, "{}", name)


def texts() -> st.SearchStrategy[str]:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
    names = st.sampled_from(["id", "rawId", "type", "response", "clientDataJSON", "attestationObject", "challenge"])
    client_data = st.dictionaries(names, values).map(
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    )
    response = st.dictionaries(names, values | client_data)
    return st.text() | st.dictionaries(names, values | response | client_data).map(json.dumps)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(credential=texts())
def test_arbitrary_text_is_refused_as_bad_credential(accounts: Accounts, credential: str) -> None:
    """No other error is raised (5)."""
    with pytest.raises(BadCredential):
        passkeys._challenge_in(credential)


@pytest.mark.parametrize("position", range(0, 700, 37))
async def test_damaged_response_raises_no_other_error(accounts: Accounts, position: int) -> None:
    """Whatever error the WebAuthn library raises for it, the caller gets BadCredential (5)."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    registration = json.loads(Authenticator().register(passkeys.creation_options(accounts.parts.site, by)))
    text = registration["response"]["attestationObject"]
    registration["response"]["attestationObject"] = (
        text[: position % len(text)] + "A" + text[position % len(text) + 1 :]
    )
    registration["response"]["attestationObject"] = registration["response"]["attestationObject"][
        : len(text) - position % 7
    ]
    with suppress(BadCredential):  # some damaged responses still contain a valid key
        passkeys.add(accounts.parts, by, json.dumps(registration), "laptop")


async def test_oversized_response_is_refused(accounts: Accounts) -> None:
    """The size is checked before the response is parsed."""
    with pytest.raises(Malformed, match="too large"):
        passkeys.sign_in(accounts.parts.site, "x" * 20_000, HOME)
