"""Members of a channel: users, invited email addresses and groups."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import invitations, members
from seaway.channels.roles import Action, Role
from seaway.errors import Malformed
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.web.settings.settings_pages import Section, SettingsContext, show
from seaway.web.settings.settings_pages import change as do
from seaway.web.user_pages import for_user

ROLES = (
    (Role.VIEWER.value, "Viewer: can install"),
    (Role.CONTRIBUTOR.value, "Contributor: can also publish"),
)
_USUAL = Role.CONTRIBUTOR.value


def _look(scene: SettingsContext) -> Mapping[str, Any]:
    users, groups = members.list_all(scene.tx, scene.by, scene.channel)
    return {
        "users": users,
        "groups": groups,
        "invitations": invitations.of_channel(scene.tx, scene.by, scene.channel),
        "roles": ROLES,
        "typed": {"who": "", "role": _USUAL},
    }


SECTION = Section("members", Action.MANAGE, _look)


@for_user
async def look(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add a user or a group at once, or send an invitation to an email address."""
    form = await form_of(request)
    typed = {"who": form.text("who")[:254], "role": form.text("role")}
    return await do(request, call, SECTION, partial(_add, form), requires=Action.ADMIT, typed=typed)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Change the role of a user or a group."""
    return await do(request, call, SECTION, partial(_put, await form_of(request)), requires=Action.ADMIT)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove a user or a group."""
    return await do(request, call, SECTION, partial(_remove, await form_of(request)), requires=Action.ADMIT)


@for_user
async def withdraw(request: Request, call: RequestContext) -> Response:
    """Withdraw an invitation."""
    return await do(request, call, SECTION, partial(_withdraw, await form_of(request)), requires=Action.ADMIT)


@for_user
async def resend(request: Request, call: RequestContext) -> Response:
    """Send an invitation again, with a new link."""
    return await do(request, call, SECTION, partial(_resend, await form_of(request)), requires=Action.ADMIT)


def _add(form: Form, scene: SettingsContext) -> None:
    if "@" in form.text("who"):
        invitations.invite(
            scene.tx,
            scene.now_ms,
            scene.by,
            scene.channel,
            form.text("who"),
            _role(form),
            outbox=scene.parts.accounts.outbox,
        )
    else:
        _put(form, scene)


def _put(form: Form, scene: SettingsContext) -> None:
    tx, now_ms, by, channel = scene.tx, scene.now_ms, scene.by, scene.channel
    if form.is_set("group"):
        members.put_group(tx, now_ms, by, channel, form.text("group"), _role(form))
    else:
        members.put(tx, now_ms, by, channel, form.text("who"), _role(form), outbox=scene.parts.accounts.outbox)


def _remove(form: Form, scene: SettingsContext) -> None:
    tx, now_ms, by, channel = scene.tx, scene.now_ms, scene.by, scene.channel
    if form.is_set("group"):
        members.remove_group(tx, now_ms, by, channel, form.text("group"))
    else:
        members.remove(tx, now_ms, by, channel, form.text("who"))


def _withdraw(form: Form, scene: SettingsContext) -> None:
    invitations.withdraw(scene.tx, scene.now_ms, scene.by, scene.channel, _number(form))


def _resend(form: Form, scene: SettingsContext) -> None:
    invitations.resend(
        scene.tx, scene.now_ms, scene.by, scene.channel, _number(form), outbox=scene.parts.accounts.outbox
    )


def _role(form: Form) -> Role:
    if form.text("role") not in {value for value, _ in ROLES}:
        raise Malformed("No role is selected.", "Select viewer or contributor.")
    return Role(form.text("role"))


def _number(form: Form) -> int:
    text = form.text("invitation")
    return int(text) if text.isdecimal() and len(text) < 16 else 0
