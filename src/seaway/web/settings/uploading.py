"""Upload page: files are sent in parts and resume after a lost connection (`api.resumable_uploads`)."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Principal
from seaway.channels.roles import Action
from seaway.packages import recent_uploads
from seaway.web.settings.settings_pages import Scene, Section, show
from seaway.web.user_pages import for_person

_RECENT = 20


def _look(scene: Scene) -> Mapping[str, Any]:
    recent_files = recent_uploads.files_of(scene.tx, scene.channel_id, scene.channel, _RECENT)
    return {"limit": scene.house.publishing.upload_limit, "recent": recent_files}


SECTION = Section("upload", Action.UPLOAD, _look)


@for_person
async def look(request: Request, by: Principal) -> Response:
    """Show the page."""
    return await show(request, by, SECTION)
