"""General settings of a channel: description, visibility, upload rules, relations, logo and notices."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import notices as notices_api
from seaway.api.v1.notices import Notice, NoticeCreate
from seaway.channels import logos, notices, quotas
from seaway.channels.channel import Channel
from seaway.channels.notices import Level
from seaway.channels.roles import Action
from seaway.conda.repodata import ChannelRelations
from seaway.errors import Malformed, at_field
from seaway.http.page_forms import Form, accepts_file, form_of
from seaway.http.request_context import RequestContext
from seaway.indexing import relations
from seaway.publishing.logos import NewLogo
from seaway.web.page_message import Message
from seaway.web.settings.setting_fields import fields_of, save
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change_without_transaction, show
from seaway.web.settings.settings_pages import change as do
from seaway.web.user_pages import for_user

DAYS = (1, 7, 30, 90, 365)


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    return {
        "usage": quotas.of_channel(context.tx, context.channel_id),
        "notices": notices.current(context.tx, context.now_ms, context.channel_id),
        "levels": [(level.value, level.value.capitalize()) for level in Level],
        "days": DAYS,
        "fields": fields_of("general"),
        "typed_settings": None,
        "related": {},
        "notice_text": "",
        "notice_level": Level.INFO.value,
        "notice_days": 7,
        "logo_address": "",
        "fetches_logos": context.parts.logos.can_fetch,
    }


SECTION = SettingsPage("", Action.MANAGE, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Save the settings of the form."""
    return await save(request, call, SECTION, "general", message=_saved)


def _saved(channel: Channel) -> str:
    return f"The settings of {channel.name} were saved. It is {'public' if channel.is_public else 'private'}."


@for_user
async def change_relations(request: Request, call: RequestContext) -> Response:
    """Set the relations of the channel (CEP 42)."""
    form = await form_of(request)
    base, overrides = form.text("base")[:160], form.text("overrides")[:160]
    act = partial(_relate, request.path_params["channel"], base, overrides)
    related = {"base": base, "overrides": overrides}
    return await change_without_transaction(request, call, SECTION, act, message=_related, related=related)


def _related(relations: ChannelRelations) -> str:
    named = [f"{role} {name}" for role, name in (("base", relations.base), ("fallback", relations.overrides)) if name]
    return (
        f"Related channels were saved: {' and '.join(named)}." if named else "The channel has no related channels now."
    )


@accepts_file("logo")
@for_user
async def change_logo(request: Request, call: RequestContext) -> Response:
    """Change or remove the logo."""
    form = await form_of(request)
    if form.is_set("none"):
        return await do(request, call, SECTION, _drop_logo, message=_dropped)
    put = partial(_put_logo, given_logo(form), request.path_params["channel"])
    return await change_without_transaction(
        request, call, SECTION, put, message="The logo was saved.", logo_address=form.text("logo_address")[:300]
    )


def given_logo(form: Form) -> NewLogo:
    """Return the logo in a form: an uploaded file, or a URL."""
    return NewLogo(form.file, "" if form.file else form.text("logo_address")[:300])


@for_user
async def add_notice(request: Request, call: RequestContext) -> Response:
    """Post a notice to all users of the channel."""
    form = await form_of(request)
    message = form.text("message").replace("\r\n", "\n")
    given = {"message": message, "level": form.text("level"), "days": form.number("days")}
    act = partial(_add_notice, request.path_params["channel"], given)
    return await change_without_transaction(
        request,
        call,
        SECTION,
        act,
        message=_posted,
        notice_text=message,
        notice_level=given["level"],
        notice_days=given["days"],
    )


@for_user
async def remove_notice(request: Request, call: RequestContext) -> Response:
    """Remove a notice."""
    act = partial(_remove_notice, request.path_params["channel"], (await form_of(request)).number("notice"))
    return await change_without_transaction(request, call, SECTION, act, message=str)


def _relate(channel: str, base: str, overrides: str, call: RequestContext) -> ChannelRelations:
    return relations.change(call.parts.site, call.by, channel, base=base, overrides=overrides)


def _put_logo(given: NewLogo, channel: str, call: RequestContext) -> None:
    if not given:
        raise Malformed("No logo is selected.", "Choose a file, or enter the URL of a GitHub avatar.", field="logo")
    at_field("logo" if given.content else "logo_address", lambda: call.parts.logos.put(call.by, channel, given))


def _drop_logo(context: SettingsContext) -> bool:
    return logos.remove(context.tx, context.now_ms, context.by, context.channel)


def _dropped(had_one: bool) -> Message:
    return Message("The logo was removed." if had_one else "The channel has no logo.", is_change=had_one)


def _add_notice(channel: str, given: Mapping[str, object], call: RequestContext) -> Notice:
    return notices_api.post_notice(call, channel, NoticeCreate.parse(given))


def _posted(notice: Notice) -> str:
    return f"The notice {_quoted(notice.message)} was posted."


def _remove_notice(channel: str, number: int, call: RequestContext) -> str:
    with call.read() as tx:
        known = notices.list_current(tx, call.now_ms, call.by, channel)
    notices_api.withdraw_notice(call, channel, number)
    text = next((notice.message for notice in known if notice.id == number), "")
    return f"The notice {_quoted(text)} was withdrawn." if text else "The notice was withdrawn."


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:60]}..."' if len(line) > 63 else f'"{line}"'
