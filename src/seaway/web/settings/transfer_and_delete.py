"""Transfer and deletion of a channel, which cannot be undone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Principal
from seaway.channels import channels, members, transfers
from seaway.channels.roles import Action, Role
from seaway.http.page_forms import Form, form_of
from seaway.web.settings.settings_pages import Scene, Section, do, show
from seaway.web.user_pages import for_person


def _look(scene: Scene) -> Mapping[str, Any]:
    people = members.all_members(scene.tx, scene.channel_id)
    return {
        "offer": transfers.of_channel(scene.tx, scene.now_ms, scene.channel_id),
        "others": [(member.user, member.user) for member in people if member.role is not Role.OWNER],
        "typed": {"to": "", "name": ""},
    }


SECTION = Section("danger", Action.MANAGE, _look)


@for_person
async def look(request: Request, by: Principal) -> Response:
    """Show the page."""
    return await show(request, by, SECTION)


@for_person
async def offer(request: Request, by: Principal) -> Response:
    """Offer the ownership of the channel to a user."""
    form = await form_of(request)
    return await do(request, by, SECTION, partial(_offer, form), typed={"to": form.text("to")[:60], "name": ""})


@for_person
async def cancel(request: Request, by: Principal) -> Response:
    """Withdraw the offer."""
    return await do(request, by, SECTION, _cancel)


@for_person
async def remove(request: Request, by: Principal) -> Response:
    """Delete the channel if its name was typed to confirm."""
    form = await form_of(request)
    typed = {"to": "", "name": form.text("name")[:128]}
    return await do(request, by, SECTION, partial(_remove, form), then="/channels", makes_room=True, typed=typed)


def _offer(form: Form, scene: Scene) -> None:
    transfers.offer(scene.tx, scene.now_ms, scene.by, scene.channel, form.text("to"), telling=scene.house.accounts)


def _cancel(scene: Scene) -> None:
    transfers.cancel(scene.tx, scene.now_ms, scene.by, scene.channel)


def _remove(form: Form, scene: Scene) -> None:
    channels.remove(scene.tx, scene.now_ms, scene.by, scene.channel, typed=form.text("name"))
