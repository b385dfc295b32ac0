"""User accounts: list, disable, make admin, reset second factors, set quotas."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import channels, quotas
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import second_factors, site_admin
from seaway.sign_in.parts import AccountParts
from seaway.users import emails, users
from seaway.web.admin.admin_pages import PER_PAGE, after_of, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.channel_pages import search_text_of
from seaway.web.user_pages import accounts_of


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show all users by name."""
    words, after, user_quota = search_text_of(request), after_of(request), _user_quota(request)

    def look(tx: Tx) -> Mapping[str, Any]:
        found = users.all_users(tx, words, after=after, limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        return {
            "users": shown,
            "storage": quotas.of_users(tx, [user.id for user in shown], user_quota),
            "words": words,
            "after": after,
            "more": shown[-1].name if len(found) > PER_PAGE else "",
        }

    return await show(request, call, "users", look)


@for_admin
async def look(request: Request, call: RequestContext) -> Response:
    """Show one account."""
    return await show(request, call, "user", partial(_look, request.path_params["user"], _user_quota(request)))


@for_admin
async def act(request: Request, call: RequestContext) -> Response:
    """Make one change to an account."""
    name, form = request.path_params["user"], await form_of(request)
    chosen = _act_of(request.path_params["act"], accounts_of(request), form)
    require_recent_confirmation(call.by)
    look = partial(_look, name, _user_quota(request))
    return await change(
        request, call, "user", look, lambda tx, now_ms: chosen(tx, now_ms, call.by, name), then=f"/admin/users/{name}"
    )


def _user_quota(request: Request) -> int | None:
    return parts_of(request).publishing.user_quota


def _look(name: str, user_quota: int | None, tx: Tx) -> Mapping[str, Any]:
    user = users.get(tx, name)
    storage = quotas.of_user(tx, user.id, user_quota)
    joined = channels.with_role_of(tx, user.id)
    return {
        "user": user,
        "emails": emails.of_user(tx, user.id),
        "factors": second_factors.of_user(tx, user.id),
        "ends_at_ms": second_factors.ends_at(tx, user.id),
        "storage": storage,
        "quota": "" if storage.is_default else format_quota(storage.quota),
        "owned": [channel for channel, role in joined if role is Role.OWNER],
        "joined": [(channel, role) for channel, role in joined if role is not Role.OWNER],
    }


# What each button does, called as `act(tx, now_ms, caller, name)`; the others are in `_act_of`.
_ACTS: Mapping[str, Callable[..., object]] = {
    "disable": partial(site_admin.set_disabled, disabled=True),
    "enable": partial(site_admin.set_disabled, disabled=False),
    "promote": partial(site_admin.set_admin, is_admin=True),
    "demote": partial(site_admin.set_admin, is_admin=False),
}


def _act_of(act: str, accounts: AccountParts, form: Form) -> Callable[..., object]:
    match act:
        case "reset":
            return partial(site_admin.schedule_factor_reset, accounts)
        case "cancel-reset":
            return partial(site_admin.cancel_factor_reset, accounts)
        case "quota":
            return lambda tx, now_ms, by, name: quotas.set_of_user(
                tx, now_ms, by, name, parse_quota(form.text("quota"))
            )
        case _ if act in _ACTS:
            return _ACTS[act]
        case _:
            raise NotFound("This page does not exist.", "Check the URL.")
