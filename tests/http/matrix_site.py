"""Requests of the permission table: routes of site admins."""

import json
from collections.abc import Iterable
from functools import cache

from joserfc.jwk import RSAKey

from seaway.callers.caller import OPERATOR
from seaway.sign_in import second_factors, user_invitations
from seaway.trusted_publishing import issuers
from seaway.users import users
from tests.http.matrix_requests import MatrixContext, RouteRequest, builds, form


@builds("PATCH /api/v1/users/{user}")
def _disabling_an_account(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/users/{context.site.factory.user(context.site.new_name('other'))}", json={"disabled": True}
    )


@builds("POST /api/v1/users/{user}/second-factor-reset")
def _requesting_a_reset(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.factory.second_factor(context.site.new_name("other"))
    yield RouteRequest(f"/api/v1/users/{name}/second-factor-reset")


@builds("DELETE /api/v1/users/{user}/second-factor-reset")
def _canceling_a_reset(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name, seaway = context.site.factory.second_factor(context.site.new_name("other")), context.site.factory.seaway
    with seaway.site.database.write_site() as tx:
        parts, now_ms = seaway.request_parts.accounts, seaway.site.clock.now_ms()
        second_factors.request_reset(parts, tx, now_ms, OPERATOR, users.get(tx, name).id)
    yield RouteRequest(f"/api/v1/users/{name}/second-factor-reset")


@builds("POST /api/v1/users")
def _inviting_a_user(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.new_name("invited")
    yield RouteRequest("/api/v1/users", json={"name": name, "email": f"{name}@example.com"})


def new_invited_user(context: MatrixContext) -> str:
    """Invite a user; return the name."""
    seaway, name = context.site.factory.seaway, context.site.new_name("invited")
    with seaway.site.database.write_site() as tx:
        parts, now_ms = seaway.request_parts.accounts, seaway.site.clock.now_ms()
        user_invitations.invite(parts, tx, now_ms, OPERATOR, name, f"{name}@example.com")
    return name


@builds("POST /api/v1/users/{user}/invitation")
def _inviting_a_user_again(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/users/{new_invited_user(context)}/invitation")


@builds("DELETE /api/v1/users/{user}")
def _deleting_a_user(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.factory.user(context.site.new_name("other"))
    yield RouteRequest(f"/api/v1/users/{name}?confirm={name}")


@builds("PATCH /api/v1/channels/{channel}/quota")
def _limiting_a_channel(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/quota", json={"quota": 10**12})


@builds("PATCH /api/v1/users/{user}/quota")
def _limiting_a_user(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/users/{context.users['viewer']}/quota", json={"quota": None})


def new_issuer(context: MatrixContext) -> str:
    """Add an issuer without publishers; return its name."""
    seaway, name = context.site.factory.seaway, context.site.new_name("forge")
    with seaway.site.database.write_site() as tx:
        url = f"https://{name}.example.com"
        issuers.add(tx, seaway.site.clock.now_ms(), OPERATOR, name, kind="gitlab", issuer=url)
    return name


@cache
def key_set() -> str:
    """Return a JSON Web Key Set with one key."""
    key = RSAKey.generate_key(2048, {"kid": "1"}, private=False)
    return json.dumps({"keys": [key.as_dict(private=False) | {"kid": "1"}]})


@builds("POST /api/v1/issuers")
def _adding_an_issuer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.new_name("forge")
    body = {"name": name, "issuer": f"https://{name}.example.com", "kind": "gitlab"}
    yield RouteRequest("/api/v1/issuers", json=body)


@builds("GET /api/v1/issuers/{issuer}", "DELETE /api/v1/issuers/{issuer}")
def _reading_or_removing_an_issuer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/issuers/{new_issuer(context)}")


@builds("GET /admin/issuers/{issuer}", "HEAD /admin/issuers/{issuer}")
def _reading_an_issuer_by_page(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/admin/issuers/github")


@builds("POST /admin/issuers")
def _adding_an_issuer_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.new_name("forge")
    yield form("/admin/issuers", name=name, issuer=f"https://{name}.example.com", kind="gitlab")


@builds("POST /admin/issuers/{issuer}/{act}")
def _changing_an_issuer_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = new_issuer(context)
    for act in ("disable", "enable"):
        yield form(f"/admin/issuers/{name}/{act}")
    yield form(f"/admin/issuers/{name}/keys", keys=key_set())
    yield form(f"/admin/issuers/{name}/remove")


@builds("POST /admin/users/{user}/{act}")
def _changing_a_user_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    user = context.site.factory.second_factor(context.site.new_name("other"))
    for act in ("disable", "enable", "promote", "demote", "reset", "cancel-reset"):
        yield form(f"/admin/users/{user}/{act}")
    yield form(f"/admin/users/{new_invited_user(context)}/invite")
    yield form(f"/admin/users/{user}/delete", name=user)


@builds("GET /admin/users/{user}/{act}", "HEAD /admin/users/{user}/{act}")
def _asking_to_change_a_user(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    for act in ("disable", "enable", "promote", "demote", "reset", "delete"):
        yield RouteRequest(f"/admin/users/{context.users['viewer']}/{act}")


@builds("POST /admin/users/invite")
def _inviting_a_user_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.new_name("invited")
    yield form("/admin/users/invite", name=name, email=f"{name}@example.com")


@builds("POST /admin/users/{user}/quota")
def _limiting_a_user_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/admin/users/{context.users['viewer']}/quota", quota="20 GB")


@builds("POST /admin/channels/{channel}/delete")
def _deleting_a_channel_as_admin(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.site.new_channel()
    yield form(f"/admin/channels/{name}/delete", name=name)


@builds("GET /admin/issuers/{issuer}/{act}", "HEAD /admin/issuers/{issuer}/{act}")
def _asking_to_change_an_issuer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    for act in ("disable", "remove"):
        yield RouteRequest(f"/admin/issuers/{new_issuer(context)}/{act}")


@builds("POST /admin/channels/{channel}/quota")
def _limiting_a_channel_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/admin/channels/{context.channel}/quota", quota="1 TB")


@builds("PATCH /api/v1/issuers/{issuer}")
def _disabling_an_issuer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/issuers/{new_issuer(context)}", json={"enabled": False})


@builds("PUT /api/v1/issuers/{issuer}/keys")
def _setting_issuer_keys(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/issuers/{new_issuer(context)}/keys", json=json.loads(key_set()))


@builds("POST /api/v1/issuers/{issuer}/keys/fetch")
def _fetching_keys_of_missing_issuer(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/issuers/missing/keys/fetch")


@builds("POST /api/v1/jobs/{job}/retry")
def _retrying_missing_job(_context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/jobs/1000000/retry")
