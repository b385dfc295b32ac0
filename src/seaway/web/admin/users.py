"""User accounts: list, invitation, one account, actions, quota."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import users as users_api
from seaway.api.v1.quotas import change_user_quota
from seaway.api.v1.users import UserInvite
from seaway.channels import quotas
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.users import user_list
from seaway.users.user_list import UserFilter, UserOrder, UserState
from seaway.web.action_confirmation import Confirmation
from seaway.web.admin.admin_pages import PER_PAGE, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.admin.confirming import quota_confirmation
from seaway.web.admin.listing import option_of, query_of, text_of
from seaway.web.admin.user_actions import ACTIONS, UserAction, facts_of
from seaway.web.channel_pages import pages_of
from seaway.web.formats import size

_STATES = (
    (UserState.ANY, "All users"),
    (UserState.ACTIVE, "Active"),
    (UserState.DISABLED, "Disabled"),
    (UserState.ADMIN, "Site admins"),
    (UserState.UNVERIFIED, "Email not verified"),
)
_ORDERS = ((UserOrder.NAME, "Name"), (UserOrder.CREATED, "Newest"), (UserOrder.SIGNED_IN, "Last sign-in"))


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show the users that match the filters."""
    state, order = option_of(request, "state", UserState.ANY), option_of(request, "sort", UserOrder.NAME)
    chosen, user_quota = UserFilter(text_of(request, "q"), state), _user_quota(request)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        pages = pages_of(request, user_list.count(tx, chosen), PER_PAGE)
        found = user_list.find(tx, chosen, order, skip=pages.start, limit=PER_PAGE)
        return {
            "users": found,
            "storage": quotas.of_users(tx, [user.id for user in found], user_quota),
            "pages": pages,
            "query": query_of(request, "q", "state", "sort"),
            "words": chosen.words,
            "states": [(option.value, label) for option, label in _STATES],
            "state": state.value,
            "orders": [(option.value, label) for option, label in _ORDERS],
            "order": order.value,
        }

    return await show(request, call, "users", read_values, parts_of(request).search_slots)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one account."""
    return await show(request, call, "user", partial(_read_values, request.path_params["user"], call, None))


@for_admin
async def show_invite(request: Request, call: RequestContext) -> Response:
    """Show the form that invites a user."""
    return await show(request, call, "invite", partial(_typed, Form([])))


@for_admin
async def invite(request: Request, call: RequestContext) -> Response:
    """Create an account and send an invitation to its email address."""
    form = await form_of(request)
    require_recent_confirmation(call.by)
    name, address = form.text("name").lower(), form.text("email")

    def work() -> None:
        values = {"name": name, "email": address, "admin": form.is_set("admin")}
        users_api.invite_user(call, UserInvite.parse(values))

    message = f"{name} was invited. The link in the email to {address} expires in a week."
    return await change(
        request, call, "invite", partial(_typed, form), work, then=f"/admin/users/{name}", message=message
    )


@for_admin
async def confirm(request: Request, call: RequestContext) -> Response:
    """Show what an action does, and the button that confirms it."""
    name, action = request.path_params["user"], _action(request)
    if action.effects is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    require_recent_confirmation(call.by)
    return await show(request, call, "confirm", partial(_confirmation, request, call, name, action))


@for_admin
async def act(request: Request, call: RequestContext) -> Response:
    """Make one change to an account."""
    name, action = request.path_params["user"], _action(request)
    require_recent_confirmation(call.by)
    work = partial(action.work, call, name, await form_of(request))
    then, message = action.then.format(name), action.message.format(name)
    if action.effects is None:
        read_values = partial(_read_values, name, call, None)
        return await change(request, call, "user", read_values, work, then=then, message=message)
    read_values = partial(_confirmation, request, call, name, action)
    return await change(request, call, "confirm", read_values, work, then=then, message=message)


@for_admin
async def set_quota(request: Request, call: RequestContext) -> Response:
    """Set the quota of all channels of a user; one below their size is confirmed first."""
    name, form = request.path_params["user"], await form_of(request)
    require_recent_confirmation(call.by)
    typed = form.text("quota")

    def work() -> str:
        given = parse_quota(typed)
        change_user_quota(call, name, given)
        return "unlimited or the default of the site" if given.quota is None else size(given.quota)

    then = f"/admin/users/{name}"
    if not form.is_set("confirmed"):
        facts = await in_transaction(call.read(), partial(facts_of, name, call))
        confirmation = quota_confirmation(typed, facts.storage.used, f"the channels of {name}", f"{then}/quota", then)
        if confirmation is not None:
            return await show(request, call, "confirm", lambda _tx: {"confirmation": confirmation})
    read_values = partial(_read_values, name, call, typed)
    return await change(
        request, call, "user", read_values, work, then=then, message=lambda text: f"The quota of {name} is {text}."
    )


def _action(request: Request) -> UserAction:
    found = ACTIONS.get(request.path_params["act"])
    if found is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    return found


def _user_quota(request: Request) -> int | None:
    return parts_of(request).publishing.user_quota


def _typed(form: Form, _tx: Tx) -> Mapping[str, Any]:
    typed = {"name": form.text("name")[:39], "email": form.text("email")[:254], "admin": form.is_set("admin")}
    return {"typed": typed}


def _read_values(name: str, call: RequestContext, typed_quota: str | None, tx: Tx) -> Mapping[str, Any]:
    facts = facts_of(name, call, tx)
    current = "" if facts.storage.is_default else format_quota(facts.storage.quota)
    return {"facts": facts, "user": facts.user, "quota": current if typed_quota is None else typed_quota}


def _confirmation(
    request: Request, call: RequestContext, name: str, action: UserAction, tx: Tx
) -> Mapping[str, Confirmation]:
    facts = facts_of(name, call, tx)
    assert action.effects is not None
    return {
        "confirmation": Confirmation(
            question=action.question.format(name),
            effects=action.effects(facts),
            button=action.button,
            back=f"/admin/users/{name}",
            action=request.url.path,
            is_danger=action.is_danger,
            typed=name if action.is_typed else "",
            refused=action.refused(facts),
        )
    }
