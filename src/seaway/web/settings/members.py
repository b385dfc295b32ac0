"""
Members of a channel: users, groups and invited email addresses.

1. One field takes a user, a group of the caller or an email address. Names of users and groups are different sets: a
   chosen suggestion says which one it is; a typed name is a user's, or a group's if there is no such user.
2. Every change of a member can be undone with a button in its message; invitations can be resent and withdrawn.
"""

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
from seaway.errors import Malformed, NotFound, at_field
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.users import users
from seaway.web.page_message import Message, Undo
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change_without_transaction, show
from seaway.web.user_pages import for_user

ROLES = ((Role.VIEWER.value, "Viewer"), (Role.CONTRIBUTOR.value, "Contributor"))
_USUAL = Role.CONTRIBUTOR.value

_Change = Callable[[str, Form, RequestContext], Message]


def _read_values(words: str, context: SettingsContext) -> Mapping[str, Any]:
    users_in, groups_in = members.list_all(context.tx, context.by, context.channel)
    return {
        "users": [member for member in users_in if words in member.user],
        "groups": [member for member in groups_in if words in member.group],
        "total": len(users_in) + len(groups_in),
        "filter": words,
        "invitations": invitations.of_channel(context.tx, context.by, context.channel),
        "roles": ROLES,
        "typed": {"who": "", "kind": "", "role": _USUAL},
    }


def _section(words: str = "") -> SettingsPage:
    return SettingsPage("members", Action.MANAGE, partial(_read_values, words))


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page; the filter works in the browser, and without JavaScript here."""
    return await show(request, call, _section(request.query_params.get("filter", "").strip().lower()[:39]))


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add a user or a group at once, or send an invitation to an email address."""
    form = await form_of(request)
    typed = {"who": form.text("who")[:254], "kind": form.text("kind"), "role": form.text("role")}
    return await _change(request, call, _add, typed=typed)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Change the role of a user or a group."""
    return await _change(request, call, _change_role)


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


async def _change(request: Request, call: RequestContext, act: _Change, **typed: Any) -> Response:
    acting = partial(act, request.path_params["channel"], await form_of(request))
    return await change_without_transaction(request, call, _section(), acting, message=lambda text: text, **typed)


def _add(channel: str, form: Form, call: RequestContext) -> Message:
    role = RoleUpdate.parse({"role": form.text("role")})
    if "@" in form.text("who"):
        return at_field("who", partial(_invite, channel, form.text("who"), role, call))
    return at_field("who", partial(_add_member, channel, form, role, call))


def _invite(channel: str, address: str, role: RoleUpdate, call: RequestContext) -> Message:
    given = InvitationCreate.parse({"address": address, "role": role.role})
    sent = invitations_api.send_invitation(call, channel, given)
    text = f"An invitation to become a {role.role} was sent to {sent.address}."
    return Message(text, link=("Pending invitations", "#invitations"))


def _add_member(channel: str, form: Form, role: RoleUpdate, call: RequestContext) -> Message:
    field, name = _named(form, call)
    return _set_role(channel, field, name, role, call)


def _named(form: Form, call: RequestContext) -> tuple[str, str]:
    """Return whether the form names a user or a group, and its name."""
    name = form.text("who").lower()
    if not name:
        raise Malformed("Enter a user name, a group or an email address.")
    if form.text("kind") == "group":
        return "group", name
    with call.read() as tx:
        if users.find(tx, name) is not None:
            return "who", name
        if members.has_group(tx, name):
            return "group", name
    raise NotFound(
        f"There is no user or group named {name[:60]!a}.", "Check the spelling, or enter an email address to invite."
    )


def _change_role(channel: str, form: Form, call: RequestContext) -> Message:
    field, name = _target(form)
    return _set_role(channel, field, name, RoleUpdate.parse({"role": form.text("role")}), call)


def _set_role(channel: str, field: str, name: str, role: RoleUpdate, call: RequestContext) -> Message:
    """Add a member or change the role of one; Undo restores what the member had before."""
    before = _role_of(channel, field, name, call)
    put = members_api.put_member_group if field == "group" else members_api.put_member
    put(call, channel, name, role)
    who = _described(field, name)
    if before is None:
        return Message(f"{who} was added as a {role.role}.", Undo(_path(channel, "remove"), {field: [name]}))
    if before.value == role.role:
        return Message(f"{who} is already a {role.role}.", is_change=False)
    undo = Undo(_path(channel, "role"), {field: [name], "role": [before.value]})
    return Message(f"{who} is now a {role.role}.", undo)


def _remove(channel: str, form: Form, call: RequestContext) -> Message:
    field, name = _target(form)
    before = _role_of(channel, field, name, call)
    if field == "group":
        members_api.remove_member_group(call, channel, name)
    else:
        members_api.remove_member(call, channel, name)
    undo = None if before is None else Undo(_path(channel, "role"), {field: [name], "role": [before.value]})
    return Message(f"{_described(field, name)} was removed from {channel}.", undo)


def _target(form: Form) -> tuple[str, str]:
    field = "group" if form.is_set("group") else "who"
    return field, form.text(field)


def _described(field: str, name: str) -> str:
    return f"The group {name}" if field == "group" else name


def _role_of(channel: str, field: str, name: str, call: RequestContext) -> Role | None:
    with call.read() as tx:
        users_in, groups_in = members.list_all(tx, call.by, channel)
    if field == "group":
        return next((member.role for member in groups_in if member.group == name), None)
    return next((member.role for member in users_in if member.user == name), None)


def _path(channel: str, act: str) -> str:
    return f"/channels/{channel}/settings/members/{act}"


def _withdraw(channel: str, form: Form, call: RequestContext) -> Message:
    invitation = form.number("invitation")
    with call.read() as tx:
        address = invitations.get(tx, call.by, channel, invitation).address
    invitations_api.withdraw_invitation(call, channel, invitation)
    return Message(f"The invitation to {address} was withdrawn. Its link no longer works.")


def _resend(channel: str, form: Form, call: RequestContext) -> Message:
    resent = invitations_api.resend_invitation(call, channel, form.number("invitation"))
    return Message(f"The invitation was sent to {resent.address} again, with a new link. The old link no longer works.")
