"""Audit log of the site."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.audit import log
from seaway.audit.log import Entry, LogFilter
from seaway.database.engine import Tx
from seaway.http.request_context import RequestContext
from seaway.web.admin.admin_pages import for_admin, show
from seaway.web.audit_log_list import actions_of_site, query_of, read_page


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show a page of the log, newest first."""
    query = query_of(request)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        def find(before: int | None, limit: int, where: LogFilter) -> Sequence[Entry]:
            return log.of_all(tx, before=before, limit=limit, where=where)

        return {"log": read_page(query, find), "actions": actions_of_site()}

    return await show(request, call, "log", read_values)
