"""Audit log of the site."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.audit import log
from seaway.database.engine import Tx
from seaway.http.request_context import RequestContext
from seaway.web.admin.admin_pages import PER_PAGE, for_admin, show
from seaway.web.channel_pages import number_of


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show a page of the log, newest first."""
    before = number_of(request, "before")

    def find(tx: Tx) -> Mapping[str, Any]:
        lines = log.of_all(tx, before=before, limit=PER_PAGE + 1)
        older = lines[PER_PAGE - 1].id if len(lines) > PER_PAGE else None
        return {"lines": lines[:PER_PAGE], "older": older, "before": before}

    return await show(request, call, "log", find)
