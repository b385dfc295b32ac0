"""Storage usage, from rows and the last sweep, so that no request lists a bucket."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.database.engine import Tx
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.packages import damaged_blobs, storage_usage, sweep
from seaway.web.admin.admin_pages import PER_PAGE, for_admin, show
from seaway.web.channel_pages import number_of

_DAMAGED_SHOWN = 50
_LAST_PAGE = 99_999


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show the usage figures, and the channels by size."""
    number = min(number_of(request, "page") or 1, _LAST_PAGE)
    skip = (number - 1) * PER_PAGE
    spool = parts_of(request).publishing.site.spool

    def find(tx: Tx) -> Mapping[str, Any]:
        packages, named = storage_usage.of_packages(tx), storage_usage.bytes_of_packages(tx)
        found = storage_usage.by_channel(tx, skip=skip, limit=PER_PAGE + 1)
        files, size = spool.usage()
        damaged = damaged_blobs.affected_files(tx, _DAMAGED_SHOWN + 1)
        return {
            "packages": packages,
            "documents": storage_usage.of_documents(tx),
            "saved": named - packages.size,
            "last": sweep.last(tx),
            "damaged": damaged[:_DAMAGED_SHOWN],
            "more_damaged": len(damaged) > _DAMAGED_SHOWN,
            "spool_files": files,
            "spool_size": size,
            "channels": found[:PER_PAGE],
            "number": number,
            "more": len(found) > PER_PAGE,
        }

    return await show(request, call, "storage", find)
