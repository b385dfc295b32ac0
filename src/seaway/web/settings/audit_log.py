"""Audit log of a channel."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.audit import log
from seaway.channels.roles import Action
from seaway.http.request_context import RequestContext
from seaway.web.channel_pages import number_of
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, show
from seaway.web.user_pages import for_user

_LINES = 100


def _read_values(before: int | None, context: SettingsContext) -> Mapping[str, Any]:
    lines = log.of_channel(context.tx, context.channel, before=before, limit=_LINES + 1)
    return {"lines": lines[:_LINES], "older": lines[_LINES - 1].id if len(lines) > _LINES else None, "before": before}


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show a page of the log, newest first."""
    before = number_of(request, "before")
    return await show(request, call, SettingsPage("log", Action.MANAGE, partial(_read_values, before)))
