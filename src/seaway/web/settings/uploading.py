"""Upload page: files are sent in parts and resume after a lost connection (`api.resumable_uploads`)."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels.roles import Action
from seaway.http.request_context import RequestContext
from seaway.packages import recent_uploads
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, show
from seaway.web.user_pages import for_user

_RECENT = 20


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    recent_files = recent_uploads.files_of(context.tx, context.channel_id, context.channel, _RECENT)
    return {"limit": context.parts.publishing.upload_limit, "recent": recent_files}


SECTION = SettingsPage("upload", Action.UPLOAD, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)
