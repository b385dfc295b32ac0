"""Groups of the user: create, show, change members, leave, delete."""

from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import groups as groups_api
from seaway.api.v1.groups import GroupCreate, GroupMemberUpdate
from seaway.channels import groups
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.web.rendering import page
from seaway.web.user_pages import for_user, submit

_LIST = "/account/groups"


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

    read_values = partial(_list_values, call)
    return await submit(request, make, f"{_LIST}/{typed['name']}", "account/groups.html", read_values, typed=typed)


@for_user
async def show_one(request: Request, call: RequestContext) -> Response:
    """Show the members of a group."""
    found = await to_thread.run_sync(_read_values, call, request.path_params["group"])
    return page(request, "account/group.html", problem=None, user="", **found)


@for_user
async def put_member(request: Request, call: RequestContext) -> Response:
    """Add a user, or change whether a member is a manager."""
    form, name = await form_of(request), request.path_params["group"]
    user, given = form.text("user"), GroupMemberUpdate(manager=form.is_set("manager"))
    return await _change(request, lambda: groups_api.put_group_member(call, name, user, given), call, user=user[:60])


@for_user
async def remove_member(request: Request, call: RequestContext) -> Response:
    """Remove a user from a group."""
    form, name = await form_of(request), request.path_params["group"]
    return await _change(request, lambda: groups_api.remove_group_member(call, name, form.text("user")), call)


@for_user
async def leave(request: Request, call: RequestContext) -> Response:
    """Leave a group."""
    name = request.path_params["group"]
    return await _change(request, lambda: groups_api.leave_group(call, name), call, then=_LIST)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Delete a group."""
    name = request.path_params["group"]
    return await _change(request, lambda: groups_api.delete_group(call, name), call, then=_LIST)


async def _change(
    request: Request, work: Callable[[], object], call: RequestContext, *, then: str = "", user: str = ""
) -> Response:
    """Make the change and redirect; if it is refused, show the reason above the group."""
    name = request.path_params["group"]
    read_values = partial(_read_values, call, name)
    return await submit(request, work, then or f"{_LIST}/{name}", "account/group.html", read_values, user=user)


def _list_values(call: RequestContext) -> dict[str, Any]:
    with call.read() as tx:
        return {"groups": groups.of_user(tx, call.by.user_id or 0)}


def _read_values(call: RequestContext, name: str) -> dict[str, Any]:
    with call.read() as tx:
        group, members = groups.get(tx, call.by, name)
    manages = call.by.is_admin or any(member.user == call.by.name and member.is_manager for member in members)
    return {"group": group, "members": members, "manages": manages}
