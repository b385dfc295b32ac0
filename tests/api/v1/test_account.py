"""The caller's account in the API: sign-in methods, sessions, email addresses, keys."""

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
from tests.api.v1.conftest import SignedInUser
from tests.support.authenticator import Authenticator
from tests.support.mail import emails_to, text_of
from tests.support.requests import bearer
from tests.support.sites import Factory
from tests.web.http_browser import PASSWORD, SITE

_OTHER_PASSWORD = "seven lanterns over 4 piers"


def audit_actions(user: SignedInUser) -> list[str]:
    """Return the user's audited actions, newest first."""
    with user.seaway.site.database.read() as tx:
        return [line.action for line in log.of_all(tx, limit=100) if line.actor == user.name]


def email_texts(user: SignedInUser) -> list[str]:
    return [text_of(email) for email in emails_to(user.seaway, f"{user.name}@example.com")]


def test_setting_a_password_ends_other_sessions(user: SignedInUser) -> None:
    """The change is audited and sent by email, and the password works. A weak password changes nothing."""
    first = user.session
    user.start_new_session()
    weak = user.api("PUT", "me/password", json={"password": "a" * 12})
    assert (422, "weak-password") == (weak.status_code, weak.json()["code"])
    assert 204 == user.api("PUT", "me/password", json={"password": PASSWORD}).status_code
    assert 200 == user.api("GET", "me").status_code
    kept = user.session
    user.set_session(first)
    assert 401 == user.api("GET", "me").status_code
    user.set_session(kept)
    assert any("The password was changed." in text for text in email_texts(user))
    assert "user.password-set" in audit_actions(user)
    assert "/home" == user.another().sign_in(user.name).headers["location"]


def test_account_changes_need_a_fresh_sign_in(local_seaway: Seaway, user: SignedInUser) -> None:
    """Each of these changes is refused with `not-confirmed`."""
    local_seaway.site.clock.move(HOUR_MS)  # type: ignore[attr-defined]
    responses = [
        user.api("PUT", "me/password", json={"password": _OTHER_PASSWORD}),
        user.api("POST", "me/totp"),
        user.api("POST", "me/totp/confirm", json={"code": "123456"}),
        user.api("DELETE", "me/totp"),
        user.api("POST", "me/recovery-codes"),
        user.api("POST", "me/passkeys/options"),
        user.api("POST", "me/passkeys", json={"name": "phone", "credential": {}}),
        user.api("DELETE", "me/passkeys/1"),
    ]
    assert [(403, "not-confirmed")] * len(responses) == [
        (response.status_code, response.json()["code"]) for response in responses
    ]


def test_authenticator_app_is_added_and_removed(local_seaway: Seaway, user: SignedInUser) -> None:
    """The first code activates it and creates recovery codes, which can be renewed and end with the last factor."""
    assert "recovery_codes" not in user.api("POST", "me/recovery-codes").json()
    seed = user.api("POST", "me/totp").json()
    assert (
        pyotp.TOTP(seed["seed"]).provisioning_uri(name=user.name, issuer_name="Seaway conda.example.com")
        == (seed["uri"])
    )
    assert 401 == user.api("POST", "me/totp/confirm", json={"code": "no code"}).status_code
    assert not user.api("GET", "me/second-factors").json()["codes"]
    code = pyotp.TOTP(seed["seed"]).generate_otp(local_seaway.site.clock.now_ms() // 30_000)
    first = user.api("POST", "me/totp/confirm", json={"code": code}).json()["recovery_codes"]
    shown = user.api("GET", "me/second-factors").json()
    assert {"codes": True, "passkeys": 0, "recovery_codes": 8, "ends_at": None} == shown
    second = user.api("POST", "me/recovery-codes").json()["recovery_codes"]
    assert (8, 8, 16) == (len(first), len(second), len({*first, *second}))
    assert 403 == user.api("POST", "me/totp").status_code
    assert 204 == user.api("DELETE", "me/totp").status_code
    assert 404 == user.api("DELETE", "me/totp").status_code
    assert 0 == user.api("GET", "me/second-factors").json()["recovery_codes"]
    assert {"totp.added", "recovery-codes.created", "totp.removed"} <= set(audit_actions(user))


def test_passkey_is_added_renamed_and_removed(user: SignedInUser) -> None:
    """A browser's response to the options is accepted once."""
    options = user.api("POST", "me/passkeys/options").json()["public_key"]
    authenticator = Authenticator(origin=SITE, rp_id="conda.example.com")
    registration = {"name": "my phone", "credential": json.loads(authenticator.register(json.dumps(options)))}
    created = user.api("POST", "me/passkeys", json=registration)
    assert (201, "my phone", 8) == (created.status_code, created.json()["name"], len(created.json()["recovery_codes"]))
    assert 401 == user.api("POST", "me/passkeys", json=registration).status_code
    number = created.json()["id"]
    assert "old phone" == user.api("PATCH", f"me/passkeys/{number}", json={"name": "old phone"}).json()["name"]
    assert ["old phone"] == [item["name"] for item in user.api("GET", "me/passkeys").json()["items"]]
    assert 422 == user.api("PATCH", f"me/passkeys/{number}", json={"name": "a\u202eb"}).status_code
    assert 404 == user.api("DELETE", f"me/passkeys/{number + 1}").status_code
    assert 204 == user.api("DELETE", f"me/passkeys/{number}").status_code
    assert [] == user.api("GET", "me/passkeys").json()["items"]
    assert ["passkey.removed", "passkey.renamed"] == [
        action for action in audit_actions(user) if action.startswith("passkey.")
    ][:2]


def test_passkey_of_another_user_returns_404(new_user: Callable[..., SignedInUser]) -> None:
    """The options are bound to the user as well."""
    owner, other = new_user(), new_user()
    options = owner.api("POST", "me/passkeys/options").json()["public_key"]
    credential = json.loads(Authenticator(origin=SITE, rp_id="conda.example.com").register(json.dumps(options)))
    assert 401 == other.api("POST", "me/passkeys", json={"name": "x", "credential": credential}).status_code
    options = owner.api("POST", "me/passkeys/options").json()["public_key"]
    credential = json.loads(Authenticator(origin=SITE, rp_id="conda.example.com").register(json.dumps(options)))
    number = owner.api("POST", "me/passkeys", json={"name": "x", "credential": credential}).json()["id"]
    assert 404 == other.api("PATCH", f"me/passkeys/{number}", json={"name": "mine"}).status_code
    assert 404 == other.api("DELETE", f"me/passkeys/{number}").status_code


def test_user_cancels_a_second_factor_reset(new_user: Callable[..., SignedInUser]) -> None:
    """The user sees its time and can cancel it, once."""
    user, admin = new_user(), new_user(admin=True)
    assert 409 == admin.api("POST", f"users/{user.name}/second-factor-reset").status_code
    Factory(user.seaway).second_factor(user.name)
    at = admin.api("POST", f"users/{user.name}/second-factor-reset").json()["at"]
    assert at == user.api("GET", "me/second-factors").json()["ends_at"]
    assert [204, 404] == [user.api("DELETE", "me/second-factor-reset").status_code for _ in range(2)]
    assert 404 == admin.api("DELETE", f"users/{user.name}/second-factor-reset").status_code
    actions = audit_actions(user)
    assert 1 == actions.count("second-factor.reset-canceled"), actions
    assert user.api("GET", "me/second-factors").json()["ends_at"] is None


def test_other_sessions_are_ended(user: SignedInUser) -> None:
    """The session of the request stays."""
    other_session = user.session
    user.start_new_session()
    assert 2 == len(user.api("GET", "me/sessions").json()["items"])
    assert 204 == user.api("DELETE", "me/sessions").status_code
    assert [True] == [item["current"] for item in user.api("GET", "me/sessions").json()["items"]]
    user.set_session(other_session)
    assert 401 == user.api("GET", "me").status_code


def test_verified_address_becomes_primary(local_seaway: Seaway, user: SignedInUser) -> None:
    """The change is audited and sent by email to the previous address."""
    with local_seaway.site.database.write_site() as tx:
        user_id = users.get(tx, user.name).id
        emails.add(tx, local_seaway.site.clock.now_ms(), user_id, f"new-{user.name}@example.com", verified=True)
    found = user.api("GET", "me/addresses").json()["items"]
    other = next(item["id"] for item in found if not item["primary"])
    assert 204 == user.api("POST", f"me/addresses/{other}/primary").status_code
    assert [(other, True)] == [
        (item["id"], item["primary"]) for item in user.api("GET", "me/addresses").json()["items"] if item["primary"]
    ]
    assert f"new-{user.name}@example.com" == user.api("GET", "me").json()["email"]
    assert email_texts(user)
    assert "email.primary-set" in audit_actions(user)


def test_external_identity_is_unlinked(local_seaway: Seaway, user: SignedInUser) -> None:
    """It no longer signs in, and the change is audited; the last sign-in method cannot be removed."""
    external_account = ExternalAccount("github", "https://github.com", f"number of {user.name}", "octo", "Octo", None)
    with local_seaway.site.database.write_site() as tx:
        external_identities.link(
            tx, local_seaway.site.clock.now_ms(), OPERATOR, users.get(tx, user.name).id, external_account
        )
    number = user.api("GET", "me/identities").json()["items"][0]["id"]
    last = user.api("DELETE", f"me/identities/{number}")
    assert (403, True) == (last.status_code, "only sign-in method" in last.json()["message"])
    assert 204 == user.api("PUT", "me/password", json={"password": PASSWORD}).status_code
    assert 204 == user.api("DELETE", f"me/identities/{number}").status_code
    assert [] == user.api("GET", "me/identities").json()["items"]
    with local_seaway.site.database.read() as tx:
        assert external_identities.find(tx, external_account.issuer, external_account.subject) is None
    assert "identity.unlinked" in audit_actions(user)


def test_key_without_expiry_needs_explicit_null(local_seaway: Seaway, user: SignedInUser) -> None:
    """If the site allows it, `days: null` creates one; leaving out `days` does not."""
    keys = [user.api("POST", "keys", json=body).json() for body in ({"name": "robot", "days": None}, {"name": "ci"})]
    assert [True, False] == [key["expires_at"] is None for key in keys]
    local_seaway.site.clock.move(400 * DAY_MS)  # type: ignore[attr-defined]
    assert [200, 401] == [user.request("GET", "/api/v1/me", headers=bearer(key["key"])).status_code for key in keys]


def test_new_member_is_notified(new_user: Callable[..., SignedInUser]) -> None:
    """The email names the channel and the user who added the member."""
    owner, member = new_user(), new_user()
    channel = owner.api("POST", "channels", json={"name": f"of-{owner.name}"}).json()["name"]
    assert 200 == owner.api("PUT", f"channels/{channel}/members/{member.name}", json={"role": "viewer"}).status_code
    assert any(channel in text and owner.name in text for text in email_texts(member))
