"""Home page of a signed-in user: the user's channels, what changed there, and what needs an answer."""

from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import channels, invitations, transfers
from seaway.clock import DAY_MS
from seaway.http.request_context import RequestContext
from seaway.http.site_url import site_url_of
from seaway.keys import account_keys
from seaway.keys.api_keys import Key
from seaway.oauth import grants
from seaway.packages import downloads, recent_uploads
from seaway.web import first_steps
from seaway.web.account.keys import KeyState, state_of
from seaway.web.first_steps import Progress
from seaway.web.rendering import page
from seaway.web.user_pages import for_user

_CHANNELS = 10
_UPLOADS = 10
_KEY_EXPIRED_MS = 30 * DAY_MS  # for how long after it expired


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the home page; it reads one state of the database."""
    values = await to_thread.run_sync(_read_values, call, site_url_of(request))
    return page(request, "home.html", **values)


def _read_values(call: RequestContext, site: str) -> dict[str, Any]:
    user_id, now_ms = call.by.user_id or 0, call.now_ms
    with call.read() as tx:
        own = channels.with_role_of(tx, user_id)
        names = {channel.id: channel.name for channel, _ in own}
        changes = recent_uploads.last_changes(tx, names)
        own.sort(key=lambda entry: -max(changes.get(entry[0].id, 0), entry[0].created_at_ms))
        uploads = recent_uploads.files_in(tx, names, _UPLOADS)
        keys = account_keys.list_all(tx, call.by)
        progress = Progress(
            channels=own,
            newest=uploads[0] if uploads else None,
            has_credential=bool(keys or grants.of_user(tx, user_id, now_ms)),
            has_download=downloads.any_in(tx, names),
        )
        return {
            "channels": own[:_CHANNELS],
            "channel_count": len(own),
            "changes": changes,
            "uploads": uploads,
            "keys": [key for key in keys if _needs_attention(key, now_ms)],
            "invitations": invitations.addressed_to(tx, now_ms, user_id),
            "offers": transfers.pending_for(tx, now_ms, user_id),
            "steps": first_steps.steps_of(progress, site),
        }


def _needs_attention(key: Key, now_ms: int) -> bool:
    """Return whether a key expires soon or expired recently. Revoked keys were ended on purpose."""
    state = state_of(key, now_ms)
    is_recent = (key.expires_at_ms or 0) > now_ms - _KEY_EXPIRED_MS
    return state is KeyState.EXPIRES_SOON or (state is KeyState.EXPIRED and is_recent)
