"""One's own account by the API: what signs somebody in, changed as its pages change it."""

import json
from collections.abc import Callable

import pyotp

from seaway.audit import log
from seaway.callers.caller import OPERATOR
from seaway.clock import DAY_MS, HOUR_MS
from seaway.server.wiring import Seaway
from seaway.sign_in import external_identities
from seaway.sign_in.identity_providers import ExternalAccount
from seaway.users import emails, users
from tests.api.v1.conftest import Person
from tests.support.authenticator import Authenticator
from tests.support.mail import letters_to, text_of
from tests.support.requests import bearer
from tests.web.visitor import PASSWORD, SITE

_OTHER_PASSWORD = "seven lanterns over 4 piers"


def done_by(person: Person) -> list[str]:
    """What the audit log says of somebody, the last first."""
    with person.seaway.database.read() as tx:
        return [line.action for line in log.of_all(tx, limit=100) if line.actor == person.name]


def told(person: Person) -> list[str]:
    return [text_of(letter) for letter in letters_to(person.seaway, f"{person.name}@example.com")]


def test_a_password_is_set(person: Person) -> None:
    """It signs in then; other browsers are out, and the letter and the line are there. A weak one changes nothing."""
    first = person.session
    person.sign_in_again()
    weak = person.api("PUT", "me/password", json={"password": "a" * 12})
    assert (422, "weak-password") == (weak.status_code, weak.json()["code"])
    assert 204 == person.api("PUT", "me/password", json={"password": PASSWORD}).status_code
    assert 200 == person.api("GET", "me").status_code
    kept = person.session
    person.bring(first)
    assert 401 == person.api("GET", "me").status_code
    person.bring(kept)
    assert any("The password was changed." in text for text in told(person))
    assert "user.password-set" in done_by(person)
    assert "/account" in person.another().sign_in(person.name).headers["location"]


def test_a_proof_of_a_while_ago_changes_nothing(inside: Seaway, person: Person) -> None:
    """Each of these leads to a proof first, with the code that says so."""
    inside.clock.move(HOUR_MS)  # type: ignore[attr-defined]
    asked = [
        person.api("PUT", "me/password", json={"password": _OTHER_PASSWORD}),
        person.api("POST", "me/totp"),
        person.api("POST", "me/totp/confirm", json={"code": "123456"}),
        person.api("DELETE", "me/totp"),
        person.api("POST", "me/recovery-codes"),
        person.api("POST", "me/passkeys/options"),
        person.api("POST", "me/passkeys", json={"name": "phone", "credential": {}}),
        person.api("DELETE", "me/passkeys/1"),
    ]
    assert [(403, "not-confirmed")] * len(asked) == [(one.status_code, one.json()["code"]) for one in asked]


def test_an_app_for_codes_from_its_seed_to_its_end(inside: Seaway, person: Person) -> None:
    """The seed counts with its first code; recovery codes come with it, can be renewed, and go with the last factor."""
    assert "recovery_codes" not in person.api("POST", "me/recovery-codes").json()
    seed = person.api("POST", "me/totp").json()
    assert (
        pyotp.TOTP(seed["seed"]).provisioning_uri(name=person.name, issuer_name="Seaway conda.example.com")
        == (seed["uri"])
    )
    assert 401 == person.api("POST", "me/totp/confirm", json={"code": "no code"}).status_code
    assert not person.api("GET", "me/second-factors").json()["codes"]
    code = pyotp.TOTP(seed["seed"]).generate_otp(inside.clock.now_ms() // 30_000)
    first = person.api("POST", "me/totp/confirm", json={"code": code}).json()["recovery_codes"]
    shown = person.api("GET", "me/second-factors").json()
    assert {"codes": True, "passkeys": 0, "recovery_codes": 8, "ends_at": None} == shown
    second = person.api("POST", "me/recovery-codes").json()["recovery_codes"]
    assert (8, 8, 16) == (len(first), len(second), len({*first, *second}))
    assert 403 == person.api("POST", "me/totp").status_code
    assert 204 == person.api("DELETE", "me/totp").status_code
    assert 404 == person.api("DELETE", "me/totp").status_code
    assert 0 == person.api("GET", "me/second-factors").json()["recovery_codes"]
    assert {"totp.added", "recovery-codes.created", "totp.removed"} <= set(done_by(person))


def test_a_passkey_in_two_steps(person: Person) -> None:
    """What a browser makes of the options is kept once, renamed, and taken out; somebody else's is not there."""
    options = person.api("POST", "me/passkeys/options").json()["public_key"]
    made_by = Authenticator(origin=SITE, rp_id="conda.example.com")
    given = {"name": "my phone", "credential": json.loads(made_by.make(json.dumps(options)))}
    made = person.api("POST", "me/passkeys", json=given)
    assert (201, "my phone", 8) == (made.status_code, made.json()["name"], len(made.json()["recovery_codes"]))
    assert 401 == person.api("POST", "me/passkeys", json=given).status_code
    number = made.json()["id"]
    assert "old phone" == person.api("PATCH", f"me/passkeys/{number}", json={"name": "old phone"}).json()["name"]
    assert ["old phone"] == [one["name"] for one in person.api("GET", "me/passkeys").json()["items"]]
    assert 422 == person.api("PATCH", f"me/passkeys/{number}", json={"name": "a\u202eb"}).status_code
    assert 404 == person.api("DELETE", f"me/passkeys/{number + 1}").status_code
    assert 204 == person.api("DELETE", f"me/passkeys/{number}").status_code
    assert [] == person.api("GET", "me/passkeys").json()["items"]
    assert ["passkey.removed", "passkey.renamed"] == [one for one in done_by(person) if one.startswith("passkey.")][:2]


def test_a_passkey_of_another_is_not_there(new_person: Callable[..., Person]) -> None:
    """Its number is that of none."""
    one, other = new_person(), new_person()
    options = one.api("POST", "me/passkeys/options").json()["public_key"]
    credential = json.loads(Authenticator(origin=SITE, rp_id="conda.example.com").make(json.dumps(options)))
    assert 401 == other.api("POST", "me/passkeys", json={"name": "x", "credential": credential}).status_code
    options = one.api("POST", "me/passkeys/options").json()["public_key"]
    credential = json.loads(Authenticator(origin=SITE, rp_id="conda.example.com").make(json.dumps(options)))
    number = one.api("POST", "me/passkeys", json={"name": "x", "credential": credential}).json()["id"]
    assert 404 == other.api("PATCH", f"me/passkeys/{number}", json={"name": "mine"}).status_code
    assert 404 == other.api("DELETE", f"me/passkeys/{number}").status_code


def test_what_an_admin_was_asked_for_is_stopped(new_person: Callable[..., Person]) -> None:
    """Its user sees when it would be, and keeps what they have."""
    person, admin = new_person(), new_person(admin=True)
    at = admin.api("POST", f"users/{person.name}/second-factor-reset").json()["at"]
    assert at == person.api("GET", "me/second-factors").json()["ends_at"]
    assert 204 == person.api("DELETE", "me/second-factor-reset").status_code
    assert person.api("GET", "me/second-factors").json()["ends_at"] is None


def test_every_other_browser_is_signed_out(person: Person) -> None:
    """Not the one that asks."""
    others = [person.session]
    person.sign_in_again()
    assert 2 == len(person.api("GET", "me/sessions").json()["items"])
    assert 204 == person.api("DELETE", "me/sessions").status_code
    assert [True] == [one["current"] for one in person.api("GET", "me/sessions").json()["items"]]
    person.bring(others[0])
    assert 401 == person.api("GET", "me").status_code


def test_another_address_becomes_the_primary_one(inside: Seaway, person: Person) -> None:
    """Once it is verified; letters go there from then on, and the old one is told."""
    with inside.database.write_site() as tx:
        user_id = users.get(tx, person.name).id
        emails.add(tx, inside.clock.now_ms(), user_id, f"new-{person.name}@example.com", verified=True)
    found = person.api("GET", "me/addresses").json()["items"]
    other = next(one["id"] for one in found if not one["primary"])
    assert 204 == person.api("POST", f"me/addresses/{other}/primary").status_code
    assert [(other, True)] == [
        (one["id"], one["primary"]) for one in person.api("GET", "me/addresses").json()["items"] if one["primary"]
    ]
    assert f"new-{person.name}@example.com" == person.api("GET", "me").json()["email"]
    assert told(person)
    assert "email.primary-set" in done_by(person)


def test_an_account_elsewhere_is_unlinked(inside: Seaway, person: Person) -> None:
    """It signs nobody in any more, and both that and its user's letter are there; the last way in stays."""
    external_account = ExternalAccount("github", "https://github.com", f"number of {person.name}", "octo", "Octo", None)
    with inside.database.write_site() as tx:
        external_identities.link(tx, inside.clock.now_ms(), OPERATOR, users.get(tx, person.name).id, external_account)
    number = person.api("GET", "me/identities").json()["items"][0]["id"]
    last = person.api("DELETE", f"me/identities/{number}")
    assert (403, True) == (last.status_code, "only sign-in method" in last.json()["message"])
    assert 204 == person.api("PUT", "me/password", json={"password": PASSWORD}).status_code
    assert 204 == person.api("DELETE", f"me/identities/{number}").status_code
    assert [] == person.api("GET", "me/identities").json()["items"]
    with inside.database.read() as tx:
        assert external_identities.find(tx, external_account.issuer, external_account.subject) is None
    assert "identity.unlinked" in done_by(person)


def test_a_key_without_an_end(inside: Seaway, person: Person) -> None:
    """Where the site allows it, `days: null` makes one; what is not said is not that."""
    keys = [
        person.api("POST", "keys", json=given).json() for given in ({"name": "robot", "days": None}, {"name": "ci"})
    ]
    assert [True, False] == [key["expires_at"] is None for key in keys]
    inside.clock.move(400 * DAY_MS)  # type: ignore[attr-defined]
    assert [200, 401] == [person.ask("GET", "/api/v1/me", headers=bearer(key["key"])).status_code for key in keys]


def test_a_new_member_is_told(new_person: Callable[..., Person]) -> None:
    """By a letter that names the channel and who let them in."""
    owner, mate = new_person(), new_person()
    channel = owner.api("POST", "channels", json={"name": f"of-{owner.name}"}).json()["name"]
    assert 200 == owner.api("PUT", f"channels/{channel}/members/{mate.name}", json={"role": "viewer"}).status_code
    assert any(channel in text and owner.name in text for text in told(mate))
