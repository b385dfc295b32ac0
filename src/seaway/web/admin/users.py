"""User accounts: list, disable, make admin, reset second factors, set quotas."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import users as users_api
from seaway.api.v1.quotas import change_user_quota
from seaway.api.v1.users import UserUpdate
from seaway.channels import channels, quotas
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import second_factors
from seaway.users import emails, users
from seaway.web.admin.admin_pages import PER_PAGE, after_of, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.channel_pages import search_text_of

Act = Callable[[RequestContext, str, Form], object]


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show all users by name."""
    words, after, user_quota = search_text_of(request), after_of(request), _user_quota(request)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        found = users.all_users(tx, words, after=after, limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        return {
            "users": shown,
            "storage": quotas.of_users(tx, [user.id for user in shown], user_quota),
            "words": words,
            "after": after,
            "more": shown[-1].name if len(found) > PER_PAGE else "",
        }

    return await show(request, call, "users", read_values)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one account."""
    return await show(request, call, "user", partial(_read_values, request.path_params["user"], _user_quota(request)))


@for_admin
async def act(request: Request, call: RequestContext) -> Response:
    """Make one change to an account."""
    name, chosen = request.path_params["user"], _ACTS.get(request.path_params["act"])
    if chosen is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    require_recent_confirmation(call.by)
    work = partial(chosen, call, name, await form_of(request))
    read_values = partial(_read_values, name, _user_quota(request))
    return await change(request, call, "user", read_values, work, then=f"/admin/users/{name}")


def _user_quota(request: Request) -> int | None:
    return parts_of(request).publishing.user_quota


def _read_values(name: str, user_quota: int | None, tx: Tx) -> Mapping[str, Any]:
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


def _update(call: RequestContext, name: str, _form: Form, **fields: bool) -> None:
    users_api.change_user(call, name, UserUpdate(**fields))


def _schedule_reset(call: RequestContext, name: str, _form: Form) -> None:
    users_api.request_second_factor_reset(call, name)


def _cancel_reset(call: RequestContext, name: str, _form: Form) -> None:
    users_api.cancel_second_factor_reset(call, name)


def _set_quota(call: RequestContext, name: str, form: Form) -> None:
    change_user_quota(call, name, parse_quota(form.text("quota")))


_ACTS: Mapping[str, Act] = {
    "disable": partial(_update, disabled=True),
    "enable": partial(_update, disabled=False),
    "promote": partial(_update, admin=True),
    "demote": partial(_update, admin=False),
    "reset": _schedule_reset,
    "cancel-reset": _cancel_reset,
    "quota": _set_quota,
}
