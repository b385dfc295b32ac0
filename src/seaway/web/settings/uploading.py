"""
Upload page: with JavaScript, files are sent in parts and resume after a lost connection (`api.resumable_uploads`).

Without it, a form sends one file in one request. Its CSRF token is checked before the first byte of the file is read,
and the file goes through `publish` like every upload.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels.roles import Action
from seaway.conda import filename
from seaway.errors import FileExists, Invalid, NotFound, SeawayError
from seaway.http.bodies import MULTIPART_OVERHEAD_BYTES, min_file_size
from seaway.http.page_forms import Form, form_of, streams_file
from seaway.http.request_context import RequestContext
from seaway.packages import recent_uploads
from seaway.publishing.publish import Published, publish
from seaway.web import install_lines
from seaway.web.rendering import redirect_with_message
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, show, show_refused
from seaway.web.user_pages import for_user

_RECENT = 10
_FILE = "file"  # the field of the form
_OUTCOMES = {"published": "was published", "replaced": "was replaced", "repeated": "was already in the channel"}


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    return {
        "limit": context.parts.publishing.upload_limit,
        "recent": recent_uploads.files_of(context.tx, context.channel_id, context.channel, _RECENT),
        "commands": install_lines.to_publish(context.site, context.channel),
        "can_replace": False,
    }


SECTION = SettingsPage("upload", Action.UPLOAD, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@streams_file(_FILE)
@for_user
async def publish_file(request: Request, call: RequestContext) -> Response:
    """Publish the file of the form."""
    channel, form = request.path_params["channel"], await form_of(request)
    try:
        published = await _publish(request, call, channel, form)
    except NotFound:
        raise
    except SeawayError as error:
        if isinstance(error, FileExists) and error.is_same:
            return _to_package(request, channel, error.path.rpartition("/")[2], "repeated")
        error.fields = {_FILE: error.full_message}
        can_replace = form.is_set("replace") or (isinstance(error, FileExists) and error.can_replace)
        return await show_refused(request, call, SECTION, error, can_replace=can_replace)
    return _to_package(request, channel, published.file_name, published.outcome)


async def _publish(request: Request, call: RequestContext, channel: str, form: Form) -> Published:
    publishing, file = call.parts.publishing, form.streamed
    if file is None or not file.file_name:
        raise Invalid("No file was chosen.", "Choose a .conda or .tar.bz2 file.")
    min_size = min_file_size(request, publishing.upload_limit, wrapping=MULTIPART_OVERHEAD_BYTES)
    return await publish(publishing, channel, file, by=call.by, force=form.is_set("replace"), min_size=min_size)


def _to_package(request: Request, channel: str, file_name: str, outcome: str) -> Response:
    page = f"/channels/{channel}/packages/{filename.parse(file_name).name}"
    return redirect_with_message(request, page, f"{file_name} {_OUTCOMES[outcome]}.")
