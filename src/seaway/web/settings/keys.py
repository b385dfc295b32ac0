"""
The caller's keys with access to a channel.

The secret of a new key is only in the response to the form, as in `web.account.keys`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.keys import KeyWithSecret
from seaway.channels.roles import Action
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.keys import channel_keys
from seaway.web.account.keys import MODES, KeyForm, confirm_revocation, create_key, key_form_of, revoke_key
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change_without_transaction, show
from seaway.web.user_pages import for_user


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    tx, now_ms, by, channel = context.tx, context.now_ms, context.by, context.channel
    return {
        "own": channel_keys.of_caller(tx, now_ms, by, channel),
        "modes": MODES,
        "typed": KeyForm(),
        "created_key": None,
    }


SECTION = SettingsPage("keys", Action.SEE_MEMBERS, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create a key for this channel only, and show its secret."""
    typed = key_form_of(await form_of(request), only=request.path_params["channel"])
    done: list[KeyWithSecret] = []
    acting, message = partial(_add, done, typed), f"The key {typed.name} was created."
    response = await change_without_transaction(request, call, SECTION, acting, message=message, typed=typed)
    return await show(request, call, SECTION, created_key=done[0]) if done else response


@for_user
async def revoke(request: Request, call: RequestContext) -> Response:
    """Revoke one of the caller's keys, in all channels, after confirmation."""
    channel, form = request.path_params["channel"], await form_of(request)
    name = form.exact("name")
    if not form.is_set("confirmed"):
        await to_thread.run_sync(_require_member, channel, call)
        return await confirm_revocation(request, call, name, back=SECTION.address(channel))
    acting = partial(_revoke, channel, name)
    return await change_without_transaction(request, call, SECTION, acting, message=f"The key {name} was revoked.")


def _add(done: list[KeyWithSecret], typed: KeyForm, call: RequestContext) -> None:
    _require_member(typed.channels[0], call)
    done.append(create_key(call, typed))


def _revoke(channel: str, name: str, call: RequestContext) -> None:
    _require_member(channel, call)
    revoke_key(call, name)


def _require_member(channel: str, call: RequestContext) -> None:
    with call.read() as tx:
        call.require(tx, SECTION.action, channel)
