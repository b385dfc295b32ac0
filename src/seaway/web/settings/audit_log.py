"""Audit log of a channel."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.audit import log
from seaway.audit.log import Entry, LogFilter
from seaway.channels.roles import Action
from seaway.http.request_context import RequestContext
from seaway.web.audit_log_list import LogQuery, actions_of_channels, query_of, read_page
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, show
from seaway.web.user_pages import for_user


def _read_values(query: LogQuery, context: SettingsContext) -> Mapping[str, Any]:
    def find(before: int | None, limit: int, where: LogFilter) -> Sequence[Entry]:
        return log.of_channel(context.tx, context.channel, before=before, limit=limit, where=where)

    return {"log": read_page(query, find), "actions": actions_of_channels()}


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show a page of the log, newest first."""
    return await show(request, call, SettingsPage("log", Action.MANAGE, partial(_read_values, query_of(request))))
