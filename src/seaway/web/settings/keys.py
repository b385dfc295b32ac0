"""
The caller's keys with access to a channel.

The secret of a new key is only in the response to the form, as in `web.account.keys`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction
from seaway.channels.roles import Action
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.keys import account_keys, channel_keys
from seaway.keys.api_keys import Key
from seaway.web.account.keys import MODES, KeyForm, create_key, key_form_of
from seaway.web.settings.settings_pages import Section, SettingsContext, change_without_transaction, show
from seaway.web.user_pages import for_user


def _look(scene: SettingsContext) -> Mapping[str, Any]:
    tx, now_ms, by, channel = scene.tx, scene.now_ms, scene.by, scene.channel
    return {
        "own": channel_keys.of_caller(tx, now_ms, by, channel),
        "modes": MODES,
        "typed": KeyForm(),
        "created_key": None,
        "secret": "",
    }


SECTION = Section("keys", Action.SEE_MEMBERS, _look)


@for_user
async def look(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create a key for this channel only, and show its secret."""
    typed = key_form_of(await form_of(request), only=request.path_params["channel"])
    done: list[tuple[Key, str]] = []
    response = await change_without_transaction(request, call, SECTION, partial(_add, done, typed), typed=typed)
    if not done:
        return response
    key, secret = done[0]
    return await show(request, call, SECTION, created_key=key, secret=secret)


@for_user
async def revoke(request: Request, call: RequestContext) -> Response:
    """Revoke one of the caller's keys, in all channels; its next request is refused."""
    channel, name = request.path_params["channel"], (await form_of(request)).exact("name")
    return await change_without_transaction(request, call, SECTION, partial(_revoke, channel, name))


def _add(done: list[tuple[Key, str]], typed: KeyForm, call: RequestContext) -> None:
    (channel,) = typed.channels
    with call.read() as tx:
        call.require(tx, SECTION.action, channel)
    with call.write_user(SiteAction.OPEN_ACCOUNT) as tx:
        call.require(tx, SECTION.action, channel)
        found = create_key(tx, call.now_ms, call.by, typed, call.parts.key_rules)
    done.append(found)


def _revoke(channel: str, name: str, call: RequestContext) -> None:
    with call.read() as tx:
        call.require(tx, SECTION.action, channel)
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        call.require(tx, SECTION.action, channel)
        account_keys.revoke(tx, call.now_ms, call.by, name)
