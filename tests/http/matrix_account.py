"""Requests of the permission table: accounts, signing in and creating accounts."""

from collections.abc import Iterable

from sqlalchemy import delete, insert

from seaway.callers.caller import OPERATOR, Mode
from seaway.database.tables import passkeys
from seaway.keys import api_keys
from seaway.sign_in import sessions
from seaway.users import emails, users
from tests.http.matrix_requests import FORM, Ask, Stage, builds, session, user_of


@builds("GET /api/v1/user-names")
def _searching_users(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/user-names", params={"name": stage.users["owner"][:3]})


@builds("PATCH /api/v1/me")
def _renaming(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me", json={"display_name": "Another"})


@builds("DELETE /api/v1/me")
def _deleting_an_account(stage: Stage, caller: str) -> Iterable[Ask]:
    """For a user who owns a channel: deletion is refused, so the user still exists for the next row."""
    user = user_of(stage, caller)
    stage.site.new_channel(owner=user)
    yield Ask("/api/v1/me", params={"confirm": user})


@builds("POST /api/v1/me/addresses")
def _adding_an_address(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/addresses", json={"address": f"{stage.site.new_name('m')}@example.com"})


def _new_address_of(stage: Stage, user: str) -> int:
    """Add an address, neither primary nor verified, because changing those ends other sessions; return its id."""
    seaway, address = stage.site.factory.seaway, f"{stage.site.new_name('m')}@example.com"
    with seaway.site.database.write_site() as tx:
        user_id = users.get(tx, user).id
        emails.add(tx, seaway.site.clock.now_ms(), user_id, f"first-{address}", verified=True)
        emails.add(tx, seaway.site.clock.now_ms(), user_id, address, verified=False)
        return next(email.id for email in emails.of_user(tx, user_id) if email.address == address)


@builds("DELETE /api/v1/me/addresses/{address}")
def _removing_an_address(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_new_address_of(stage, user_of(stage, caller))}")


@builds("DELETE /api/v1/me/addresses/{address} #another's")
def _removing_the_address_of_another(stage: Stage, _caller: str) -> Iterable[Ask]:
    other_user = stage.site.factory.user(stage.site.new_name("other"))
    yield Ask(f"/api/v1/me/addresses/{_new_address_of(stage, other_user)}")


@builds("POST /api/v1/me/addresses/{address}/primary")
def _making_an_address_primary(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_new_address_of(stage, user_of(stage, caller))}/primary")


@builds("POST /api/v1/me/addresses/{address}/verification")
def _resending_verification(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_new_address_of(stage, user_of(stage, caller))}/verification")


@builds("DELETE /api/v1/me/identities/{identity}")
def _unlinking_missing_identity(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/identities/1000000")


@builds(*(f"{method} /verify/{{secret}}" for method in ("GET", "HEAD", "POST")))
def _link_to_verify(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/verify/swy-ln-unknown")


@builds(
    *(f"{method} /{purpose}/{{secret}}" for purpose in ("reset", "first-account") for method in ("GET", "HEAD", "POST"))
)
def _link(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/reset/swy-ln-unknown")
    yield Ask("/first-account/swy-ln-unknown")


@builds("POST /api/oauth/device")
def _starting_device_flow(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/oauth/device", content=b"client_id=rattler", headers=FORM)


@builds("POST /api/oauth/token")
def _refreshing_oauth_token(_stage: Stage, _caller: str) -> Iterable[Ask]:
    content = b"client_id=rattler&grant_type=refresh_token&refresh_token=unknown"
    yield Ask("/api/oauth/token", content=content, headers=FORM)


@builds("POST /api/oauth/revoke")
def _revoking_oauth_token(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/oauth/revoke", content=b"client_id=rattler&token=unknown", headers=FORM)


@builds("POST /api/graphql")
def _viewer(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/graphql", json={"query": "query { viewer { login } }"})


def _new_key_of(stage: Stage, user: str) -> int:
    """Create a key; return its id."""
    factory = stage.site.factory
    with factory.seaway.site.database.write_site() as tx:
        added, _ = api_keys.add(
            tx, factory.seaway.site.clock.now_ms(), OPERATOR, users.get(tx, user), stage.site.new_name("key"),
            mode=Mode.READ, channel_ids=None, expires_at_ms=None,
        )  # fmt: skip
    return added.id


@builds("POST /api/v1/keys")
def _creating_a_key(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/keys", json={"name": stage.site.new_name("key"), "days": 1})


@builds("POST /api/v1/keys/{key}/revoke")
def _revoking_a_key(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_new_key_of(stage, user_of(stage, caller))}/revoke")


@builds("DELETE /api/v1/keys/{key}")
def _removing_a_key(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_new_key_of(stage, user_of(stage, caller))}")


@builds("DELETE /api/v1/keys/{key} #another's")
def _removing_the_key_of_another(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/keys/{_new_key_of(stage, stage.site.factory.user(stage.site.new_name('other')))}")


def _new_session_of(stage: Stage, user: str) -> int:
    """Start a session; return its id."""
    factory, secret = stage.site.factory, session(stage.site, user)
    with factory.seaway.site.database.read() as tx:
        caller = sessions.caller_of(tx, secret, factory.seaway.site.clock.now_ms())
    assert caller is not None
    assert caller.session_id is not None
    return caller.session_id


@builds("DELETE /api/v1/me/sessions/{session}")
def _ending_a_session(stage: Stage, caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/sessions/{_new_session_of(stage, user_of(stage, caller))}")


@builds("DELETE /api/v1/me/sessions/{session} #another's")
def _ending_the_session_of_another(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/sessions/{_new_session_of(stage, stage.site.factory.user(stage.site.new_name('other')))}")


@builds("DELETE /api/v1/me/tools/{tool}")
def _ending_missing_grant(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/tools/1000000")


@builds("PUT /api/v1/me/password")
def _setting_a_weak_password(_stage: Stage, _caller: str) -> Iterable[Ask]:
    """The weak password is refused, so callers with permission stay signed in for the next row."""
    yield Ask("/api/v1/me/password", json={"password": "aaaaaaaaaaaa"})


@builds("POST /api/v1/me/totp/confirm")
def _confirming_totp_with_wrong_code(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/totp/confirm", json={"code": "not a code"})


@builds("POST /api/v1/me/passkeys")
def _adding_invalid_passkey(_stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/passkeys", json={"name": "a phone", "credential": {}})


def _new_passkey_of(stage: Stage, user: str) -> int:
    """Add a passkey without an authenticator; return its id."""
    with stage.site.factory.seaway.site.database.write_site() as tx:
        added: int = tx.execute(
            insert(passkeys)
            .values(
                user_id=users.get(tx, user).id,
                credential_id=stage.site.new_name("credential").encode(),
                public_key=b"",
                sign_count=0,
                transports="",
                name="a phone",
                created_at=0,
            )
            .returning(passkeys.c.id)
        ).scalar_one()
    return added


@builds("PATCH /api/v1/me/passkeys/{passkey}")
def _renaming_a_passkey(stage: Stage, caller: str) -> Iterable[Ask]:
    passkey_id = _new_passkey_of(stage, user_of(stage, caller))

    def check(_done: bool) -> None:
        with stage.site.factory.seaway.site.database.write_site() as tx:
            tx.execute(delete(passkeys).where(passkeys.c.id == passkey_id))

    yield Ask(f"/api/v1/me/passkeys/{passkey_id}", json={"name": "another"}, check=check)


@builds("DELETE /api/v1/me/passkeys/{passkey}")
def _removing_missing_passkey(_stage: Stage, _caller: str) -> Iterable[Ask]:
    """Removing a real passkey would end the other sessions, which the next rows need."""
    yield Ask("/api/v1/me/passkeys/1000000")
