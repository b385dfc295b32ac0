"""Storage usage, from rows and the last sweep, so that no request lists a bucket."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.database.engine import Tx
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.packages import damaged_blobs, storage_usage, sweep
from seaway.packages.storage_usage import UsageOrder
from seaway.web.admin.admin_pages import PER_PAGE, for_admin, show
from seaway.web.admin.listing import option_of, query_of, text_of
from seaway.web.admin.overview import disks_of
from seaway.web.channel_pages import pages_of

_DAMAGED_SHOWN = 50
_ORDERS = (
    (UsageOrder.SIZE, "Package files"),
    (UsageOrder.FILES, "Number of files"),
    (UsageOrder.DOCUMENTS, "Index documents"),
    (UsageOrder.NAME, "Name"),
)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show the usage figures, and the channels that match the search."""
    words, order = text_of(request, "q"), option_of(request, "sort", UsageOrder.SIZE)
    site = parts_of(request).publishing.site

    def find(tx: Tx) -> Mapping[str, Any]:
        pages = pages_of(request, storage_usage.count_channels(tx, words), PER_PAGE)
        files, size = site.spool.usage()
        damaged = damaged_blobs.affected_files(tx, _DAMAGED_SHOWN + 1)
        return {
            "usage": storage_usage.of_site(tx, call.now_ms),
            "last": sweep.last(tx),
            "damaged": damaged[:_DAMAGED_SHOWN],
            "more_damaged": len(damaged) > _DAMAGED_SHOWN,
            "spool_files": files,
            "spool_size": size,
            "disks": disks_of(site),
            "channels": storage_usage.by_channel(tx, words, order, skip=pages.start, limit=PER_PAGE),
            "pages": pages,
            "query": query_of(request, "q", "sort"),
            "words": words,
            "orders": [(option.value, label) for option, label in _ORDERS],
            "order": order.value,
        }

    return await show(request, call, "storage", find, parts_of(request).search_slots)
