"""Groups of the user: create, show, change members, leave, delete."""

from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import groups
from seaway.database.engine import Tx
from seaway.errors import BadCredential, ConfirmationRequired, SeawayError
from seaway.http.page_forms import form_of
from seaway.sign_in.parts import AccountParts
from seaway.users import users
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user, show_refusal

_LIST = "/account/groups"


@for_user
async def show(request: Request, by: Caller) -> Response:
    """Show the user's groups, and a form to create one."""
    found = await to_thread.run_sync(_mine, accounts_of(request), by)
    return page(request, "account/groups.html", problem=None, typed={"name": "", "description": ""}, groups=found)


@for_user
async def add(request: Request, by: Caller) -> Response:
    """Create a group; the user becomes its manager."""
    form, accounts = await form_of(request), accounts_of(request)
    typed = {"name": form.text("name").lower()[:60], "description": form.text("description")[:2_000]}

    def make(tx: Tx, now_ms: int) -> None:
        groups.add(tx, now_ms, by, typed["name"], users.get(tx, by.name), description=typed["description"])

    try:
        await to_thread.run_sync(_write, accounts, typed["name"], make)
    except (ConfirmationRequired, BadCredential):
        raise
    except SeawayError as error:
        found = await to_thread.run_sync(_mine, accounts, by)
        return show_refusal(request, "account/groups.html", error, typed=typed, groups=found)
    return redirect(f"{_LIST}/{typed['name']}")


@for_user
async def show_one(request: Request, by: Caller) -> Response:
    """Show the members of a group."""
    found = await to_thread.run_sync(_look, accounts_of(request), by, request.path_params["group"])
    return page(request, "account/group.html", problem=None, who="", **found)


@for_user
async def put_member(request: Request, by: Caller) -> Response:
    """Add a user, or change whether a member is a manager."""
    form, name, accounts = await form_of(request), request.path_params["group"], accounts_of(request)

    def put(tx: Tx, now_ms: int) -> None:
        groups.put_member(tx, now_ms, by, name, form.text("who"), is_manager=form.is_set("manager"), telling=accounts)

    return await _change(request, by, put, who=form.text("who")[:60])


@for_user
async def remove_member(request: Request, by: Caller) -> Response:
    """Remove a user from a group."""
    form, name = await form_of(request), request.path_params["group"]
    return await _change(request, by, lambda tx, now_ms: groups.remove_member(tx, now_ms, by, name, form.text("who")))


@for_user
async def leave(request: Request, by: Caller) -> Response:
    """Leave a group."""
    name = request.path_params["group"]
    return await _change(request, by, lambda tx, now_ms: groups.leave(tx, now_ms, by, name), then=_LIST)


@for_user
async def remove(request: Request, by: Caller) -> Response:
    """Delete a group."""
    name = request.path_params["group"]
    return await _change(request, by, lambda tx, now_ms: groups.remove(tx, now_ms, by, name), then=_LIST)


async def _change(
    request: Request, by: Caller, act: Callable[[Tx, int], object], *, then: str = "", who: str = ""
) -> Response:
    """Make the change and redirect; if it is refused, show the reason above the group."""
    accounts, name = accounts_of(request), request.path_params["group"]
    try:
        await to_thread.run_sync(_write, accounts, name, act)
    except (ConfirmationRequired, BadCredential):
        raise
    except SeawayError as error:
        found = await to_thread.run_sync(_look, accounts, by, name)
        return show_refusal(request, "account/group.html", error, who=who, **found)
    return redirect(then or f"{_LIST}/{name}")


def _write(accounts: AccountParts, name: str, act: Callable[[Tx, int], object]) -> None:
    with accounts.database.write_group(name) as tx:
        act(tx, accounts.clock.now_ms())


def _mine(accounts: AccountParts, by: Caller) -> list[Any]:
    with accounts.database.read() as tx:
        return groups.of_user(tx, by.user_id or 0)


def _look(accounts: AccountParts, by: Caller, name: str) -> dict[str, Any]:
    with accounts.database.read() as tx:
        group, members = groups.get(tx, by, name)
    manages = by.is_admin or any(member.user == by.name and member.is_manager for member in members)
    return {"group": group, "members": members, "manages": manages}
