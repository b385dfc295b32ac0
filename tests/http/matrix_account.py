"""Requests of the permission table: accounts, signing in and creating accounts."""

from collections.abc import Iterable

from sqlalchemy import delete, insert

from seaway.callers.caller import OPERATOR, Mode
from seaway.database.tables import passkeys
from seaway.keys import api_keys
from seaway.sign_in import sessions
from seaway.users import emails, users
from tests.http.matrix_requests import FORM, MatrixContext, RouteRequest, builds, session, user_of


@builds("GET /api/v1/user-names")
def _searching_users(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/user-names", params={"name": context.users["owner"][:3]})


@builds("PATCH /api/v1/me")
def _renaming(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me", json={"display_name": "Another"})


@builds("DELETE /api/v1/me")
def _deleting_an_account(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    """For a user who owns a channel: deletion is refused, so the user still exists for the next row."""
    user = user_of(context, caller)
    context.site.new_channel(owner=user)
    yield RouteRequest("/api/v1/me", params={"confirm": user})


@builds("POST /api/v1/me/addresses")
def _adding_an_address(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me/addresses", json={"address": f"{context.site.new_name('m')}@example.com"})


def _new_address_of(context: MatrixContext, user: str) -> int:
    """Add an address, neither primary nor verified, because changing those ends other sessions; return its id."""
    seaway, address = context.site.factory.seaway, f"{context.site.new_name('m')}@example.com"
    with seaway.site.database.write_site() as tx:
        user_id = users.get(tx, user).id
        emails.add(tx, seaway.site.clock.now_ms(), user_id, f"first-{address}", verified=True)
        emails.add(tx, seaway.site.clock.now_ms(), user_id, address, verified=False)
        return next(email.id for email in emails.of_user(tx, user_id) if email.address == address)


@builds("DELETE /api/v1/me/addresses/{address}")
def _removing_an_address(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/me/addresses/{_new_address_of(context, user_of(context, caller))}")


@builds("DELETE /api/v1/me/addresses/{address} #another's")
def _removing_the_address_of_another(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    other_user = context.site.factory.user(context.site.new_name("other"))
    yield RouteRequest(f"/api/v1/me/addresses/{_new_address_of(context, other_user)}")


@builds("POST /api/v1/me/addresses/{address}/primary")
def _making_an_address_primary(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/me/addresses/{_new_address_of(context, user_of(context, caller))}/primary")


@builds("POST /api/v1/me/addresses/{address}/verification")
def _resending_verification(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/me/addresses/{_new_address_of(context, user_of(context, caller))}/verification")


@builds("DELETE /api/v1/me/identities/{identity}")
def _unlinking_missing_identity(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me/identities/1000000")


@builds(*(f"{method} /verify/{{secret}}" for method in ("GET", "HEAD", "POST")))
def _link_to_verify(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/verify/swy-ln-unknown")


@builds(
    *(
        f"{method} /{purpose}/{{secret}}"
        for purpose in ("reset", "first-account", "invite")
        for method in ("GET", "HEAD", "POST")
    )
)
def _link(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/reset/swy-ln-unknown")
    yield RouteRequest("/first-account/swy-ln-unknown")
    yield RouteRequest("/invite/swy-ln-unknown")


@builds("POST /api/oauth/device")
def _starting_device_flow(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/oauth/device", content=b"client_id=rattler", headers=FORM)


@builds("POST /api/oauth/token")
def _refreshing_oauth_token(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    content = b"client_id=rattler&grant_type=refresh_token&refresh_token=unknown"
    yield RouteRequest("/api/oauth/token", content=content, headers=FORM)


@builds("POST /api/oauth/revoke")
def _revoking_oauth_token(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/oauth/revoke", content=b"client_id=rattler&token=unknown", headers=FORM)


@builds("POST /api/graphql")
def _viewer(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/graphql", json={"query": "query { viewer { login } }"})


def _new_key_of(context: MatrixContext, user: str) -> int:
    """Create a key; return its id."""
    factory = context.site.factory
    with factory.seaway.site.database.write_site() as tx:
        added, _ = api_keys.add(
            tx, factory.seaway.site.clock.now_ms(), OPERATOR, users.get(tx, user), context.site.new_name("key"),
            mode=Mode.READ, channel_ids=None, expires_at_ms=None,
        )  # fmt: skip
    return added.id


@builds("POST /api/v1/keys")
def _creating_a_key(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/keys", json={"name": context.site.new_name("key"), "days": 1})


@builds("POST /api/v1/keys/{key}/revoke")
def _revoking_a_key(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/keys/{_new_key_of(context, user_of(context, caller))}/revoke")


@builds("DELETE /api/v1/keys/{key}")
def _removing_a_key(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/keys/{_new_key_of(context, user_of(context, caller))}")


@builds("DELETE /api/v1/keys/{key} #another's")
def _removing_the_key_of_another(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/keys/{_new_key_of(context, context.site.factory.user(context.site.new_name('other')))}"
    )


def _new_session_of(context: MatrixContext, user: str) -> int:
    """Start a session; return its id."""
    factory, secret = context.site.factory, session(context.site, user)
    with factory.seaway.site.database.read() as tx:
        caller = sessions.caller_of(tx, secret, factory.seaway.site.clock.now_ms())
    assert caller is not None
    assert caller.session_id is not None
    return caller.session_id


@builds("DELETE /api/v1/me/sessions/{session}")
def _ending_a_session(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/me/sessions/{_new_session_of(context, user_of(context, caller))}")


@builds("DELETE /api/v1/me/sessions/{session} #another's")
def _ending_the_session_of_another(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/me/sessions/{_new_session_of(context, context.site.factory.user(context.site.new_name('other')))}"
    )


@builds("DELETE /api/v1/me/tools/{tool}")
def _ending_missing_grant(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me/tools/1000000")


@builds("PUT /api/v1/me/password")
def _setting_a_weak_password(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """The weak password is refused, so callers with permission stay signed in for the next row."""
    yield RouteRequest("/api/v1/me/password", json={"password": "aaaaaaaaaaaa"})


@builds("POST /api/v1/me/totp/confirm")
def _confirming_totp_with_wrong_code(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me/totp/confirm", json={"code": "not a code"})


@builds("POST /api/v1/me/passkeys")
def _adding_invalid_passkey(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/me/passkeys", json={"name": "a phone", "credential": {}})


def _new_passkey_of(context: MatrixContext, user: str) -> int:
    """Add a passkey without an authenticator; return its id."""
    with context.site.factory.seaway.site.database.write_site() as tx:
        added: int = tx.execute(
            insert(passkeys)
            .values(
                user_id=users.get(tx, user).id,
                credential_id=context.site.new_name("credential").encode(),
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
def _renaming_a_passkey(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    passkey_id = _new_passkey_of(context, user_of(context, caller))

    def check(_done: bool) -> None:
        with context.site.factory.seaway.site.database.write_site() as tx:
            tx.execute(delete(passkeys).where(passkeys.c.id == passkey_id))

    yield RouteRequest(f"/api/v1/me/passkeys/{passkey_id}", json={"name": "another"}, check=check)


@builds("DELETE /api/v1/me/passkeys/{passkey}")
def _removing_missing_passkey(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """Removing a real passkey would end the other sessions, which the next rows need."""
    yield RouteRequest("/api/v1/me/passkeys/1000000")
