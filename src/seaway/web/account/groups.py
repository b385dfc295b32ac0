"""Groups of the user: create, show, change members, leave, delete."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import groups as groups_api
from seaway.api.v1.groups import GroupCreate, GroupMemberUpdate
from seaway.channels import groups
from seaway.errors import Invalid
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.users import users
from seaway.web.page_message import Message
from seaway.web.rendering import page
from seaway.web.user_pages import Report, for_user, submit

T = TypeVar("T")

_LIST = "/account/groups"
_NOTHING_TYPED: Mapping[str, Any] = {"user": "", "manager": False}


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the user's groups, and a form to create one."""
    found = await to_thread.run_sync(_list_values, call)
    return page(request, "account/groups.html", problem=None, typed={"name": "", "description": ""}, **found)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create a group; the user becomes its manager."""
    form = await form_of(request)
    typed = {"name": form.text("name").lower()[:60], "description": form.text("description")[:2_000]}

    def make() -> None:
        groups_api.create_group(call, GroupCreate.parse(typed))

    return await submit(
        request, make, f"{_LIST}/{typed['name']}", "account/groups.html", partial(_list_values, call),
        message=f"The group {typed['name']} was created.", typed=typed,
    )  # fmt: skip


@for_user
async def show_one(request: Request, call: RequestContext) -> Response:
    """Show the members of a group."""
    found = await to_thread.run_sync(_read_values, call, request.path_params["group"])
    return page(request, "account/group.html", problem=None, typed=_NOTHING_TYPED, **found)


@for_user
async def put_member(request: Request, call: RequestContext) -> Response:
    """Add a user, or change whether a member is a manager."""
    form, name = await form_of(request), request.path_params["group"]
    user, given = form.text("user"), GroupMemberUpdate(manager=form.is_set("manager"))
    typed = {"user": user[:60], "manager": given.manager}

    def put() -> Message:
        was_manager = _manages(call, name, user)
        groups_api.put_group_member(call, name, user, given)
        if was_manager is None:
            return Message(f"{user} was added to {name}{' as a manager' if given.manager else ''}.")
        if was_manager == given.manager:
            return Message(f"{user} already is a {'manager' if was_manager else 'member'} of {name}.", is_change=False)
        return Message(f"{user} is {'now' if given.manager else 'no longer'} a manager of {name}.")

    return await _change(request, put, call, lambda message: message, typed=typed)


@for_user
async def remove_member(request: Request, call: RequestContext) -> Response:
    """Remove a user from a group."""
    user, name = (await form_of(request)).text("user"), request.path_params["group"]
    work = partial(groups_api.remove_group_member, call, name, user)
    return await _change(request, work, call, f"{user} was removed from {name}.")


@for_user
async def leave(request: Request, call: RequestContext) -> Response:
    """Leave a group."""
    name = request.path_params["group"]
    work = partial(groups_api.leave_group, call, name)
    return await _change(request, work, call, f"You left the group {name}.", then=_LIST)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Delete a group."""
    name = request.path_params["group"]
    work = partial(groups_api.delete_group, call, name)
    return await _change(request, work, call, f"The group {name} was deleted.", then=_LIST)


async def _change(
    request: Request,
    work: Callable[[], T],
    call: RequestContext,
    message: Report[T],
    *,
    then: str = "",
    typed: Mapping[str, Any] = _NOTHING_TYPED,
) -> Response:
    """Make the change and redirect; if it is refused, show the reason in the form or above the group."""
    name = request.path_params["group"]
    return await submit(
        request, work, then or f"{_LIST}/{name}", "account/group.html", partial(_read_values, call, name),
        message=message, typed=typed,
    )  # fmt: skip


def _manages(call: RequestContext, group: str, user: str) -> bool | None:
    """Return whether a member is a manager, None for others; raise an error of the field if there is no such user."""
    if not user:
        raise Invalid("Enter a user name.", field="user")
    with call.read() as tx:
        if users.find(tx, user) is None:
            raise Invalid(f"There is no user named {user[:60]}.", "Check the spelling.", field="user")
        found = groups.get(tx, call.by, group)[1]
    return next((member.is_manager for member in found if member.user == user), None)


def _list_values(call: RequestContext) -> dict[str, Any]:
    with call.read() as tx:
        return {"groups": groups.of_user(tx, call.by.user_id or 0)}


def _read_values(call: RequestContext, name: str) -> dict[str, Any]:
    with call.read() as tx:
        group, members = groups.get(tx, call.by, name)
    manages = call.by.is_admin or any(member.user == call.by.name and member.is_manager for member in members)
    return {"group": group, "members": members, "manages": manages}
