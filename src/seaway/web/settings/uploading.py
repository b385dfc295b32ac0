"""Upload page: files are sent in parts and resume after a lost connection (`api.uploads`)."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts.principal import Principal
from seaway.channels.roles import Action
from seaway.packages import recent
from seaway.web.asking import for_person
from seaway.web.settings.frame import Scene, Section, show

_RECENT = 20


def _look(scene: Scene) -> Mapping[str, Any]:
    recent_files = recent.files_of(scene.tx, scene.channel_id, scene.channel, _RECENT)
    return {"limit": scene.house.publishing.upload_limit, "recent": recent_files}


SECTION = Section("upload", Action.UPLOAD, _look)


@for_person
async def look(request: Request, by: Principal) -> Response:
    """Show the page."""
    return await show(request, by, SECTION)
