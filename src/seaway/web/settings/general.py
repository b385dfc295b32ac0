"""General settings of a channel: description, visibility, upload rules, relations, logo and notices."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import channels, logos, notices, quotas
from seaway.channels.notices import Level
from seaway.channels.roles import Action
from seaway.clock import DAY_MS
from seaway.errors import Malformed
from seaway.http.page_forms import Form, accepts_file, form_of
from seaway.http.request_context import RequestContext
from seaway.indexing import relations
from seaway.publishing.logos import NewLogo
from seaway.web.settings.settings_pages import Section, SettingsContext, change_without_transaction, show
from seaway.web.settings.settings_pages import change as do
from seaway.web.user_pages import for_user

DAYS = (1, 7, 30, 90, 365)


def _look(scene: SettingsContext) -> Mapping[str, Any]:
    return {
        "usage": quotas.of_channel(scene.tx, scene.channel_id),
        "notices": notices.current(scene.tx, scene.now_ms, scene.channel_id),
        "levels": [(level.value, level.value.capitalize()) for level in Level],
        "days": DAYS,
        "typed": {},
        "related": {},
        "message": "",
        "logo_address": "",
        "fetches_logos": scene.parts.logos.can_fetch,
    }


SECTION = Section("", Action.MANAGE, _look)


@for_user
async def look(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Save the settings of the form."""
    form = await form_of(request)
    typed = {
        "description": form.text("description").replace("\r\n", "\n"),
        "visibility": form.text("visibility"),
        "v3_message": form.text("v3_message").replace("\r\n", "\n"),
    }
    act = partial(_change, form, typed["description"], typed["v3_message"])
    can_change = partial(channels.require_change, is_public=_is_public(form))
    return await do(request, call, SECTION, act, requires=can_change, typed=typed)


@for_user
async def change_relations(request: Request, call: RequestContext) -> Response:
    """Set the relations of the channel (CEP 42)."""
    form = await form_of(request)
    base, overrides = form.text("base")[:160], form.text("overrides")[:160]
    act = partial(_relate, request.path_params["channel"], base, overrides)
    return await change_without_transaction(request, call, SECTION, act, related={"base": base, "overrides": overrides})


@accepts_file("logo")
@for_user
async def change_logo(request: Request, call: RequestContext) -> Response:
    """Change or remove the logo."""
    form = await form_of(request)
    if form.is_set("none"):
        return await do(request, call, SECTION, _drop_logo)
    put = partial(_put_logo, given_logo(form), request.path_params["channel"])
    return await change_without_transaction(request, call, SECTION, put, logo_address=form.text("logo_address")[:300])


def given_logo(form: Form) -> NewLogo:
    """Return the logo in a form: an uploaded file, or a URL."""
    return NewLogo(form.file, "" if form.file else form.text("logo_address")[:300])


@for_user
async def add_notice(request: Request, call: RequestContext) -> Response:
    """Post a notice to all users of the channel."""
    form = await form_of(request)
    return await do(request, call, SECTION, partial(_add_notice, form), message=form.text("message"))


@for_user
async def remove_notice(request: Request, call: RequestContext) -> Response:
    """Remove a notice."""
    form = await form_of(request)
    return await do(request, call, SECTION, partial(_remove_notice, form))


def _change(form: Form, description: str, v3_message: str, scene: SettingsContext) -> None:
    is_public = _is_public(form)
    if is_public is None:
        raise Malformed("No visibility is selected.", "Select public or private.")
    channels.change(
        scene.tx,
        scene.now_ms,
        scene.by,
        scene.channel,
        description=description,
        is_public=is_public,
        refuses_lookalikes=form.is_set("refuses_lookalikes"),
        allows_overwrite=False if form.is_set("never_overwrite") else None,
        allows_v3=not form.is_set("refuses_v3"),
    )
    relations.set_v3_message(
        scene.tx, scene.now_ms, scene.by, scene.channel, v3_message,
        whole_document_limit=scene.parts.site.whole_document_limit,
    )  # fmt: skip


def _is_public(form: Form) -> bool | None:
    return {"public": True, "private": False}.get(form.text("visibility"))


def _relate(channel: str, base: str, overrides: str, call: RequestContext) -> None:
    relations.change(call.parts.site, call.by, channel, base=base, overrides=overrides)


def _put_logo(given: NewLogo, channel: str, call: RequestContext) -> None:
    if not given:
        raise Malformed("No logo is selected.", "Choose a file, or enter the URL of a GitHub avatar.")
    call.parts.logos.put(call.by, channel, given)


def _drop_logo(scene: SettingsContext) -> None:
    logos.remove(scene.tx, scene.now_ms, scene.by, scene.channel)


def _add_notice(form: Form, scene: SettingsContext) -> None:
    days, level = form.text("days"), form.text("level")
    if days not in map(str, DAYS) or level not in {item.value for item in Level}:
        raise Malformed("The notice has no level or no expiration.", "Select both.")
    message = form.text("message").replace("\r\n", "\n")
    expires_at_ms = scene.now_ms + int(days) * DAY_MS
    notices.add(scene.tx, scene.now_ms, scene.by, scene.channel, Level(level), message, expires_at_ms=expires_at_ms)


def _remove_notice(form: Form, scene: SettingsContext) -> None:
    number = form.text("notice")
    notices.remove(scene.tx, scene.now_ms, scene.by, scene.channel, int(number) if number.isdecimal() else 0)
