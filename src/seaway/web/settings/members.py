"""Members of a channel: users, invited email addresses and groups."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import invitations as invitations_api
from seaway.api.v1 import members as members_api
from seaway.api.v1.invitations import InvitationCreate
from seaway.api.v1.members import RoleUpdate
from seaway.channels import invitations, members
from seaway.channels.roles import Action, Role
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change_without_transaction, show
from seaway.web.user_pages import for_user

ROLES = (
    (Role.VIEWER.value, "Viewer: can install"),
    (Role.CONTRIBUTOR.value, "Contributor: can also publish"),
)
_USUAL = Role.CONTRIBUTOR.value


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    users, groups = members.list_all(context.tx, context.by, context.channel)
    return {
        "users": users,
        "groups": groups,
        "invitations": invitations.of_channel(context.tx, context.by, context.channel),
        "roles": ROLES,
        "typed": {"who": "", "role": _USUAL},
    }


SECTION = SettingsPage("members", Action.MANAGE, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add a user or a group at once, or send an invitation to an email address."""
    form = await form_of(request)
    typed = {"who": form.text("who")[:254], "role": form.text("role")}
    return await _change(request, call, _invite if "@" in typed["who"] else _put, typed=typed)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Change the role of a user or a group."""
    return await _change(request, call, _put)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove a user or a group."""
    return await _change(request, call, _remove)


@for_user
async def withdraw(request: Request, call: RequestContext) -> Response:
    """Withdraw an invitation."""
    return await _change(request, call, _withdraw)


@for_user
async def resend(request: Request, call: RequestContext) -> Response:
    """Send an invitation again, with a new link."""
    return await _change(request, call, _resend)


async def _change(
    request: Request, call: RequestContext, act: Callable[[str, Form, RequestContext], object], **typed: Any
) -> Response:
    acting = partial(act, request.path_params["channel"], await form_of(request))
    return await change_without_transaction(request, call, SECTION, acting, **typed)


def _invite(channel: str, form: Form, call: RequestContext) -> None:
    given = {"address": form.text("who"), "role": form.text("role")}
    invitations_api.send_invitation(call, channel, InvitationCreate.parse(given))


def _put(channel: str, form: Form, call: RequestContext) -> None:
    given = RoleUpdate.parse({"role": form.text("role")})
    if form.is_set("group"):
        members_api.put_member_group(call, channel, form.text("group"), given)
    else:
        members_api.put_member(call, channel, form.text("who"), given)


def _remove(channel: str, form: Form, call: RequestContext) -> None:
    if form.is_set("group"):
        members_api.remove_member_group(call, channel, form.text("group"))
    else:
        members_api.remove_member(call, channel, form.text("who"))


def _withdraw(channel: str, form: Form, call: RequestContext) -> None:
    invitations_api.withdraw_invitation(call, channel, form.number("invitation"))


def _resend(channel: str, form: Form, call: RequestContext) -> None:
    invitations_api.resend_invitation(call, channel, form.number("invitation"))
