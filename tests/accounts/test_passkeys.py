"""Passkeys (sign_in/passkeys.py), by an authenticator in software that can also be false."""

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
from tests.accounts.conftest import AWAY, HOME, Folk
from tests.support.authenticator import Authenticator
from tests.support.clock import TurnedClock
from tests.support.mail import letters, text_of

pytestmark = pytest.mark.anyio


async def enrol(folk: Folk, name: str = "ada", authenticator: Authenticator | None = None) -> Authenticator:
    """A user with a passkey."""
    folk.add(name)
    by, _ = await folk.session(name)
    made = authenticator or Authenticator()
    passkeys.add(folk.house, by, made.make(passkeys.creation_options(folk.house, by)), "laptop")
    return made


async def flow_of(folk: Folk, name: str = "ada") -> str:
    found = await folk.sign_in(name)
    assert isinstance(found, NeedsSecondFactor)
    assert (False, True) == (found.has_totp, found.has_passkeys)
    return found.flow


def sign_in(folk: Folk, authenticator: Authenticator) -> SignedIn:
    return passkeys.sign_in(folk.house, authenticator.prove(passkeys.sign_in_options(folk.house, AWAY)), AWAY)


async def test_a_passkey_signs_in_by_itself(folk: Folk, seaway: Seaway) -> None:
    """Without a name or a password; the user is told that there is one, and other browsers were signed out."""
    ada = folk.add("ada")
    _, other = await folk.session("ada", AWAY)
    by, mine = await folk.session("ada")
    authenticator = Authenticator()
    made = passkeys.add(folk.house, by, authenticator.make(passkeys.creation_options(folk.house, by)), "laptop")
    assert [True, False] == [folk.is_good(secret) for secret in (mine, other)]
    for _ in range(2):
        assert ada == folk.who(sign_in(folk, authenticator).secret).user_id
    assert "A passkey was added" in text_of(letters(seaway)[-1])
    with seaway.database.read() as tx:
        (found,) = passkeys.of_user(tx, ada)
    assert (made.id, "laptop", folk.now_ms) == (found.id, found.name, found.used_at_ms)


async def test_a_passkey_that_checked_nobody_does_not_sign_in(folk: Folk) -> None:
    """Whoever found the stick is not its owner; as a second factor it is enough (3)."""
    authenticator = await enrol(folk, authenticator=Authenticator(verifies=False))
    with pytest.raises(BadCredential):
        sign_in(folk, authenticator)
    flow = await flow_of(folk)
    proof = authenticator.prove(passkeys.second_factor_options(folk.house, flow, HOME))
    assert folk.is_good(passkeys.second_factor(folk.house, flow, proof, HOME).secret)


FALSE = {
    "another origin": {"origin": "http://evil.example"},
    "another port": {"origin": "http://127.0.0.1:9000"},
    "another site": {"rp_id": "evil.example"},
    "a counter that went back": {"count": -1},
    "another key": {"key": Authenticator().key},
    "another credential": {"credential_id": b"x" * 32},
}


@pytest.mark.parametrize("what", FALSE)
async def test_what_is_false_is_refused(folk: Folk, what: str) -> None:
    """Case 31: for a sign-in and for a second factor, with one answer (2, 4, 5)."""
    authenticator = await enrol(folk, authenticator=Authenticator(count=5))
    flow = await flow_of(folk)
    sign_in(folk, authenticator)
    for name, value in FALSE[what].items():
        setattr(authenticator, name, value)
    with pytest.raises(BadCredential, match="was not accepted"):
        sign_in(folk, authenticator)
    with pytest.raises(BadCredential, match="was not accepted"):
        passkeys.second_factor(
            folk.house, flow, authenticator.prove(passkeys.second_factor_options(folk.house, flow, HOME)), HOME
        )


@pytest.mark.parametrize("what", ["another origin", "another port", "another site"])
async def test_a_false_registration_is_refused(folk: Folk, seaway: Seaway, what: str) -> None:
    """Case 31: nothing is kept (2)."""
    ada = folk.add("ada")
    by, _ = await folk.session("ada")
    made = Authenticator(**FALSE[what])  # type: ignore[arg-type]
    with pytest.raises(BadCredential):
        passkeys.add(folk.house, by, made.make(passkeys.creation_options(folk.house, by)), "laptop")
    with seaway.database.read() as tx:
        assert not second_factors.of_user(tx, ada).any


async def test_a_challenge_is_answered_once(folk: Folk, clock: TurnedClock) -> None:
    """Case 31: not again, not after five minutes, not one of our making that was never asked (1)."""
    authenticator = await enrol(folk)
    options = passkeys.sign_in_options(folk.house, AWAY)
    proof = authenticator.prove(options)
    passkeys.sign_in(folk.house, proof, HOME)
    for again in (proof, authenticator.prove(options), authenticator.prove(json.dumps({"challenge": "c3d5"}))):
        with pytest.raises(BadCredential):
            passkeys.sign_in(folk.house, again, HOME)
    late = passkeys.sign_in_options(folk.house, AWAY)
    clock.move(5 * MINUTE_MS)
    with pytest.raises(BadCredential):
        passkeys.sign_in(folk.house, authenticator.prove(late), HOME)


async def test_a_challenge_is_for_one_purpose_and_user(folk: Folk) -> None:
    """Case 31: one for a second factor opens nothing alone; another user's passkey is none of mine (1, 4)."""
    mine = await enrol(folk)
    theirs = await enrol(folk, "bob")
    flow = await flow_of(folk)
    with pytest.raises(BadCredential):
        passkeys.sign_in(folk.house, mine.prove(passkeys.second_factor_options(folk.house, flow, HOME)), HOME)
    with pytest.raises(BadCredential):
        passkeys.second_factor(
            folk.house, flow, theirs.prove(passkeys.second_factor_options(folk.house, flow, HOME)), HOME
        )
    with pytest.raises(BadCredential):
        passkeys.second_factor(
            folk.house,
            flow,
            mine.prove(passkeys.second_factor_options(folk.house, await flow_of(folk, "bob"), HOME)),
            HOME,
        )
    with pytest.raises(BadCredential):
        passkeys.second_factor(folk.house, flow, mine.prove(passkeys.sign_in_options(folk.house, AWAY)), HOME)


async def test_a_passkey_belongs_to_one_account(folk: Folk) -> None:
    """Case 31: it cannot be registered again, by its owner or by somebody else (4)."""
    authenticator = await enrol(folk)
    folk.add("bob")
    by, _ = await folk.session("bob")
    with pytest.raises(NameTaken, match="already registered"):
        passkeys.add(folk.house, by, authenticator.make(passkeys.creation_options(folk.house, by)), "mine now")


async def test_a_registration_is_for_who_asked(folk: Folk) -> None:
    """Nobody gets a passkey of somebody else into their account (1)."""
    folk.add("ada")
    folk.add("bob")
    ada, bob = (await folk.session("ada"))[0], (await folk.session("bob"))[0]
    with pytest.raises(BadCredential):
        passkeys.add(folk.house, bob, Authenticator().make(passkeys.creation_options(folk.house, ada)), "laptop")


async def test_a_disabled_user_does_not_sign_in(folk: Folk, seaway: Seaway) -> None:
    """Case 27: by no way."""
    authenticator = await enrol(folk)
    with seaway.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "ada", disabled=True)
    with pytest.raises(BadCredential):
        sign_in(folk, authenticator)


async def test_a_passkey_is_removed(folk: Folk) -> None:
    """By its owner only, and only after a proof."""
    authenticator = await enrol(folk)
    ada = folk.who(sign_in(folk, authenticator).secret)
    folk.add("bob")
    bob, _ = await folk.session("bob")
    with folk.seaway.database.read() as tx:
        assert ada.user_id is not None
        (found,) = passkeys.of_user(tx, ada.user_id)
    with pytest.raises(NotFound):
        passkeys.remove(folk.house, bob, found.id)
    passkeys.remove(folk.house, ada, found.id)
    with pytest.raises(BadCredential):
        sign_in(folk, authenticator)


async def test_a_passkey_confirms(folk: Folk, clock: TurnedClock) -> None:
    """A fresh proof without the password; without one nothing is added or removed (case 32)."""
    authenticator = await enrol(folk)
    signed_in = sign_in(folk, authenticator)
    clock.move(HOUR_MS)
    by = folk.who(signed_in.secret)
    for change in (lambda: passkeys.creation_options(folk.house, by), lambda: passkeys.remove(folk.house, by, 1)):
        with pytest.raises(ConfirmationRequired):
            change()
    proof = authenticator.prove(passkeys.confirm_options(folk.house, by))
    fresh = passkeys.confirm(folk.house, by, signed_in.secret, proof, HOME)
    assert (False, True) == (by.is_fresh, folk.who(fresh).is_fresh)
    assert not folk.is_good(signed_in.secret)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "two\nlines"])
async def test_a_passkey_has_a_name(folk: Folk, name: str) -> None:
    """By which people know it again."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    with pytest.raises(NameTaken):
        passkeys.add(folk.house, by, "{}", name)


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
def test_any_text_is_refused_plainly(folk: Folk, credential: str) -> None:
    """Never an error of ours, and nothing is kept (5)."""
    with pytest.raises(BadCredential):
        passkeys._challenge_in(credential)


@pytest.mark.parametrize("at", range(0, 700, 37))
async def test_a_damaged_answer_is_refused_plainly(folk: Folk, at: int) -> None:
    """Whatever the library says to it (5)."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    made = json.loads(Authenticator().make(passkeys.creation_options(folk.house, by)))
    text = made["response"]["attestationObject"]
    made["response"]["attestationObject"] = text[: at % len(text)] + "A" + text[at % len(text) + 1 :]
    made["response"]["attestationObject"] = made["response"]["attestationObject"][: len(text) - at % 7]
    with suppress(BadCredential):  # some damage leaves a key that could be one
        passkeys.add(folk.house, by, json.dumps(made), "laptop")


async def test_a_huge_answer_is_refused(folk: Folk) -> None:
    """Before it is read."""
    with pytest.raises(Malformed, match="too large"):
        passkeys.sign_in(folk.house, "x" * 20_000, HOME)
